"""What is done with a vector database is seen whole, whichever it is: spans, meters, prices, and what goes wrong."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aicost
from tests.conftest import App

from .doors import STORES

every_store = pytest.mark.parametrize("door", STORES, ids=lambda door: door.__name__)
Door = Callable[[Path], Any]


def do(*steps: Callable[[], Any] | None) -> list[Any]:
    """Each step after the other, in one event loop if they are async."""

    async def together() -> list[Any]:
        return [await step() for step in steps if step is not None]

    chosen = [step for step in steps if step is not None]
    if inspect.iscoroutinefunction(chosen[0]):
        return asyncio.run(together())
    return [step() for step in chosen]


def operations(app: App, *names: str) -> list[dict[str, Any]]:
    """What the spans of operations say, those that manage collections left out."""
    found = [said for said in app.inferences if "db.system.name" in said]
    return [said for said in found if any(key.startswith("aicost.usage.meter.") for key in said)]


def meters(said: dict[str, Any]) -> dict[str, int]:
    return {k.rpartition(".")[2]: v for k, v in said.items() if k.startswith("aicost.usage.meter.")}


@every_store
def test_what_is_written_asked_and_deleted_is_counted(door: Door, app: App, tmp_path: Path) -> None:
    with door(tmp_path) as store:
        app.exporter.clear()
        with aicost.run_scope("retrieval", tenant_id="t-1") as run, aicost.track_step("look"):
            do(store.write, store.query, store.delete)
    found = operations(app)
    asked = found[0 if store.write is None else 1]
    if store.write is not None:
        written = found[0]
        sized = {"vector_bytes_written": 6 * 4 * 4} if store.says_dimension else {}
        assert meters(written) == {"vectors_written": store.written, **sized}
        assert written.get("db.operation.batch.size", 1) == store.written
        assert written.get("aicost.vector.dimension") == (4 if store.says_dimension else None)
        assert written["aicost.cost.status"] == ("priced" if store.write_complete else "partial")
    assert meters(asked) == {"queries": 1, **store.query_usage}
    if store.delete is not None and store.counts_deleted:
        assert meters(found[2]) == {"vectors_deleted": 2}
    for said in found:
        assert said["db.system.name"] == store.system
        assert said["db.collection.name"] == store.collection
        assert said.get("db.namespace") == store.namespace
        assert (said["aicost.run.id"], said["aicost.step.name"]) == (run.id, "look")
        assert said["aicost.tenant.id"] == "t-1"
    assert asked.get("aicost.vector.dimension") == (4 if store.says_dimension else None)
    assert asked.get("aicost.vector.top_k") == store.top_k
    assert asked.get("db.response.returned_rows") == store.returned
    assert asked["aicost.cost.status"] == "priced"
    # The ledger has the same, by collection and tenant: what the machine costs can be shared out by it.
    named = f"{store.collection}/{store.namespace}" if store.namespace else store.collection
    rows = [row for row in app.charges() if row.run_id == run.id]
    assert {(row.provider, row.model, row.attribution.get("tenant_id")) for row in rows} == {
        (store.system, named, "t-1")
    }


@every_store
def test_what_fails_fails_as_without_us_and_is_no_query(door: Door, app: App, tmp_path: Path) -> None:
    with door(tmp_path) as store:
        if store.missing is None:
            pytest.skip("this one says so before it asks")
        app.exporter.clear()
        with pytest.raises(Exception) as raised:
            do(store.missing)
    (said,) = [found for found in app.inferences if "db.system.name" in found]
    assert said["error.type"] == (store.error or type(raised.value).__name__)
    assert (said["aicost.request.status"], said["aicost.request.billed"]) == ("failure", "no")
    assert app.ledger_total() == 0


@every_store
def test_results_are_those_without_us(door: Door, tmp_path: Path) -> None:
    def shape(result: Any) -> str:
        return f"{type(result).__name__}"

    seen = []
    for wrapped in (False, True):
        if wrapped:
            aicost.instrument()
        home = tmp_path / str(wrapped)
        home.mkdir()
        with door(home) as store:
            seen.append([shape(result) for result in do(store.write, store.query, store.delete)])
    aicost.shutdown()
    assert seen[0] == seen[1]


@every_store
def test_uninstrumented_nothing_is_seen(door: Door, app: App, tmp_path: Path) -> None:
    aicost.uninstrument()
    with door(tmp_path) as store:
        do(store.query) if store.write is None else do(store.write, store.query)
    assert app.inferences == []


def test_an_operation_of_an_unpriced_database_is_unpriced_not_free(app: App) -> None:
    aicost.record_usage(provider="acme-vectors", model="docs", operation="query", usage={"queries": 1})
    assert app.inference["aicost.cost.status"] == "unpriced"
