"""Each WSGI request is a run, whose generator is in it while it is advanced."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import httpx
import pytest
from flask import Flask, Response

import aicost
from aicost.contrib.wsgi import WSGIMiddleware
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .serving import ask, client, owners, runs, wsgiref_at


def test_a_request_is_a_run_of_its_rule_and_its_tenant(app: App, emulator: ProviderEmulator) -> None:
    served = Flask("served")

    @served.get("/items/<int:item>")
    def item(item: int) -> str:
        return str(ask(client(emulator)).id)

    served.wsgi_app = WSGIMiddleware(served.wsgi_app, headers={"X-Tenant": "tenant_id"})  # type: ignore[method-assign]
    with wsgiref_at(served) as at:
        httpx.get(f"http://{at}/items/1", headers={"x-tenant": "t-1"})
        httpx.get(f"http://{at}/items/2", headers={"x-tenant": "t-2"})
        httpx.get(f"http://{at}/nowhere/2")
        assert runs(app, 3) == [("GET /items/<int:item>", False, f"t-{n}") for n in (1, 2)] + [("GET", False, None)]
    assert owners(app) == [("GET /items/<int:item>", f"t-{n}") for n in (1, 2)]
    assert app.ledger_total() == emulator.bill.total > 0


def test_calls_while_a_generator_is_advanced_are_in_the_run(app: App, emulator: ProviderEmulator) -> None:
    served, between = Flask("served"), []

    @served.get("/")
    def stream() -> Response:
        def body() -> Iterator[str]:
            with aicost.attribution(tenant_id="t-1"):
                for _ in range(3):
                    yield str(ask(client(emulator)).id)
            yield str(ask(client(emulator)).id)

        return Response(body())

    def outside(environ: Any, start_response: Any) -> Iterator[bytes]:
        body: Any = WSGIMiddleware(served, workflow="w")(environ, start_response)
        try:
            for chunk in body:
                between.append(aicost.current_run())
                yield chunk
        finally:
            body.close()

    with wsgiref_at(outside) as at:
        assert httpx.get(f"http://{at}/", timeout=60).status_code == 200
    assert owners(app) == [("w", "t-1")] * 3 + [("w", None)]
    assert runs(app) == [("w", False, None)]
    assert between == [None] * 4


def test_a_stream_that_is_cut_is_a_failed_run(app: App) -> None:
    def served(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(10_000):
            yield b"x" * 100_000

    with wsgiref_at(WSGIMiddleware(served, workflow="w")) as at:
        host, port = at.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.recv(1000)
        assert runs(app) == [("w", True, None)]


@pytest.mark.parametrize("when", ["at once", "in the body", "handled"])
def test_an_exception_is_a_failed_run(app: App, when: str) -> None:
    def served(environ: Any, start_response: Any) -> Iterable[bytes]:
        if when == "at once":
            raise RuntimeError
        if when == "handled":
            start_response("500 Internal Server Error", [])
            return [b"sorry"]
        start_response("200 OK", [])
        return (1 // n for n in (1, 0))  # type: ignore[misc]

    with wsgiref_at(WSGIMiddleware(served, workflow="w")) as at:
        try:
            httpx.get(f"http://{at}/", timeout=60)
        except httpx.HTTPError:
            assert when == "in the body"
    assert runs(app) == [("w", True, None)]


class Sized:
    def __init__(self, *chunks: bytes) -> None:
        self.chunks, self.closed = chunks, False

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        self.closed = True


def test_what_servers_look_at_stays_what_it_is(app: App) -> None:
    sized, listed, file = Sized(b"abc"), [b"abc"], FileWrapper(io.BytesIO(b"abc"))

    def function_wrapper(file: Any) -> Any:  # uWSGI's file wrapper is no class
        return iter(file)

    def call(body: Any, wrapper: Any = FileWrapper) -> Any:
        environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "wsgi.file_wrapper": wrapper}
        served = WSGIMiddleware(
            lambda environ, start: environ["wsgi.file_wrapper"](body) if wrapper is function_wrapper else body
        )
        return served(environ, lambda *_: None)

    assert call(listed) is listed
    assert call(file) is file
    lines = io.BytesIO(b"abc")
    assert list(call(lines, function_wrapper)) == [b"abc"]
    assert type(call(lines, function_wrapper)) is io.BytesIO
    wrapped = call(sized)
    assert len(wrapped) == 1
    assert list(wrapped) == [b"abc"]
    wrapped.close()
    assert sized.closed
    assert {failed for _, failed, _ in runs(app, 5)} == {False}
    with wsgiref_at(WSGIMiddleware(lambda environ, start: start("200 OK", []) and sized)) as at:
        assert httpx.get(f"http://{at}/", timeout=60).headers["content-length"] == "3"


def test_what_is_written_is_sent_and_in_the_run(app: App, emulator: ProviderEmulator) -> None:
    def served(environ: Any, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(ask(client(emulator)).id.encode())
        return []

    with wsgiref_at(WSGIMiddleware(served, workflow="w")) as at:
        assert httpx.get(f"http://{at}/", timeout=60).text.startswith("chatcmpl-")
    assert owners(app) == [("w", None)]
    assert runs(app) == [("w", False, None)]


@pytest.mark.provokes_own_failure
def test_a_function_that_raises_breaks_no_request(app: App) -> None:
    served = WSGIMiddleware(lambda environ, start: [b"x"], scope=lambda environ: environ["nothing"])
    assert served({"REQUEST_METHOD": "brew"}, lambda *_: None) == [b"x"]
    assert runs(app) == [("OTHER", False, None)]
