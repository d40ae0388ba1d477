"""Laws of counting once: whatever is seen by whom, how often and in which order, money is the wire's own calls'."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost.scopes.ids import new_event_id
from aicost.telemetry.deduplication import WIRE, Covered, Deduplicator, Observer
from aicost.telemetry.evidence import is_unique, span_event_id
from aicost.usage.event import Chargeable, Origin, UsageEvent

SECOND = 1_000_000_000
T0 = 1_790_000_000 * SECOND
UNIQUE = "chatcmpl-CX5kFkl2Jq0Yt1AaQJ4Yy2m"
COUNTS = [{"input": 8}, {"input": 8, "output": 2}, {"input": 30, "output": 2}]
MODELS = [("openai", "gpt-4o"), ("openai", "gpt-4.1-mini"), ("anthropic", "claude-opus-4-5")]


@dataclass(frozen=True)
class Made:
    """A call that was made, and who looks on: which observers, and whether they tell its id and its usage."""

    event: UsageEvent
    process: bytes
    seen_by: tuple[tuple[str, bool, bool], ...]


def ids(number: int) -> st.SearchStrategy[str | None]:
    """Ids as servers give them: drawn, of a few, all the same, or none."""
    return st.sampled_from([f"{UNIQUE}{number:02d}", f"chatcmpl-{number % 2}", "chatcmpl-1763990000", None])


@st.composite
def calls(draw: st.DrawFn) -> list[Made]:
    made = []
    tells_id = {"client": True, "vendor": draw(st.booleans()), "framework": False}
    tells_usage = {name: not tells_id[name] and draw(st.booleans()) for name in tells_id}
    for number in range(draw(st.integers(1, 6))):
        start = T0 + draw(st.integers(0, 4)) * SECOND
        provider, model = draw(st.sampled_from(MODELS))
        event = UsageEvent(
            new_event_id(),
            provider,
            "chat",
            model,
            draw(st.sampled_from(COUNTS)),
            start,
            start + draw(st.integers(1, 20)) * SECOND // 10,
            request_model=model,
            response_id=draw(ids(number)),
            origin=Origin(host="api.openai.com" if provider == "openai" else "api.anthropic.com"),
        )
        # Whether an observer tells ids is its own way; whether it tells usage may depend on the call.
        names = draw(st.lists(st.sampled_from(["client", "vendor", "framework"]), unique=True, max_size=3))
        seen = tuple(
            (name, tells_id[name], draw(st.booleans()) if tells_id[name] else tells_usage[name]) for name in names
        )
        made.append(Made(event, draw(st.sampled_from([b"one", b"two"])), seen))
    return made


def views(made: Made, number: int) -> list[tuple[UsageEvent, Observer, bool]]:
    """The wire's own view of a call, and those from around it."""
    event = made.event
    found = [(event, Observer(WIRE, made.process), True)]
    for name, with_id, with_usage in made.seen_by:
        around = replace(
            event,
            event_id=span_event_id(f"{number:032x}", name, event.started_ns),
            usage=event.usage if with_usage else None,
            response_id=event.response_id if with_id else None,
            started_ns=event.started_ns - 1_000_000,
            ended_ns=event.ended_ns + 1_000_000,
            origin=Origin(),
        )
        found.append((around, Observer(name, made.process), False))
    return found


def money(event: UsageEvent) -> int:
    return sum(int(n) for n in (event.usage or {}).values())


@settings(max_examples=1500, deadline=None)
@given(calls(), st.randoms(use_true_random=False), st.booleans())
def test_any_interleaving_of_views_deliveries_and_weak_ids_is_the_wires_own_calls(
    made: list[Made], random: object, again: bool
) -> None:
    told = [view for number, call in enumerate(made) for view in views(call, number)]
    deliveries = told * 2 if again else list(told)
    random.shuffle(deliveries)  # type: ignore[attr-defined]
    counted, kept, seen = Deduplicator(), dict[str, int](), set[str]()
    for event, observer, wire in deliveries:
        if event.event_id in seen:  # what a ledger and a collector do with an event that they have
            continue
        seen.add(event.event_id)
        verdict = counted.decide(event, observer, wire=wire)
        if verdict.covered is not None:
            assert not wire, "the wire's own call is always counted"
            continue
        for replaced in verdict.replaces:
            del kept[replaced]
        event_id = verdict.completes or event.event_id
        assert verdict.completes is None or kept[event_id] == 0
        kept[event_id] = money(event)
    assert sum(kept.values()) == sum(money(call.event) for call in made)


ANY = UsageEvent("e", "openai", "chat", "gpt-4o", {"input": 8}, T0, T0 + SECOND, request_model="gpt-4o")


@pytest.mark.parametrize(
    ("theirs", "one"),
    [
        ({}, True),
        ({"model": "gpt-4o-2024-08-06"}, True),
        ({"provider": "unknown"}, True),
        ({"model": "unknown", "request_model": None}, True),
        ({"operation": "generate_content"}, True),
        ({"model": "gpt-4.1-mini", "request_model": "gpt-4.1-mini"}, False),
        ({"provider": "anthropic", "model": "claude-opus-4-5", "request_model": None}, False),
        ({"provider": "azure.ai.openai"}, False),
        ({"provider": "azure.ai.openai", "model": "gpt-4o-2024-08-06"}, False),
        ({"usage": {"input": 9}}, False),
        ({"operation": "embeddings"}, False),
        ({"origin": Origin(host="elsewhere.example")}, False),
        ({"started_ns": T0 + 5 * SECOND, "ended_ns": T0 + 6 * SECOND}, False),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.parametrize("wire_first", [True, False])
def test_what_cannot_be_one_call_is_not_joined(theirs: dict[str, object], one: bool, wire_first: bool) -> None:
    mine = replace(ANY, origin=Origin(host="api.openai.com"))
    other = replace(ANY, event_id="f", **theirs)  # type: ignore[arg-type]
    counted = Deduplicator()
    first, second = (mine, other) if wire_first else (other, mine)
    counted.decide(first, Observer(WIRE if wire_first else "vendor"), wire=wire_first)
    verdict = counted.decide(second, Observer("vendor" if wire_first else WIRE), wire=not wire_first)
    assert (verdict.covered is not None or bool(verdict.replaces)) is one


def test_a_framework_says_openai_of_whomever_its_client_asks() -> None:
    wire = replace(ANY, provider="groq", model="llama-3.3-70b", request_model=None, origin=Origin(host="api.groq.com"))
    for theirs, one in ((wire.model, True), ("gpt-4o", False)):
        counted = Deduplicator()
        counted.decide(wire, Observer(WIRE), wire=True)
        view = replace(wire, event_id="f", provider="openai", model=theirs, origin=Origin())
        assert (counted.decide(view, Observer("vendor"), wire=False).covered is not None) is one


def test_embeddings_of_two_providers_with_equal_counts_are_two() -> None:
    counted = Deduplicator()
    mine = replace(ANY, operation="embeddings", model="text-embedding-3-small", request_model=None)
    other = replace(mine, event_id="f", provider="cohere", model="embed-v4.0")
    counted.decide(mine, Observer(WIRE), wire=True)
    assert counted.decide(other, Observer("vendor"), wire=False).covered is None


def test_two_attempts_of_one_observer_are_two_whatever_they_share() -> None:
    counted = Deduplicator()
    for observer in ("vendor", "vendor", WIRE):
        for n in range(3):
            event = replace(ANY, event_id=f"{observer}-{n}", response_id=f"{UNIQUE}99", started_ns=T0 + n * SECOND)
            if observer == "vendor":
                continue
            assert counted.decide(event, Observer(observer), wire=True).covered is None


def test_a_hop_further_down_is_one_charge_whichever_is_told_first() -> None:
    app = replace(ANY, event_id=new_event_id(), origin=Origin(host="gateway.internal"))
    proxy = replace(ANY, event_id=new_event_id(), model="gpt-4o-2024-08-06", origin=Origin(upstream_id=app.event_id))
    counted = Deduplicator()
    assert counted.decide(proxy, Observer(WIRE, b"proxy"), wire=True).covered is None
    verdict = counted.decide(app, Observer(WIRE, b"app"), wire=True)
    assert verdict.covered is not None
    assert (verdict.covered.reason, verdict.covered.by) == ("downstream", proxy.event_id)
    refused = replace(proxy, event_id=new_event_id(), chargeable=Chargeable.NO, usage=None)
    other = replace(app, event_id=new_event_id())
    counted.decide(refused._replace() if hasattr(refused, "_replace") else refused, Observer(WIRE, b"proxy"), wire=True)
    assert counted.decide(other, Observer(WIRE, b"app"), wire=True).covered is None


@pytest.mark.parametrize(
    ("response_id", "provider", "host", "unique"),
    [
        (f"{UNIQUE}01", "openai", None, True),
        (f"{UNIQUE}01", "openai", "api.openai.com", True),
        (f"{UNIQUE}01", "openai", "127.0.0.1", False),
        (f"{UNIQUE}01", "openai", "llm.example", False),
        ("msg_01XFDUDYJgAACzvnptvVoYEL", "anthropic", "api.anthropic.com", True),
        ("0f5c2b36-2f39-4a4a-8f0e-5f0d3c0f9f10", "cohere", None, True),
        ("chatcmpl-512", "openai", None, False),
        ("chatcmpl-1763990000", "openai", None, False),
        ("chatcmpl-00000000000000000001", "openai", None, False),
        ("chatcmpl-mock-response-id", "openai", None, False),
        (f"{UNIQUE}01", "ollama", None, False),
        (f"{UNIQUE}01", "nobody-knows", None, False),
    ],
)
def test_an_id_is_evidence_only_as_far_as_its_server_is_known(
    response_id: str, provider: str, host: str | None, unique: bool
) -> None:
    assert is_unique(response_id, provider, host) is unique


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_another_thread_decides_goes_on() -> None:
    counted = Deduplicator()
    counted._lock.acquire()  # as another thread would hold it
    child = os.fork()
    if child == 0:
        counted.decide(ANY, Observer(WIRE), wire=True)
        os._exit(0)
    counted._lock.release()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def test_a_view_that_counted_nothing_is_completed_once_by_whoever_comes_first() -> None:
    """A client's span without usage, a callback's with it, then the framework around the client."""
    counted = Deduplicator()
    inner = replace(ANY, event_id="inner", usage=None)
    assert counted.decide(inner, Observer("client"), wire=False).covered is None
    counted.news(inner)
    callback = replace(ANY, event_id="callback")
    assert counted.decide(callback, Observer("vendor"), wire=False).replaces == ("inner",)
    counted.news(callback)
    around = replace(ANY, event_id="around")
    verdict = counted.decide(around, Observer("framework"), wire=False, nested=Covered("below", "inner"))
    assert verdict.covered == Covered("below", "callback")
