"""The golden vectors: what any implementation of rate cards must answer, this one too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicost._money import to_atto, to_text
from aicost.pricing.card import RateCard
from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Inquiry, Kernel
from aicost.pricing.rates import parse_instant
from aicost.pricing.terms import MeterUsage, parse_term, settle
from aicost.pricing.validate import check_document
from aicost.usage.event import Chargeable
from aicost.usage.meters import METERS

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
FILES = sorted(path for path in VECTORS.glob("*.json") if path.name not in {"meters.json", "periods.json"})


def inquiry(event: Mapping[str, Any]) -> Inquiry:
    """An event in the vectors' form as the kernel takes it."""
    usage = event["usage"]
    known = {key: event[key] for key in ("service_tier", "region", "speed", "complete", "estimated") if key in event}
    known |= {key: event[key] for key in ("provider_cost", "provider_currency") if key in event}
    known |= {"request_model": event["request_model"]} if "request_model" in event else {}
    return Inquiry(
        event["provider"],
        event["model"],
        None if usage is None else {meter: number(quantity) for meter, quantity in usage.items()},
        parse_instant(event["at"]),
        flags=tuple(event.get("flags", ())),
        chargeable=Chargeable(event.get("billed", "yes")),
        **known,
    )


def number(text: str) -> int | Decimal:
    return Decimal(text) if "." in text else int(text)


def answer(charge: Charge) -> dict[str, Any]:
    """A charge in the vectors' form."""
    return {
        "status": charge.status.value,
        "amount": None if charge.atto is None else to_text(charge.atto),
        "currency": charge.currency,
        "reason": charge.reason,
        "rate_card": charge.rate_card,
        "lines": [
            {
                **line._asdict(),
                "quantity": format(line.quantity, "f") if isinstance(line.quantity, Decimal) else str(line.quantity),
                "amount": None if line.atto is None else to_text(line.atto),
            }
            for line in charge.lines
        ],
    }


def layered(cards: list[dict[str, Any]]) -> RateCard:
    base = None
    for document in reversed(cards):
        base = RateCard(document, base=base)
    assert base is not None
    return base


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_vector_gets_its_charge(path: Path) -> None:
    data = json.loads(path.read_text())
    for document in data["cards"].values():
        check_document(document, json.dumps(document), path.name)
    wrong = []
    for case in data["cases"]:
        card = layered([data["cards"][ref] for ref in case["cards"]])
        made = answer(Kernel(card).price(inquiry(case["event"])))
        for line in made["lines"]:
            line.pop("atto")
        if made != case["charge"]:
            wrong.append((case["name"], case["event"], made, case["charge"]))
    assert not wrong, f"{len(wrong)} of {len(data['cases'])}: {wrong[0]}"


PERIODS = json.loads((VECTORS / "periods.json").read_text())["periods"]


@pytest.mark.parametrize("case", PERIODS, ids=lambda case: case["name"])
def test_every_period_gets_its_lines(case: dict[str, Any]) -> None:
    provider = {"source": "x", "checked": "2026-01-01"}
    settled = settle(
        [parse_term(raw, provider, "USD") for raw in case["terms"]],
        [MeterUsage(r["model"], r["meter"], int(r["quantity"]), to_atto(r["amount"])) for r in case["usage"]],
        at_ns=parse_instant(case["at"]),
        currency="USD",
        seats=case["seats"],
    )
    made = [
        {"term": line.term, "meter": line.meter, "quantity": str(line.quantity), "amount": to_text(line.atto)}
        for line in settled
    ]
    assert made == case["lines"]


def test_there_are_vectors_and_they_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, VECTORS / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) >= 300


def test_the_declared_meters_are_ours() -> None:
    said = json.loads((VECTORS / "meters.json").read_text())
    ours = [{"id": m.id, "unit": m.unit, "direction": m.direction, "priced_as": m.priced_as} for m in METERS.values()]
    assert said == ours
