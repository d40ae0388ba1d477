"""Checked by mypy, not run: decorators keep the types of what they decorate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

from typing_extensions import assert_type

import aicost


@aicost.track_workflow("w", version="1")
def plain(x: int, *, y: str = "") -> bool:
    return bool(x or y)


@aicost.track_step
async def coroutine(x: int) -> str:
    return str(x)


@aicost.track_agent("a", tenant_id="t")
def generator(x: int) -> Iterator[int]:
    yield x


@aicost.track_tool()
async def async_generator(x: int) -> AsyncIterator[int]:
    yield x


async def check() -> None:
    assert_type(plain(1, y="2"), bool)
    assert_type(await coroutine(1), str)
    assert_type(generator(1), Iterator[int])
    assert_type(async_generator(1), AsyncIterator[int])
    with aicost.run_scope("w") as run:
        assert_type(run.cost, Decimal | None)
        assert_type(run.waste, Decimal | None)
    aicost.run_scope("w", tenant_id=7, phase="research", labels={"cohort": "beta"})
    aicost.attribution(tennant_id="t")  # type: ignore[call-arg]
    aicost.attribution(cloud_region="eu")  # type: ignore[call-arg]
    with aicost.track_step("s"):
        plain("no")  # type: ignore[arg-type]
    aicost.record_outcome("ticket", 3, value=Decimal("74.70"), unit="USD", idempotency_key="t-7")
    aicost.record_outcome("ticket", value="74.70", unit="USD")
    aicost.record_outcome("ticket", value=74, unit="EUR")
    aicost.record_outcome("ticket", value=74.7, unit="USD")  # type: ignore[arg-type]
    aicost.record_outcome("ticket", 1, "t-7")  # type: ignore[call-arg]
    assert_type(aicost.price(provider="p", model="m", usage={}).amount, Decimal | None)
