"""Laws of reading a body as it goes by: however its bytes are cut, what is read and what is handed on are the same."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicost.integrations import _framing, _response_body
from aicost.integrations._call_request import CallRequest
from aicost.integrations._response_body import BodyObserver, EndOfBody, end_open
from aicost.telemetry.call import Target
from aicost.testing.emulator import Reply
from aicost.testing.emulator.formats import ROUTES, EmulatedRequest
from aicost.usage.streams import ChatStream

TEXT = 'He said "usage":{"x":1} and data: [DONE]\n\ndata: [DONE]\n\n \u2028 {"error": {"type": "no"}} {"done":true}'
REPLY = Reply(text=TEXT * 2, input_tokens=1200, cached_tokens=1024, output_tokens=80, reasoning_tokens=8, chunks=9)


class Told:
    """What an observer says at the end."""

    def __init__(self) -> None:
        self.ends: list[tuple[Mapping[str, Any] | None, EndOfBody]] = []
        self.lines: list[Mapping[str, Any]] = []

    def __call__(self, body: Mapping[str, Any] | None, end: EndOfBody) -> None:
        self.ends.append((body, end))

    def line(self, result: Mapping[str, Any]) -> None:
        self.lines.append(result)


def streams() -> Iterable[Any]:
    for route in ROUTES:
        if route.stream is None:
            continue
        asked = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
        model = "anthropic.claude-x" if route.provider == "aws.bedrock" else "m"
        request = EmulatedRequest("/x", {"model": model}, asked, b"{}")
        made = route.generate("id-1", REPLY, request)
        events = [event.data for event in route.stream(made, request)]
        yield pytest.param(route, events, id=f"{route.provider}-{route.api}-{route.pattern[:24]}")


def observe(route: Any, pieces: Iterable[bytes], *, hide: bool = False) -> tuple[Told, bytes]:
    told = Told()
    ask = CallRequest(Target(route.provider, "chat", route.api, "m", streaming=True))
    observer = BodyObserver({"content-type": route.stream_type}, ask, told)
    if hide:
        observer.hide()
    passed = b"".join(observer.feed(piece) for piece in pieces)
    observer.end(None)
    return told, passed + observer.rest()


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(ends)]


@pytest.mark.parametrize(("route", "events"), list(streams()))
@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, 10**6), max_size=40))
def test_a_stream_reads_the_same_however_it_is_cut(route: Any, events: list[bytes], places: list[int]) -> None:
    whole = b"".join(events)
    expected, _ = observe(route, events)
    found, passed = observe(route, cut(whole, places))
    assert passed == whole
    ((body, end),) = found.ends
    assert body == expected.ends[0][0]
    assert end.complete
    assert end.error_type is None


@settings(max_examples=100, deadline=None)
@given(places=st.lists(st.integers(0, 10**6), max_size=40))
def test_what_is_hidden_is_one_event_and_nothing_else(places: list[int]) -> None:
    route, events = next(p.values for p in streams() if p.values[0].api == "chat" and p.values[0].provider == "openai")
    hidden = [event for event in events if b'"choices": []' in event]
    assert len(hidden) == 1
    told, passed = observe(route, cut(b"".join(events), places), hide=True)
    assert passed == b"".join(event for event in events if event not in hidden)
    assert told.ends[0][1].complete


@settings(max_examples=200, deadline=None)
@given(junk=st.binary(max_size=300), kind=st.sampled_from([p.values[0] for p in streams()]))
def test_bytes_that_are_no_stream_are_handed_on_as_they_are(junk: bytes, kind: Any) -> None:
    told, passed = observe(kind, cut(junk, [7, 19, 64]))
    assert passed == junk
    assert len(told.ends) == 1
    assert not told.ends[0][1].complete


@settings(max_examples=50, deadline=None)
@given(places=st.lists(st.integers(0, 10**6), max_size=20))
def test_each_line_of_a_file_of_results_is_seen_once(places: list[int]) -> None:
    whole = b'{"id": "a"}\n{"id": "b"}\n\n{"id": "c"}'
    told = Told()
    observer = BodyObserver({}, CallRequest(Target("openai", "chat", "batch", "m"), each_line=True), told)
    assert b"".join(observer.feed(piece) for piece in cut(whole, places)) == whole
    observer.end(None)
    assert [line["id"] for line in told.lines] == ["a", "b", "c"]


@pytest.mark.parametrize("broken", [b'{"usage": {"prompt_tok', b"[", b"<html>", b""])
def test_a_whole_body_that_is_broken_ends_the_call_and_is_not_complete(broken: bytes) -> None:
    told = Told()
    observer = BodyObserver(
        {"content-type": "application/json"}, CallRequest(Target("openai", "chat", "chat", "m")), told
    )
    observer.feed(broken)
    observer.end(None)
    ((body, end),) = told.ends
    assert (body, end.complete) == (None, False)
    assert (end.error_type == "body_cut") == broken.startswith((b"{", b"["))


@pytest.mark.provokes_own_failure
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(0, 10**6), max_size=20))
def test_a_failure_of_ours_while_hiding_loses_no_byte(monkeypatch: pytest.MonkeyPatch, places: list[int]) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(ChatStream, "add", broken)
    route, events = next(p.values for p in streams() if p.values[0].api == "chat" and p.values[0].provider == "openai")
    _, passed = observe(route, cut(b"".join(events), places), hide=True)
    assert passed == b"".join(event for event in events if b'"choices": []' not in event)


def test_streams_that_open_meanwhile_do_not_disturb_the_end_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Restless(set[BodyObserver]):
        """A set that another thread changes while it is gone through for the first time."""

        disturbed = False

        def __iter__(self) -> Iterator[BodyObserver]:
            if not Restless.disturbed:
                Restless.disturbed = True
                raise RuntimeError("Set changed size during iteration")
            return super().__iter__()

    told = Told()
    monkeypatch.setattr(_response_body, "_open", Restless())
    observer = BodyObserver(
        {"content-type": "text/event-stream"}, CallRequest(Target("openai", "chat", "chat", "m")), told
    )
    end_open()
    assert Restless.disturbed
    assert [end.closed_early for _, end in told.ends] == [True]
    del observer


def chat(size: int) -> bytes:
    return b'data: {"id": "x", "choices": [{"delta": {"content": "' + b"a" * size + b'"}}]}\n\n' + CHAT_END


def many_lines(size: int) -> bytes:
    return b"data: a\n" * (size // 8) + b"\n" + CHAT_END


def json_line(size: int) -> bytes:
    return b'{"message": "' + b"a" * size + b'"}\n'


def aws_message(size: int) -> bytes:
    payload, headers = b'{"x": "' + b"a" * size + b'"}', b"\x0b:event-type\x07\x00\x05other"
    total = 12 + len(headers) + len(payload) + 4
    return b"".join((total.to_bytes(4, "big"), len(headers).to_bytes(4, "big"), bytes(4), headers, payload, bytes(4)))


CHAT_END = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}\n\ndata: [DONE]\n\n'
LONG = {
    "event": ("openai", "chat", "text/event-stream", chat),
    "event of many lines": ("openai", "chat", "text/event-stream", many_lines),
    "line": ("ollama", "ollama", "application/x-ndjson", json_line),
    "message": ("aws.bedrock", "converse", "application/vnd.amazon.eventstream", aws_message),
    "body": ("openai", "chat", "application/json", json_line),
}


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("what", LONG)
def test_reading_takes_time_in_proportion_to_the_bytes(what: str, hide: bool) -> None:
    provider, api, kind, make = LONG[what]

    def seconds(size: int) -> float:
        whole, told = make(size), Told()
        ask = CallRequest(Target(provider, "chat", api, "m", streaming=True), each_line=what == "line")
        observer = BodyObserver({"content-type": kind}, ask, told)
        if hide:
            observer.hide()
        began = time.process_time()
        for at in range(0, len(whole), 256):
            observer.feed(whole[at : at + 256])
        observer.end(None)
        return time.process_time() - began

    # Ten times the bytes take ten times as long, and a hundred times where each chunk looks at all that came before.
    few = min(seconds(2**18) for _ in range(3))
    assert seconds(10 * 2**18) < 40 * few


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.integers(0, 10**6), max_size=30),
    what=st.sampled_from(["event", "event of many lines"]),
    hide=st.booleans(),
)
def test_an_event_that_is_too_long_is_skipped_and_what_follows_is_read(
    monkeypatch: pytest.MonkeyPatch, places: list[int], what: str, hide: bool
) -> None:
    monkeypatch.setattr(_framing, "MAX_FRAME", 400)
    monkeypatch.setattr(_response_body, "MAX_WITHHELD", 150)
    first = b'data: {"id": "x", "choices": []}\n\n'
    whole = first + LONG[what][3](1000)
    told = Told()
    observer = BodyObserver(
        {"content-type": "text/event-stream"}, CallRequest(Target("openai", "chat", "chat", "m")), told
    )
    if hide:
        observer.hide()
    passed = b""
    for piece in cut(whole, [*range(0, len(whole), 97), *places]):
        passed += observer.feed(piece)
        frames = observer._frames
        assert frames is not None
        assert len(frames.held) <= 400
    observer.end(None)
    passed += observer.rest()
    usage = CHAT_END.partition(b"data: [DONE]")[0]
    assert passed == (whole.replace(usage, b"") if hide else whole)
    assert told.ends[0][0] == {"id": "x", "usage": {"prompt_tokens": 5, "completion_tokens": 3}}


@pytest.mark.parametrize("size", [10, 5000])
def test_a_message_or_line_that_is_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(_framing, "MAX_FRAME", 400)
    for frames, make in ((_framing.AwsMessages(), aws_message), (_framing.Lines(), json_line)):
        found: list[bytes] = []
        for piece in cut(make(size) + make(3), list(range(0, 6000, 97))):
            found.extend(frames.feed(piece))
            assert len(frames.held) <= 400
        assert [len(frame) for frame in found if frame] == [
            len(f) for n in (size, 3) if n < 400 for f in whole(make(n))
        ]


def whole(frame: bytes) -> list[bytes]:
    frames = _framing.Lines() if frame.endswith(b"\n") else _framing.AwsMessages()
    return [found for found in frames.feed(frame) if found]
