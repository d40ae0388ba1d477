"""Explaining an amount: run -> steps -> calls -> attempts -> lines, each down to rate, source and date."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.tree import Tree

from aicost.ledger.query import Filter, LedgerReader
from aicost.ledger.rows import NANO

from .money import exact

_IN_WORDS = {
    "usage_not_received": "the provider may have billed this attempt; its usage never came back",
    "usage_not_reported": "the provider billed this call but did not report its usage",
    "usage_incomplete": "the stream was cut before its final usage: the amount covers what is known",
    "unknown_model": "the rate card has no such model",
    "no_rate": "the rate card has no rate for some of the usage",
    "usage_suspect": "the usage contradicts itself",
}


def explain(path: str | Path, identifier: str) -> dict[str, Any]:
    """Everything behind a run, a span or an event, as JSON data: totals and one entry per attempt with its lines.

    `identifier` may be the start of an id. Raises `LedgerError` when it names nothing, or several things.
    """
    with LedgerReader(path) as ledger:
        kind, full = ledger.resolve(identifier)
        if kind == "run":
            runs = ledger.runs(full)
            ids = [row["run_id"] for row in runs] or [full]
            charges = [charge for run_id in ids for charge in ledger.charges(Filter(run_id=run_id))]
            steps = {row["step_id"]: row for row in ledger.steps(ids)}
        else:
            charges = ledger.charges(Filter(span_id=full) if kind == "span" else Filter(event_id=full))
            steps = {row["step_id"]: row for row in ledger.steps(sorted({c["run_id"] for c in charges}))}
        lines = ledger.lines([charge["event_id"] for charge in charges])
    return {
        "kind": kind,
        "id": full,
        "totals": _totals(charges),
        "attempts": [_attempt(charge, lines[charge["event_id"]], steps) for charge in charges],
    }


def render(explained: dict[str, Any], console: Console) -> None:
    """Print an explanation as a tree."""
    totals = ", ".join(f"{amount} {currency}" for currency, amount in explained["totals"].items()) or "nothing"
    tree = Tree(f"[bold]{explained['kind']} {explained['id']}[/bold] = {totals}")
    nodes: dict[tuple[str, ...], Tree] = {}
    for attempt in explained["attempts"]:
        parent = tree
        for depth in range(1, len(attempt["path"]) + 1):
            path = tuple(attempt["path"][:depth])
            if path not in nodes:
                nodes[path] = parent.add(path[-1])
            parent = nodes[path]
        _render_attempt(attempt, parent)
    console.print(tree, highlight=False)


def _render_attempt(attempt: dict[str, Any], parent: Tree) -> None:
    amount = "?" if attempt["amount"] is None else f"{attempt['amount']} {attempt['currency']}"
    said = [f"{attempt['operation']} {attempt['model']}"]
    if attempt["attempt"] > 1 or attempt["status"] == "retry":
        said.append(f"attempt {attempt['attempt']}")
    if attempt["status"] != "success":
        said.append(f"[yellow]{attempt['status']}[/yellow] {attempt['error_type'] or ''}".rstrip())
    if attempt["billed"] != "yes":
        said.append({"no": "not billed", "possibly": "[yellow]possibly billed[/yellow]"}[attempt["billed"]])
    node = parent.add(f"{' · '.join(said)} = [bold]{amount}[/bold]  [dim]{attempt['event_id']}[/dim]")
    if attempt["reason"]:
        node.add(f"[yellow]{attempt['reason']}[/yellow]: {attempt['in_words']}")
    for line in attempt["lines"]:
        if line["amount"] is None:
            node.add(f"{line['meter']}: {line['quantity']} x ? = ?")
            continue
        where = f"{line['rate_id']}  {attempt['rate_card']}"
        if line["source"]:
            where += f"  {line['source']} (checked {line['checked']})"
        node.add(
            f"{line['meter']}: {line['quantity']} x {line['unit_price']} / {line['per']:,} = {line['amount']}"
            f"  [dim]{where}[/dim]"
        )


def _totals(charges: Iterable[sqlite3.Row]) -> dict[str, str]:
    sums: dict[str, int] = {}
    for charge in charges:
        atto = _atto(charge)
        if atto is not None:
            sums[charge["currency"]] = sums.get(charge["currency"], 0) + atto
    return {currency: exact(atto) or "0" for currency, atto in sums.items()}


def _attempt(charge: sqlite3.Row, lines: Sequence[sqlite3.Row], steps: dict[str, sqlite3.Row]) -> dict[str, Any]:
    names = ("event_id", "span_id", "trace_id", "run_id", "provider", "model", "operation", "service_tier")
    more = ("status", "billed", "error_type", "attempt", "charge_status", "reason", "currency", "rate_card")
    reason = charge["reason"]
    return {
        **{name: charge[name] for name in (*names, *more)},
        "path": _path(charge, steps),
        "amount": exact(_atto(charge)),
        "in_words": _IN_WORDS.get((reason or "").partition(":")[0], "") if reason else None,
        "lines": [_line(row) for row in lines],
    }


def _path(charge: sqlite3.Row, steps: dict[str, sqlite3.Row]) -> list[str]:
    """The names of the workflow and the steps around a charge, outermost first."""
    names: list[str] = []
    step = steps.get(charge["step_id"])
    while step is not None:
        failed = " [red](failed: what it spent is waste)[/red]" if step["status"] == "failed" else ""
        names.append(f"{step['kind']} {step['name']} [dim]{step['step_id'][:8]}[/dim]{failed}")
        step = steps.get(step["parent_step_id"])
    return [f"workflow {charge['workflow']}" if charge["workflow"] else "(no run scope)", *reversed(names)]


def _line(row: sqlite3.Row) -> dict[str, Any]:
    about = json.loads(row["about"]) if row["about"] else {}
    return {
        "meter": row["meter"],
        "quantity": row["quantity"],
        "unit_price": row["unit_price"],
        "per": row["per"],
        "amount": exact(_atto(row)),
        "rate_id": row["rate_id"],
        "source": about.get("source"),
        "checked": about.get("checked"),
    }


def _atto(row: sqlite3.Row) -> int | None:
    return None if row["nano"] is None else row["nano"] * NANO + row["atto_rest"]
