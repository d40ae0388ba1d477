"""Running the demo: the agent, the emulated providers, an OTLP receiver and a ledger, and then the accounts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai

import aicost
from aicost._errors import ConfigError
from aicost._ledger_url import LedgerUrl
from aicost._money import to_decimal
from aicost.reports.report_data import to_json
from aicost.reports.summary import Report, ReportRequest, build_report
from aicost.testing.emulator import ProviderEmulator
from aicost.testing.receiver import OtlpReceiver

from .agent import Clients, Task, answer
from .scene import TASKS, write_script

BY = ("tenant", "feature", "step", "agent", "model")
CLIENT_TIMEOUT_S = 2.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The accounts of a demo run. `bill` and `unseen` are the provider's own, None when it ran live."""

    report: Report
    """By all of `BY` at once."""
    tables: tuple[Report, ...]
    """By each of them, for people."""
    ledger: Path | LedgerUrl
    ledger_total: Decimal
    bill: Decimal | None
    unseen: Decimal | None
    spans_received: int | None
    run_ids: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        """Whether the ledger and what nobody could see make up the provider's bill, to the last digit."""
        return self.bill is None or (self.unseen is not None and self.ledger_total + self.unseen == self.bill)


def run_emulated(ledger: Path | LedgerUrl, progress: Progress) -> DemoResult:
    """Run against emulated providers on loopback, and compare the ledger with their true bill."""
    with ProviderEmulator() as emulator, OtlpReceiver() as receiver, _exporting_to(receiver.http_endpoint):
        write_script(emulator)
        clients = Clients(
            openai.AsyncOpenAI(base_url=emulator.openai_base_url, api_key="demo", timeout=CLIENT_TIMEOUT_S),
            anthropic.AsyncAnthropic(base_url=emulator.anthropic_base_url, api_key="demo", timeout=CLIENT_TIMEOUT_S),
        )
        run_ids = _run(clients, ledger, "otlp", progress)
        bill = emulator.bill
        return _accounts(ledger, run_ids, bill.total.normalize(), bill.unseen.normalize(), len(receiver.spans))


@contextmanager
def _exporting_to(endpoint: str) -> Iterator[None]:
    """Have OpenTelemetry export there, in this block: it is told by variables."""
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_live(ledger: Path | LedgerUrl, progress: Progress) -> DemoResult:
    """Run against the real APIs. Raises `ConfigError` when a key is missing. This costs a few cents."""
    missing = [name for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY") if not os.environ.get(name)]
    if missing:
        raise ConfigError(f"--live needs {' and '.join(missing)} in the environment; without --live no key is needed")
    clients = Clients(openai.AsyncOpenAI(), anthropic.AsyncAnthropic())
    return _accounts(ledger, _run(clients, ledger, None, progress), None, None, None)


def demo_json(result: DemoResult) -> dict[str, Any]:
    """The accounts as one JSON object; amounts are exact decimal strings."""
    report = to_json(result.report)
    totals = report["totals"][0]
    return {
        "ledger_total": format(result.ledger_total, "f"),
        "unseen": None if result.unseen is None else format(result.unseen, "f"),
        "provider_bill": None if result.bill is None else format(result.bill, "f"),
        "balanced": result.balanced,
        "possibly_billed": totals["possibly_billed"],
        "calls": totals["calls"],
        "attempts": totals["attempts"],
        "retries": totals["retries"],
        "wasted": totals["wasted"],
        "unpriced": totals["unpriced"],
        "rows": report["rows"],
        "spans_received": result.spans_received,
        "runs": list(result.run_ids),
        "ledger": str(result.ledger),
    }


def _run(clients: Clients, ledger: Path | LedgerUrl, exporter: str | None, progress: Progress) -> tuple[str, ...]:
    given = ledger if isinstance(ledger, Path) else ledger.secret
    aicost.init("aicost-demo", attribution={"team": "support"}, exporter=exporter, ledger=given)
    try:
        return asyncio.run(_answer_all(clients, progress))
    finally:
        aicost.shutdown()


async def _answer_all(clients: Clients, progress: Progress) -> tuple[str, ...]:
    async def one(task: Task) -> str:
        with aicost.run_scope(
            "support_request", tenant_id=task.tenant_id, feature_id=task.feature_id, plan_tier="pro"
        ) as run:
            await answer(clients, task)
            aicost.record_outcome("answer")
            progress(
                f"{task.tenant_id} / {task.feature_id}: answered in {run.calls} calls"
                f"{f', {run.retries} retried' if run.retries else ''}, {run.cost} USD so far"
                f"{f', of which {run.waste} wasted' if run.waste else ''}"
            )
            return run.id

    try:
        return tuple(await asyncio.gather(*(one(task) for task in TASKS)))
    finally:
        await clients.openai.close()
        await clients.anthropic.close()


def _accounts(
    ledger: Path | LedgerUrl, run_ids: tuple[str, ...], bill: Decimal | None, unseen: Decimal | None, spans: int | None
) -> DemoResult:
    report = build_report(ledger, ReportRequest(BY))
    tables = tuple(build_report(ledger, ReportRequest((name,))) for name in BY)
    total = to_decimal(sum(line.sums.atto for line in report.totals))
    return DemoResult(report, tables, ledger, total, bill, unseen, spans, run_ids)
