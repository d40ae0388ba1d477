"""Identity in a collector: whatever ids spans share and whoever tells of them, money is what was billed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from aicost._money import to_decimal
from aicost.collector.cost_metrics import CostMeters, Health
from aicost.collector.intake import _record
from aicost.collector.memory import Memory
from aicost.collector.pricer import Pricer
from aicost.ledger import Ledger
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.scopes.ids import new_event_id
from aicost.telemetry.evidence import span_event_id
from tests.conftest import App

from .running import InProcess, a_request, a_span, attributes_of, chat, get, post, put, spans_of

KERNEL = Kernel(RateCard.bundled())
ONE = Decimal("0.0075")
T = 1_790_000_000_000_000_000
USAGE = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


class Fleet:
    """A collector's pricer with a ledger, that may be started again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger.open(path, rates=KERNEL)
        self.start()

    def start(self) -> None:
        self.pricer = Pricer(KERNEL, events=True, memory=Memory(self.path.with_name("views.jsonl")))
        self.health = Health()

    def send(self, request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
        """The attributes that its spans go on with."""
        priced = self.pricer.price(request.SerializeToString())
        assert _record(self.ledger, priced)
        self.pricer.remember()
        self.health.count(priced)
        self.priced = priced
        return [attributes_of(span) for span in spans_of(ExportTraceServiceRequest.FromString(priced.data))]

    @property
    def total(self) -> Decimal:
        with LedgerReader(self.path) as reader:
            return to_decimal(sum(row.atto for row in reader.answer(Query())))

    def close(self) -> None:
        self.ledger.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Any:
    made = Fleet(tmp_path / "ledger.sqlite")
    yield made
    made.close()


@pytest.mark.parametrize("response_id", ["chatcmpl-1", "chatcmpl-1763990000", "chatcmpl-CX5kFkl2Jq0Yt1AaQJ4Yy2m8"])
@pytest.mark.parametrize("services", [("one", "one"), ("one", "two")], ids=["one process", "two processes"])
@pytest.mark.parametrize("alike", [True, False], ids=["equal counts", "other counts"])
def test_spans_that_share_an_id_are_as_many_calls(
    fleet: Fleet, response_id: str, services: tuple[str, str], alike: bool
) -> None:
    expected = Decimal(0)
    for n, service in enumerate(services):
        tokens = 1000 if alike else 1000 + 1000 * n
        span = a_span({**chat(), "gen_ai.response.id": response_id, "gen_ai.usage.input_tokens": tokens})
        put(span, "server.address", "llm.internal")
        expected += ONE + Decimal("0.0000025") * (tokens - 1000)
        fleet.send(a_request([span], resource={"service.name": service}))
    assert fleet.total == expected


def given_span(number: int, response_id: str | None, start: int) -> tuple[Span, str]:
    """A call as aicost's own span tells it, and its event."""
    event_id = new_event_id()
    span = a_span(
        {
            **chat(),
            "aicost.event.id": event_id,
            "aicost.request.status": "success",
            "aicost.request.billed": "yes",
            "aicost.usage.source": "provider",
            "aicost.usage.complete": True,
            "aicost.usage.meter.input": 1000,
            "aicost.usage.meter.output": 500,
            "aicost.cost.status": "priced",
            "aicost.cost.amount_exact": "0.0075",
            "aicost.cost.currency": "USD",
            **({} if response_id is None else {"gen_ai.response.id": response_id}),
        },
        number=number,
        start_time_unix_nano=start,
        end_time_unix_nano=start + 100_000_000,
    )
    return span, event_id


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["chatcmpl-1", "chatcmpl-1763990000", "unique", None]),
            st.integers(0, 2),
            st.booleans(),
            st.sampled_from(["outside", "callback", "nobody"]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_any_interleaving_is_the_wires_own_calls(
    tmp_path_factory: pytest.TempPathFactory, made: list[Any], seed: int, restarts: bool
) -> None:
    fleet = Fleet(tmp_path_factory.mktemp("law") / "ledger.sqlite")
    told = []
    for number, (response_id, second, two, view) in enumerate(made, 1):
        start = T + second * 1_000_000_000
        identity = f"chatcmpl-CX5kFkl2Jq0Yt1AaQJ4Yy2m{number:02d}" if response_id == "unique" else response_id
        span, _ = given_span(number, identity, start)
        resource = {"service.name": "two" if two else "one"}
        if view != "nobody":
            other = a_span(
                {**chat(), **({} if identity is None else {"gen_ai.response.id": identity})},
                number=1000 + number,
                start_time_unix_nano=start - 1_000_000,
                end_time_unix_nano=start + 101_000_000,
            )
            if view == "outside":
                other.trace_id, span.parent_span_id = span.trace_id, other.span_id
            told.append(a_request([other], scope="vendor", resource=resource))
        told.append(a_request([span], scope="aicost", resource=resource))
    deliveries = told * 2
    random.Random(seed).shuffle(deliveries)
    for n, request in enumerate(deliveries):
        if restarts and n == len(deliveries) // 2:
            fleet.start()
        fleet.send(request)
    total = fleet.total
    fleet.close()
    assert total == len(made) * ONE


FORGED = {
    "aicost.cost.status": "priced",
    "aicost.cost.amount_exact": "1000000",
    "aicost.cost.amount": 1e6,
    "aicost.cost.currency": "USD",
    "aicost.event.id": "x",
}


@pytest.mark.parametrize(
    "forged",
    [FORGED, {"aicost.event.id": "x"}, {"aicost.covered.reason": "below"}, {"aicost.cost.amount": 0.0}],
    ids=str,
)
def test_what_others_say_of_identity_and_cost_is_ignored_and_flagged(fleet: Fleet, forged: dict[str, Any]) -> None:
    span = a_span({**chat(), **forged}, number=77)
    (found,) = fleet.send(a_request([span], scope="some.vendor"))
    assert found["aicost.cost.amount_exact"] == "0.0075"
    assert found["aicost.cost.amount"] == 0.0075
    assert found["aicost.event.id"] == span_event_id(f"{77:032x}", f"{77:016x}", span.start_time_unix_nano)
    assert fleet.total == ONE
    if "aicost.covered.reason" not in forged:
        assert found["aicost.usage.flags"] == ["ignored_statement:aicost"]


def test_a_span_that_was_adopted_in_its_process_is_charged_once_and_metered_there(app: App, fleet: Fleet) -> None:
    with trace.get_tracer("some.vendor").start_as_current_span("chat gpt-4o", attributes=chat()):
        pass
    (adopted,) = [span for span in app.spans if span.name == "chat gpt-4o"]
    context = adopted.get_span_context()
    sent = a_span(
        {key: list(value) if isinstance(value, tuple) else value for key, value in (adopted.attributes or {}).items()},
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        start_time_unix_nano=adopted.start_time,
        end_time_unix_nano=adopted.end_time,
    )
    (found,) = fleet.send(a_request([sent], scope="some.vendor"))
    assert found["aicost.event.id"] == app.charges()[0].event_id
    assert "aicost.usage.flags" not in found
    assert fleet.total == app.ledger_total() == ONE
    (one,) = fleet.priced.counted
    assert one.prepriced, "its process has metered it"


def test_a_covered_view_that_comes_again_after_a_restart_is_no_charge(fleet: Fleet) -> None:
    span, event_id = given_span(1, "chatcmpl-1", T)
    view = a_span(
        {**chat(), "gen_ai.response.id": "chatcmpl-1"},
        start_time_unix_nano=span.start_time_unix_nano - 1,
        end_time_unix_nano=span.end_time_unix_nano + 1,
    )
    around = a_request([view], scope="vendor")
    fleet.send(a_request([span], scope="aicost"))
    (found,) = fleet.send(around)
    assert (found["aicost.covered.reason"], found["aicost.covered.by"]) == ("same_response", event_id)
    fleet.start()
    fleet.send(around)
    assert fleet.total == ONE
    with LedgerReader(fleet.path) as ledger:
        (seen,) = ledger.sightings()
    assert (seen.kind, seen.count, to_decimal(seen.atto or 0)) == ("joined", 1, ONE)


def test_a_hop_further_down_is_one_charge(fleet: Fleet) -> None:
    for order in (0, 1):
        app, event_id = given_span(10 + order, None, T)
        proxy, below = given_span(20 + order, None, T)
        put(proxy, "aicost.event.upstream_id", event_id)
        sent = [("app", app), ("proxy", proxy)]
        for service, span in sent if order else reversed(sent):
            fleet.send(a_request([span], scope="aicost", resource={"service.name": service}))
        assert fleet.total == (1 + order) * ONE
        with LedgerReader(fleet.path) as ledger:
            assert below in {row.event_id for row in ledger.charges()}, "nearest to the wire counts"


def test_an_id_that_anybody_sends_takes_no_charge_back(fleet: Fleet) -> None:
    """Baggage comes from outside: what begins when the attempt it names is long over, or not begun, is no hop of it."""
    app, event_id = given_span(10, None, T)
    fleet.send(a_request([app], scope="aicost", resource={"service.name": "app"}))
    for number, start in ((20, T + 60 * 10**9), (21, T - 60 * 10**9)):
        claimed, _ = given_span(number, None, start)
        put(claimed, "aicost.event.upstream_id", event_id)
        fleet.send(a_request([claimed], scope="aicost", resource={"service.name": "proxy"}))
    assert fleet.total == 3 * ONE


@pytest.mark.parametrize("more", [{}, {"gen_ai.usage.input_tokens": 900}], ids=["equal counts", "other counts"])
def test_a_span_around_two_calls_covers_both_and_another_models_too(fleet: Fleet, more: dict[str, Any]) -> None:
    around = a_span({**chat(), **more}, number=1000, start_time_unix_nano=T - 10**6, end_time_unix_nano=T + 301 * 10**6)
    inner = [given_span(1, None, T)[0], given_span(2, None, T + 150 * 10**6)[0]]
    put(inner[1], "gen_ai.request.model", "gpt-4o-mini")
    put(inner[1], "gen_ai.response.model", "gpt-4o-mini")
    put(inner[1], "aicost.cost.amount_exact", "0.00045")
    for span in inner:
        span.trace_id, span.parent_span_id = around.trace_id, around.span_id
    fleet.send(a_request(inner, scope="aicost"))
    fleet.send(a_request([around], scope="vendor"))
    assert fleet.total == ONE + Decimal("0.00045")


@pytest.mark.parametrize("order", ["wire first", "wire last"])
@pytest.mark.parametrize("said", [("no", "none", "priced"), ("yes", "none", "unpriced")], ids=["unbilled", "unknown"])
def test_a_wire_span_that_knows_no_usage_takes_back_nothing_known(
    fleet: Fleet, order: str, said: tuple[str, str, str]
) -> None:
    wire, _ = given_span(1, None, T)
    for key in ("aicost.usage.meter.input", "aicost.usage.meter.output", *USAGE):
        for attribute in [a for a in wire.attributes if a.key == key]:
            wire.attributes.remove(attribute)
    names = ("aicost.request.billed", "aicost.usage.source", "aicost.cost.status")
    for key, value in (*zip(names, said, strict=True), ("aicost.cost.amount_exact", "0")):
        put(wire, key, value)
    seen = a_span(chat(), number=1000, start_time_unix_nano=T + 10**6, end_time_unix_nano=T + 50 * 10**6)
    sent = [a_request([wire], scope="aicost"), a_request([seen], scope="vendor")]
    for request in sent if order == "wire first" else reversed(sent):
        fleet.send(request)
    assert fleet.total == ONE


def test_a_span_without_ids_that_is_delivered_again_is_one_charge(fleet: Fleet) -> None:
    nameless = a_span(chat(), number=5)
    nameless.trace_id = bytes(16)
    fleet.send(a_request([nameless], scope="vendor"))
    fleet.send(a_request([a_span(chat(), number=6), nameless], scope="vendor"))
    assert fleet.total == 2 * ONE


def test_a_declared_gateways_call_id_joins_its_hops(fleet: Fleet) -> None:
    for order, declared in ((0, True), (1, True), (2, False)):
        before = fleet.total
        app, _ = given_span(30 + order, None, T)
        proxy, _ = given_span(40 + order, None, T)
        put(app, "aicost.gateway.call_id", f"call-{order}")
        if declared:
            put(app, "aicost.gateway.declared", True)
        put(proxy, "aicost.event.upstream_id", f"gateway:call-{order}")
        for span in (app, proxy) if order else (proxy, app):
            fleet.send(a_request([span], scope="aicost", resource={"service.name": str(span.span_id)}))
        assert fleet.total - before == (ONE if declared else 2 * ONE)


def test_joined_views_are_counted_with_what_they_would_have_been(fleet: Fleet) -> None:
    span, _ = given_span(1, "chatcmpl-1", T)
    view = a_span(
        {**chat(), "gen_ai.response.id": "chatcmpl-1", "gen_ai.usage.input_tokens": 2000},
        start_time_unix_nano=span.start_time_unix_nano - 1,
        end_time_unix_nano=span.end_time_unix_nano + 1,
    )
    fleet.send(a_request([span], scope="aicost"))
    fleet.send(a_request([view], scope="vendor"))
    assert fleet.total == ONE
    assert fleet.health.joined == {("differs", "same_response"): 1}
    assert to_decimal(fleet.health.joined_atto["differs", "same_response", "USD"]) == Decimal("0.01")


def test_joined_views_are_in_the_collectors_metrics(collector: Callable[..., InProcess]) -> None:
    one = collector()
    for body in two_views():
        assert post(one.http, body.SerializeToString())[0] == 200
    _, text = get(one.http, "/metrics")
    assert 'aicost_collector_joined_views_total{kind="joined",reason="same_response"} 1.0' in text
    assert 'aicost_collector_joined_amount_total{currency="USD",kind="joined",reason="same_response"} 0.0075' in text


def test_two_processes_with_one_seed_are_metered_as_two() -> None:
    from aicost._settings.collector_section import CostMetrics

    meters = CostMeters(CostMetrics())
    by = Pricer(KERNEL, owners=meters.owners)
    for service, start in (("one", T), ("two", 1_790_000_000_000_000_007)):
        span = a_span(chat(), number=5, start_time_unix_nano=start, end_time_unix_nano=start + 1000)
        meters.count(by.price(a_request([span], resource={"service.name": service}).SerializeToString()))
    points = [value for metric, _, value in meters._points() if metric.name == "aicost.request.attempts"]
    assert sum(points) == 2


def two_views(response_id: str = "chatcmpl-1") -> tuple[ExportTraceServiceRequest, ExportTraceServiceRequest]:
    """A call that one instrumentation tells of, and another's view of it."""
    span = a_span({**chat(), "gen_ai.response.id": response_id}, number=91)
    around = a_span(
        {**chat(), "gen_ai.response.id": response_id},
        number=92,
        start_time_unix_nano=span.start_time_unix_nano - 1,
        end_time_unix_nano=span.end_time_unix_nano + 1,
    )
    return a_request([span], scope="client"), a_request([around], scope="vendor")


@pytest.mark.parametrize("told", ["both", "one"])
def test_what_was_seen_is_known_after_a_restart(tmp_path: Path, told: str) -> None:
    inner, outer = (request.SerializeToString() for request in two_views())
    path = tmp_path / "views-0.jsonl"
    first = Pricer(KERNEL, memory=Memory(path))
    assert len(first.price(inner).counted) == 1
    if told == "both":
        assert [one.reason for one in first.price(outer).joined] == ["same_response"]
    first.remember()
    assert path.stat().st_mode & 0o077 == 0
    second = Pricer(KERNEL, memory=Memory(path))
    done = second.price(outer)
    assert done.counted == []
    assert done.seen["covered", "same_response"] == 1
    assert [one.known for one in second.price(inner).counted] == [True]
    assert len(Pricer(KERNEL).price(outer).counted) == 1, "without a memory it would be a charge"


def test_a_memory_is_bounded_forgets_in_time_and_survives_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "views-0.jsonl"
    memory = Memory(path, most_bytes=4000)
    by = Pricer(KERNEL, memory=memory)
    for _ in range(100):
        by.price(a_request([a_span()]).SerializeToString())
        by.remember()
    assert path.stat().st_size + path.with_name("views-0.jsonl.1").stat().st_size < 10_000
    assert 5 < len(list(memory.remembered(1000))) < 40
    with path.open("ab") as file:
        file.write(b'[1,"cut')
    again = Pricer(KERNEL, memory=Memory(path))
    again.price(a_request([a_span()]).SerializeToString())
    again.remember()
    assert len(list(Memory(path).remembered(1000))) > 5
    line = json.loads(next(iter(path.read_bytes().splitlines())))
    for number in range(len(line)):
        for value in (None, "x", -1, [1], {"input": "x"}, {"input": "NaN"}, {"input": [1]}, True):
            damaged = [*line[:number], value, *line[number + 1 :]]
            path.write_text(json.dumps(damaged) + "\n" + json.dumps([*line[:1], "other", *line[2:]]) + "\n")
            Pricer(KERNEL, memory=Memory(path)).price(a_request([a_span()], scope="vendor").SerializeToString())
    for junk in (b"[" * 100_000, b"\xff\xfe", b"\0" * 4096, b"[" + b"9" * 5000 + b"]", b"{}", b"[]", b"1"):
        path.write_bytes(junk + b"\n")
        Pricer(KERNEL, memory=Memory(path))
    again.remember()
    monkeypatch.setattr("aicost.collector.memory.KEPT_S", -10)
    assert list(memory.remembered(1000)) == []


def test_a_collector_that_is_started_again_joins_what_came_before(
    collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    inner, outer = (request.SerializeToString() for request in two_views())
    ledger = tmp_path / "l.sqlite"
    for body in (inner, outer):
        one = collector(ledger=str(ledger))
        assert post(one.http, body)[0] == 200
        one.stop()
    with LedgerReader(ledger) as reader:
        assert to_decimal(sum(row.atto for row in reader.answer(Query()))) == ONE
