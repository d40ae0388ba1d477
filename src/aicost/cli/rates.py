"""`aicost rates`: look at rate cards, check and compare them."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from aicost._errors import RateCardError
from aicost._wellformed import printable
from aicost.pricing._text import price_text
from aicost.pricing.card import RateCard
from aicost.pricing.diff import differences
from aicost.pricing.lint import findings
from aicost.pricing.models import ModelRates
from aicost.pricing.rates import Rate, in_force
from aicost.reports.tables import KEY_WIDTH, Column, print_table
from aicost.usage.providers import canonical_provider

from ._options import card_in_force, console, json_option, print_json, rate_card_option, wide_option
from .rates_export import export_rates
from .rates_import import import_lists, refresh


@click.group("rates")
def command() -> None:
    """List, show, validate, compare and import rates."""


command.add_command(export_rates)
command.add_command(import_lists)
command.add_command(refresh)


@command.command("list")
@click.option("--provider", help="Only this provider.")
@rate_card_option
@json_option
@wide_option
def list_models(provider: str | None, rate_card: Path | None, as_json: bool, wide: bool) -> None:
    """List the models of a card."""
    card = card_in_force(rate_card)
    wanted = None if provider is None else canonical_provider(provider)
    models = [model for model in card.models() if wanted in (None, model.provider)]
    if as_json:
        rows = [{"provider": m.provider, "model": m.name, "meters": sorted(m.rates)} for m in models]
        print_json({"rate_card": card.key, "models": rows})
        return
    names = (Column("provider", folds_at=8), Column("model", folds_at=KEY_WIDTH))
    columns = (*names, Column("input"), Column("cached", 1), Column("output"))
    prices = [
        (m.provider, m.name, *(_now(m, meter) for meter in ("input", "input_cache_read", "output"))) for m in models
    ]
    print_table(console(wide), f"{card.key}: prices now, per million", columns, prices)


@command.command("show")
@click.argument("provider")
@click.argument("model")
@rate_card_option
@json_option
@wide_option
def show(provider: str, model: str, rate_card: Path | None, as_json: bool, wide: bool) -> None:
    """Show every rate of a model, with conditions, dates and sources."""
    card = card_in_force(rate_card)
    found = card.find(provider, model)
    if found is None:
        raise RateCardError(f"{card.key} has no model {model!r} of {provider!r}; `aicost rates list` shows what it has")
    rates = [rate for every in found.rates.values() for rate in every]
    if as_json:
        modifiers = [
            {"id": m.id, "multiply": str(m.factor), "when": _axes(m.axes), "meters": sorted(m.meters)}
            for m in found.modifiers
        ]
        print_json(
            {"rate_card": card.key, "model": found.name, "rates": [_rate(r) for r in rates], "modifiers": modifiers}
        )
        return
    price = (Column("rate", folds_at=KEY_WIDTH), Column("price"), Column("per"))
    columns = (*price, Column("source", 3, KEY_WIDTH), Column("checked", 1), Column("attested from", 2))
    name = f"{found.provider}/{found.name}"
    rows = [
        (
            r.id.removeprefix(f"{name}/"),
            f"{price_text(r.price)} {r.currency}",
            f"{r.per:,}",
            *(said or "-" for said in (r.source, r.checked, r.attested)),
        )
        for r in rates
    ]
    out = console(wide)
    print_table(out, f"{name} in {card.key}", columns, rows)
    for modifier in found.modifiers:
        meters = ", ".join(sorted(modifier.meters))
        out.print(printable(f"x {modifier.factor} when {_axes(modifier.axes)}: {meters}"), markup=False)


@command.command("validate")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def validate(path: Path, as_json: bool) -> None:
    """Check a rate card, a file or a folder.

    What makes it unusable (its shape, overlapping or ambiguous rates, mixed currencies) is an error. What is only odd
    is listed, and the exit status is 1: gaps in dates, prices 1,000 times off their neighbours, names that match
    nothing, missing or old sources.
    """
    card = RateCard.load(path)
    own = [model for name in card.providers() for model in (card.provider(name) or {}).get("models", ())]
    count = sum(len(model.get("rates", ())) for model in own)
    found = list(findings(card, now_ns=time.time_ns()))
    if as_json:
        print_json({"rate_card": card.key, "models": len(own), "rates": count, "findings": [asdict(f) for f in found]})
    else:
        click.echo(f"{path}: {card.key} can be used: {len(own)} models, {count} rates")
        for finding in found:
            click.echo(printable(f"{finding.kind}: {finding.where}: {finding.problem}"))
    if found:
        sys.exit(1)


@command.command("diff")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option
@wide_option
def diff(before: Path, after: Path, as_json: bool, wide: bool) -> None:
    """Show what changed from one card to another; `bundled` is the one that comes with aicost."""
    cards = [RateCard.bundled() if str(path) == "bundled" else RateCard.load(path) for path in (before, after)]
    found = list(differences(*cards))
    if as_json:
        rows = [asdict(difference) for difference in found]
        print_json({"before": cards[0].key, "after": cards[1].key, "differences": rows})
        return
    names = (Column("provider", 1, 8), Column("model", folds_at=KEY_WIDTH), Column("what", folds_at=KEY_WIDTH))
    columns = (*names, Column("before"), Column("after"))
    changes = [(one.provider, one.model, one.what, one.before or "-", one.after or "-") for one in found]
    print_table(console(wide), f"{cards[0].key} to {cards[1].key}", columns, changes)


def _now(model: ModelRates, meter: str) -> str:
    plain = [r for r in model.rates.get(meter, ()) if not r.axes and r.context is None and in_force(r, time.time_ns())]
    return price_text(plain[0].price) if plain and plain[0].per == 10**6 else "-"


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "id": rate.id,
        "meter": rate.meter,
        "price": price_text(rate.price),
        "per": rate.per,
        "currency": rate.currency,
        "source": rate.source,
        "checked": rate.checked,
        "attested_from": rate.attested,
        "estimated_before": rate.attested_from,
        "note": rate.note,
    }


def _axes(axes: Any) -> dict[str, list[str]]:
    return {axis: sorted(values) for axis, values in axes.items()}
