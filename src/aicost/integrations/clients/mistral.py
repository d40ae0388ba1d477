"""The `mistralai` client. Read in mistralai 1.5 and 3.7 (`basesdk.py`); retries are inside `do_request`."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from aicost.integrations._call_request import CallRequest
from aicost.integrations._content import LazyBody
from aicost.integrations._hosts import served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.telemetry.call import Target

_PATHS = {
    "chat/completions": ("chat", "chat"),
    "fim/completions": ("text_completion", "chat"),
    "agents/completions": ("chat", "chat"),
    "conversations": ("chat", "chat"),
    "embeddings": ("embeddings", "embeddings"),
    "ocr": ("generate_content", "ocr"),
    "moderations": ("moderation", "chat"),
    "classifications": ("moderation", "chat"),
    "audio/transcriptions": ("generate_content", "chat"),
}
_JOBS = {"batch/jobs": "batch", "fine_tuning/jobs": "fine_tuning"}
"""Work that is given here and done later; nothing says here what it used."""
_PATH = re.compile(r"/v1/(?:chat/(?=moderations|classifications))?([\w/]+?)(?:#\w+)?/?$")
# The serialized body is all the hook is given. A model's name in a message would have its quotes escaped.
_MODEL = re.compile(rb'(?<!\\)"(?:model|agent_id)"\s*:\s*"([^"\\]{1,200})"')


def _call_request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, provider: str) -> CallRequest | None:
    request = kwargs["request"] if "request" in kwargs else args[1]
    found = _PATH.search(request.url.path)
    path = found.group(1) if found is not None else ""
    job = _JOBS.get(path)
    known = _PATHS.get(path) if job is None else ("generate_content", job)
    if known is None or request.method != "POST":
        return None
    operation, api = known
    model = _MODEL.search(request.content) if _is_json(request) else None
    target = Target(
        provider=provider,
        operation=operation,
        api=api,
        model=model.group(1).decode() if model is not None else "unknown",
        **served_at(request.url),
        streaming=bool(kwargs.get("stream")),
    )
    return CallRequest(target, body=LazyBody(request.content) if _is_json(request) else None, recorded=job is None)


def _is_json(request: Any) -> bool:
    return "json" in (request.headers.get("content-type") or "")


_BASES = {
    "mistralai.client.basesdk": "mistral_ai",
    "mistralai.basesdk": "mistral_ai",
    "mistralai.azure.client.basesdk": "azure.ai.inference",
    "mistralai.gcp.client.basesdk": "gcp.vertex_ai",
}
"""The same base, once for each host and, before 2.0, elsewhere."""


class MistralInstrumentor(PackageInstrumentor):
    """Instruments every `Mistral` client, those that exist already included."""

    name = "mistralai"
    requires = "mistralai >= 1.5, < 4"
    methods = tuple(
        Method(module, f"BaseSDK.{method}", partial(_call_request, provider=provider))
        for module, provider in _BASES.items()
        for method in ("do_request", "do_request_async")
    )
