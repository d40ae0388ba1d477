"""OpenAI's wire format, and that of the hosts that speak it. Field names as in openai 3.52 (`types/`)."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from aicost.testing.emulator.script import Reply

from .route import (
    EmulatedRequest,
    Event,
    Generated,
    Route,
    Usage,
    data,
    free,
    named,
    pieces,
    prompt_only,
    tokens,
    with_usage,
)


def _openai_usage(made: Generated) -> dict[str, Any]:
    usage = made.usage
    return {
        "prompt_tokens": made.prompt,
        "completion_tokens": made.completion,
        "total_tokens": made.prompt + made.completion,
        "prompt_tokens_details": {"cached_tokens": usage.get("input_cache_read", 0), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.get("output_reasoning", 0),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tool_calls(made: Generated) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{made.call_id}_{n}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for n, call in enumerate(made.reply.tool_calls)
    ]


def chat_body(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    said: dict[str, Any] = {"content": made.reply.text}
    if made.reply.tool_calls:
        said = {"content": None, "tool_calls": _tool_calls(made)}
    body = {
        "id": made.call_id,
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": made.model,
        "service_tier": made.reply.service_tier or "default",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if made.reply.tool_calls else "stop",
                "logprobs": None,
                "message": {"role": "assistant", "refusal": None, **said},
            }
        ],
    }
    return with_usage(body, made, _openai_usage(made))


def chat_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    wants_usage = bool((request.body.get("stream_options") or {}).get("include_usage")) and not made.reply.omit_usage
    base = {
        "id": made.call_id,
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": made.model,
        "service_tier": made.reply.service_tier or "default",
    }
    if wants_usage:
        base["usage"] = None
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in pieces(made.reply)]
    if made.reply.tool_calls:
        deltas = [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(_tool_calls(made))]
    deltas[0]["role"] = "assistant"
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield Event(data({**base, "choices": [choice]}))
    reason = "tool_calls" if made.reply.tool_calls else "stop"
    yield Event(data({**base, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}]}))
    if wants_usage:
        usage = made.reply.raw_usage if made.reply.raw_usage is not None else _openai_usage(made)
        yield Event(data({**base, "choices": [], "usage": usage}), made.usage)
    yield Event(b"data: [DONE]\n\n")


def responses_body(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    usage = made.usage
    searches = [
        {"type": "web_search_call", "id": f"ws_{n}", "status": "completed", "action": {"type": "search", "query": "q"}}
        for n in range(made.reply.web_searches)
    ]
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": made.reply.text, "annotations": []}],
    }
    asked = [
        {
            "type": "function_call",
            "id": f"fc_{call['id']}",
            "call_id": call["id"],
            "status": "completed",
            **call["function"],
        }
        for call in _tool_calls(made)
    ]
    body = {
        "id": made.call_id,
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "model": made.model,
        "service_tier": made.reply.service_tier or "default",
        "output": [*searches, *(asked or [message])],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
    }
    return with_usage(
        body,
        made,
        {
            "input_tokens": made.prompt,
            "input_tokens_details": {"cached_tokens": usage.get("input_cache_read", 0), "cache_write_tokens": 0},
            "output_tokens": made.completion,
            "output_tokens_details": {"reasoning_tokens": usage.get("output_reasoning", 0)},
            "total_tokens": made.prompt + made.completion,
        },
    )


def responses_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    whole = responses_body(made, request)
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **where, "part": part},
    ]
    events += [
        {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []} for piece in pieces(made.reply)
    ]
    text = {"type": "response.output_text.done", **where, "text": made.reply.text, "logprobs": []}
    if made.reply.tool_calls:
        events = events[:1]
        for n, call in enumerate(whole["output"]):
            events += [
                {"type": "response.output_item.added", "output_index": n, "item": {**call, "arguments": ""}},
                {
                    "type": "response.function_call_arguments.done",
                    "item_id": call["id"],
                    "output_index": n,
                    "name": call["name"],
                    "arguments": call["arguments"],
                },
                {"type": "response.output_item.done", "output_index": n, "item": call},
            ]
    else:
        events.append(text)
        done = {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][-1]}
        events.append(done)
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        final = event["type"] == "response.completed" and not made.reply.omit_usage
        yield Event(named(event["type"], {**event, "sequence_number": number}), made.usage if final else None)


def _embeddings(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    given = request.body.get("input")
    count = len(given) if isinstance(given, list) else 1
    vector: Any = [0.25, -0.5, 0.125, 1.0]
    if request.body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
    data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(count)]
    body = {"object": "list", "data": data, "model": made.model}
    return with_usage(body, made, {"prompt_tokens": made.prompt, "total_tokens": made.prompt})


def _always_counted(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    """For hosts whose streams say their usage unasked."""
    asked = {**request.body, "stream_options": {"include_usage": True}}
    return chat_stream(made, EmulatedRequest(request.path, request.found, asked, request.raw))


def _embeddings_with_id(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    usage = {"prompt_tokens": made.prompt, "completion_tokens": 0, "total_tokens": made.prompt}
    return with_usage({"id": made.call_id, **_embeddings(made, request)}, made, usage)


def _completions(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body = {
        "id": made.call_id,
        "object": "text_completion",
        "created": 1_760_000_000,
        "model": made.model,
        "choices": [{"index": 0, "text": made.reply.text, "logprobs": None, "finish_reason": "stop"}],
    }
    return with_usage(body, made, _openai_usage(made))


def _completions_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    wants_usage = bool((request.body.get("stream_options") or {}).get("include_usage")) and not made.reply.omit_usage
    base = {"id": made.call_id, "object": "text_completion", "created": 1_760_000_000, "model": made.model}
    for piece in pieces(made.reply):
        choice = {"index": 0, "text": piece, "logprobs": None, "finish_reason": None}
        yield Event(data({**base, "choices": [choice]}))
    if wants_usage:
        usage = made.reply.raw_usage if made.reply.raw_usage is not None else _openai_usage(made)
        yield Event(data({**base, "choices": [], "usage": usage}), made.usage)
    yield Event(b"data: [DONE]\n\n")


def _drawn(reply: Reply, request: EmulatedRequest) -> Usage:
    """Text in, and an image in for an edit; what comes out is image."""
    said = tokens(reply, request)
    edited = 40 if "/edits" in request.path else 0
    return {"input": said["input"] - edited, "input_image": edited, "output_image": said["output"]}


def _images(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    count = int(request.body.get("n") or 1)
    body = {"created": 1_760_000_000, "data": [{"b64_json": "aW1hZ2U="}] * count}
    return with_usage(body, made, _image_usage(made))


def _images_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    kind = "image_edit" if "/edits" in request.path else "image_generation"
    common = {"b64_json": "aW1hZ2U=", "created_at": 1, "size": "1024x1024", "quality": "low", "background": "auto"}
    partial: dict[str, Any] = {
        "type": f"{kind}.partial_image",
        **common,
        "output_format": "png",
        "partial_image_index": 0,
    }
    yield Event(named(partial["type"], partial))
    last: dict[str, Any] = {"type": f"{kind}.completed", **common, "output_format": "png", "usage": _image_usage(made)}
    yield Event(named(last["type"], last), made.usage)


def _image_usage(made: Generated) -> dict[str, Any]:
    into = {"text_tokens": made.usage.get("input", 0), "image_tokens": made.usage.get("input_image", 0)}
    return {
        "input_tokens": made.prompt,
        "input_tokens_details": into,
        "output_tokens": made.completion,
        "total_tokens": made.prompt + made.completion,
    }


def _spoken(_: Reply, request: EmulatedRequest) -> Usage:
    return {"input_characters": len(str(request.body.get("input", "")))}


def _speech(_made: Generated, _request: EmulatedRequest) -> bytes:
    return b"RIFF" + b"\0" * 400


def _heard(reply: Reply, request: EmulatedRequest) -> Usage:
    """whisper bills the seconds of the recording, the newer models tokens."""
    if request.model.startswith("whisper"):
        return {"input_audio_seconds": reply.input_tokens or 12}
    said = tokens(reply, request)
    return {"input_audio": said["input"], "output": said["output"]}


def _transcription(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    return with_usage({"text": made.reply.text}, made, _heard_usage(made))


def _transcription_stream(made: Generated, _request: EmulatedRequest) -> Iterator[Event]:
    for piece in pieces(made.reply):
        yield Event(named("transcript.text.delta", {"type": "transcript.text.delta", "delta": piece}))
    done = {"type": "transcript.text.done", "text": made.reply.text, "usage": _heard_usage(made)}
    yield Event(named("transcript.text.done", done), made.usage)


def _heard_usage(made: Generated) -> dict[str, Any]:
    if "input_audio_seconds" in made.usage:
        return {"type": "duration", "seconds": made.usage["input_audio_seconds"]}
    return {
        "type": "tokens",
        "input_tokens": made.prompt,
        "input_token_details": {"text_tokens": 0, "audio_tokens": made.prompt},
        "output_tokens": made.completion,
        "total_tokens": made.prompt + made.completion,
    }


def _moderation(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    return {"id": made.call_id, "model": made.model, "results": [{"flagged": False, "categories": {}}]}


def _read_pages(reply: Reply, _request: EmulatedRequest) -> Usage:
    return {"pages": reply.input_tokens or 3}


def _ocr(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    pages = [{"index": n, "markdown": made.reply.text, "images": []} for n in range(made.usage["pages"])]
    for page in pages:
        page["dimensions"] = None
    body = {"pages": pages, "model": made.model}
    return with_usage(body, made, {"pages_processed": made.usage["pages"], "doc_size_bytes": 9}, "usage_info")


def _rerank(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body = {"id": made.call_id, "object": "rerank", "model": made.model, "results": []}
    usage = {"prompt_tokens": made.prompt, "completion_tokens": 0, "total_tokens": made.prompt}
    return with_usage(body, made, usage)


def _openai(path: str, api: str, prefix: str, whole: Any, **more: Any) -> Route:
    return Route(rf"(?:/openai)?(?:/v1)?(?:/deployments/[^/]+)?{path}", "openai", api, prefix, whole, **more)


ROUTES: tuple[Route, ...] = (
    _openai("/chat/completions", "chat", "chatcmpl-", chat_body, stream=chat_stream),
    _openai("/completions", "completions", "cmpl-", _completions, stream=_completions_stream),
    _openai("/responses", "responses", "resp_", responses_body, stream=responses_stream),
    _openai("/embeddings", "embeddings", "emb_", _embeddings, usage=prompt_only),
    _openai("/images/(?:generations|edits|variations)", "images", "img_", _images, stream=_images_stream, usage=_drawn),
    _openai("/audio/speech", "speech", "tts_", _speech, usage=_spoken, whole_type="audio/mpeg"),
    _openai(
        "/audio/(?:transcriptions|translations)",
        "transcription",
        "stt_",
        _transcription,
        stream=_transcription_stream,
        usage=_heard,
    ),
    _openai("/moderations", "moderations", "modr-", _moderation, usage=free),
    # Hosts that speak it under prices of their own.
    Route(r"/groq/openai/v1/chat/completions", "groq", "chat", "chatcmpl-", chat_body, stream=chat_stream),
    Route(r"/groq/openai/v1/embeddings", "groq", "embeddings", "emb_", _embeddings, usage=prompt_only),
    Route(r"/together/v1/chat/completions", "together", "chat", "tg-", chat_body, stream=chat_stream),
    Route(r"/together/v1/completions", "together", "completions", "tg-", _completions, stream=_completions_stream),
    Route(r"/together/v1/rerank", "together", "rerank", "tgr-", _rerank, usage=prompt_only),
    Route(r"/mistral/v1/ocr", "mistral_ai", "ocr", "ocr-", _ocr, usage=_read_pages),
    Route(r"/together/v1/embeddings", "together", "embeddings", "emb_", _embeddings, usage=prompt_only),
    Route(
        r"/mistral/v1/(?:chat|fim|agents)/completions", "mistral_ai", "chat", "mis-", chat_body, stream=_always_counted
    ),
    Route(r"/mistral/v1/embeddings", "mistral_ai", "embeddings", "mis-", _embeddings_with_id, usage=prompt_only),
)
