"""The `cohere` client, version 1 and 2 of its API. Read in cohere 5.20 and 7.3 (`core/http_client.py`).

`request` calls itself to retry; the outermost is the call.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aicost.integrations._call_request import CallRequest
from aicost.integrations._hosts import served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.telemetry.call import Target

_PATHS = {
    "chat": ("chat", "chat"),
    "generate": ("text_completion", "chat"),
    "summarize": ("chat", "chat"),
    "classify": ("classify", "chat"),
    "embed": ("embeddings", "embeddings"),
    "rerank": ("rerank", "rerank"),
}
_JOBS = {"embed-jobs": "batch", "finetuning/finetuned-models": "fine_tuning"}
"""Work that is given here and done later; nothing says here what it used."""


def _call_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    path = kwargs["path"] if "path" in kwargs else args[0]
    version, _, name = str(path).strip("/").partition("/")
    job = _JOBS.get(name)
    known = _PATHS.get(name) if job is None else ("generate_content", job)
    if known is None or version not in {"v1", "v2"} or str(kwargs.get("method")).upper() != "POST":
        return None
    base = kwargs.get("base_url") or instance.base_url
    url = urlsplit(str(base() if callable(base) else base))
    body = kwargs.get("json")
    model = body.get("model") if isinstance(body, dict) else None
    operation, api = known
    target = Target(
        provider="cohere",
        operation=operation,
        api=api,
        model=model if isinstance(model, str) and model else "unknown",
        **served_at(url),
        streaming=isinstance(body, dict) and bool(body.get("stream")),
    )
    return CallRequest(target, body=body if isinstance(body, dict) else None, recorded=job is None)


class CohereInstrumentor(PackageInstrumentor):
    """Instruments every `Client` and `ClientV2` of cohere, sync and async, those that exist already included."""

    name = "cohere"
    requires = "cohere >= 5.20, < 8"
    methods = (
        Method("cohere.core.http_client", "HttpClient.request", _call_request),
        Method("cohere.core.http_client", "HttpClient.stream", _call_request, kind="context", is_async=False),
        Method("cohere.core.http_client", "AsyncHttpClient.request", _call_request),
        Method("cohere.core.http_client", "AsyncHttpClient.stream", _call_request, kind="context", is_async=True),
    )
