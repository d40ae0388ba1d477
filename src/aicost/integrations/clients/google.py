"""The `google-genai` client, at the Gemini API and at Vertex AI. Read in google-genai 1.10 and 3.4 (`_api_client.py`).

All its methods, chats and automatic function calling included, come down to `_request` and `_async_request`, with the
retries inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from aicost.integrations._call_request import CallRequest
from aicost.integrations._hosts import served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._live import LIVE
from aicost.telemetry.call import Target
from aicost.usage.providers import normal_region
from aicost.usage.reading import Raw

_MODEL = re.compile(r"/(?:models|tunedModels|endpoints)/([^/:]+):(\w+)$")
LOCATION = re.compile(r"/locations/([^/]+)/")
"""In the paths of Vertex AI, where it is asked."""
_JOBS = re.compile(r":(?:batchGenerateContent|predictLongRunning)$|/(?:batchPredictionJobs|tuningJobs|tunedModels)$")
"""Work that is given here and counted when it is done, if at all."""
_OPERATIONS = {
    "generateContent": ("generate_content", "generate_content"),
    "streamGenerateContent": ("generate_content", "generate_content"),
    "embedContent": ("embeddings", "embed_content"),
    "batchEmbedContents": ("embeddings", "embed_content"),
    "asyncBatchEmbedContent": ("embeddings", "embed_content"),
}


def _call_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    request = kwargs["http_request"] if "http_request" in kwargs else args[0]
    url = urlsplit(str(request.url))
    provider = "gcp.vertex_ai" if instance.vertexai else "gcp.gemini"
    location = LOCATION.search(url.path)
    where: dict[str, Any] = {
        **served_at(url),
        "region": normal_region(location.group(1), provider) if location is not None else None,
    }
    if str(request.method).lower() == "get":
        return _job(url.path, provider, where)
    found = _MODEL.search(url.path)
    if _JOBS.search(url.path):
        model = found.group(1) if found is not None else _model_in(request.data)
        return CallRequest(
            Target(provider, "generate_content", "batch", model, **where), body=request.data, recorded=False
        )
    if found is None:
        if url.path.endswith("/cachedContents"):
            return CallRequest(Target(provider, "create_cache", "cached_content", _model_in(request.data), **where))
        return None
    model, method = found.groups()
    known = _OPERATIONS.get(method)
    if method == "predict":
        known = ("generate_content", "images") if "imagen" in model else ("embeddings", "embed_content")
    if known is None:
        return None
    operation, api = known
    target = Target(provider, operation, api, model, streaming=method == "streamGenerateContent", **where)
    if api == "images":
        parameters = (request.data or {}).get("parameters") or {}
        return CallRequest(target, request={"usage": {"output_images": parameters.get("sampleCount") or 1}})
    return CallRequest(target, body=request.data)


def _model_in(body: Any) -> str:
    named = body.get("model") or body.get("baseModel") if isinstance(body, dict) else None
    return str(named or "unknown").rpartition("/")[2]


def _job(path: str, provider: str, where: dict[str, Any]) -> CallRequest | None:
    """A batch that is asked after, or the file its results are in."""
    target = Target(provider, "generate_content", "batch", "unknown", **where)
    if re.search(r"/batches/[^/]+$", path):
        return CallRequest(target, results=_inlined, job=path)
    if path.endswith(":download"):
        return CallRequest(target, each_line=True, job=path)
    return None


def _inlined(body: Raw) -> Iterable[Raw]:
    """The results in a Gemini batch job that has them in itself."""
    output = body.get("response") or (body.get("metadata") or {}).get("output") or body.get("dest") or {}
    found = (output.get("inlinedResponses") or {}) if isinstance(output, dict) else {}
    results = found.get("inlinedResponses") if isinstance(found, dict) else found
    return [result for result in results or () if isinstance(result, dict)]


class GoogleInstrumentor(PackageInstrumentor):
    """Instruments every `google.genai.Client`, those that exist already included."""

    name = "google-genai"
    requires = "google-genai >= 1.10, < 4"
    methods = (
        Method("google.genai._api_client", "BaseApiClient._request", _call_request),
        Method("google.genai._api_client", "BaseApiClient._async_request", _call_request),
        *LIVE,
    )
