"""What state a response may be in when it reaches the client, in each HTTP library, sync and async.

Unread, read before by a hook of the application's, closed, failed midway, or made of memory by a mock or a cache.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import wrapt

from aicost.integrations._call_request import CallRequest
from aicost.integrations._calls import hook
from aicost.integrations._transports import transports
from aicost.telemetry import state
from aicost.telemetry.call import Target
from aicost.testing import Drop, ProviderEmulator, Reply
from tests.conftest import App

from .doors import DOORS
from .test_conformance import assert_bill_is_matched, meters_of

pytestmark = pytest.mark.clients

REPLY = Reply(input_tokens=120, output_tokens=30)
USED = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
SAID = [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]
EVENTS = [json.dumps({**BASE, "choices": SAID}), json.dumps({**BASE, "choices": [], "usage": USED}), "[DONE]"]
MEMORY = "".join(f"data: {event}\n\n" for event in EVENTS).encode()
UNENDED = "".join(f"data: {event}\n\n" for event in EVENTS[:2]).encode().rstrip()
"""Without the last event, and the blank line that ends the one before."""
TYPE = {"content-type": "text/event-stream"}
ASKED = {
    "model": "gpt-4o",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "x"}],
}
STATES = ("unread", "read", "closed", "failed", "memory", "memory, unended", "memory, twice")


class Sync:
    """A client of chat completions, over one of the libraries; each method is a call and gives the bytes it reads."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/chat/completions"

    def httpx(self, how: str, library: str = "httpx") -> bytes:
        lib = import_module(library)
        hooks: dict[str, Any] = {"read": lambda r: r.read(), "closed": lambda r: r.close()}
        kept = lib.Response(200, headers=TYPE, content=UNENDED if "unended" in how else MEMORY)
        transport = {"transport": lib.MockTransport(lambda _: kept)} if "memory" in how else {}
        with lib.Client(event_hooks={"response": [hooks[how]] if how in hooks else []}, **transport) as client:
            for _ in range(2 if "twice" in how else 1):
                response = client.send(client.build_request("POST", self.url, json=ASKED), stream=True)
            return b"".join(response.iter_bytes())

    def httpx2(self, how: str) -> bytes:
        return self.httpx(how, "httpx2")

    def requests(self, how: str) -> bytes:
        import requests

        class Memory(requests.adapters.BaseAdapter):
            def send(self, request: Any, **_: Any) -> Any:
                made = requests.Response()
                made.status_code, made.url, made.request = 200, request.url, request
                made.headers.update(TYPE)
                made._content, made._content_consumed = (UNENDED if "unended" in how else MEMORY), True
                made.raw = io.BytesIO()
                return made

            def close(self) -> None:
                """There is nothing to close."""

        with requests.Session() as session:
            if "memory" in how:
                session.mount("http://", Memory())
            hooks: dict[str, Any] = {
                "read": lambda r, **_: bool(r.content) and None,
                "closed": lambda r, **_: r.close(),
            }
            response = session.post(self.url, json=ASKED, stream=True, hooks={"response": hooks.get(how, [])})
            return b"".join(response.iter_content(64))

    def botocore(self, how: str) -> bytes:
        from botocore.awsrequest import AWSPreparedRequest, AWSResponse
        from botocore.endpoint import convert_to_response_dict
        from botocore.httpsession import URLLib3Session

        request = AWSPreparedRequest("POST", self.url, {"content-type": "application/json"}, json.dumps(ASKED), True)
        if "memory" in how or how == "closed":  # as a handler of `before-send` gives it
            response = AWSResponse(self.url, 200, TYPE, io.BytesIO())
            response._content = (UNENDED if "unended" in how else MEMORY) if "memory" in how else None
            response.raw.close()
            operation = type("Operation", (), {"has_event_stream_output": False, "has_streaming_output": False})
            operation.name = "x"  # type: ignore[attr-defined]
            convert_to_response_dict(response, operation)
        else:
            response = URLLib3Session().send(request)
        content: bytes = response.content
        return content


class Async(Sync):
    """The same in an event loop."""

    async def async_httpx(self, how: str, library: str = "httpx") -> bytes:
        lib = import_module(library)

        async def read(response: Any) -> None:
            await response.aread()

        async def closed(response: Any) -> None:
            await response.aclose()

        hooks: dict[str, Any] = {"read": [read], "closed": [closed]}
        kept = lib.Response(200, headers=TYPE, content=UNENDED if "unended" in how else MEMORY)
        transport = {"transport": lib.MockTransport(lambda _: kept)} if "memory" in how else {}
        async with lib.AsyncClient(event_hooks={"response": hooks.get(how, [])}, **transport) as client:
            for _ in range(2 if "twice" in how else 1):
                response = await client.send(client.build_request("POST", self.url, json=ASKED), stream=True)
            return b"".join([chunk async for chunk in response.aiter_bytes()])

    async def async_httpx2(self, how: str) -> bytes:
        return await self.async_httpx(how, "httpx2")

    async def aiohttp(self, how: str) -> bytes:
        import aiohttp

        trace = aiohttp.TraceConfig()

        async def ended(_session: Any, _context: Any, params: Any) -> None:
            if how == "read":
                await params.response.read()
            elif how == "closed":
                params.response.close()

        trace.on_request_end.append(ended)
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            response = await session.post(self.url, json=ASKED)
            return await response.read()


LIBRARIES = {
    **{name: name for name in ("httpx", "httpx2", "requests", "botocore", "aiohttp")},
    "async_httpx": "httpx",
    "async_httpx2": "httpx2",
}
CELLS = [
    (name, how)
    for name, library in LIBRARIES.items()
    if find_spec(library) is not None
    for how in STATES
    if not (
        (name == "botocore" and how == "read")  # nothing of the application's comes between
        or (name == "aiohttp" and "memory" in how)  # its mocks stand in for the session itself
        or ("httpx" not in name and how == "memory, twice")  # they make a new response each time
    )
]


@pytest.fixture
def client(emulator: ProviderEmulator) -> Iterator[Any]:
    made = type("Client", (Async,), dict(vars(Sync)) | dict(vars(Async)))
    holder = type("Holder", (), {"Client": made})
    asks = CallRequest(
        Target("openai", "chat", "chat", "gpt-4o", server_address="127.0.0.1", server_port=80, streaming=True),
        stream_usage=lambda args, kwargs: (args, kwargs),
    )
    transports.use("test")
    for name in LIBRARIES:
        is_async = asyncio.iscoroutinefunction(vars(made)[name])
        wrapper = hook(lambda *_: asks, state.PipelineSource(), kind="call", is_async=is_async)
        wrapt.wrap_function_wrapper(holder, f"Client.{name}", wrapper)
    yield made(emulator.openai_base_url)
    transports.leave("test")


@pytest.mark.parametrize("hidden", [False, True], ids=["asked for", "asked for by us"])
@pytest.mark.parametrize(("library", "how"), CELLS)
def test_what_a_response_says_is_seen_in_whatever_state_it_comes(
    make_app: Callable[..., App], emulator: ProviderEmulator, client: Any, library: str, how: str, hidden: bool
) -> None:
    if hidden and "httpx" not in library:
        hidden = False  # only clients over httpx are asked on the application's behalf
    app = make_app(request_stream_usage=hidden)
    emulator.on().then(Drop(after_chunks=3, bill=REPLY) if how == "failed" else REPLY)
    received = b""
    with suppress(Exception):
        read = getattr(client, library)(how)
        received = asyncio.run(read) if asyncio.iscoroutine(read) else read
    found = app.inferences[-1]
    if how in {"closed", "failed"}:
        assert (found["aicost.request.billed"], found["aicost.cost.status"]) == ("possibly", "unpriced")
        return
    assert found["aicost.request.status"] == "success"
    assert found["aicost.cost.status"] == "priced"
    assert found["aicost.usage.meter.input"] == 120
    assert found["aicost.usage.meter.output"] == 30
    assert b'"content"' in received
    assert (b'"prompt_tokens"' in received) is not hidden
    if "unended" not in how:
        assert b"[DONE]" in received


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every httpx transport answers with bodies that are read already, as a mock or a cache does."""
    for name in ("httpx", "httpx2"):
        if find_spec(name) is None:
            continue
        lib = import_module(name)

        def replayed(response: Any, content: bytes, lib: Any = lib) -> Any:
            headers = [(key, value) for key, value in response.headers.items() if key != "transfer-encoding"]
            return lib.Response(response.status_code, headers=headers, content=content)

        def handle(self: Any, request: Any, real: Any = lib.HTTPTransport.handle_request, make: Any = replayed) -> Any:
            response = real(self, request)
            return make(response, response.read())

        async def handle_async(
            self: Any, request: Any, real: Any = lib.AsyncHTTPTransport.handle_async_request, make: Any = replayed
        ) -> Any:
            response = await real(self, request)
            return make(response, await response.aread())

        monkeypatch.setattr(lib.HTTPTransport, "handle_request", handle)
        monkeypatch.setattr(lib.AsyncHTTPTransport, "handle_async_request", handle_async)


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.id)
def test_each_door_is_seen_with_its_body_in_memory(app: App, emulator: ProviderEmulator, door: Any) -> None:
    emulator.on().then(door.reply)
    door.knock(door.connect(emulator))
    assert app.inference["aicost.request.status"] == "success"
    if door.priced:
        assert_bill_is_matched(app, emulator)
    else:
        assert meters_of(app.inference) == emulator.bill.calls[0].delivered
