"""Hugging Face's wire formats beside OpenAI's: text generation and feature extraction (huggingface_hub 2.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .openai import chat_body, chat_stream
from .route import EmulatedRequest, Event, Generated, Route, data, pieces, prompt_only


def _details(made: Generated) -> dict[str, Any]:
    return {"finish_reason": "length", "generated_tokens": made.completion, "prefill": [], "tokens": []}


def _generate(made: Generated, _request: EmulatedRequest) -> Any:
    return [{"generated_text": made.reply.text, "details": _details(made)}]


def _generate_stream(made: Generated, _request: EmulatedRequest) -> Iterator[Event]:
    for number, piece in enumerate(pieces(made.reply)):
        token = {"id": number, "text": piece, "logprob": -1.0, "special": False}
        yield Event(data({"index": number, "token": token, "generated_text": None, "details": None}))
    token = {"id": 99, "text": "", "logprob": -1.0, "special": True}
    end = {"index": 99, "token": token, "generated_text": made.reply.text, "details": _details(made)}
    yield Event(data(end))


def _features(_made: Generated, _request: EmulatedRequest) -> Any:
    return [[0.25, -0.5]]


ROUTES: tuple[Route, ...] = (
    Route(r"/hf/v1/chat/completions", "huggingface", "chat", "hf-", chat_body, stream=chat_stream),
    Route(
        r"/hf/models/(?P<model>[^/]+)/generate", "huggingface", "text_generation", "hf-", _generate,
        stream=_generate_stream, says_usage=False,
    ),
    Route(
        r"/hf/models/(?P<model>[^/]+)/features", "huggingface", "embeddings", "hf-", _features,
        usage=prompt_only, says_usage=False,
    ),
)  # fmt: skip
