"""The `openai` client, whoever answers it. Read in openai 1.0, 1.66 and 3.52."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aicost.integrations._hosts import provider_at
from aicost.integrations._instrumentor import PackageInstrumentor
from aicost.integrations._realtime import REALTIME_METHODS
from aicost.integrations._stainless import Endpoint, StainlessClient
from aicost.usage.reading import Raw


def _provider_of(instance: Any) -> str:
    if "Azure" in type(instance).__name__:
        return "azure.ai.openai"
    url = instance.base_url
    return provider_at(url.host, url.port, path=url.path)


def _characters(body: Raw) -> Raw:
    """Speech is audio, which says nothing of its cost: the text that was asked for does."""
    return {"usage": {"input_characters": len(str(body.get("input") or ""))}}


def _drawings(body: Raw) -> Raw:
    """Image models that do not report tokens bill by the image, its size and quality."""
    said = [str(body[name]) for name in ("quality", "size") if isinstance(body.get(name), str)]
    meter = "_".join(["output_images", *(word for word in said if word != "auto")])
    count = body.get("n")
    return {"usage": {meter: count if isinstance(count, int) else 1}}


def _finished(*states: str) -> Any:
    """The response itself, once its status is one of these."""

    def results(body: Raw) -> Iterable[Raw]:
        return [body] if body.get("status") in states else []

    return results


IMAGES = Endpoint("generate_content", "images", request=_drawings)
SPEECH = Endpoint("generate_content", "speech", request=_characters)
TRANSCRIPTION = Endpoint("generate_content", "transcription")

POSTS: Mapping[str, Endpoint] = {
    "/chat/completions": Endpoint("chat", "chat"),
    "/completions": Endpoint("text_completion", "completions"),
    "/responses": Endpoint("chat", "responses"),
    "/responses/compact": Endpoint("chat", "responses"),
    "/decisions": Endpoint("chat", "responses"),
    "/embeddings": Endpoint("embeddings", "embeddings"),
    "/images/generations": IMAGES,
    "/images/edits": IMAGES,
    "/images/variations": IMAGES,
    "/audio/speech": SPEECH,
    "/audio/transcriptions": TRANSCRIPTION,
    "/audio/translations": TRANSCRIPTION,
    "/moderations": Endpoint("moderation", "moderations"),
}
JOBS = (
    (re.compile(r"/batches$"), Endpoint("chat", "batch", recorded=False)),
    (
        re.compile(r"/videos(?:/edits|/extensions|/[^/]+/remix)?$"),
        Endpoint("generate_content", "videos", recorded=False),
    ),
    (re.compile(r"/fine_tuning/jobs$|/fine-tunes$"), Endpoint("fine_tuning", "fine_tuning", recorded=False)),
)
_BACKGROUND = Endpoint("chat", "responses", results=_finished("completed", "incomplete", "failed", "cancelled"))
_CANCELLED = (re.compile(r"^/responses/[^/]+/cancel$"), _BACKGROUND)
_GETS = (
    (re.compile(r"^/responses/[^/]+$"), _BACKGROUND),
    (re.compile(r"^/files/[^/]+/content$"), Endpoint("chat", "batch", each_line=True)),
    (re.compile(r"^/videos/[^/]+$"), Endpoint("generate_content", "videos", results=_finished("completed"))),
    (re.compile(r"^/fine_tuning/jobs/[^/]+$"), Endpoint("fine_tuning", "fine_tuning", results=_finished("succeeded"))),
)


class OpenAIInstrumentor(PackageInstrumentor):
    """Instruments every `OpenAI` and `AsyncOpenAI` client, those that exist already included."""

    name = "openai"
    requires = "openai >= 1.3, < 4"
    methods = (
        *StainlessClient(
            module="openai",
            posts=POSTS,
            gets=_GETS,
            jobs=(*JOBS, (re.compile(r"^/responses/[^/]+/cancel$"), _BACKGROUND)),
            provider_of=_provider_of,
        ).methods(),
        *REALTIME_METHODS,
    )
