"""What a yield-dependency of FastAPI opens holds for its endpoint, whichever of them runs in a thread."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.responses import StreamingResponse

import aicost
from aicost.contrib.asgi import ASGIMiddleware
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .serving import ask, async_client, client, owners, runs, uvicorn_at, wait_until


def sync_run() -> Iterator[Any]:
    with aicost.run_scope("inner", tenant_id="t-1") as run:
        yield run


async def async_run() -> AsyncIterator[Any]:
    with aicost.run_scope("inner", tenant_id="t-1") as run:
        yield run


def sync_owner() -> Iterator[None]:
    with aicost.attribution(tenant_id="t-1"):
        yield


async def async_owner() -> AsyncIterator[None]:
    with aicost.attribution(tenant_id="t-1"):
        yield


RUNS = {"sync": sync_run, "async": async_run}
OWNERS = {"sync": sync_owner, "async": async_owner}
BOTH = list(itertools.product(RUNS, RUNS))


@pytest.fixture(autouse=True)
def _nothing_is_detached_in_vain(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.ERROR)
    yield
    assert [record.message for record in caplog.records if "detach" in record.message] == []


def served(emulator: ProviderEmulator, endpoint: str, *dependencies: Any, how: str = "plain") -> FastAPI:
    app, plain, later = FastAPI(), client(emulator), async_client(emulator)
    depends = [Depends(each) for each in dependencies]

    def sync_endpoint(tasks: BackgroundTasks) -> Any:
        if how == "background":
            tasks.add_task(ask, plain)
        elif how == "stream":
            return StreamingResponse(str(ask(plain).id) for _ in range(3))
        else:
            ask(plain)
        return None

    async def async_endpoint(tasks: BackgroundTasks) -> Any:
        async def body() -> AsyncIterator[str]:
            for _ in range(3):
                yield (await ask(later)).id

        if how == "background":
            tasks.add_task(lambda: asyncio.run(ask(async_client(emulator))))
        elif how == "stream":
            return StreamingResponse(body())
        else:
            await ask(later)
        return None

    app.get("/", dependencies=depends)(sync_endpoint if endpoint == "sync" else async_endpoint)
    app.add_middleware(ASGIMiddleware, workflow="outer")
    return app


def get(app: FastAPI) -> None:
    with uvicorn_at(app) as at:
        assert httpx.get(f"http://{at}/", timeout=60).status_code == 200


@pytest.mark.parametrize(("dependency", "endpoint"), BOTH)
@pytest.mark.parametrize("how", ["plain", "stream", "background"])
def test_calls_keep_the_run_of_a_dependency(
    app: App, emulator: ProviderEmulator, dependency: str, endpoint: str, how: str
) -> None:
    get(served(emulator, endpoint, RUNS[dependency], how=how))
    assert set(owners(app)) == {("inner", "t-1")}
    assert len(owners(app)) == (3 if how == "stream" else 1)
    assert sorted(runs(app, 2), key=str) == [("inner", False, "t-1"), ("outer", False, None)]
    assert app.ledger_total() == emulator.bill.total > 0


@pytest.mark.parametrize(("dependency", "endpoint"), BOTH)
def test_calls_keep_the_tenant_of_a_dependency(
    app: App, emulator: ProviderEmulator, dependency: str, endpoint: str
) -> None:
    get(served(emulator, endpoint, OWNERS[dependency]))
    assert owners(app) == [("outer", "t-1")]


@pytest.mark.parametrize(("first", "second"), BOTH)
@pytest.mark.parametrize("endpoint", ["sync", "async"])
def test_dependencies_nest(app: App, emulator: ProviderEmulator, first: str, second: str, endpoint: str) -> None:
    def feature() -> Iterator[None]:
        with aicost.attribution(feature_id="f-1"):
            yield

    def within(run: Any = Depends(RUNS[second])) -> Iterator[None]:
        with aicost.attribution(customer_id="c-1"), aicost.attribution(team="a"):
            yield
            with aicost.run_scope("afterwards"):
                ask(client(emulator))

    get(served(emulator, endpoint, OWNERS[first], feature, within))
    wait_until(lambda: len(app.inferences) == 2)
    call, after = app.inferences
    assert (call["gen_ai.workflow.name"], call["aicost.tenant.id"]) == ("inner", "t-1")
    for each in (call, after):
        assert (each["aicost.feature.id"], each["aicost.customer.id"], each["aicost.team"]) == ("f-1", "c-1", "a")
    assert after["aicost.run.parent_id"] == call["aicost.run.id"]


@pytest.mark.parametrize("dependency", RUNS)
def test_an_exception_in_the_endpoint_fails_the_run_of_a_dependency(
    app: App, emulator: ProviderEmulator, dependency: str
) -> None:
    served = FastAPI()

    @served.get("/", dependencies=[Depends(RUNS[dependency])])
    def raises() -> None:
        raise RuntimeError

    with uvicorn_at(ASGIMiddleware(served, workflow="outer")) as at:
        assert httpx.get(f"http://{at}/", timeout=60).status_code == 500
    assert sorted(runs(app, 2)) == [("inner", True, "t-1"), ("outer", True, None)]


def test_requests_at_a_time_are_not_mixed_up(app: App, emulator: ProviderEmulator) -> None:
    served, plain = FastAPI(), client(emulator)

    def own(tenant: str) -> Iterator[None]:
        with aicost.run_scope("inner", tenant_id=tenant):
            yield

    @served.get("/{tenant}", dependencies=[Depends(own)])
    async def endpoint(tenant: str) -> None:
        await asyncio.gather(*(asyncio.to_thread(ask, plain, tenant) for _ in range(2)))

    served.add_middleware(ASGIMiddleware)

    async def all_of_them(at: str) -> None:
        async with httpx.AsyncClient(timeout=60) as http:
            await asyncio.gather(*(http.get(f"http://{at}/t-{n % 4}") for n in range(12)))

    with uvicorn_at(served) as at:
        asyncio.run(all_of_them(at))
    assert sorted(owners(app)) == sorted([("inner", f"t-{n % 4}") for n in range(12)] * 2)


def test_a_generator_that_is_streamed_in_threads_keeps_what_it_opened(app: App, emulator: ProviderEmulator) -> None:
    served, plain = FastAPI(), client(emulator)

    def body() -> Iterator[str]:
        with aicost.run_scope("inner", tenant_id="t-1"):
            for _ in range(3):
                yield ask(plain).id
        ask(plain)

    @served.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(body())

    served.add_middleware(ASGIMiddleware, workflow="outer")
    get(served)
    assert owners(app) == [("inner", "t-1")] * 3 + [("outer", None)]


def test_a_forgotten_generator_leaves_its_scope_quietly(app: App) -> None:
    async def forgotten() -> AsyncIterator[int]:
        with aicost.run_scope("inner"):
            yield 1

    async def main() -> None:
        async for _ in forgotten():
            break
        await asyncio.sleep(0)

    asyncio.run(main())
    assert runs(app)[0][0] == "inner"
