"""Explaining an amount: run -> steps -> calls -> attempts -> lines, each down to rate, source and date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.tree import Tree

from aicost._ledger_url import LedgerUrl
from aicost.ledger.answers import EntryRow, RunRow, StepRow
from aicost.ledger.query import Filter
from aicost.ledger.reader import LedgerReader
from aicost.ledger.records import ChargeRecord
from aicost.pricing.charge import ChargeLine

from .amounts import exact
from .tables import plain

_IN_WORDS = {
    "usage_not_received": "the provider may have billed this attempt; its usage never came back",
    "usage_not_reported": "the provider billed this call but did not report its usage",
    "usage_incomplete": "a part of what was used is not known: a stream was cut, or a count was none",
    "unknown_model": "the rate card has no such model",
    "no_rate": "the rate card has no rate for some of the usage",
    "no_fx": "some rates are in another currency and the rate card has no exchange rate for it",
    "invalid_quantity": "some of the usage is no number that can be priced",
    "implausible_amount": "it comes to more than a billion, which no single event costs: the amount is not known",
    "invalid_provider_cost": "the provider stated a cost that is no amount: the rate card's price stands in for it",
    "provider_cost_zero": "the provider stated a cost of 0 for usage that is not free: the rate card's price stands in",
    "price_before_attested": "some prices are known to have been others at that time, and not which",
    "assumed_model": "the rate card has no model of the answer's name: priced as the one that was asked for",
    "usage_suspect": "the usage contradicts itself",
}
_OTHER_CARD = "the process that made the call priced it with {}, which the collector that wrote this did not have"


def explain(path: str | Path | LedgerUrl, identifier: str) -> dict[str, Any]:
    """Everything behind a run, a span, an event or an entry, as JSON data: totals and one item per attempt.

    Each attempt has the `path` of runs and steps it was made in, outermost first, its `lines`, and as `history` all its
    entries where what was entered first turned out otherwise. An amount is null when it is not known; a total is null
    when no part of it is, and a lower bound where `unknown` has its currency: it says how many attempts are `unpriced`,
    `partial` or `possibly_billed`. `identifier` may be the start of an id. Raises `LedgerError` when it names nothing,
    or several things.
    """
    with LedgerReader(path) as ledger:
        kind, full = ledger.resolve(identifier)
        if kind == "run":
            ids = list(dict.fromkeys([full, *(run.run_id for run in ledger.runs(full))]))
            charges = [charge for run_id in ids for charge in ledger.charges(Filter(run_id=run_id))]
        else:
            charges = ledger.charges(Filter(span_id=full) if kind == "span" else Filter(event_id=full))
            ids = sorted({charge.run_id for charge in charges if charge.run_id is not None})
        runs = {run.run_id: run for run_id in ids for run in ledger.runs(run_id)}
        steps = {step.step_id: step for step in ledger.steps(ids)}
        return {
            "kind": kind,
            "id": full,
            "totals": _totals(charges),
            "unknown": _unknown(charges),
            "attempts": [_attempt(charge, ledger, runs, steps) for charge in charges],
        }


def render(explained: Mapping[str, Any], console: Console) -> None:
    """Print an explanation as a tree."""
    unknown = explained["unknown"]
    amounts = [_total_text(amount, currency, currency in unknown) for currency, amount in explained["totals"].items()]
    said = ", ".join(amounts) or "no calls"
    if unknown:
        counts = {kind: sum(of[kind] for of in unknown.values()) for kind in _UNKNOWN}
        count = sum(counts.values())
        parts = ", ".join(f"{n:,} {_UNKNOWN[kind]}" for kind, n in counts.items() if n)
        said += f"; [yellow]{count:,} attempt{'' if count == 1 else 's'} unknown[/yellow] ({parts})"
    tree = Tree(f"[bold]{explained['kind']} {plain(explained['id'])}[/bold] = {said}")
    nodes: dict[tuple[str, ...], Tree] = {}
    for call in _calls(explained["attempts"]):
        parent, ids = tree, tuple[str, ...]()
        for scope in call[0]["path"]:
            ids += (scope["kind"] + (scope["id"] or ""),)
            if ids not in nodes:
                nodes[ids] = parent.add(_scope_text(scope))
            parent = nodes[ids]
        if len(call) > 1:
            parent = parent.add(plain(f"{call[-1]['operation']} {call[-1]['model']}, {len(call)} attempts"))
        for attempt in call:
            _render_attempt(attempt, parent)
    before = console.width
    # A terminal folds lines between words; deep inside a tree no number would be whole.
    console.width = max(before, _GUIDE * (2 + max(map(len, nodes), default=0) + 1) + _LEAST_ROOM)
    console.print(tree, highlight=False)
    console.width = before


_GUIDE = 4
"""Columns that each level of a tree is set in."""
_LEAST_ROOM = 48
"""Columns for what a node says: the longest amount and its currency, and then some."""


def _total_text(amount: str | None, currency: str, is_lower_bound: bool) -> str:
    if amount is None:
        return f"? {currency}"
    return f"{'at least ' if is_lower_bound else ''}{amount} {currency}"


def _calls(attempts: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Attempts of the same call together: they share its span."""
    calls: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    for attempt in attempts:
        calls.setdefault((attempt["trace_id"], attempt["span_id"] or attempt["event_id"]), []).append(attempt)
    return list(calls.values())


def _scope_text(scope: Mapping[str, Any]) -> str:
    if scope["id"] is None:
        return plain(scope["name"])
    failed = " [red](failed: what it spent is waste)[/red]" if scope["status"] == "failed" else ""
    return f"{scope['kind']} {plain(scope['name'])} [dim]{plain(scope['id'][:8])}[/dim]{failed}"


def _render_attempt(attempt: Mapping[str, Any], parent: Tree) -> None:
    amount = "?" if attempt["amount"] is None else f"{attempt['amount']} {attempt['currency']}"
    said = [plain(f"{attempt['operation']} {attempt['model']}")]
    if attempt["attempt"] > 1 or attempt["status"] == "retry":
        said.append(f"attempt {attempt['attempt']}")
    if attempt["status"] != "success":
        said.append(f"[yellow]{attempt['status']}[/yellow] {plain(attempt['error_type'] or '')}".rstrip())
    if attempt["billed"] != "yes":
        said.append({"no": "not billed", "possibly": "[yellow]possibly billed[/yellow]"}[attempt["billed"]])
    if attempt["at_most"] is not None:
        said.append(f"at most {attempt['at_most']} {attempt['currency']}")
    if attempt["charge_status"] in {"estimated", "provider_reported"}:
        said.append("as the provider reported" if attempt["charge_status"] == "provider_reported" else "estimated")
    node = parent.add(f"{' · '.join(said)} = [bold]{amount}[/bold]  [dim]{plain(attempt['event_id'])}[/dim]")
    if attempt["reason"]:
        node.add(f"[yellow]{plain(attempt['reason'])}[/yellow]: {attempt['in_words']}")
    if attempt["charge_status"] == "provider_reported" and attempt["computed"] is not None:
        node.add(f"the rate card alone says {attempt['computed']}; its lines are not added up")
    if attempt["lines_reason"]:
        node.add(f"[yellow]{attempt['lines_reason']}[/yellow]: {_OTHER_CARD.format(plain(str(attempt['rate_card'])))}")
    for line in attempt["lines"]:
        node.add(_line_text(line, attempt["rate_card"]))
    if attempt["history"]:
        entries = node.add("[dim]entered, corrected, and entered anew:[/dim]")
        for entry in attempt["history"]:
            amount = "?" if entry["amount"] is None else f"{entry['amount']} {attempt['currency']}"
            what = "entry" if entry["corrects"] is None else "reversal" if entry["n"] < 0 else "replacement"
            entries.add(f"{what} = {amount}  [dim]{entry['id']}[/dim]")


def _line_text(line: Mapping[str, Any], rate_card: str | None) -> str:
    meter = plain(line["meter"])
    if line["amount"] is None:
        return f"{meter}: {line['quantity']} x ? = ?"
    where = f"{line['rate_id']}  {rate_card}"
    if line["source"]:
        where += f"  {line['source']} (checked {line['checked']})"
        where += f" attested from {line['attested_from']}" if line["attested_from"] else ""
    said = [line[name] for name in ("modifiers", "note") if line[name]]
    where += f"  {'; '.join(said)}" if said else ""
    product = f"{line['quantity']} x {line['unit_price']} / {line['per']:,} = {line['amount']}"
    return f"{meter}: {product}  [dim]{plain(where)}[/dim]"


def _totals(charges: Iterable[ChargeRecord]) -> dict[str, str | None]:
    """The sum per currency; None where something may have been billed and nothing of it is known."""
    by_currency: dict[str, list[ChargeRecord]] = {}
    for charge in charges:
        by_currency.setdefault(charge.currency, []).append(charge)
    totals: dict[str, str | None] = {}
    for currency, found in by_currency.items():
        chargeable = [charge for charge in found if charge.chargeable != "no"]
        unknown = bool(chargeable) and all(charge.atto is None for charge in chargeable)
        totals[currency] = None if unknown else exact(sum(charge.atto or 0 for charge in found))
    return totals


_UNKNOWN = {"unpriced": "unpriced", "partial": "priced in part", "possibly_billed": "possibly billed"}


def _unknown(charges: Iterable[ChargeRecord]) -> dict[str, dict[str, int]]:
    """How many attempts are not, or not fully, known, by currency and why; only currencies that have any."""
    found: dict[str, dict[str, int]] = {}
    for charge in charges:
        kind = "possibly_billed" if charge.chargeable == "possibly" else charge.charge_status
        if kind in _UNKNOWN and charge.chargeable != "no":
            found.setdefault(charge.currency, dict.fromkeys(_UNKNOWN, 0))[kind] += 1
    return found


def _attempt(
    charge: ChargeRecord, ledger: LedgerReader, runs: Mapping[str, RunRow], steps: Mapping[str, StepRow]
) -> dict[str, Any]:
    names = ("event_id", "span_id", "trace_id", "run_id", "provider", "model", "operation", "service_tier")
    more = ("error_type", "attempt", "charge_status", "reason", "currency", "rate_card")
    reason, history = charge.reason, ledger.history(charge.event_id)
    return {
        **{name: getattr(charge, name) for name in names},
        "status": charge.status,
        "billed": charge.chargeable,
        **{name: getattr(charge, name) for name in more},
        "path": _path(charge, runs, steps),
        "amount": exact(charge.atto),
        "at_most": exact(charge.at_most_atto),
        "computed": exact(charge.computed_atto),
        "lines_reason": _lines_reason(charge),
        "in_words": _IN_WORDS.get(reason.partition(":")[0], "") if reason else None,
        "lines": [_line(line, ledger.rate(charge.rate_card, line.rate_id)) for line in charge.lines],
        "history": [] if len(history) == 1 else [_entry(one) for one in history],
    }


def _entry(entry: EntryRow) -> dict[str, Any]:
    return {"id": entry.id, "n": entry.n, "corrects": entry.corrects, "amount": exact(entry.atto)}


def _lines_reason(charge: ChargeRecord) -> str | None:
    """Why an amount is known and none of the prices it is made of."""
    known = charge.atto is not None and charge.charge_status != "provider_reported"
    lines = charge.lines
    return "other_rate_card" if known and lines and all(line.atto is None for line in lines) else None


def _path(
    charge: ChargeRecord, runs: Mapping[str, RunRow], steps: Mapping[str, StepRow]
) -> list[dict[str, str | None]]:
    """The runs and steps around a charge, outermost first."""
    found: list[dict[str, str | None]] = []
    step, seen = steps.get(charge.step_id or ""), set[str]()
    while step is not None and step.step_id not in seen:  # what spans say may go round in a circle
        seen.add(step.step_id)
        found.append({"kind": step.kind, "id": step.step_id, "name": step.name, "status": step.status})
        step = steps.get(step.parent_step_id or "")
    run = runs.get(charge.run_id or "")
    while run is not None and run.run_id not in seen:
        seen.add(run.run_id)
        found.append({"kind": "workflow", "id": run.run_id, "name": run.workflow, "status": run.status})
        run = runs.get(run.parent_run_id or "")
    if charge.run_id not in runs:
        name = f"workflow {charge.workflow}" if charge.workflow else "(no run scope)"
        found.append({"kind": "workflow", "id": None, "name": name, "status": None})
    return found[::-1]


def _line(line: ChargeLine, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "meter": line.meter,
        "quantity": str(line.quantity),
        "unit_price": line.unit_price,
        "per": line.per,
        "amount": exact(line.atto),
        "rate_id": line.rate_id,
        "source": about.get("source"),
        "checked": about.get("checked"),
        "attested_from": about.get("attested_from"),
        "modifiers": about.get("modifiers"),
        "note": about.get("note"),
    }
