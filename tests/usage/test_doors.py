"""One answer for the same bytes: `price()`, `aicost price`, a wrapped call and the collector."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import anthropic
import httpx2
import openai
import pytest
from click.testing import CliRunner
from tests.collector.running import a_request, a_span
from tests.conftest import App

import aicost
from aicost.cli.price import command
from aicost.collector.pricer import Pricer
from aicost.integrations._call_request import CallRequest
from aicost.integrations._progress import InProgress, returned
from aicost.integrations.clients.bedrock import COUNT_HEADERS
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.telemetry import state
from aicost.telemetry.call import Target
from aicost.usage.providers import normal_region


class Row(NamedTuple):
    """A whole response, and what it cost; every amount was worked out by hand from the price list."""

    about: str
    provider: str
    api: str
    asked: str
    body: dict[str, Any]
    status: str
    amount: str | None
    flags: tuple[str, ...] = ()
    region: str | None = None
    headers: Mapping[str, str] = {}
    in_a_span: bool = True
    """Whether the usage object, the models and the tier, which a span may have, say all of it."""


def _chat(model: str, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": model, "choices": [], "usage": usage, **more}


def _response(model: str, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    return {"id": "resp_1", "object": "response", "model": model, "status": "completed", "usage": usage, **more}


def _message(model: str, **usage: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1000, "output_tokens": 100, **usage},
    }


_SEARCHED = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "u"}},
    {"type": "web_search_call", "id": "ws_3", "status": "failed", "action": {"type": "search", "query": "q"}},
]
_DREW = [{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}]
_NO_IMAGES = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
_IMAGES = {
    "input_tokens": 300,
    "input_tokens_details": {"image_tokens": 200, "text_tokens": 100},
    "output_tokens": 1000,
    "output_tokens_details": {"image_tokens": 1000, "text_tokens": 0},
    "cached_tokens": 0,
    "total_tokens": 1300,
}
_SPLIT = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}

ROWS = [
    Row("the default tier", "openai", "chat", "gpt-4o", _chat("gpt-4o", service_tier="default"), "priced", "0.0035"),
    Row("flex", "openai", "chat", "gpt-5", _chat("gpt-5", service_tier="flex"), "priced", "0.001125"),
    Row("priority", "openai", "chat", "gpt-5", _chat("gpt-5", service_tier="priority"), "priced", "0.0045"),
    Row("a tier nobody prices", "openai", "chat", "gpt-4o", _chat("gpt-4o", service_tier="scale"), "unpriced", None),
    Row("groq's default", "groq", "chat", "llama-3.3-70b-versatile",
        _chat("llama-3.3-70b-versatile", service_tier="on_demand"), "priced", "0.000669"),
    Row("a dearer snapshot answered", "openai", "chat", "gpt-4o", _chat("gpt-4o-2024-05-13"), "priced", "0.0065"),
    Row("a count of tomorrow", "openai", "chat", "gpt-4o",
        _chat("gpt-4o", usage={"prompt_tokens": 1000, "completion_tokens": 100, "dream_tokens": 3}),
        "priced", "0.0035", ("unknown_field:dream_tokens",)),
    Row("searches by the items", "openai", "responses", "gpt-5",
        _response("gpt-5", output=_SEARCHED, tools=[{"type": "web_search"}]), "priced", "0.01225", in_a_span=False),
    Row("searches by what is billed", "openai", "responses", "gpt-5",
        _response("gpt-5", output=_SEARCHED, tools=[{"type": "web_search"}],
                  tool_usage={"web_search": {"num_requests": 2}, "image_gen": _NO_IMAGES}),
        "priced", "0.02225", in_a_span=False),
    Row("the preview of search, without reasoning", "openai", "responses", "gpt-4o",
        _response("gpt-4o", output=_SEARCHED, tools=[{"type": "web_search_preview"}]),
        "priced", "0.0285", in_a_span=False),
    Row("the preview of search, with reasoning", "openai", "responses", "gpt-5",
        _response("gpt-5", output=_SEARCHED, tools=[{"type": "web_search_preview"}]),
        "priced", "0.01225", in_a_span=False),
    Row("an image at its own model's price", "openai", "responses", "gpt-5",
        _response("gpt-5", output=_DREW, tools=[{"type": "image_generation", "model": "gpt-image-1.5"}],
                  tool_usage={"web_search": {"num_requests": 0}, "image_gen": _IMAGES}),
        "priced", "0.03635", in_a_span=False),
    Row("an image nobody tells the usage of", "openai", "responses", "gpt-5",
        _response("gpt-5", output=_DREW, tools=[{"type": "image_generation"}]),
        "partial", "0.00225", ("missing_count:tool_usage.image_gen",), in_a_span=False),
    Row("writes that the split leaves out, and a search", "anthropic", "messages", "claude-sonnet-5",
        _message("claude-sonnet-5", cache_creation_input_tokens=2000, cache_creation=_SPLIT,
                 server_tool_use={"web_search_requests": 1, "web_fetch_requests": 0}, service_tier="standard"),
        "priced", "0.018", ("assumed_cache_ttl:5m",)),
    Row("in one country", "anthropic", "messages", "claude-sonnet-5",
        _message("claude-sonnet-5", inference_geo="us"), "priced", "0.0033"),
    Row("a profile of Bedrock, wherever it is called", "aws.bedrock", "converse",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"output": {}, "usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100}},
        "priced", "0.00495", region="us-east-1", in_a_span=False),
    Row("guardrails", "aws.bedrock", "converse", "amazon.nova-lite-v1:0",
        {"usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100},
         "trace": {"guardrail": {"inputAssessment": {"g": {"invocationMetrics": {"usage": {
             "topicPolicyUnits": 2, "contentPolicyUnits": 2, "sensitiveInformationPolicyUnits": 1,
             "wordPolicyUnits": 9}}}}}}},
        "priced", "0.000784", region="us-east-1", in_a_span=False),
    Row("output in the headers only", "aws.bedrock", "invoke_model", "amazon.nova-lite-v1:0",
        {"output": {}, "usage": {"inputTokens": 1000}}, "priced", "0.000084", region="us-east-1", in_a_span=False,
        headers={"x-amzn-bedrock-input-token-count": "1000", "x-amzn-bedrock-output-token-count": "100"}),
    Row("what is billed, and not what hit the cache", "cohere", "chat", "command-r-08-2024",
        {"id": "c-1", "usage": {"billed_units": {"input_tokens": 1000, "output_tokens": 100},
                                "tokens": {"input_tokens": 1207, "output_tokens": 100}, "cached_tokens": 1201}},
        "priced", "0.00021", in_a_span=False),
    Row("grounded", "gcp.gemini", "generate_content", "gemini-2.5-flash",
        {"responseId": "g-1", "modelVersion": "gemini-2.5-flash",
         "candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
         "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}},
        "priced", "0.03555", in_a_span=False),
    Row("a stated cost", "openrouter", "chat", "openai/gpt-4o",
        _chat("openai/gpt-4o", usage={"prompt_tokens": 1000, "completion_tokens": 100, "cost": 0.0036}),
        "provider_reported", "0.0036"),
    Row("a stated cost as text", "x_ai", "chat", "grok-4",
        _chat("grok-4", usage={"prompt_tokens": "1000", "completion_tokens": "100", "cost_in_usd_ticks": "4468500"}),
        "provider_reported", "0.00044685"),
    Row("a stated cost that is none", "openrouter", "chat", "openai/gpt-4o",
        _chat("openai/gpt-4o", usage={"prompt_tokens": 1000, "completion_tokens": 100, "cost": "much"}),
        "priced", "0.0035", ("invalid_cost:cost",)),
    Row("mistral's cached tokens", "mistral_ai", "chat", "mistral-medium-latest",
        _chat("mistral-medium-latest", usage={"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
                                             "num_cached_tokens": 800}), "priced", "0.00117"),
]  # fmt: skip

EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.about)


def _is(row: Row, status: str, amount: Decimal | None, flags: tuple[str, ...]) -> None:
    assert (status, amount) == (row.status, None if row.amount is None else Decimal(row.amount))
    assert flags == row.flags


def _answer(row: Row) -> dict[str, Any]:
    """What a program has of the response; of InvokeModel, boto3 has the headers beside it."""
    held = {"ResponseMetadata": {"HTTPHeaders": dict(row.headers)}} if row.headers else {}
    return {**row.body, **held}


@EACH
@pytest.mark.parametrize("told", [True, False], ids=["of the API", "guessed"])
def test_the_library(row: Row, told: bool) -> None:
    guessable = row.api not in {"converse", "invoke_model"}
    charge = aicost.price(
        provider=row.provider,
        model=row.asked,
        usage=_answer(row),
        api=row.api if told or not guessable else None,
        region=row.region,
    )
    _is(row, charge.status.value, charge.amount, row.flags)


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    lines = [
        {"provider": row.provider, "model": row.asked, "api": row.api, "region": row.region, "usage": _answer(row)}
        for row in ROWS
    ]
    done = CliRunner().invoke(command, ["--json"], input="\n".join(map(json.dumps, lines)))
    assert done.exit_code == 0, done.output
    return {row.about: json.loads(line) for row, line in zip(ROWS, done.stdout.splitlines(), strict=True)}


@EACH
def test_the_command(row: Row, printed: dict[str, Any]) -> None:
    out = printed[row.about]
    _is(row, out["status"], None if out["amount"] is None else Decimal(out["amount"]), tuple(out["flags"]))


HOSTS = {
    "openai": "https://api.openai.com/v1",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "x_ai": "https://api.x.ai/v1",
    "mistral_ai": "https://api.mistral.ai/v1",
}


def _ask(row: Row) -> None:
    """Make the call with the client's own package where it is installed with the tests, else with what is below it."""
    answer = httpx2.Response(200, json=row.body, headers=row.headers)
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    if row.provider in HOSTS:
        client = openai.OpenAI(api_key="k", base_url=HOSTS[row.provider], http_client=http, max_retries=0)
        if row.api == "responses":
            client.responses.create(model=row.asked, input="hi")
        else:
            client.chat.completions.create(model=row.asked, messages=[{"role": "user", "content": "hi"}])
    elif row.provider == "anthropic":
        own = anthropic.Anthropic(api_key="k", http_client=http, max_retries=0)
        own.messages.create(model=row.asked, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    else:
        current = state.current()
        assert current is not None
        region = normal_region(row.region, row.provider, row.asked)
        target = Target(row.provider, "chat", row.api, row.asked, region=region)
        progress = InProgress(current.pipeline, CallRequest(target, count_headers=COUNT_HEADERS if row.headers else ()))
        progress.sending({}, "host")
        progress.response = answer
        returned(progress, None)


@EACH
def test_a_wrapped_call(row: Row, app: App) -> None:
    _ask(row)
    [charge] = app.charges()
    seen = app.inference
    assert charge.charge_status == seen["aicost.cost.status"]
    amount = None if row.amount is None else app.ledger_total()
    _is(row, charge.charge_status, amount, tuple(seen.get("aicost.usage.flags", ())))


@pytest.mark.parametrize("row", [row for row in ROWS if row.in_a_span], ids=lambda row: row.about)
def test_the_collector(row: Row) -> None:
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": row.provider,
        "gen_ai.request.model": row.asked,
        "gen_ai.response.model": row.body["model"],
        "gen_ai.usage.raw": json.dumps(row.body["usage"]),
    }
    if "service_tier" in row.body:
        said["openai.response.service_tier"] = row.body["service_tier"]
    span = a_span(said, start_time_unix_nano=time.time_ns())
    pricer = Pricer(Kernel(RateCard.bundled()), events=True)
    [counted] = pricer.price(a_request([span], scope="logfire.openai").SerializeToString()).counted
    [(event, charge)] = counted.entries
    _is(row, charge.status.value, charge.amount, event.flags)
