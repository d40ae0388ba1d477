"""Real servers for the tests: uvicorn and wsgiref, on a loopback port, in a thread."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import openai
import uvicorn

from aicost.testing import ProviderEmulator
from tests.conftest import App


@contextmanager
def uvicorn_at(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...


@contextmanager
def wsgiref_at(app: Any) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


def client(emulator: ProviderEmulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=emulator.openai_base_url, api_key="test", max_retries=0)


def async_client(emulator: ProviderEmulator) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=emulator.openai_base_url, api_key="test", max_retries=0)


def ask(asking: Any, about: str = "x") -> Any:
    """One chat; awaited if the client is an async one."""
    return asking.chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": about}])


def wait_until(true: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def runs(app: App, at_least: int = 1) -> list[tuple[str, bool, str | None]]:
    """The runs that ended: the workflow, whether it failed, and the tenant."""

    def ended() -> list[Any]:
        return [span for span in app.spans if span.name.startswith("invoke_workflow ")]

    wait_until(lambda: len(ended()) >= at_least)
    return [
        (
            str((span.attributes or {})["gen_ai.workflow.name"]),
            not span.status.is_ok,
            (span.attributes or {}).get("aicost.tenant.id"),
        )
        for span in ended()
    ]


def owners(app: App) -> list[tuple[Any, Any]]:
    """The workflow and tenant of each call, in the order they ended."""
    return [(call.get("gen_ai.workflow.name"), call.get("aicost.tenant.id")) for call in app.inferences]
