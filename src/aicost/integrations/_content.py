"""What was said: the messages of a request and of its answer, in the form upstream's conventions give them.

Used only where an application asked for content to be recorded, or for tokens to be estimated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aicost._wellformed import wellformed
from aicost.semconv import attributes as a
from aicost.telemetry.call_options import CallOptions, Message
from aicost.usage.reading import Raw

MAX_CHARACTERS = 100_000
"""Of one attribute; longer content is left out, and its length said."""

_CALLS = {"tool_use": "name", "function_call": "name", "toolUse": "name", "functionCall": "name"}


class LazyBody(Mapping[str, Any]):
    """A JSON body that is taken apart only if somebody looks."""

    def __init__(self, text: str | bytes) -> None:
        self._text = text

    def _fields(self) -> dict[str, Any]:
        try:
            found = json.loads(self._text)
        except (ValueError, TypeError):  # a stream, or no JSON
            found = None
        return found if isinstance(found, dict) else {}

    def __getitem__(self, name: str) -> Any:
        return self._fields()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())


def prompt_of(body: Raw) -> tuple[list[Message], list[Mapping[str, Any]]]:
    """The messages of a request, and its system instructions."""
    system = body.get("system") or body.get("instructions") or body.get("systemInstruction") or body.get("preamble")
    said = body.get("messages") or body.get("contents")
    messages: list[Message] = []
    if isinstance(said, list):
        messages = [_message(item, "user") for item in said]
    for name in ("input", "prompt", "message", "inputText", "texts", "inputs"):
        given = body.get(name)
        if isinstance(given, list) and given and isinstance(given[0], Mapping) and "role" in given[0]:
            messages += [_message(item, "user") for item in given]
        elif given is not None:
            messages.append({"role": "user", "parts": list(_parts(given))})
    return messages, list(_parts(system)) if system is not None else []


def answer_of(body: Raw) -> list[Message]:
    """The messages of a whole answer, whichever API it is of."""
    choices = [choice.get("message") or {"content": choice.get("text")} for choice in _listed(body.get("choices"))]
    candidates = [candidate.get("content") or {} for candidate in _listed(body.get("candidates"))]
    found = [_message(said, "assistant") for said in (*choices, *candidates)]
    output = body.get("output")
    if isinstance(output, Mapping):
        found.append(_message(output.get("message") or {}, "assistant"))
    items = [item for item in _listed(output) if item.get("type") in {"message", *_CALLS}]
    found += [_message(item, "assistant") for item in items]
    if isinstance(body.get("message"), Mapping):
        found.append(_message(body["message"], "assistant"))
    elif not found:
        for name in ("content", "text", "response", "generation", "generated_text", "results", "outputs"):
            if body.get(name):
                found.append({"role": "assistant", "parts": list(_parts(body[name]))})
                break
    return found


def streamed_text(events: Iterable[Raw]) -> str:
    """The text that the events of a stream add up to."""
    return "".join(_deltas(events))


def content_attributes(options: CallOptions, request: Raw | None, answer: list[Message]) -> dict[str, str]:
    """Content as span attributes, after the application's own redaction."""
    prompt, system = prompt_of(request) if request is not None else ([], [])
    redact = options.redact
    attributes = {}
    for name, messages in (
        (a.GEN_AI_INPUT_MESSAGES, prompt),
        (a.GEN_AI_OUTPUT_MESSAGES, answer),
        (a.GEN_AI_SYSTEM_INSTRUCTIONS, [{"role": "system", "parts": system}] if system else []),
    ):
        kept = list(redact(messages) if redact is not None else messages) if messages else []
        if not kept:
            continue
        value: Any = kept[0]["parts"] if name == a.GEN_AI_SYSTEM_INSTRUCTIONS else kept
        text = wellformed(json.dumps(value, ensure_ascii=False, default=str))
        if len(text) > MAX_CHARACTERS:
            text = json.dumps([{"type": "text", "content": f"[left out: {len(text)} characters]"}])
        attributes[name] = text
    return attributes


def plain_text(messages: Iterable[Message]) -> str:
    """All text in messages."""
    return "\n".join(
        str(part["content"]) for message in messages for part in message["parts"] if part.get("type") == "text"
    )


def _message(item: object, role: str) -> Message:
    if not isinstance(item, Mapping):
        return {"role": role, "parts": list(_parts(item))}
    said = item.get("content") if "content" in item else item.get("parts", item.get("text"))
    parts = list(_parts(said))
    for call in _listed(item.get("tool_calls")):
        function = call.get("function") or call
        parts.append({"type": "tool_call", "id": call.get("id"), "name": function.get("name"),
                      "arguments": function.get("arguments")})  # fmt: skip
    if item.get("type") in _CALLS:
        parts.append({"type": "tool_call", "id": item.get("call_id"), "name": item.get("name"),
                      "arguments": item.get("arguments")})  # fmt: skip
    named = item.get("role") or role
    return {"role": {"model": "assistant", "CHATBOT": "assistant"}.get(str(named), str(named)), "parts": parts}


def _parts(content: object) -> Iterator[dict[str, Any]]:
    """Content as parts: its text, its tool calls, and of everything else the kind."""
    if content is None:
        return
    if isinstance(content, str):
        yield {"type": "text", "content": content}
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from _parts(item)
    elif isinstance(content, Mapping):
        kind = content.get("type")
        text = content.get("text") or content.get("outputText")
        if isinstance(text, str):
            yield {"type": "text", "content": text}
        elif kind in _CALLS:
            yield {"type": "tool_call", "id": content.get("id"), "name": content.get("name"),
                   "arguments": content.get("input")}  # fmt: skip
        elif kind == "tool_result":
            yield {"type": "tool_call_response", "id": content.get("tool_use_id")}
        elif "parts" in content:
            yield from _parts(content["parts"])
        elif kind is not None:
            yield {"type": str(kind)}


def _listed(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def _deltas(events: Iterable[Raw]) -> Iterator[str]:
    for event in events:
        for choice in _listed(event.get("choices")):
            delta = choice.get("delta") or choice
            for name in ("reasoning_content", "content", "text"):
                yield from _text(delta.get(name))
            for call in _listed(delta.get("tool_calls")):
                yield from _text((call.get("function") or {}).get("arguments"))
        for candidate in _listed(event.get("candidates")):
            for part in _listed((candidate.get("content") or {}).get("parts")):
                yield from _text(part.get("text"))
        delta = event.get("delta")
        if isinstance(delta, Mapping):
            yield from _text(delta.get("text") or delta.get("partial_json"))
            inner = (delta.get("message") or {}).get("content") if isinstance(delta.get("message"), Mapping) else None
            yield from _text(inner.get("text") if isinstance(inner, Mapping) else None)
        elif str(event.get("type") or "").endswith("output_text.delta"):
            yield from _text(delta)
        block = event.get("contentBlockDelta")
        if isinstance(block, Mapping):
            yield from _text((block.get("delta") or {}).get("text"))
        message, token = event.get("message"), event.get("token")
        if isinstance(message, Mapping) and event.get("type") is None:
            yield from _text(message.get("content"))
        if isinstance(token, Mapping):
            yield from _text(token.get("text"))
        if event.get("type") is None and event.get("event_type") in {None, "text-generation"} and token is None:
            for name in ("response", "generation", "outputText", "text"):
                if isinstance(event.get(name), str) and event[name]:
                    yield event[name]
                    break


def _text(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
