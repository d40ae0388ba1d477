"""What a request says of the most that its answer can use: its limit on output tokens, times its choices.

Only where that is certain. A request with a field nobody here knows has no limit, nor has one that lets the provider
run tools, or whose limit is documented to leave the reasoning out: an unknown bound is better than a false one. Read in
the clients' own types: openai 3.52, anthropic 2.11, groq 1.7, together 3.1, cohere 7.3, mistralai 3.7, ollama 0.6,
google-genai 3.4, huggingface_hub 2.4, and botocore 1.44 (`bedrock-runtime/2023-09-30/service-2.json`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aicost.telemetry.call import Target
from aicost.usage.reading import PLAUSIBLE, Raw

from ._content import LazyBody


def _no_tools(_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class LimitForm:
    """How the requests of an API set a limit."""

    limit: tuple[str, ...]
    """Where the limit is, by paths; of several that are set the largest."""
    known: frozenset[str] = frozenset()
    """The fields that change nothing about it; another one may."""
    choices: tuple[str, ...] = ()
    """Where it says how many answers are made, each up to the limit; of several the largest."""
    prompts: str | None = None
    """Where it may have several prompts, each with choices of its own."""
    own_tools: Callable[[Any], bool] = _no_tools
    """Whether its `tools` are all the application's own, which the provider does not run."""
    requires: Callable[[Raw], bool] = lambda _: True
    """Whatever else has to be so."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAMPLING = "temperature top_p top_k stop seed frequency_penalty presence_penalty logit_bias logprobs top_logprobs"
_CHAT = _words(
    f"model messages stream stream_options tools tool_choice parallel_tool_calls response_format user metadata store "
    f"reasoning_effort verbosity safety_identifier prompt_cache_key {_SAMPLING} random_seed safe_prompt"
)


def _functions(tools: Any) -> bool:
    """Tools of the application's: of type function or custom, or, at Anthropic's, of none."""
    return isinstance(tools, (list, tuple)) and all(
        isinstance(tool, Mapping) and tool.get("type") in {None, "function", "custom"} for tool in tools
    )


def _declared(tools: Any) -> bool:
    return isinstance(tools, (list, tuple)) and all(
        isinstance(tool, Mapping) and tool.keys() == {"functionDeclarations"} for tool in tools
    )


def _says_no_thoughts(body: Raw) -> bool:
    """Google documents that thoughts are outside of the limit, and others have measured that they are inside.

    See https://github.com/googleapis/python-genai/issues/2062. Neither holds for sure where pictures are drawn.
    """
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}  # as it was given, in the client's words or in those of the API
    budget = thinking.get("thinkingBudget", thinking.get("thinking_budget"))
    return type(budget) is int and budget == 0 and "responseModalities" not in config


def _thinks_within(body: Raw) -> bool:
    """Between calls of tools the budget for thoughts may be larger than the limit, for several answers together."""
    budget, limit = at(body, "thinking.budget_tokens"), body.get("max_tokens")
    return budget is None or (type(budget) is int and type(limit) is int and budget < limit)


def _has_no_thoughts(body: Raw) -> bool:
    """Models that think in Converse only where a field of their own says so."""
    return re.search(r"anthropic\.|amazon\.|meta\.", str(body.get("modelId"))) is not None


_OPENAI_CHAT = LimitForm(("max_completion_tokens", "max_tokens"), _CHAT, ("n",), own_tools=_functions)
_MESSAGES = LimitForm(
    ("max_tokens",),
    _words(
        "model messages system stream stop_sequences temperature top_p top_k tools tool_choice metadata thinking "
        "anthropic_version"
    ),
    own_tools=_functions,
    requires=_thinks_within,
)
LIMIT_FORMS: Mapping[tuple[str, str], LimitForm] = {
    **{(name, "chat"): _OPENAI_CHAT for name in ("openai", "azure.ai.openai", "groq", "mistral_ai", "together")},
    **{
        (name, "completions"): LimitForm(
            ("max_tokens",),
            _words(f"model prompt suffix echo stream stream_options user n best_of {_SAMPLING}"),
            ("n", "best_of"),
            "prompt",
        )
        for name in ("openai", "azure.ai.openai", "together")
    },
    **{
        (name, "responses"): LimitForm(
            ("max_output_tokens",),
            _words(
                "model input instructions stream stream_options store background tools tool_choice user metadata "
                "parallel_tool_calls reasoning text truncation include temperature top_p top_logprobs "
                "previous_response_id safety_identifier prompt_cache_key"
            ),
            own_tools=_functions,
        )
        for name in ("openai", "azure.ai.openai")
    },
    **{(name, "messages"): _MESSAGES for name in ("anthropic", "aws.bedrock", "gcp.vertex_ai")},
    ("aws.bedrock", "converse"): LimitForm(
        ("inferenceConfig.maxTokens",),
        _words("modelId messages system inferenceConfig requestMetadata"),
        requires=_has_no_thoughts,
    ),
    ("aws.bedrock", "invoke_model"): replace(
        _MESSAGES, requires=lambda body: "anthropic_version" in body and _thinks_within(body)
    ),
    ("huggingface", "text_generation"): LimitForm(
        ("parameters.max_new_tokens",), _words("inputs parameters stream"), ("parameters.best_of",)
    ),
    **{
        (name, "generate_content"): LimitForm(
            ("generationConfig.maxOutputTokens",),
            _words("contents systemInstruction generationConfig safetySettings tools toolConfig labels"),
            ("generationConfig.candidateCount",),
            own_tools=_declared,
            requires=_says_no_thoughts,
        )
        for name in ("gcp.gemini", "gcp.vertex_ai")
    },
    ("cohere", "chat"): LimitForm(
        ("max_tokens",),
        _words(
            "model message messages chat_history preamble stream prompt temperature p k seed stop_sequences "
            "frequency_penalty presence_penalty max_tokens num_generations tools tool_results response_format"
        ),
        ("num_generations",),
        own_tools=_functions,
    ),
    ("ollama", "chat"): LimitForm(
        ("options.num_predict",),
        _words("model messages prompt suffix images system template stream raw format options keep_alive tools"),
        own_tools=_functions,
    ),
}
"""By provider and API. Others may take the same fields to mean something else."""
_NO_TOKENS = {"embeddings", "embed_content", "rerank"}
_UNSENT = {"Omit", "NotGiven", "ellipsis"}
"""What generated clients have for a field that is not sent: anthropic and openai, and cohere."""
_MORE_THAN_ASKED = re.compile("search|compound|research|reasoning|thinking|magistral")
"""In the names of models that search by themselves, or whose reasoning may be outside of the limit."""


def max_output(target: Target, body: Raw | None) -> int | None:
    """The most output tokens that a request can get, all choices together and reasoning included; None if unknown."""
    if target.api in _NO_TOKENS:
        return 0
    form = LIMIT_FORMS.get((target.provider, target.api))
    if form is None or body is None or _MORE_THAN_ASKED.search(target.model.lower()):
        return None
    body = body.parsed() if isinstance(body, LazyBody) else body
    body = {name: value for name, value in body.items() if value is not None and type(value).__name__ not in _UNSENT}
    tops = {path.partition(".")[0] for path in (*form.limit, *form.choices)}
    if not form.known.union(tops).issuperset(body):
        return None
    if (body.get("tools") and not form.own_tools(body["tools"])) or not form.requires(body):
        return None
    limits = [limit for path in form.limit if (limit := at(body, path)) is not None]
    choices = [count for path in form.choices if (count := at(body, path)) is not None]
    if not limits or not all(type(number) is int and 0 < number <= PLAUSIBLE for number in (*limits, *choices)):
        return None
    prompts = 1 if form.prompts is None else _prompts(body.get(form.prompts))
    return int(max(limits) * max(choices, default=1) * prompts)


def _prompts(said: Any) -> int:
    """How many prompts there are: one text or list of tokens, or a list of these."""
    if isinstance(said, (list, tuple)) and said and not isinstance(said[0], int):
        return len(said)
    return 1


def at(body: Raw, path: str) -> Any:
    """The value at a path of names; None where there is none."""
    found: Any = body
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
