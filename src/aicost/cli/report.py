"""`aicost report`: what was spent, by any dimensions, against before, and what is not known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl
from aicost.ledger.query import BREAKDOWNS, BUCKETS, METER, RUN, Bucket, Filter, check_dimension
from aicost.reports.periods import Period
from aicost.semconv.dimensions import DIMENSIONS

from ._options import (
    card_in_force,
    console,
    json_option,
    ledger_option,
    ledger_path,
    period_options,
    print_json,
    rate_card_option,
    wide_option,
)

_KEYS = {one.name: one.key for one in DIMENSIONS}


class Breakdown(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on
    """A dimension that a ledger knows, or any label."""

    name = "dimension"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is. Fails for what nobody knows, with what is near."""
        try:
            check_dimension(value)
        except LedgerError as error:
            self.fail(str(error), param, ctx)
        return value

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """All there are; click before 8.2 gives no context."""
        return f"[{'|'.join(BREAKDOWNS)}]"


class Narrowing(Breakdown):
    """`D=V`: a dimension and its value."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The dimension and the value."""
        name, is_there, wanted = value.partition("=")
        if not is_there:
            self.fail(f"{value!r} is no condition; give DIMENSION=VALUE, as in tenant=t-42", param, ctx)
        if name == METER:
            self.fail("a question cannot be narrowed to a meter; give --by meter", param, ctx)
        return super().convert(name, param, ctx), wanted

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """As it is written."""
        return "DIMENSION=VALUE"


where_option: Callable[[Any], Any] = click.option(
    "--where", "conditions", multiple=True, type=Narrowing(), help="Only this; may be repeated."
)


def narrowed(given: Iterable[tuple[str, str | None]]) -> Filter:
    """The filter of all conditions, by names or keys. An owner is asked for as an id was kept that looked personal."""
    from aicost.scopes.ids import opaque

    found: dict[str, str] = {}
    owners = set(_KEYS.values())
    for name, value in given:
        key = _KEYS.get(name, "run_id" if name == RUN else name)
        if value is None:
            continue
        if key in found and found[key] != value:
            raise click.UsageError(f"{name} cannot be {found[key]!r} and {value!r}; give one of them")
        found[key] = value
    kept: dict[str, Any] = {key: opaque(key, value) if key in owners else value for key, value in found.items()}
    return Filter(**kept)


def owner_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option to narrow the report by, for each dimension; it comes under its key."""
    options = [
        click.option(f"--{each.name.replace('_', '-')}", each.key, help=f"Only this {each.name.replace('_', ' ')}.")
        for each in DIMENSIONS
    ]
    return reduce(lambda made, option: option(made), reversed(options), command)


@click.command("report")
@click.option("--by", multiple=True, type=Breakdown(), help="Break down by; repeated, by each pair. Also label:KEY.")
@click.option("--every", type=click.Choice(BUCKETS), help="A row for each of these stretches of time, in UTC.")
@click.option(
    "--per", "per_name", metavar="UNIT", help="Divide by: request, run, completed-workflow, 1M-tokens, outcome:NAME, "
    "or a dimension."
)  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), help="Only so many rows, the dearest; the others are one more.")
@click.option("--measure", "measures", multiple=True, type=click.Choice(["runs", "latency"]), help="Show these, too.")
@click.option("--compare", type=click.Choice(["previous"]), help="With as long a time just before, and why it changed.")
@where_option
@period_options
@owner_options
@click.option("--workflow", help="Only this workflow.")
@click.option("--run", "run_id", help="Only this run.")
@click.option("--currency", help="Convert amounts, each at the exchange rate of its day in the rate card.")
@rate_card_option
@ledger_option
@json_option
@click.option(
    "--csv", "csv_file", is_flag=False, flag_value="-", type=click.Path(dir_okay=False, allow_dash=True),
    help="Write the table as CSV: to FILE, or without one to standard output.", metavar="[FILE]"
)  # fmt: skip
@wide_option
def command(
    by: tuple[str, ...],
    every: Bucket | None,
    per_name: str | None,
    top: int | None,
    measures: tuple[str, ...],
    compare: str | None,
    conditions: tuple[tuple[str, str], ...],
    period: Period,
    workflow: str | None,
    run_id: str | None,
    currency: str | None,
    rate_card: Path | None,
    ledger: Path | LedgerUrl | None,
    as_json: bool,
    csv_file: str | None,
    wide: bool,
    **owners: Any,
) -> None:
    """Report what was spent, against before, and what of it is wasted or not known.

    Without --by it is by workflow and model. Times are in UTC, as in the bills of providers.
    """
    from aicost.reports.per_unit import PerUnit
    from aicost.reports.rendering import render
    from aicost.reports.report_data import to_csv, to_json
    from aicost.reports.summary import ReportRequest, build_report

    if as_json and csv_file is not None:
        raise click.UsageError("give --json or --csv")
    asked = ReportRequest(
        by=tuple(dict.fromkeys(by)) or (() if every is not None else ("workflow", "model")),
        where=narrowed([*conditions, *owners.items(), ("workflow", workflow), (RUN, run_id)]),
        period=period,
        every=every,
        per=None if per_name is None else PerUnit(per_name),
        top=top,
        compare=compare is not None,
        measures=measures,
        currency=None if currency is None else currency.upper(),
        card=None if currency is None else card_in_force(rate_card),
    )
    report = build_report(ledger_path(ledger), asked)
    if as_json:
        print_json(to_json(report))
    elif csv_file is not None:
        with click.open_file(csv_file, "w", encoding="utf-8") as out:
            out.write(to_csv(report))
    else:
        render(report, console(wide))
