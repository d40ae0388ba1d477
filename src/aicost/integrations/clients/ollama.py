"""The `ollama` client. Read in ollama 0.4 and 0.6 (`_client.py`)."""

from __future__ import annotations

from typing import Any

from aicost.integrations._call_request import CallRequest
from aicost.integrations._hosts import served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.telemetry.call import Target

_PATHS = {
    "/api/chat": ("chat", "chat"),
    "/api/generate": ("text_completion", "chat"),
    "/api/embed": ("embeddings", "embeddings"),
    "/api/embeddings": ("embeddings", "embeddings"),
}


def _call_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    path = kwargs.get("url") or (args[2] if len(args) > 2 else None)
    known = _PATHS.get(str(path))
    if known is None:
        return None
    url = instance._client.base_url
    body = kwargs.get("json")
    model = body.get("model") if isinstance(body, dict) else None
    operation, api = known
    target = Target(
        provider="ollama",
        operation=operation,
        api=api,
        model=model if isinstance(model, str) and model else "unknown",
        **served_at(url),
        streaming=bool(kwargs.get("stream")),
    )
    return CallRequest(target, body=body if isinstance(body, dict) else None)


class OllamaInstrumentor(PackageInstrumentor):
    """Instruments every `Client` and `AsyncClient` of ollama, the module's own included."""

    name = "ollama"
    requires = "ollama >= 0.4, < 1"
    methods = (
        Method("ollama._client", "Client._request", _call_request, kind="generator"),
        Method("ollama._client", "AsyncClient._request", _call_request, kind="generator", is_async=True),
    )
