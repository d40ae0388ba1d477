"""The emulator: a real HTTP server on loopback that answers like the providers and keeps the true bill."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import select
import socket
import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from .bill import Bill, Book
from .formats import ROUTES, EmulatedRequest, Generated, Route
from .formats.error_bodies import error_body
from .jobs import Jobs
from .script import Action, Drop, Fail, Hang, Reply, Rule, Script, Stall
from .sockets import Sockets

_MAX_BODY = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One attempt as it arrived. Header names are lower case."""

    api: str
    model: str
    headers: dict[str, str]
    body: dict[str, Any]


class ProviderEmulator:
    """The providers on a loopback port: OpenAI, Anthropic, Gemini, Vertex AI, Bedrock, Cohere, Mistral and others.

    Speaks their JSON and stream formats, does what the script says (see `on`), and keeps the bill of everything it
    generated. Use it as a context manager.

    >>> with ProviderEmulator() as emulator:
    ...     emulator.on("draft").then(Fail(status=429), Reply(output_tokens=40))
    ...     client = openai.OpenAI(base_url=emulator.openai_base_url, api_key="test")
    """

    def __init__(self, *, content_coding: str | None = None):
        self._script = Script()
        self._book = Book()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._requests: list[ReceivedRequest] = []
        self._stopping = threading.Event()
        self._content_coding = content_coding
        self._jobs = Jobs(self)
        self._sockets = Sockets(self)
        handler = type("Handler", (_Handler,), {"emulator": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="aicost-emulator", daemon=True
        )

    def __enter__(self) -> ProviderEmulator:  # noqa: PYI034 - Self needs Python 3.11
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; requests that hang are let go."""
        self._stopping.set()
        self._sockets.stop()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def openai_base_url(self) -> str:
        """What to give an OpenAI client as `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What to give an Anthropic client as `base_url`."""
        return f"http://127.0.0.1:{self.port}"

    def base_url(self, name: str = "") -> str:
        """Where an emulated provider is: `gemini`, `vertex`, `bedrock`, `cohere`, `groq`, `mistral`, `ollama`, ..."""
        return f"http://127.0.0.1:{self.port}/{name}".rstrip("/")

    @property
    def socket_url(self) -> str:
        """Where the websockets are: OpenAI's realtime API, Gemini's live API."""
        return f"ws://127.0.0.1:{self._sockets.port}"

    @property
    def bill(self) -> Bill:
        """The true bill so far."""
        return self._book.bill()

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every attempt received so far."""
        with self._lock:
            return list(self._requests)

    def on(self, contains: str | None = None, *, model: str | None = None, api: str | None = None) -> Rule:
        """Script the requests whose body contains a text, for a model, or for an API: `.then(action, ...)`.

        Each matching attempt takes one action. Without any left, and without a rule, it is answered plainly.
        """
        return self._script.on(contains, model=model, api=api)

    def call_id(self, prefix: str) -> str:
        """A new id for a response."""
        with self._lock:
            return f"{prefix}{next(self._ids):08d}"

    def charge(self, made: Generated, provider: str, tier: str | None) -> None:
        """Put a generated answer on the bill."""
        if made.reply.billed:
            self._book.charge(made.bill_id, made.call_id, provider, made.api, made.model, tier, made.usage)

    def delivered(self, made: Generated) -> None:
        """Note that the usage of an answer is on its way to the client."""
        if made.reply.billed:
            self._book.delivered(made.bill_id, made.usage)

    def next_action(self, raw: bytes, model: str, api: str) -> Action:
        """What the script says to do with a request."""
        return self._script.next(raw, model, api)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the script, not an error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    emulator: ProviderEmulator

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is the library's
        """Requests are kept in `requests`, not printed."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        path, _, query = self.path.partition("?")
        raw = self.rfile.read(min(int(self.headers.get("content-length") or 0), _MAX_BODY))
        body = _fields(raw, self.headers.get("content-type") or "")
        emulator = self.emulator
        asked = dict(parse_qsl(query)) if method == "GET" else body or {}
        job = emulator._jobs.serve(method, path, asked, raw) if body is not None else None
        if job is not None:
            self._send(*job)
            return
        route, request = _find(method, path, body or {}, raw)
        if route is None:
            self._error("openai", Fail(status=404, retry_after=None, message=f"no such path: {path}"))
            return
        if body is None or request.model == "unknown":
            self._error(
                route.provider, Fail(status=400, retry_after=None, message="the body must be JSON with a model")
            )
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        with emulator._lock:
            emulator._requests.append(ReceivedRequest(route.api, request.model, headers, body))
        if body.get("background") and not body.get("stream"):
            self._send(*emulator._jobs.background(request))
            return
        call_id = emulator.call_id(route.prefix)
        action = emulator._script.next(raw, request.model, route.api)
        if isinstance(action, Fail):
            self._error(route.provider, action)
            return
        reply = _reply_of(action)
        if reply is None:
            assert isinstance(action, Hang)  # noqa: S101 - narrowing: only a hang may do no work
            self._wait_for_client(action.seconds)
            return
        made = route.generate(call_id, reply, request)
        emulator.charge(made, route.provider, made.reply.service_tier)
        if body.get("background"):
            emulator._jobs.begun(made, request)
        if isinstance(action, Hang):
            self._wait_for_client(action.seconds)
        elif route.stream is not None and route.streams(request):
            self._stream(route, made, request, action)
        else:
            self._whole(route, made, request, action)

    def _send(self, content_type: str, body: bytes) -> None:
        self._head(200, content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _whole(self, route: Route, made: Generated, request: EmulatedRequest, action: Action) -> None:
        answer = route.whole(made, request)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        coding = self.emulator._content_coding
        if coding == "gzip":
            body = gzip.compress(body)
        self._head(200, route.whole_type, coding, made.reply.headers)
        self.send_header("content-length", str(len(body)))
        if route.counts_in_headers and not made.reply.omit_usage:
            self.send_header("x-amzn-bedrock-input-token-count", str(made.usage.get("input", 0)))
            self.send_header("x-amzn-bedrock-output-token-count", str(made.completion))
            self.send_header("x-amzn-bedrock-cache-read-input-token-count", str(made.usage.get("input_cache_read", 0)))
        self.end_headers()
        if isinstance(action, Drop):
            if route.counts_in_headers:
                self.emulator.delivered(made)
            self.wfile.write(body[: len(body) // 2])
            self._reset()
            return
        # Noted before the last byte leaves, so that a client that has the answer always finds it on the bill.
        if route.says_usage and not made.reply.omit_usage and made.reply.raw_usage is None:
            self.emulator.delivered(made)
        self.wfile.write(body)

    def _stream(self, route: Route, made: Generated, request: EmulatedRequest, action: Action) -> None:
        assert route.stream is not None  # noqa: S101 - narrowing: the caller has looked
        coding = self.emulator._content_coding
        self._head(200, route.stream_type, coding, made.reply.headers)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        packer = zlib.compressobj(wbits=31) if coding == "gzip" else None
        stop_after = action.after_chunks if isinstance(action, (Drop, Stall)) else None
        for sent, event in enumerate(route.stream(made, request)):
            if sent == stop_after:
                if isinstance(action, Stall):
                    self._wait_for_client(action.seconds)
                self._reset()
                return
            if event.usage is not None and made.reply.raw_usage is None and made.reply.billed:
                self.emulator._book.delivered(made.bill_id, event.usage)
            data = event.data
            if packer is not None:
                data = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
            self._chunk(data)
        if packer is not None:
            self._chunk(packer.flush())
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _head(
        self, status: int, content_type: str, coding: str | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        for name, value in {"x-request-id": "req_0", "request-id": "req_0", **(more or {})}.items():
            self.send_header(name, value)
        if coding is not None:
            self.send_header("content-encoding", coding)

    def _error(self, provider: str, failure: Fail) -> None:
        body = json.dumps(error_body(provider, failure.status, failure.message)).encode()
        self._head(failure.status, "application/json")
        if provider == "aws.bedrock" and failure.status == 429:
            self.send_header("x-amzn-errortype", "ThrottlingException")
        if failure.retry_after is not None:
            self.send_header("retry-after-ms", str(int(failure.retry_after * 1000)))
            self.send_header("retry-after", f"{failure.retry_after:g}")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wait_for_client(self, seconds: float) -> None:
        """Until the client hangs up, the time is over, or the emulator stops."""
        left = seconds
        while left > 0 and not self.emulator._stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.02)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                break
            left -= 0.02
        self.close_connection = True

    def _reset(self) -> None:
        """Break the connection rather than end it."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _reply_of(action: Action) -> Reply | None:
    """What is generated and billed; None for a hang in which the provider does no work."""
    if isinstance(action, Reply):
        return action
    if isinstance(action, Stall):
        return action.reply
    assert isinstance(action, (Hang, Drop))  # noqa: S101 - narrowing: failures were answered before
    return action.bill


def _fields(raw: bytes, content_type: str) -> dict[str, Any] | None:
    """The fields of a request body, JSON or a form; None for one that is neither."""
    if not raw:
        return {}
    if "multipart/form-data" in content_type:
        return {found[1].decode(): found[2].decode() for found in _FORM_FIELD.finditer(raw)}
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _find(method: str, path: str, body: dict[str, Any], raw: bytes) -> tuple[Route | None, EmulatedRequest]:
    path = unquote(path)
    for route in ROUTES:
        found = route.match(method, path)
        if found is not None:
            return route, EmulatedRequest(path, found, body, raw)
    return None, EmulatedRequest(path, {}, body, raw)


_FORM_FIELD = re.compile(rb'name="(\w+)"\r\n\r\n([^\r]*)\r\n')
