"""What was acknowledged arrives, and what it cost is counted once, whatever happens to those around the collector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from aicost._money import to_decimal
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.testing import OtlpReceiver

from .running import (
    AsProcess,
    Backend,
    InProcess,
    a_request,
    a_span,
    chat,
    metric,
    post,
    reset,
    settings,
    slow,
    status,
    until,
)

ONE = Decimal("0.0075")
AWAY_S = float(os.environ.get("AICOST_COLLECTOR_AWAY", "2"))
KILLS = int(os.environ.get("AICOST_COLLECTOR_KILLS", "8"))


def body(count: int = 1) -> bytes:
    return a_request([a_span() for _ in range(count)]).SerializeToString()


def total(ledger: Path) -> Decimal:
    with LedgerReader(ledger) as reader:
        return to_decimal(sum(row.atto for row in reader.answer(Query())))


def whole(backend: Backend, count: int) -> bool:
    return len(backend.ids()) == count


# --- without a spool: the client keeps it until the backend has it


@pytest.mark.parametrize(
    "wrong", [status(503), status(502), status(429), reset, slow(9)], ids=["503", "502", "429", "reset", "slow"]
)
def test_without_a_spool_nothing_is_acknowledged_before_the_backend_has_it(
    collector: Callable[..., InProcess], backend: Backend, wrong: Any
) -> None:
    one = collector()
    backend.answers.append(wrong)
    data = body(3)
    assert post(one.http, data)[0] == 503
    assert post(one.http, data)[0] == 200
    assert len(backend.ids()) == 3


def test_a_backend_that_is_away_is_no_success(collector: Callable[..., InProcess], backend: Backend) -> None:
    one = collector()
    backend.close()
    assert post(one.http, body())[0] == 503


def test_all_exporters_have_it_or_the_client_keeps_it(collector: Callable[..., InProcess], backend: Backend) -> None:
    other = Backend()
    exporters = [{"type": "otlp-http", "endpoint": one.url} for one in (backend, other)]
    one = collector(exporters=exporters)
    other.answers.append(status(503))
    data = body()
    assert post(one.http, data)[0] == 503
    assert post(one.http, data)[0] == 200
    assert set(backend.ids()) == set(other.ids())
    other.close()


def test_a_request_that_is_too_large_for_the_backend_goes_in_halves(
    collector: Callable[..., InProcess], backend: Backend
) -> None:
    one = collector()
    backend.answers.extend([status(413), status(413)])
    assert post(one.http, body(8))[0] == 200
    assert len(backend.ids()) == 8
    assert backend.tried == 5


def test_one_damaged_span_does_not_cost_the_others(collector: Callable[..., InProcess], backend: Backend) -> None:
    from aicost.collector.wire import varint

    def field(number: int, content: bytes) -> bytes:
        return bytes((number << 3 | 2,)) + varint(len(content)) + content

    # No inference, so nobody here looks into it; the backend refuses the whole.
    spans = field(2, a_span({"a": 1}).SerializeToString()) + field(2, b"\x0a\x20short")
    one = collector()
    backend.answers.append(status(400))
    assert post(one.http, field(1, field(2, spans)))[0] == 200
    assert len(backend.ids()) == 1


# --- with a spool


def spooled(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"spool": {"path": str(tmp_path / "spool"), **more}}


DOWN: dict[str, list[Any]] = {
    "down for long": [status(503)] * 30,
    "flapping": [status(503), status(200), reset, status(200), status(502)] * 6,
    "429 with retry-after": [status(429, retry_after="0.2")] * 3,
    "connections reset": [reset] * 10,
    "slow": [slow(0.2)] * 5,
    "unauthorised for a while": [status(401)] * 5,
}


@pytest.mark.parametrize("answers", DOWN.values(), ids=DOWN)
def test_with_a_spool_everything_arrives_in_the_end(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, answers: list[Any]
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    one = collector(**spooled(tmp_path), ledger=str(ledger))
    backend.answers.extend(answers)
    for _ in range(20):
        assert post(one.http, body(5))[0] == 200
    until(lambda: whole(backend, 100))
    assert total(ledger) == 100 * ONE


def test_a_backend_may_be_away_for_as_long_as_it_likes(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    one = collector(**spooled(tmp_path))
    backend.always = status(503)
    sent = 0
    until_s = time.monotonic() + AWAY_S
    while time.monotonic() < until_s:
        assert post(one.http, body(5))[0] == 200
        sent += 5
        time.sleep(AWAY_S / 50)
    assert not backend.spans
    backend.always = None
    until(lambda: whole(backend, sent))


def test_retry_after_is_honoured(collector: Callable[..., InProcess], backend: Backend, tmp_path: Path) -> None:
    one = collector(**spooled(tmp_path))
    backend.answers.append(status(429, retry_after="1"))
    began = time.monotonic()
    assert post(one.http, body())[0] == 200
    until(lambda: whole(backend, 1))
    assert time.monotonic() - began >= 1


def test_a_backend_that_is_away_for_minutes_is_one_that_is_away_over_a_restart(
    backend: Backend, tmp_path: Path
) -> None:
    config = settings(backend, **spooled(tmp_path), drain_timeout=0.2)
    backend.always = status(503)
    first = InProcess(config)
    for _ in range(10):
        assert post(first.http, body(5))[0] == 200
    first.stop()
    assert not backend.spans
    backend.always = None
    second = InProcess(config)
    until(lambda: whole(backend, 50))
    second.stop()
    third = InProcess(config)
    time.sleep(0.2)
    third.stop()
    assert set(backend.ids().values()) == {1}


def test_a_full_spool_is_told_to_the_client_and_empties_again(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    one = collector(**spooled(tmp_path, max_size="40KiB"))
    backend.always = status(503)
    answers = []
    sent: list[bytes] = []
    for _ in range(40):
        data = body(3)
        answers.append(post(one.http, data)[0])
        sent.append(data)
    assert set(answers) == {200, 503}
    backend.always = None
    accepted = 3 * answers.count(200)
    until(lambda: whole(backend, accepted))
    for data, answer in zip(sent, answers, strict=True):
        if answer == 503:
            until(lambda data=data: post(one.http, data)[0] == 200)  # type: ignore[misc]
    until(lambda: whole(backend, 120))


def test_a_full_disk_is_told_to_the_client(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collector(**spooled(tmp_path))
    assert post(one.http, body())[0] == 200
    real, half = os.write, []

    def full(file: int, data: bytes) -> int:
        if half:
            raise OSError(28, "No space left on device")
        half.append(real(file, data[: len(data) // 2]))
        return half[0]

    monkeypatch.setattr("aicost.collector.spool.os.write", full)
    code, _, headers = post(one.http, body())
    assert (code, headers["retry-after"]) == (503, "5")
    monkeypatch.undo()
    assert post(one.http, body())[0] == 200
    until(lambda: whole(backend, 2))


@pytest.mark.parametrize(("durability", "flushes"), [("process", 0), ("power", 1)])
def test_what_is_acknowledged_is_on_the_disk_where_it_has_to_survive_the_power(
    collector: Callable[..., InProcess],
    backend: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    durability: str,
    flushes: int,
) -> None:
    one = collector(**spooled(tmp_path, durability=durability))
    flushed: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (flushed.append(os.fstat(file).st_size), real(file))[1])
    assert post(one.http, body())[0] == 200
    (file,) = (tmp_path / "spool" / "0" / "traces").glob("*.segment")
    assert flushed == [file.stat().st_size] * flushes
    until(lambda: whole(backend, 1))


def test_what_nobody_will_ever_take_is_kept_for_a_person(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    one = collector(**spooled(tmp_path))
    backend.answers.append(status(400))
    assert post(one.http, body())[0] == 200
    until(lambda: metric(one.http, "aicost_collector_rejected_requests_total") == 1)
    (kept,) = (tmp_path / "spool" / "0" / "rejected").iterdir()
    assert post(one.http, body())[0] == 200
    until(lambda: whole(backend, 1))
    assert kept.read_bytes()


def test_a_redirect_is_not_followed(collector: Callable[..., InProcess], backend: Backend) -> None:
    other = Backend()
    backend.always = status(301, location=f"{other.url}/v1/traces")
    one = collector(exporters=[{"type": "otlp-http", "endpoint": backend.url, "headers": {"api-key": "s3cret"}}])
    assert post(one.http, body())[0] == 503
    assert other.tried == 0
    other.close()


@pytest.mark.parametrize("advice", ["Wed, 21 Oct 2099 07:28:00 -0000", "inf", "nan", "-5", "soon"])
def test_advice_that_cannot_be_followed_stops_nothing(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, advice: str
) -> None:
    direct = collector()
    backend.always = status(503, retry_after=advice)
    code, _, headers = post(direct.http, body())
    assert code == 503
    assert 1 <= int(headers["retry-after"]) <= 3600
    if "2099" not in advice:
        one = collector(**spooled(tmp_path))
        backend.answers.append(status(503, retry_after=advice))
        backend.always = None
        assert post(one.http, body())[0] == 200
        until(lambda: whole(backend, 1))


def test_a_failure_nobody_thought_of_keeps_what_was_acknowledged(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collector(**spooled(tmp_path))
    failing = [True] * 3
    real = one.service._exporters[0].send

    async def send(signal: str, data: bytes) -> None:
        if failing:
            failing.pop()
            raise KeyError("nobody thought of this")
        await real(signal, data)

    monkeypatch.setattr(one.service._exporters[0], "send", send)
    assert post(one.http, body())[0] == 200
    until(lambda: whole(backend, 1))
    failing.append(True)
    assert post(collector().http, body())[0] == 200


def test_text_that_is_no_utf_8_does_not_stop_a_file(collector: Callable[..., InProcess], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    one = collector(exporters=[{"type": "file", "path": str(out)}], **spooled(tmp_path))
    odd = a_request([a_span({"a": "xyz"}), a_span()]).SerializeToString().replace(b"xyz", b"\xff\xfe\xfd")
    assert post(one.http, odd)[0] == 200
    assert post(one.http, body())[0] == 200
    until(lambda: out.exists() and len(out.read_text().splitlines()) == 2)


def test_a_short_write_leaves_no_half_line(tmp_path: Path) -> None:
    import resource

    from aicost._settings.collector_section import FileExporter
    from aicost.collector.exporters import ToFile, UnavailableError

    out = tmp_path / "out.jsonl"
    exporter = ToFile("file", FileExporter(type="file", path=str(out)))
    exporter._write("traces", body())
    size = out.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        with pytest.raises(UnavailableError):
            asyncio.run(exporter.send("traces", body()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handled)
    assert out.stat().st_size == size


def test_one_span_that_is_too_large_does_not_cost_those_beside_it(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    backend.most = 5000
    exporter = {"type": "otlp-http", "endpoint": backend.url, "compression": "none"}
    spans = [a_span({"filler": "x" * 9000}), *(a_span() for _ in range(7))]
    data = a_request(spans).SerializeToString()
    direct = collector(exporters=[exporter])
    code, answer, _ = post(direct.http, data)
    assert code == 200
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert len(backend.ids()) == 7
    one = collector(exporters=[exporter], **spooled(tmp_path))
    spans = [a_span({"filler": "x" * 9000}), *(a_span() for _ in range(7))]
    assert post(one.http, a_request(spans).SerializeToString())[0] == 200
    until(lambda: whole(backend, 14))


def test_one_charge_that_no_ledger_can_hold_does_not_cost_those_beside_it(
    collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    one = collector(ledger=str(ledger))
    odd = [
        a_span({**chat(), "gen_ai.usage.input_tokens": 2**60}),
        a_span(start_time_unix_nano=2**64 - 1, end_time_unix_nano=2**64 - 1),
    ]
    assert post(one.http, a_request([a_span(), *odd, a_span()]).SerializeToString())[0] == 200
    with LedgerReader(ledger) as reader:
        assert len(reader.charges()) >= 3
    assert metric(one.http, "aicost_collector_ledger_lost_total") <= 1


@pytest.mark.parametrize(
    "forged",
    [
        {"aicost.cost.amount_exact": "abc"},
        {"aicost.cost.amount_exact": "NaN"},
        {"aicost.cost.amount_exact": "1e900"},
        {"aicost.cost.amount_exact": "-5"},
        {},
        {"aicost.cost.amount_exact": "1", "aicost.request.retry_count": "abc"},
        {"aicost.cost.amount_exact": "1", "aicost.request.retry_count": 2**40},
        {"aicost.cost.amount_exact": "1", "aicost.usage.meter.input": -1},
    ],
    ids=str,
)
def test_what_somebody_forges_costs_nobody_else_anything(
    collector: Callable[..., InProcess], tmp_path: Path, forged: dict[str, Any]
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    one = collector(ledger=str(ledger))
    forgery = a_span({**chat(), "aicost.event.id": "x", "aicost.cost.status": "priced", **forged})
    request = a_request([forgery], scope="aicost")
    request.MergeFrom(a_request([a_span()]))
    assert post(one.http, request.SerializeToString())[0] == 200
    with LedgerReader(ledger) as reader:
        rows = {row.event_id == "x": row for row in reader.charges()}
    assert rows[False].charge_status == "priced"
    if str(forged.get("aicost.cost.amount_exact")) != "1":
        assert rows[True].charge_status == "unpriced"
        assert rows[True].atto is None


def test_a_change_of_the_configuration_loses_nothing(backend: Backend, tmp_path: Path) -> None:
    other = Backend()
    exporters = [
        {"type": "otlp-http", "endpoint": one.url, "retry": {"initial": 0.02, "longest": 0.1}}
        for one in (backend, other)
    ]
    other.always = status(503)
    first = InProcess(settings(None, exporters=exporters, **spooled(tmp_path), drain_timeout=0.2))
    assert post(first.http, body(5))[0] == 200
    until(lambda: whole(backend, 5))
    first.stop()
    other.always = None
    second = InProcess(settings(None, exporters=exporters[::-1], **spooled(tmp_path)))
    until(lambda: whole(other, 5))
    second.stop()
    assert set(backend.ids().values()) == {1}
    other.close()


def test_what_a_process_kept_that_is_no_more_is_delivered(backend: Backend, tmp_path: Path) -> None:
    from aicost._settings.collector_section import CollectorSettings
    from aicost.collector.exporters import exporters_for
    from aicost.collector.spool import Spool

    config = settings(backend, **spooled(tmp_path))
    (exporter,) = exporters_for(CollectorSettings.model_validate(config).exporters)
    left = Spool(tmp_path / "spool" / "3" / "traces", [exporter.name])
    left.append("traces", body(4))
    left.close()
    one = InProcess(config)
    until(lambda: whole(backend, 4))
    one.stop()


def test_two_at_a_time_are_metered_once_whichever_fails(collector: Callable[..., InProcess], backend: Backend) -> None:
    one = collector()
    data = body()
    backend.answers.append(slow(9))
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(post(one.http, data)[0]))
    thread.start()
    until(lambda: backend.tried == 1)
    assert post(one.http, data)[0] == 200
    thread.join()
    assert first == [503]
    assert metric(one.http, "aicost_cost_USD_total") == float(ONE)


def test_the_ledger_has_it_before_it_is_acknowledged_and_once(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    one = collector(ledger=str(ledger))
    backend.answers.extend([status(503)] * 3)
    data = body(4)
    for _ in range(3):
        assert post(one.http, data)[0] == 503
    assert post(one.http, data)[0] == 200
    assert total(ledger) == 4 * ONE
    assert metric(one.http, "aicost_cost_USD_total") == float(4 * ONE)


def test_a_ledger_that_cannot_be_written_is_told_to_the_client(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicost.journal import JournalFullError

    ledger = tmp_path / "ledger.sqlite"
    one = collector(ledger=str(ledger))
    with monkeypatch.context() as patched:
        patched.setattr(
            "aicost.journal.Journal.append",
            lambda *_: (_ for _ in ()).throw(JournalFullError("journal x cannot be written: No space left on device")),
        )
        data = body()
        assert post(one.http, data)[0] == 503
        assert not backend.spans
        assert metric(one.http, "aicost_collector_ledger_lost_total") == 0, "whoever sent it has it still"
    until(lambda: post(one.http, data)[0] == 200)
    assert total(ledger) == ONE


# --- stopping and dying


class Load:
    """Clients that send until they are stopped, and remember what was acknowledged."""

    def __init__(self, port: Callable[[], int], clients: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self.acknowledged: set[bytes] = set()
        self.refused = 0
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._stop.is_set():
            spans = [a_span() for _ in range(random.randint(1, 20))]
            data = a_request(spans).SerializeToString()
            while not self._stop.is_set():
                try:
                    code = post(self._port(), data, timeout=5)[0]
                except OSError:
                    code = 0
                if code == 200:
                    self.acknowledged.update(span.span_id for span in spans)
                    break
                self.refused += 1
                time.sleep(0.01)

    def stop(self) -> set[bytes]:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        return self.acknowledged


@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "no spool"])
def test_sigterm_under_load_loses_nothing(
    process: Callable[..., AsProcess], backend: Backend, tmp_path: Path, with_spool: bool
) -> None:
    one = process(**(spooled(tmp_path) if with_spool else {}))
    load = Load(lambda: one.http)
    time.sleep(1)
    assert one.terminate() == 0
    acknowledged = load.stop()
    assert len(acknowledged) > 20
    assert acknowledged <= set(backend.ids())


def test_killed_at_any_time_nothing_acknowledged_is_lost_and_the_money_is_exact(
    backend: Backend, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    backend.answers.extend([status(503), status(200), reset] * 20)
    running: list[AsProcess] = []

    def begin() -> None:
        running.append(AsProcess(settings(backend, **spooled(tmp_path), ledger=str(ledger)), tmp_path))

    begin()
    load = Load(lambda: running[-1].http)
    for _ in range(KILLS):
        time.sleep(random.uniform(0.05, 0.4))
        running[-1].kill()
        begin()
    time.sleep(0.3)
    acknowledged = load.stop()
    until(lambda: acknowledged <= set(backend.ids()), 30)
    assert running[-1].terminate() == 0
    delivered = set(backend.ids())
    assert acknowledged <= delivered
    # Whatever reached the ledger is counted once; each span cost the same.
    charged = total(ledger) / ONE
    assert len(acknowledged) <= charged
    with LedgerReader(ledger) as reader:
        rows = reader.charges()
    assert len({row.event_id for row in rows}) == len(rows) == charged


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens at."""
    while True:
        start = random.randint(20_000, 30_000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(start, start + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return start


def test_several_processes_share_the_ports_and_those_that_die_are_started_again(
    process: Callable[..., AsProcess], backend: Backend, tmp_path: Path
) -> None:
    port, pages = free_ports(1), free_ports(2)
    one = process(
        processes=2,
        admin=f"127.0.0.1:{pages}",
        receivers={"http": {"listen": f"127.0.0.1:{port}"}},
        **spooled(tmp_path),
    )
    until(lambda: sum(line["message"] == "listening" for line in one.lines) == 2)
    workers = [
        int(child) for child in Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()
    ]
    for _ in range(40):
        assert post(port, body())[0] == 200
    seen = metric(pages, "aicost_collector_spans_total", what="received")
    seen += metric(pages + 1, "aicost_collector_spans_total", what="received")
    assert seen == 40
    victim = next(pid for pid in workers if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(victim, 9)
    until(lambda: sum(line["message"] == "listening" for line in one.lines) == 3)
    assert one.terminate() == 0
    assert len(backend.ids()) == 40


def test_memory_is_bounded_when_the_backend_hangs(collector: Callable[..., InProcess], backend: Backend) -> None:
    receivers = {**settings()["receivers"], "max_in_flight": "300KiB"}
    one = collector(receivers=receivers)
    backend.always = slow(1.0)
    data = body(100)
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(post(one.http, data)[0])) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {200, 503}
    assert one.service.health.in_flight == 0


def test_a_clock_that_jumps_changes_nothing(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collector(**spooled(tmp_path))
    backend.answers.extend([status(503)] * 3)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400 * 365)
    assert post(one.http, body())[0] == 200
    monkeypatch.setattr(time, "time", lambda: real() + 86_400 * 365)
    until(lambda: whole(backend, 1))


def test_grpc_backends_are_retried_as_their_codes_say(collector: Callable[..., InProcess], tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        target = receiver.grpc_endpoint
    with contextlib.closing(Backend()):
        quick = {"initial": 0.02, "longest": 0.1}
        exporter = {"type": "otlp-grpc", "endpoint": target, "retry": quick, "timeout": 1}
        one = collector(exporters=[exporter], **spooled(tmp_path))
        assert post(one.http, body())[0] == 200
        until(lambda: metric(one.http, "aicost_collector_retried_requests_total") > 2)
