"""`InferenceClient` of `huggingface_hub`. Read in huggingface_hub 1.0 and 2.4 (`inference/_client.py`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aicost.integrations._call_request import CallRequest
from aicost.integrations._hosts import provider_at, served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.telemetry.call import Target
from aicost.usage.providers import served_by

_TASKS = {
    "conversational": ("chat", "chat"),
    "text-generation": ("text_completion", "text_generation"),
    "feature-extraction": ("embeddings", "embeddings"),
}


def _call_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    request = kwargs["request_parameters"] if "request_parameters" in kwargs else args[0]
    url = urlsplit(str(request.url))
    known = _TASKS.get(request.task or "")
    if known is None:
        return None
    body = request.json if isinstance(request.json, dict) else {}
    model = body.get("model") or request.model
    # An endpoint of one's own is asked for by its address, which is no model's name.
    model = model if isinstance(model, str) and model and "://" not in model else "unknown"
    # With a key of the provider's own the client asks that provider, and not Hugging Face's router.
    provider = provider_at(url.hostname or "", url.port, default="huggingface", path=url.path)
    provider, model = served_by(provider, model)
    provider, _ = served_by(provider, f"{model}:{getattr(instance, 'provider', None)}")
    operation, api = known
    target = Target(
        provider=provider,
        operation=operation,
        api=api,
        model=model,
        **served_at(url),
        streaming=bool(kwargs.get("stream")),
    )
    return CallRequest(target, body=body)


class HuggingFaceInstrumentor(PackageInstrumentor):
    """Instruments every `InferenceClient` and `AsyncInferenceClient`, those that exist already included."""

    name = "huggingface_hub"
    requires = "huggingface_hub >= 1, < 3"
    methods = (
        Method("huggingface_hub.inference._client", "InferenceClient._inner_post", _call_request),
        Method("huggingface_hub.inference._generated._async_client", "AsyncInferenceClient._inner_post", _call_request),
    )
