"""Each request is a run, over a real socket: whose it is, what it is called, and when and how it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import websockets.sync.client
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

import aicost
from aicost.contrib.asgi import ASGIMiddleware
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .serving import ask, async_client, owners, runs, uvicorn_at, wait_until


def tenant(scope: Any) -> dict[str, object]:
    return {"tenant_id": scope["query_string"].decode() or None}


def fastapi_app(emulator: ProviderEmulator) -> FastAPI:
    app, openai = FastAPI(), async_client(emulator)
    inner = APIRouter()

    @app.get("/items/{item}")
    async def item(item: str) -> dict[str, str]:
        await ask(openai)
        return {"item": item}

    @inner.get("/orders/{order}")
    async def order(order: str) -> str:
        return order

    @app.get("/raises")
    async def raises() -> None:
        raise RuntimeError

    @app.get("/later")
    async def later(tasks: BackgroundTasks) -> str:
        tasks.add_task(lambda: asyncio.run(ask(async_client(emulator))))
        return "soon"

    app.include_router(inner, prefix="/shop")
    return app


def test_a_request_is_a_run_of_its_route_and_its_tenant(app: App, emulator: ProviderEmulator) -> None:
    served = fastapi_app(emulator)
    served.add_middleware(ASGIMiddleware, scope=tenant)
    with uvicorn_at(served) as at:
        for path in ("items/1?t-1", "items/2?t-2", "shop/orders/7", "nowhere/99"):
            httpx.get(f"http://{at}/{path}")
        assert sorted(runs(app, 4), key=str) == sorted(
            [
                ("GET /items/{item}", False, "t-1"),
                ("GET /items/{item}", False, "t-2"),
                ("GET /shop/orders/{order}", False, None),
                ("GET", False, None),
            ],
            key=str,
        )
    assert owners(app) == [("GET /items/{item}", "t-1"), ("GET /items/{item}", "t-2")]
    assert app.ledger_total() == emulator.bill.total > 0


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_an_exception_is_a_failed_run(app: App, emulator: ProviderEmulator, where: str) -> None:
    served: Any = fastapi_app(emulator)
    if where == "inside":
        served.add_middleware(ASGIMiddleware)
    else:
        served = ASGIMiddleware(served)
    with uvicorn_at(served) as at:
        assert httpx.get(f"http://{at}/raises").status_code == 500
    assert runs(app) == [("GET /raises", True, None)]


def test_what_is_done_after_the_response_counts_in_its_run(app: App, emulator: ProviderEmulator) -> None:
    served = ASGIMiddleware(fastapi_app(emulator))
    with uvicorn_at(served) as at:
        httpx.get(f"http://{at}/later")
        wait_until(lambda: app.inferences)
    assert owners(app) == [("GET /later", None)]
    assert runs(app) == [("GET /later", False, None)]


def streaming(emulator: ProviderEmulator, between: Callable[[], Any], how: str) -> Any:
    openai = async_client(emulator)

    async def body() -> AsyncIterator[bytes]:
        for chunk in range(100):
            if chunk == 1:
                await ask(openai)
            yield b"x" * 10_000
            if (waiting := between()) is not None:
                await waiting

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for chunk in body():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    if how == "bare":
        return bare
    served = Starlette(routes=[Route("/", lambda request: StreamingResponse(body()))])
    if how == "behind another middleware":
        served.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, go_on: go_on(request))
    return served


HOW = ["bare", "starlette", "behind another middleware"]


@pytest.mark.parametrize("how", HOW)
def test_a_run_lasts_as_long_as_its_body(app: App, emulator: ProviderEmulator, how: str) -> None:
    served = ASGIMiddleware(streaming(emulator, lambda: None, how), workflow="stream")
    with uvicorn_at(served) as at:
        assert len(httpx.get(f"http://{at}/", timeout=60).content) == 1_000_000
    assert runs(app) == [("stream", False, None)]
    assert owners(app) == [("stream", None)]


@pytest.mark.parametrize("how", HOW)
def test_a_stream_that_is_cut_is_a_failed_run(app: App, emulator: ProviderEmulator, how: str) -> None:
    left = threading.Event()
    served = ASGIMiddleware(
        streaming(emulator, lambda: asyncio.sleep(0.001 if left.is_set() else 0.02), how), workflow="stream"
    )
    with uvicorn_at(served) as at:
        with httpx.stream("GET", f"http://{at}/") as response:
            next(response.iter_raw())
        left.set()
        assert runs(app) == [("stream", True, None)]


def test_the_body_of_a_request_reaches_an_application_that_streams_first(app: App) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b">", "more_body": True})
        await asyncio.sleep(0.05)
        more = True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body", "body": b"<"})

    with uvicorn_at(ASGIMiddleware(echo)) as at:
        sent = b"y" * 300_000
        assert httpx.post(f"http://{at}/", content=sent).content == b">" + sent + b"<"
    assert runs(app) == [("POST", False, None)]


def test_only_the_headers_that_are_named_say_whose_it_is(make_app: Callable[..., App]) -> None:
    app = make_app(baggage_keys=("customer_id", "run_id", "workflow"))
    served = Starlette(routes=[Mount("/api", routes=[Route("/{n}", lambda request: JSONResponse(1))])])
    served.add_middleware(ASGIMiddleware, headers={"X-Tenant": "tenant_id"})
    headers = {
        "x-tenant": "t-9",
        "x-team": "forged",
        "baggage": "aicost.customer.id=c-1,aicost.team=forged,aicost.run.id=r-1,gen_ai.workflow.name=w",
    }
    with uvicorn_at(served) as at:
        httpx.get(f"http://{at}/api/1", headers=headers)
    assert runs(app) == [("GET /api/{n}", False, "t-9")]
    attributes = dict(app.spans[-1].attributes or {})
    assert attributes["aicost.customer.id"] == "c-1"
    assert attributes["aicost.run.parent_id"] == "r-1"
    assert "aicost.team" not in attributes


def test_a_server_for_strangers_takes_no_baggage(make_app: Callable[..., App]) -> None:
    app = make_app(baggage_keys=("tenant_id",))
    served = Starlette(routes=[Route("/", lambda request: JSONResponse(1))])
    served.add_middleware(ASGIMiddleware, baggage=False)
    with uvicorn_at(served) as at:
        httpx.get(f"http://{at}/", headers={"baggage": "aicost.tenant.id=forged"})
    assert runs(app) == [("GET /", False, None)]


@pytest.mark.provokes_own_failure
@pytest.mark.parametrize("way", ["scope", "async scope", "workflow", "unknown key"])
def test_a_function_that_raises_breaks_no_request(app: App, way: str) -> None:
    def raises(scope: Any) -> Any:
        raise RuntimeError

    async def raises_later(scope: Any) -> Any:
        raise RuntimeError

    options: dict[str, Any] = {
        "scope": {"scope": raises},
        "async scope": {"scope": raises_later},
        "workflow": {"workflow": raises},
        "unknown key": {"scope": lambda scope: {"tenant": "t"}},
    }[way]
    served = Starlette(routes=[Route("/", lambda request: JSONResponse(1))])
    served.add_middleware(ASGIMiddleware, **options)
    with uvicorn_at(served) as at:
        assert httpx.get(f"http://{at}/", timeout=60).status_code == 200
    assert runs(app) == [("GET /", False, None)]


def test_a_header_for_an_unknown_key_is_refused_at_start_up() -> None:
    with pytest.raises(TypeError, match="unknown attribution key 'tenant'"):
        ASGIMiddleware(lambda *_: None, headers={"x-tenant": "tenant"})  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_websocket_is_a_run_until_it_is_closed(app: App, emulator: ProviderEmulator, goodbye: bool) -> None:
    served, openai = FastAPI(), async_client(emulator)

    @served.websocket("/talk/{name}")
    async def talk(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        while True:  # the end of it comes as an exception, which nobody has to catch
            await ask(openai, await websocket.receive_text())
            await websocket.send_text(name)

    logging.getLogger("uvicorn.error").disabled = True
    with uvicorn_at(ASGIMiddleware(served, scope=tenant)) as at:
        with websockets.sync.client.connect(f"ws://{at}/talk/you?t-1") as connection:
            connection.send("hello")
            assert connection.recv() == "you"
            connection.close(1000 if goodbye else 1011)
        assert runs(app) == [("WEBSOCKET /talk/{name}", not goodbye, "t-1")]
    assert owners(app) == [("WEBSOCKET /talk/{name}", "t-1")]


def test_branches_of_a_request_do_not_see_each_other(app: App, emulator: ProviderEmulator) -> None:
    served, openai = FastAPI(), async_client(emulator)

    @served.get("/")
    async def both() -> None:
        async def branch(name: str | None) -> None:
            if name is None:
                await asyncio.sleep(0.05)
                await ask(openai, "between")
            else:
                with aicost.run_scope(name, tenant_id=name):
                    await asyncio.sleep(0.1)
                    await ask(openai, name)

        await asyncio.gather(branch("a"), branch("b"), branch(None))

    served.add_middleware(ASGIMiddleware, workflow="outer")
    with uvicorn_at(served) as at:
        httpx.get(f"http://{at}/", timeout=60)
    assert sorted(owners(app), key=str) == [("a", "a"), ("b", "b"), ("outer", None)]
