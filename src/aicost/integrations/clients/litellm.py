"""`litellm` as a client. Read in litellm 1.90 and 1.106 (`llms/custom_httpx/http_handler.py`).

What litellm sends through another client (openai's, for OpenAI, Azure and many that speak its API) is recorded there,
and turning this integration on turns that one on. What it sends itself goes through its HTTP handlers, and those are
wrapped; so nothing is counted twice. Which API is spoken is told by the path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import unquote, urlsplit

from opentelemetry import context as otel_context

from aicost.integrations import instrument
from aicost.integrations._call_request import CallRequest
from aicost.integrations._content import LazyBody
from aicost.integrations._hosts import provider_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.scopes.leaving import leave
from aicost.scopes.scope import current_scope, with_scope
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.bedrock import COUNT_HEADERS
from aicost.usage.providers import normal_region, provider_named, served_by

from .google import LOCATION

_GEMINI = r"/(?:models|endpoints)/(?P<model>[^/:]+)"
_GENERATE, _EMBED = "(?:streamG|g)enerateContent", "(?:batchEmbedContents|embedContent|predict)"
_APIS: tuple[tuple[re.Pattern[str], tuple[str, str, str | None]], ...] = tuple(
    (re.compile(pattern), (operation, api, provider))
    for pattern, operation, api, provider in (
        (r"/v1/messages$", "chat", "messages", "anthropic"),
        (rf"/projects/.+{_GEMINI}:{_GENERATE}$", "generate_content", "generate_content", "gcp.vertex_ai"),
        (rf"/projects/.+{_GEMINI}:{_EMBED}$", "embeddings", "embed_content", "gcp.vertex_ai"),
        (rf"{_GEMINI}:{_GENERATE}$", "generate_content", "generate_content", "gcp.gemini"),
        (rf"{_GEMINI}:{_EMBED}$", "embeddings", "embed_content", "gcp.gemini"),
        (r"/model/(?P<model>.+)/converse(?:-stream)?$", "chat", "converse", "aws.bedrock"),
        (r"/model/(?P<model>.+)/invoke(?:-with-response-stream)?$", "chat", "invoke_model", "aws.bedrock"),
        (r"/v[12]/chat$", "chat", "chat", "cohere"),
        (r"/v[12]/embed$", "embeddings", "embeddings", "cohere"),
        (r"/rerank$", "rerank", "rerank", None),
        (r"/api/(?:chat|generate)$", "chat", "chat", "ollama"),
        (r"/api/embed$", "embeddings", "embeddings", "ollama"),
        (r"/responses$", "chat", "responses", None),
        (r"/chat/completions$", "chat", "chat", None),
        (r"/completions$", "text_completion", "completions", None),
        (r"/embeddings$", "embeddings", "embeddings", None),
        (r"/images/(?:generations|edits)$", "generate_content", "images", None),
    )
)


def _call_request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    url = urlsplit(str(kwargs["url"] if "url" in kwargs else args[0]))
    matches = ((pattern.search(url.path), rest) for pattern, rest in _APIS)
    found, known_api = next(((f, rest) for f, rest in matches if f is not None), (None, None))
    if found is None or known_api is None:
        return None
    operation, api, named = known_api
    known = getattr(kwargs.get("logging_obj"), "model_call_details", None) or {}
    body = kwargs.get("json") or kwargs.get("data")
    asked = body.get("model") if isinstance(body, Mapping) else None
    in_path = found.groupdict().get("model")
    host = url.hostname or ""
    said = known.get("custom_llm_provider")
    if isinstance(body, (str, bytes)):
        body = LazyBody(body)
    provider = named or provider_at(host, url.port, default=provider_named(said) or "openai", path=url.path)
    model = unquote(in_path) if in_path else asked or _bare(known.get("model"), said)
    if model is None and isinstance(body, LazyBody):
        model = body.get("model")
    provider, model = served_by(provider, model if isinstance(model, str) and model else "unknown")
    target = Target(
        provider=provider,
        operation=operation,
        api=api,
        model=model,
        server_address=host,
        server_port=url.port or (443 if url.scheme == "https" else 80),
        streaming=bool(kwargs.get("stream")),
        region=normal_region(_region(host, url.path), provider, model),
    )
    headers = COUNT_HEADERS if api == "invoke_model" else ()
    return CallRequest(
        target,
        body=body if isinstance(body, Mapping) else None,
        count_headers=headers,
        upstream_id=_upstream(known.get("litellm_call_id")),
    )


def _upstream(call_id: object) -> str | None:
    """What litellm's proxy tells its caller in `x-litellm-call-id`: the caller's attempt is known by it, too."""
    return f"gateway:{call_id}" if isinstance(call_id, str) and call_id else None


def _telling(_: Source) -> Callable[..., Any]:
    """Around the methods that ask through OpenAI's client: what is called inside is the work of litellm's call."""

    def tell(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        known = getattr(kwargs.get("logging_obj"), "model_call_details", None) or {}
        scope, upstream = current_scope(), _upstream(known.get("litellm_call_id"))
        if upstream is None or scope.upstream_id is not None:
            return wrapped(*args, **kwargs)
        inside = with_scope(replace(scope, upstream_id=upstream))
        if not iscoroutinefunction(wrapped):
            token = otel_context.attach(inside)
            try:
                return wrapped(*args, **kwargs)
            finally:
                leave(token, inside)

        async def called() -> Any:
            token = otel_context.attach(inside)
            try:
                return await wrapped(*args, **kwargs)
            finally:
                leave(token, inside)

        return called()

    return tell


def _bare(model: object, provider: object) -> str | None:
    """A model without litellm's prefix for its provider."""
    return model.removeprefix(f"{provider}/") if isinstance(model, str) else None


def _region(host: str, path: str) -> str | None:
    """Where Bedrock is asked, by its host, or Vertex AI, by the path."""
    found = re.match(r"bedrock-[a-z-]+\.([a-z0-9-]+)\.(?:amazonaws\.com|api\.aws)", host) or LOCATION.search(path)
    return found.group(1) if found is not None else None


_MODULE = "litellm.llms.custom_httpx.http_handler"


_THROUGH_OPENAI = (
    (
        "openai.openai",
        "OpenAIChatCompletion",
        (
            "make_openai_chat_completion_request",
            "make_sync_openai_chat_completion_request",
            "make_openai_embedding_request",
            "make_sync_openai_embedding_request",
        ),
    ),
    ("azure.azure", "AzureChatCompletion", ("make_azure_openai_chat_completion_request",)),
)
"""Methods that are told of litellm's call and ask through OpenAI's client. Read in litellm 1.106."""


class LiteLLMInstrumentor(PackageInstrumentor):
    """Instruments litellm's own HTTP handlers; what it sends through other clients is recorded there."""

    name = "litellm"
    requires = "litellm >= 1.90, < 2"
    methods = (
        Method(_MODULE, "HTTPHandler.post", _call_request),
        Method(_MODULE, "AsyncHTTPHandler.post", _call_request),
        *(
            Method(f"litellm.llms.{module}", f"{owner}.{name}", wrapper=_telling, optional=True)
            for module, owner, names in _THROUGH_OPENAI
            for name in names
        ),
    )

    def follow(self, **providers: Any) -> None:
        """Record with these providers, and so does OpenAI's client, through which some of its calls go."""
        super().follow(**providers)
        instrument(("openai",), **providers)
