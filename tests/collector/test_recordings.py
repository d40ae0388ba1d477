"""What instrumentations really send, priced: whatever is called `priced` is on the bill, and nothing is there twice.

The recordings are made by `tests/tools/record.py`. `EXPECTED` says for each how much of its bill is known exactly, how
much only roughly (`estimated`, with flags that say why), and what of it no span tells. docs/dialects.md shows it.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aicost.collector.otlp_json import from_json, to_json
from aicost.collector.pricer import CountedCall, Pricer
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel

RECORDINGS = Path(__file__).parent / "recordings"
EXPECTED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "expected.json").read_text())
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))


def recorded(name: str) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The requests of a recording, and its bill."""
    data = json.loads((RECORDINGS / f"{name}.json").read_text())
    requests = []
    for one in data["requests"]:
        message = ExportTraceServiceRequest()
        from_json(one, message)
        assert to_json(message) == one
        requests.append(message.SerializeToString())
    return requests, data["bill"]


def counted(requests: list[bytes]) -> list[CountedCall]:
    pricer = Pricer(Kernel(RateCard.bundled()))
    return [one for request in requests for one in pricer.price(request).counted]


def outcome(name: str) -> dict[str, Any]:
    """What is known of a recording's bill, in the form of `expected.json`."""
    requests, bill = recorded(name)
    found = counted(requests)
    billed = Counter(Decimal(call["amount"]).normalize() for call in bill)
    by_status = Counter(one.charge.status.value for one in found)
    exact = Counter(
        one.charge.amount.normalize() for one in found if one.charge.status.value == "priced" and one.charge.amount
    )
    rough = sum(one.charge.amount is not None for one in found if one.charge.status.value == "estimated")
    return {
        "billed": len(bill),
        "exact": sum((exact & billed).values()),
        "estimated": rough,
        "wrong": sorted(map(str, (exact - billed).elements())),
        "not told": max(0, len(bill) - sum(exact.values()) - rough),
        "unpriced": by_status["unpriced"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_priced_is_on_the_bill(name: str) -> None:
    expected = EXPECTED[name]
    found = outcome(name)
    assert found == {key: expected[key] for key in found}
    assert bool(found["wrong"]) == bool(expected.get("why")), "what is priced wrongly needs a reason"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_counted_twice(name: str) -> None:
    requests, bill = recorded(name)
    amounts = [one for one in counted(requests) if one.charge.amount]
    assert len(amounts) <= len(bill)


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_that_comes_again_counts_nothing_more(name: str) -> None:
    requests, _ = recorded(name)
    pricer = Pricer(Kernel(RateCard.bundled()))
    first = [pricer.price(request) for request in requests]
    again = [pricer.price(request) for request in requests]
    assert [one.data for one in again] == [one.data for one in first]
    assert all(counted.known for one in again for counted in one.counted)


@pytest.mark.parametrize("name", NAMES)
def test_spans_gain_attributes_and_nothing_else(name: str) -> None:
    requests, _ = recorded(name)
    pricer = Pricer(Kernel(RateCard.bundled()))
    for request in requests:
        before, after = (ExportTraceServiceRequest.FromString(data) for data in (request, pricer.price(request).data))
        for old, new in zip(_spans(before), _spans(after), strict=True):
            kept = len(old.attributes)
            assert list(new.attributes)[:kept] == list(old.attributes)
            keys = [pair.key for pair in new.attributes]
            assert len(set(keys[kept:])) == len(keys) - kept
            assert not set(keys[kept:]) & set(keys[:kept])
            del new.attributes[kept:]
            assert new == old


def _spans(request: ExportTraceServiceRequest) -> list[Any]:
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
