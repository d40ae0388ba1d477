"""`aicost price`: JSON lines of usage in, JSON lines of charges out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from aicost._errors import AicostError, UsageError
from aicost._price import inquiry
from aicost.pricing.card import RateCard
from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Inquiry, Kernel
from aicost.pricing.rates import parse_instant


@click.command("price")
@click.option("--rate-card", type=click.Path(path_type=Path), help="A rate-card file; default: the bundled one.")
@click.option("--json", "_json", is_flag=True, help="Print JSON lines; there is nothing else, so this changes nothing.")
def command(rate_card: Path | None, _json: bool) -> None:
    """Price usage objects, one JSON object per line of stdin.

    Each line: {"provider", "model", "usage", "api"?, "service_tier"?, "region"?, "at"?}. Each gives one line:
    {"status", "amount", "currency", "reason", "rate_card", "flags", "lines"}. Amounts and prices are exact decimal
    strings; so is a quantity that is no whole number. "flags" say what was odd about the usage. "usage" may be the
    usage object or the whole response, which says more: the tier, the model that answered, fees of tools. "api" is
    chat, responses, embeddings, messages, generate_content, converse, rerank, images, transcription, speech or another
    that has a reader, and is guessed when absent. A line that cannot be read gives one with status "unpriced" and the
    reason; the others are still priced, and the exit status is 1.
    """
    kernel = Kernel(RateCard.load(rate_card) if rate_card else RateCard.bundled())
    broken = 0
    for number, raw in enumerate(sys.stdin.buffer, 1):
        if not raw.strip():
            continue
        try:
            asked = parse_line(_decoded(raw))
            out = charge_json(kernel.price(asked).plausible(), asked.flags)
        except AicostError as error:
            broken += 1
            click.echo(f"aicost: line {number}: {error}", err=True)
            out = {"status": "unpriced", "amount": None, "currency": kernel.card.currency}
            out |= {"reason": f"invalid_input:{error}", "rate_card": kernel.card.key, "flags": [], "lines": []}
        click.echo(json.dumps(out))
    if broken:
        sys.exit(1)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8: {error}") from None


def parse_line(line: str) -> Inquiry:
    """What one input line asks. Raises `UsageError` saying what is wrong with it."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"expected an object, got {type(data).__name__}")
    missing = [name for name in ("provider", "model") if not data.get(name)]
    missing += ["usage"] if data.get("usage") is None else []
    if missing:
        raise UsageError(f"missing {', '.join(missing)}")
    for name in ("provider", "model", "api", "service_tier", "region"):
        if not isinstance(data.get(name), (str, type(None))):
            raise UsageError(f'"{name}" is {data[name]!r:.80}, not a text')
    told: dict[str, Any] = {name: data.get(name) for name in ("provider", "model", "api", "service_tier", "region")}
    return inquiry(data["usage"], at=_instant(data.get("at")), **told)


def charge_json(charge: Charge, flags: Sequence[str] = ()) -> dict[str, Any]:
    """A charge as JSON data; amounts and prices are exact decimal strings, None where unknown.

    `flags` say what was odd about the usage.
    """
    return {
        "status": charge.status.value,
        "amount": None if charge.amount is None else format(charge.amount, "f"),
        "currency": charge.currency,
        "reason": charge.reason,
        "rate_card": charge.rate_card,
        "flags": list(flags),
        "lines": [
            {
                "meter": line.meter,
                "quantity": line.quantity if isinstance(line.quantity, int) else format(line.quantity, "f"),
                "unit_price": line.unit_price,
                "per": line.per,
                "amount": None if line.amount is None else format(line.amount, "f"),
                "rate_id": line.rate_id,
            }
            for line in charge.lines
        ],
    }


def _instant(text: object) -> int:
    if text is None:
        return time.time_ns()
    try:
        return parse_instant(str(text))
    except (ValueError, OverflowError):
        raise UsageError(f'"at" is {text!r}, not a date or time like 2026-11-01T12:00:00Z') from None
