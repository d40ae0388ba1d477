"""Setting up: one line, no takeover, no network, and a clear word when something is wrong."""

from __future__ import annotations

import ast
import json
import os
import socket
import sqlite3
import subprocess
import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import aicost
from aicost import ConfigError, RateCardError, UsageError, integrations
from aicost._settings import load
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.testing import ProviderEmulator
from tests.conftest import App
from tests.pricing.cards import document, rate


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in list(os.environ):
        if name.startswith(("AICOST_", "OTEL_")):
            monkeypatch.delenv(name)
    yield
    aicost.shutdown()


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    clean_env = {k: v for k, v in os.environ.items() if not k.startswith(("AICOST_", "OTEL_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**clean_env, **env}
    )


def test_one_line_sets_everything_up(tmp_path: Path) -> None:
    handle = aicost.init("svc", attribution={"team": "support"}, ledger=tmp_path / "l.sqlite", exporter="none")
    assert handle.instrumented[:2] == ("openai", "anthropic")
    assert handle.ledger == tmp_path / "l.sqlite"
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1_000_000})
    assert handle.flush()
    with LedgerReader(tmp_path / "l.sqlite") as ledger:
        (row,) = ledger.answer(Query(("team",)))
    assert (row.key, row.atto) == ("support", 25 * 10**17)


def test_a_second_init_changes_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    first = aicost.init("one", exporter="none")
    assert aicost.init("two", exporter="none") is first
    assert "aicost.init() was called before" in caplog.text
    aicost.shutdown()
    assert aicost.init("three", exporter="none") is not first


def test_a_tracer_provider_that_is_set_is_kept() -> None:
    from opentelemetry import trace

    before = trace.get_tracer_provider()
    assert aicost.init("svc", exporter="none").tracer_provider is before
    assert trace.get_tracer_provider() is before


def test_init_opens_no_connection_and_imports_no_client() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "import aicost\n"
        "aicost.init('svc', exporter='otlp')\n"
        "print([m for m in ('openai', 'anthropic') if m in sys.modules])\n"
        "import os; sys.stdout.flush(); os._exit(0)\n"
    )
    done = python(code)
    assert done.stdout.strip() == "[]", done.stderr


def test_importing_aicost_loads_next_to_nothing() -> None:
    done = python("import sys; before = set(sys.modules); import aicost; print(sorted(set(sys.modules) - before))")
    loaded = {name.partition(".")[0] for name in ast.literal_eval(done.stdout)}
    assert not loaded & {
        "opentelemetry",
        "pydantic",
        "wrapt",
        "sqlite3",
        "click",
        "rich",
        "openai",
        "anthropic",
        "json",
    }


def test_a_client_that_is_not_installed_is_logged_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(integrations.INTEGRATIONS, "nosuchclient", integrations.INTEGRATIONS["openai"])
    assert aicost.instrument("nosuchclient") == []
    assert "nosuchclient is not instrumented: the package 'nosuchclient' is not installed" in caplog.text


def test_a_client_of_another_version_is_logged_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from aicost.integrations.clients.openai import OpenAIInstrumentor

    monkeypatch.setattr(OpenAIInstrumentor, "requires", "openai >= 99")
    assert aicost.instrument("openai") == []
    assert "is installed, aicost takes openai >= 99" in caplog.text


def test_a_client_laid_out_differently_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import openai._base_client as base

    monkeypatch.delattr(base.AsyncAPIClient, "request")
    assert aicost.instrument("openai") == []
    assert "openai is not instrumented: this version is laid out differently" in caplog.text
    assert not hasattr(base.SyncAPIClient.request, "__wrapped__")


def test_an_unknown_integration_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no integration called 'opnai'; known: auto, openai, anthropic"):
        aicost.instrument("opnai")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exporter": "otpl"}, r"setting exporter: Input should be 'otlp', 'console' or 'none' \(got 'otpl'\)"),
        ({"attribution": {"tenant": "x"}}, r"unknown attribution key 'tenant'"),
    ],
)
def test_a_bad_setting_fails_at_start_up(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, TypeError), match=message):
        aicost.init("svc", **arguments)


def test_a_bad_rate_card_fails_at_start_up(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(document(rate("input", "1"), rate("input", "2"))))
    with pytest.raises(RateCardError, match="overlapping rates"):
        aicost.init("svc", rate_card=path)


def test_a_ledger_that_cannot_be_opened_is_logged_and_the_application_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    handle = aicost.init("svc", ledger="/proc/aicost/l.sqlite", exporter="none")
    assert handle.ledger is None
    assert "cannot open ledger /proc/aicost/l.sqlite" in caplog.text
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1})


def test_arguments_beat_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aicost.toml").write_text('service_name = "file"\nmetric_attributes = ["team"]\nexporter = "console"\n')
    monkeypatch.setenv("AICOST_EXPORTER", "none")
    monkeypatch.setenv("AICOST_METRIC_ATTRIBUTES", "tenant_id, team")
    settings = load(service_name="argument")
    assert (settings.service_name, settings.exporter) == ("argument", "none")
    assert settings.metric_attributes == ("tenant_id", "team")


@pytest.mark.parametrize(
    ("said", "path"), [("false", None), ("0", None), ("", None), ("true", "ledger.sqlite"), ("/x/y.sqlite", "y.sqlite")]
)
def test_the_ledger_may_be_a_path_or_a_switch(monkeypatch: pytest.MonkeyPatch, said: str, path: str | None) -> None:
    monkeypatch.setenv("AICOST_LEDGER", said)
    found = load().ledger
    assert (found.name if found else None) == path


def test_a_misspelt_setting_in_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aicost.toml").write_text('serivce_name = "x"\n')
    with pytest.raises(ConfigError, match="setting serivce_name: Extra inputs are not permitted"):
        load()


@pytest.mark.parametrize(
    ("said", "charges"),
    [
        ({"response_id": "r-1"}, 2),  # an id may be repeated by whoever gives it
        ({"response_id": "r-1", "idempotency_key": "k"}, 1),
        ({"idempotency_key": "k"}, 1),
        ({}, 2),
    ],
)
def test_recorded_usage_is_a_call_like_any_other(app: App, said: dict[str, str], charges: int) -> None:
    with aicost.run_scope("w", tenant_id="t") as run:
        for _ in range(2):
            aicost.record_usage(
                provider="openai", model="gpt-4o", operation="chat", usage={"input": 100, "output": 10}, **said
            )
    assert run.cost == app.ledger_total() == charges * Decimal("0.00035")
    assert run.calls == charges
    assert sum(app.metrics()["aicost.cost"].values()) == pytest.approx(charges * 0.00035)
    ids = {span["aicost.event.id"] for span in app.inferences}
    assert ids == {charge.event_id for charge in app.charges()}


def test_an_outcome_recorded_twice_with_one_key_counts_once(app: App) -> None:
    for key in ("k", "k", "other", None, None):
        aicost.record_outcome("document", idempotency_key=key)
    aicost.flush()
    with sqlite3.connect(app.ledger_path) as db:
        assert db.execute("SELECT SUM(count) FROM outcomes").fetchone() == (4,)


def test_quantities_that_are_none_are_left_out_and_flagged(app: App, caplog: pytest.LogCaptureFixture) -> None:
    aicost.record_usage(
        provider="openai", model="gpt-4o", operation="chat", usage={"input": 5, "output": -1, "pages": 1.5}
    )  # type: ignore[dict-item]
    found = app.inference
    assert found["aicost.cost.status"] == "partial"
    assert set(found["aicost.usage.flags"]) == {"invalid_count:output", "invalid_count:pages"}
    assert "not a count of at least 0" in caplog.text


@pytest.mark.parametrize(
    ("usage", "status", "amount", "flags"),
    [
        ({"input": 1000, "output": None}, "partial", "0.0025", ["missing_count:output"]),
        ({"input": 1000, "output": "many"}, "partial", "0.0025", ["invalid_count:output"]),
        ({"input": "1000", "output": Decimal(100)}, "priced", "0.0035", []),
        ({"input": Decimal("NaN"), "output": 100}, "partial", "0.001", ["invalid_count:input"]),
        ({"input": True, "output": 10**400}, "unpriced", None, ["invalid_count:input", "invalid_count:output"]),
        ({7: 1, "input": 1000}, "partial", "0.0025", []),
        ({"input": 0}, "priced", "0", []),
        (None, "unpriced", None, []),
        ([1], "unpriced", None, []),
    ],
    ids=str,
)
def test_what_is_recorded_is_never_lost(
    app: App, usage: Any, status: str, amount: str | None, flags: list[str]
) -> None:
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage=usage)
    [charge] = app.charges()
    assert charge.charge_status == status
    assert (None if amount is None else Decimal(amount)) == (None if status == "unpriced" else app.ledger_total())
    assert list(app.inference.get("aicost.usage.flags", ())) == flags


def test_outcomes_are_kept_with_their_run_and_owner(app: App) -> None:
    import sqlite3

    with aicost.run_scope("w", tenant_id="t") as run:
        aicost.record_outcome("document", count=3, value="74.70", unit="USD")
    aicost.flush()
    with sqlite3.connect(app.ledger_path) as db:
        rows = db.execute("SELECT id, name, count, run_id, attribution, value, unit FROM outcomes").fetchall()
    assert [row[1:] for row in rows] == [("document", 3, bytes.fromhex(run.id), '{"tenant_id": "t"}', "74.7", "USD")]
    (span,) = app.spans
    (event,) = span.events
    said = dict(event.attributes or {})
    assert bytes.fromhex(str(said.pop("aicost.outcome.id"))) == rows[0][0]
    assert (event.name, said) == (
        "aicost.outcome",
        {
            "aicost.outcome.name": "document",
            "aicost.outcome.count": 3,
            "aicost.outcome.value": "74.7",
            "aicost.outcome.unit": "USD",
            "aicost.run.id": run.id,
            "aicost.tenant.id": "t",
        },
    )


def test_price_needs_no_set_up() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 500}
    charge = aicost.price(provider="openai", model="gpt-4o", usage=usage, at=datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert charge.amount == Decimal("0.0075")
    with pytest.raises(UsageError):
        aicost.price(provider="openai", model="gpt-4o", usage={"what": 1})


def test_price_uses_the_card_in_force(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(document(rate("input", "7", 1))))
    aicost.init("svc", rate_card=path, exporter="none")
    assert aicost.price(provider="p", model="m", usage={"prompt_tokens": 2}).amount == 14


def test_a_rate_card_is_exchanged_at_once_or_not_at_all(tmp_path: Path) -> None:
    handle = aicost.init(exporter="none", ledger=tmp_path / "l.sqlite")
    new = document(rate("input", "7", 1))
    (tmp_path / "new.json").write_text(json.dumps(new))
    (tmp_path / "bad.json").write_text("{")
    asked: dict[str, Any] = {"provider": "p", "model": "m", "usage": {"prompt_tokens": 3}, "api": "chat"}
    assert aicost.price(**asked).amount is None
    assert handle.use_rate_card(tmp_path / "new.json") == "t@1"
    assert aicost.price(**asked).amount == 21
    with pytest.raises(RateCardError, match="not valid JSON"):
        handle.use_rate_card(tmp_path / "bad.json")
    assert aicost.price(**asked).amount == 21
    aicost.record_usage(provider="p", model="m", operation="chat", usage={"input": 2})
    aicost.flush()
    with LedgerReader(tmp_path / "l.sqlite") as reader:
        [row] = reader.charges()
        [line] = row.lines
        about = reader.rate(row.rate_card, line.rate_id)
    assert (row.rate_card, about["source"]) == ("t@1", "the price list")
    assert handle.use_rate_card(None).startswith("bundled@")


def test_opentelemetry_s_own_launcher_finds_the_wrappers() -> None:
    from importlib.metadata import entry_points

    found = {
        point.name: point.load()
        for point in entry_points(group="opentelemetry_instrumentor")
        if point.name.startswith("aicost")
    }
    assert sorted(cls.name for cls in found.values()) == sorted(integrations.INTEGRATIONS)


def test_every_public_name_is_there_and_documented() -> None:
    for name in aicost.__all__:
        assert getattr(aicost, name) is not None
        if name != "__version__":
            assert (getattr(aicost, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = aicost.nothing  # type: ignore[attr-defined]


HASTY = """
import sys
import aicost

aicost.init("s", exporter="otlp", ledger=sys.argv[1])
aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1})
"""


def test_a_silent_backend_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        command = [sys.executable, "-c", HASTY, str(tmp_path / "l.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    with LedgerReader(tmp_path / "l.sqlite") as ledger:
        assert ledger.answer(Query())[0].calls == 1


def _openai_alone() -> None:
    """As `opentelemetry-instrument` turns a client on."""
    from aicost.integrations.clients.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()


ORDERS = {
    "instrument, init": "I N",
    "instrument with a provider, init": "P N",
    "entry point, init": "E N",
    "entry point with another's ledger, init": "L E N",
    "init, instrument": "N I",
    "init, instrument with a provider": "N P",
    "init, instrument with one provider and another": "N Q P",
    "init, entry point": "N E",
    "instrument, uninstrument, init": "I U N",
    "init, uninstrument, instrument with a provider": "N U P",
    "init, shutdown, init": "O S N",
    "instrument, init, shutdown, init": "I O S N",
    "instrument with a provider, init, instrument with a provider": "Q N P",
}
"""N init with the ledger that counts, O with another, P instrument with the provider that counts, Q with another."""


@pytest.mark.parametrize("steps", ORDERS.values(), ids=ORDERS)
def test_each_call_is_recorded_once_where_it_was_asked_for_last(
    steps: str, tmp_path: Path, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    openai = pytest.importorskip("openai")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    seen = {name: InMemorySpanExporter() for name in "PQG"}
    providers = {name: TracerProvider() for name in "PQ"}
    for name, provider in providers.items():
        provider.add_span_processor(SimpleSpanProcessor(seen[name]))
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(seen["G"]))  # type: ignore[attr-defined]
    client = openai.OpenAI(base_url=emulator.openai_base_url, api_key="x")

    def ask() -> None:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])

    do: dict[str, Any] = {
        "N": lambda: aicost.init("svc", ledger=tmp_path / "asked-for.sqlite", capture_content=True, exporter="none"),
        "O": lambda: aicost.init("svc", ledger=tmp_path / "other.sqlite", exporter="none"),
        "L": lambda: monkeypatch.setenv("AICOST_LEDGER", str(tmp_path / "other.sqlite")),
        "I": lambda: aicost.instrument("openai"),
        "P": lambda: aicost.instrument("openai", tracer_provider=providers["P"]),
        "Q": lambda: aicost.instrument("openai", tracer_provider=providers["Q"]),
        "E": _openai_alone,
        "U": aicost.uninstrument,
        "S": aicost.shutdown,
    }
    *before, last = steps.split()
    for step in before:
        do[step]()
        ask()
    do[last]()
    for exporter in seen.values():
        exporter.clear()
    asked = len(emulator.bill.calls)
    with LedgerReader(tmp_path / "asked-for.sqlite") as ledger:
        kept = len(ledger.charges())
    with aicost.run_scope("w") as run:
        ask()
    assert len(emulator.bill.calls) == asked + 1
    assert run.calls == 1
    aicost.flush()
    with LedgerReader(tmp_path / "asked-for.sqlite") as ledger:
        assert len(ledger.charges()) == kept + 1
    found = {name: exporter.get_finished_spans() for name, exporter in seen.items()}
    where = "P" if last == "P" else "G"
    assert {name: len(spans) for name, spans in found.items()} == {**dict.fromkeys("PQG", 0), where: 2}
    assert "gen_ai.input.messages" in (found[where][0].attributes or {})
    assert {(span.attributes or {}).get("aicost.run.id") for span in found[where]} == {run.id}


def test_metrics_go_on_after_the_pipeline_was_set_up_again(tmp_path: Path) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    for number in range(3):
        aicost.instrument("openai", meter_provider=meters)
        aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 100})
        data = reader.get_metrics_data()
        assert data is not None
        points = {m.name: m.data.data_points for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
        assert [point.value for point in points["aicost.request.attempts"]] == [number + 1]
        aicost.shutdown()


def test_spans_of_others_are_counted_in_the_ledger_asked_for_last(tmp_path: Path) -> None:
    from opentelemetry import trace

    aicost.instrument("openai")
    aicost.init(ledger=tmp_path / "one.sqlite", exporter="none")
    aicost.shutdown()
    aicost.init(ledger=tmp_path / "two.sqlite", exporter="none")
    said = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    used = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 1}
    trace.get_tracer("somebody").start_span("chat gpt-4o", attributes={**said, **used}).end()
    aicost.flush()
    counts = []
    for name in ("one", "two"):
        with LedgerReader(tmp_path / f"{name}.sqlite") as ledger:
            counts.append(len(ledger.charges()))
    assert counts == [0, 1]


@pytest.mark.parametrize("count", [-1, 2**70, 1.5, "3", None, True])
def test_an_outcome_that_is_no_count_is_left_out_and_said(
    app: App, count: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with aicost.run_scope("w"):
        aicost.record_outcome("document", count=count)
        aicost.record_outcome("document")
    aicost.flush()
    with sqlite3.connect(app.ledger_path) as db:
        assert db.execute("SELECT SUM(count) FROM outcomes").fetchone() == (1,)
    assert "left out" in caplog.text


class FloatOfALibrary(float):
    """As numpy's are: its `repr` is no number."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"


@pytest.mark.parametrize(
    ("value", "unit", "kept"),
    [
        (7, "USD", ("7", "USD")),
        (0, "tickets saved", ("0", "tickets saved")),
        (Decimal("74.70"), "EUR", ("74.7", "EUR")),
        ("0.000000000000000001", "USD", ("0.000000000000000001", "USD")),
        ("1e3", "USD", ("1000", "USD")),
        (0.1, "USD", ("0.1", "USD")),
        (FloatOfALibrary(0.1), "USD", ("0.1", "USD")),
        (10**12, "IDR", ("1000000000000", "IDR")),
        (10**12 + 1, "IDR", (None, None)),
        (-1, "USD", (None, None)),
        (True, "USD", (None, None)),
        ("NaN", "USD", (None, None)),
        (float("inf"), "USD", (None, None)),
        ("1e999999999", "USD", (None, None)),
        ("1e-999999999", "USD", (None, None)),
        ("much", "USD", (None, None)),
        (object(), "USD", (None, None)),
        (7, None, (None, None)),
        (7, "", (None, None)),
        (None, "USD", (None, None)),
    ],
    ids=repr,
)
def test_what_outcomes_are_worth_is_kept_exactly_or_left_out_and_said(
    app: App, value: Any, unit: Any, kept: tuple[str | None, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    with aicost.run_scope("w"):
        aicost.record_outcome("ticket", 3, value=value, unit=unit)
    aicost.flush()
    with sqlite3.connect(app.ledger_path) as db:
        assert db.execute("SELECT count, value, unit FROM outcomes").fetchall() == [(3, *kept)]
    said = dict(app.spans[0].events[0].attributes or {})
    assert (said.get("aicost.outcome.value"), said.get("aicost.outcome.unit")) == kept
    assert ("left out what it is worth" in caplog.text) == (kept == (None, None))
