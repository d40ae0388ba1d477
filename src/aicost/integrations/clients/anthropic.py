"""The `anthropic` client: messages, stable and beta, and the results of batches. Read in anthropic 0.49 and 2.11.

Counting tokens is free and is no call to a model; nothing is recorded for it.

From 1.x on the client emits spans of its own with the same usage. While aicost records a call, the client's own span
for it is not started, so that the usage stands in the trace once; set `AICOST_ANTHROPIC_NATIVE_SPANS=keep` to have
both. Money is counted once either way: only aicost's own record is priced.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import wrapt
from opentelemetry.instrumentation.utils import unwrap

from aicost._settings import load
from aicost.integrations._calls import current
from aicost.integrations._hosts import provider_at
from aicost.integrations._instrumentor import PackageInstrumentor, Undo
from aicost.integrations._stainless import Endpoint, StainlessClient
from aicost.telemetry.state import Source
from aicost.usage.providers import canonical_provider, normal_region

_RESULTS = re.compile(r"/v1/messages/batches/[^/]+/results$")
_PLATFORMS = re.compile("Bedrock|Vertex|Foundry")
"""What the names of the clients for other platforms have in them."""


def _provider_of(instance: Any) -> str:
    platform = _PLATFORMS.search(type(instance).__name__)
    if platform is not None:
        return canonical_provider(platform.group())
    url = instance.base_url  # others speak this API, too
    return provider_at(url.host, url.port, default="anthropic", path=url.path)


def _region_of(instance: Any, model: str) -> str | None:
    region = getattr(instance, "aws_region", None) or getattr(instance, "region", None)
    return normal_region(region, _provider_of(instance), model) if isinstance(region, str) else None


class AnthropicInstrumentor(PackageInstrumentor):
    """Instruments every `Anthropic` and `AsyncAnthropic` client, those that exist already included."""

    requires = "anthropic >= 0.27, < 3"
    name = "anthropic"
    methods = StainlessClient(
        module="anthropic",
        posts={"/v1/messages": Endpoint("chat", "messages")},
        gets=((_RESULTS, Endpoint("chat", "batch", each_line=True)),),
        jobs=((re.compile(r"/v1/messages/batches$"), Endpoint("chat", "batch", recorded=False)),),
        provider_of=_provider_of,
        region_of=_region_of,
    ).methods()

    def _wrap(self, imported: str, module: ModuleType, source: Source) -> list[Undo]:
        undo = super()._wrap(imported, module, source)
        keep = load().anthropic_native_spans == "keep"
        if hasattr(module, "start_api_call_span") and not keep:
            wrapt.wrap_function_wrapper(module, "start_api_call_span", _no_span_in_ours)
            undo.append(partial(unwrap, module, "start_api_call_span"))
        return undo


def _no_span_in_ours(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    # The client goes on without a span when this returns None (anthropic 2.11, `SyncAPIClient.request`).
    progress = current()
    return wrapped(*args, **kwargs) if progress is None or not progress.call_request.recorded else None
