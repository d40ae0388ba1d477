"""The `voyageai` client. Read in voyageai 0.3 and 0.5 (`client.py`); retries are inside its methods."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aicost.integrations._call_request import CallRequest
from aicost.integrations._hosts import served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.telemetry.call import Target

_METHODS = {
    "embed": ("embeddings", "embeddings", 1),
    "multimodal_embed": ("embeddings", "embeddings", 1),
    "contextualized_embed": ("embeddings", "embeddings", 1),
    "rerank": ("rerank", "rerank", 2),
}
"""Operation, API, and where the model is among the arguments."""


def _call_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, method: str) -> CallRequest | None:
    operation, api, position = _METHODS[method]
    model = kwargs.get("model") or (args[position] if len(args) > position else None)
    if not isinstance(model, str):
        model = getattr(sys.modules.get("voyageai"), "VOYAGE_EMBED_DEFAULT_MODEL", "unknown")
    if _is_local(model):
        return None
    base = getattr(instance, "_params", {}).get("base_url") or getattr(sys.modules.get("voyageai"), "api_base", None)
    url = urlsplit(str(base or "https://api.voyageai.com/v1"))
    target = Target(
        provider="voyage",
        operation=operation,
        api=api,
        model=str(model),
        **served_at(url),
    )
    return CallRequest(target, typed=_totals)


def _is_local(model: object) -> bool:
    """Whether the model runs in this process; then nothing is sent."""
    helpers = sys.modules.get("voyageai.local.helpers")
    return helpers is not None and bool(helpers.is_local_model(model))


def _totals(result: Any) -> dict[str, Any] | None:
    names = ("total_tokens", "text_tokens", "image_pixels", "video_pixels")
    found = {name: getattr(result, name, None) for name in names}
    return {"usage": {name: n for name, n in found.items() if n is not None}} if found["total_tokens"] else None


class VoyageInstrumentor(PackageInstrumentor):
    """Instruments every `Client` and `AsyncClient` of voyageai, those that exist already included."""

    name = "voyageai"
    requires = "voyageai >= 0.3, < 1"
    methods = tuple(
        Method(
            module,
            f"{owner}.{method}",
            partial(_call_request, method=method),
            optional=method == "contextualized_embed",
        )
        for module, owner in (("voyageai.client", "Client"), ("voyageai.client_async", "AsyncClient"))
        for method in _METHODS
    )
