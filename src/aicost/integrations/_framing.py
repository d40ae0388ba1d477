"""How bodies are taken apart: server-sent events, lines, AWS messages, JSON."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Split = Callable[[bytes], tuple[Iterable[bytes], bytes]]
"""Takes what has come so far apart: the whole frames in it, and what is left."""

BLANK = re.compile(rb"\r?\n\r?\n")
DONE = re.compile(rb"^data:\s*\[DONE\]", re.MULTILINE)
"""At the start of a line only: a model may say the same words, but never with a line break before them."""


def payload(block: bytes) -> bytes:
    """The data of one server-sent event."""
    if b"\n" not in block.strip() and block.startswith(b"data:"):
        return block[5:].strip()
    return b"\n".join(line[5:].strip() for line in block.splitlines() if line.startswith(b"data:"))


def events(buffer: bytes) -> tuple[Iterable[bytes], bytes]:
    """Whole server-sent events, each with its blank line, and what is left."""
    blocks, at = [], 0
    for blank in BLANK.finditer(buffer):
        blocks.append(buffer[at : blank.end()])
        at = blank.end()
    return blocks, buffer[at:]


def lines(buffer: bytes) -> tuple[Iterable[bytes], bytes]:
    """Whole lines, and what is left."""
    *whole, rest = buffer.split(b"\n")
    return (line.strip() for line in whole), rest


def aws_messages(buffer: bytes) -> tuple[Iterable[bytes], bytes]:
    """Messages of an AWS event stream as JSON objects, `{event type: payload}`, and what is left.

    Format: total length, length of headers, checksum; headers; payload; checksum (botocore 1.44, eventstream.py).
    Events called `chunk` carry the model's own event in base64; that is what is given for them.
    """
    found, at = [], 0
    while len(buffer) - at >= 12:
        total = int.from_bytes(buffer[at : at + 4], "big")
        if total < 16 or len(buffer) - at < total:
            break
        headers = int.from_bytes(buffer[at + 4 : at + 8], "big")
        payload = buffer[at + 12 + headers : at + total - 4]
        named = _EVENT_TYPE.search(buffer[at + 12 : at + 12 + headers])
        kind = named.group(2) if named is not None else b"?"
        if named is not None and named.group(1) == b"exception":
            found.append(b'{"error": {"type": "%s"}}' % kind)
        elif kind == b"chunk":
            inner = json_object(payload) or {}
            found.append(base64.b64decode(inner.get("bytes") or ""))
        else:
            found.append(b'{"%s": %s}' % (kind, payload or b"{}"))
        at += total
    return found, buffer[at:]


def nothing(_: bytes) -> tuple[Iterable[bytes], bytes]:
    """For a body that is no text: sound, pictures."""
    return (), b""


_EVENT_TYPE = re.compile(rb":(event|exception)-type\x07..([A-Za-z]+)", re.DOTALL)
FRAMING: dict[str, Split] = {
    "text/event-stream": events,
    "vnd.amazon.eventstream": aws_messages,
    "ndjson": lines,
    "jsonl": lines,
    "stream+json": lines,
    "audio/": nothing,
    "image/": nothing,
    "video/": nothing,
    "octet-stream": nothing,
}
"""How a body is taken apart, by what its content type has in it; a body of any other type is one JSON object."""


def split_of(headers: Mapping[str, str]) -> Split | None:
    """How the body under these headers is taken apart; None for one JSON object."""
    kind = headers.get("content-type") or ""
    return next((split for name, split in FRAMING.items() if name in kind), None)


def is_framed(headers: Mapping[str, str]) -> bool:
    """Whether a body comes in pieces that each say something of their own."""
    return split_of(headers) not in {None, nothing}


def json_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that an event is; None for anything else, a broken one included."""
    if not data.startswith(b"{"):
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def first_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that a whole body is, or the first of those in its list; None if it holds none.

    Raises ValueError for a broken one.
    """
    if data.lstrip()[:1] not in {b"{", b"["}:
        return None
    value = json.loads(data)
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None
