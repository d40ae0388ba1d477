"""How bodies are taken apart: server-sent events, lines, AWS messages, JSON."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

BLANK = re.compile(rb"\r?\n\r?\n")
DONE = re.compile(rb"^data:\s*\[DONE\]", re.MULTILINE)
"""At the start of a line only: a model may say the same words, but never with a line break before them."""


def payload(block: bytes) -> bytes:
    """The data of one server-sent event."""
    if b"\n" not in block.strip() and block.startswith(b"data:"):
        return block[5:].strip()
    return b"\n".join(line[5:].strip() for line in block.splitlines() if line.startswith(b"data:"))


class Frames:
    """Cuts bytes that come in chunks into whole frames. Each byte is looked at once, however long a frame is.

    A frame of more than `MAX_FRAME` bytes is skipped: nothing is kept of it.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        """What has come of a frame that is not whole yet."""
        self.skips = False
        """Whether a frame that is too long is going by."""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The frames that are whole with these bytes."""
        whole = self.stretch(data)
        return self.cut(whole) if whole else ()

    def stretch(self, data: bytes) -> bytes:
        """The bytes of the frames that are whole with these bytes."""
        held = self.held
        before = len(held)
        held += data
        end = self.end(before)
        if not end:
            if len(held) > MAX_FRAME:
                # What ends a frame may have begun already.
                del held[:-_LONGEST_END]
                self.skips = True
            return b""
        whole = bytes(held[:end])
        del held[:end]
        if self.skips:
            self.skips = False
            whole = self.after_first(whole)
        return whole

    def end(self, before: int) -> int:
        """Where the last whole frame ends in `held`, of which so many bytes were looked at before; 0 without one."""
        raise NotImplementedError

    def cut(self, whole: bytes) -> Iterable[bytes]:
        """The frames in the bytes of whole ones."""
        raise NotImplementedError

    def after_first(self, whole: bytes) -> bytes:
        """The bytes of whole frames without the first."""
        raise NotImplementedError

    def rest(self) -> bytes:
        """What is left at the end, where that is a frame, too."""
        return b"" if self.skips else bytes(self.held)


class Events(Frames):
    """Server-sent events, each with its blank line."""

    def end(self, before: int) -> int:
        held, start = self.held, max(0, before - 3)
        plain, carriage = held.rfind(b"\n\n", start), held.rfind(b"\n\r\n", start)
        return max(plain + 2 if plain >= 0 else 0, carriage + 3 if carriage >= 0 else 0)

    def cut(self, whole: bytes) -> Iterable[bytes]:
        at = 0
        for blank in BLANK.finditer(whole):
            yield whole[at : blank.end()]
            at = blank.end()
        if at < len(whole):
            yield whole[at:]

    def after_first(self, whole: bytes) -> bytes:
        blank = BLANK.search(whole)
        return b"" if blank is None else whole[blank.end() :]

    def is_done(self, before: int) -> bool:
        """Whether what is held, of which so many bytes were looked at before, says that the stream is over."""
        if self.held.find(b"[DONE]", max(0, before - 6)) < 0:
            return False
        return DONE.search(self.held, max(0, before - 64)) is not None


class Lines(Frames):
    """Lines."""

    def end(self, before: int) -> int:
        return self.held.rfind(b"\n", before) + 1

    def cut(self, whole: bytes) -> Iterable[bytes]:
        return (line.strip() for line in whole.split(b"\n"))

    def after_first(self, whole: bytes) -> bytes:
        return whole.partition(b"\n")[2]


class AwsMessages(Frames):
    """Messages of an AWS event stream as JSON objects, `{event type: payload}`.

    Format: total length, length of headers, checksum; headers; payload; checksum (botocore 1.44, eventstream.py).
    Events called `chunk` carry the model's own event in base64; that is what is given for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._past = 0
        """Bytes of a message that is too long, still to come."""

    def stretch(self, data: bytes) -> bytes:
        if self._past:
            passed = min(self._past, len(data))
            self._past -= passed
            data = data[passed:]
        self.held += data
        end = self.end(0)
        whole = bytes(self.held[:end])
        del self.held[:end]
        total = int.from_bytes(self.held[:4], "big")
        if len(self.held) >= 12 and not 16 <= total <= MAX_FRAME:
            # Too long to keep; or no message at all, and then there is no telling where the next one begins.
            self._past = total - len(self.held) if total > MAX_FRAME else sys.maxsize
            self.held.clear()
        return whole

    def end(self, before: int) -> int:
        held, at = self.held, before
        while len(held) - at >= 12:
            total = int.from_bytes(held[at : at + 4], "big")
            if total < 16 or len(held) - at < total:
                break
            at += total
        return at

    def cut(self, whole: bytes) -> Iterable[bytes]:
        at = 0
        while at < len(whole):
            total = int.from_bytes(whole[at : at + 4], "big")
            yield self._message(whole[at : at + total])
            at += total

    def _message(self, message: bytes) -> bytes:
        headers = int.from_bytes(message[4:8], "big")
        payload = message[12 + headers : -4]
        named = _EVENT_TYPE.search(message[12 : 12 + headers])
        kind = named.group(2) if named is not None else b"?"
        if named is not None and named.group(1) == b"exception":
            return b'{"error": {"type": "%s"}}' % kind
        if kind == b"chunk":
            inner = json_object(payload) or {}
            return base64.b64decode(inner.get("bytes") or "")
        return b'{"%s": %s}' % (kind, payload or b"{}")


class Nothing(Frames):
    """For a body that is no text: sound, pictures."""

    def stretch(self, data: bytes) -> bytes:  # noqa: ARG002 - nothing is kept
        return b""


MAX_FRAME = 64 * 2**20
"""Bytes of one event, line or message that are kept to be read; the usage in a longer one counts as not received."""

_LONGEST_END = 3
"""Bytes of what may end a frame, all but the last."""

_EVENT_TYPE = re.compile(rb":(event|exception)-type\x07..([A-Za-z]+)", re.DOTALL)
FRAMING: dict[str, type[Frames]] = {
    "text/event-stream": Events,
    "vnd.amazon.eventstream": AwsMessages,
    "ndjson": Lines,
    "jsonl": Lines,
    "stream+json": Lines,
    "audio/": Nothing,
    "image/": Nothing,
    "video/": Nothing,
    "octet-stream": Nothing,
}
"""How a body is taken apart, by what its content type has in it; a body of any other type is one JSON object."""


def framing_of(headers: Mapping[str, str]) -> type[Frames] | None:
    """How the body under these headers is taken apart; None for one JSON object."""
    kind = headers.get("content-type") or ""
    return next((framing for name, framing in FRAMING.items() if name in kind), None)


def is_framed(headers: Mapping[str, str]) -> bool:
    """Whether a body comes in pieces that each say something of their own."""
    return framing_of(headers) not in {None, Nothing}


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
