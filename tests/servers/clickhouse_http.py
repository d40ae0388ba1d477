"""ClickHouse's HTTP interface on loopback over the real engine; `clickhouse.py` starts this file as a process.

The engine is ClickHouse's (`chdb-core` 26.9): SQL, types, formats, settings, parts, errors and their codes.
Ours is what a server has around it, made after its documentation, its source (`HTTPHandler`,
`exceptionCodeToHTTPStatus`) and what clickhouse-connect 1.12 sends:

- requests: GET and POST, bodies chunked or compressed (lz4, zstd, gzip, deflate), statements in the URL, the body or
  both, forms; settings and `param_*` as URL parameters; `database`; `session_id` with its lock; GET only reads
  (and knows no session)
- answers: whole ones, never a stream; compressed if asked for; status codes; `X-ClickHouse-*` headers
- one user with a password, in a header, as basic authentication or in the URL
- one statement in a request: the engine alone would take more

Not there: users and grants, quotas, roles, clusters, external tables, `system.query_log`, errors in mid-stream. The
database `default` is not of the engine `Atomic` as a server's is; those that are created are.
"""

from __future__ import annotations

import base64
import email
import gzip
import io
import json
import os
import re
import sys
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECOMPRESS = {
    "lz4": lambda body: lz4.frame.open(io.BytesIO(body)).read(),  # of any number of frames
    "zstd": zstd.decompress,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
COMPRESS = {"lz4": lz4.frame.compress, "zstd": zstd.compress, "gzip": gzip.compress}

# Parameters of a request that are not settings.
RESERVED = {
    "query", "database", "user", "password", "default_format", "session_id", "session_timeout", "session_check",
    "close_session", "query_id", "quota_key", "role", "compress", "decompress", "buffer_size", "stacktrace",
    "client_protocol_version", "wait_end_of_query",
}  # fmt: skip
STATUS = {
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED",
    400: "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE"
    " CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER"
    " CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_UUID"
    " CANNOT_PARSE_INPUT_ASSERTION_FAILED DUPLICATE_COLUMN ILLEGAL_COLUMN UNKNOWN_ELEMENT_IN_AST"
    " UNKNOWN_TYPE_OF_AST_NODE THERE_IS_NO_COLUMN TOO_DEEP_AST TOO_BIG_AST UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR"
    " INCORRECT_DATA TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    404: "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE"
    " UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT"
    " UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE",
    413: "QUERY_IS_TOO_LARGE",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
    408: "TIMEOUT_EXCEEDED",
}
"""From `exceptionCodeToHTTPStatus`; any other error is a 500."""
STATUS_OF = {name: status for status, names in STATUS.items() for name in names.split()}

INSERT = re.compile(
    rb"""(?: \s | --[^\n]*\n | /\*.*?\*/ )* INSERT\s+INTO\b .*? (?<![`"]) \b
    (?: (?P<inline>VALUES|SELECT|WITH)\b | FORMAT\s+(?P<format>\w+) [ \t;]* \r?\n? )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""With its data written as a query, or behind the name of a format."""

THROUGH = re.compile(
    rb"""(?P<head>\s*INSERT\s+INTO\b .*? \bFROM\s+)input\((?P<structure>'(?:[^'\\]|\\.)*')\)
    (?P<tail>.*?)\bFORMAT\s+(?P<format>\w+)[ \t;]*\r?\n""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""With its data behind the name of a format, and selected from by `input()`."""


class RefusedError(Exception):
    """An error of the server's own, told as the engine tells its."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}. ({name})")


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Session:
    """What outlives a request: temporary tables, and settings that a statement has set."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.connect = connect
        self.lock = threading.Lock()
        self.used = time.monotonic()

    @cached_property
    def connection(self) -> Any:
        return self.connect()

    def idle(self) -> float:
        """Seconds since its last request."""
        return time.monotonic() - self.used


class Engine:
    """The engine with its data in a folder: each request has a connection of its own, or its session's."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._kept = chdb.connect(self._folder)  # the engine lives as long as any connection
        self.version = self._kept.query("SELECT version()", "TSVRaw").bytes().decode().strip()
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def connection(self, session: str | None) -> Iterator[Any]:
        """The connection of a session, if one is named, or a new one."""
        if session is None:
            connection = self._connect()
            try:
                yield connection
            finally:
                connection.close()
            return
        with self._lock:
            for name, known in list(self._sessions.items()):
                if known.idle() > 60 and not known.lock.locked():  # as `default_session_timeout` has it
                    self._sessions.pop(name).connection.close()
            held = self._sessions.setdefault(session, Session(self._connect))
            locked = held.lock.acquire(blocking=False)
        if not locked:
            raise RefusedError(373, "SESSION_IS_LOCKED", f"Session {session} is locked by a concurrent client")
        try:
            yield held.connection
        finally:
            held.used = time.monotonic()
            held.lock.release()

    def _connect(self) -> Any:
        connection = chdb.connect(self._folder)
        connection.query("SET implicit_select = 0")  # as a server has it
        return connection


@contextmanager
def configured(connection: Any, settings: dict[str, str], *, shared: bool) -> Iterator[None]:
    """Settings of one request; they do not stay in a connection that is used again."""
    for name in settings:
        if not re.fullmatch(r"\w+", name):
            raise RefusedError(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    before: dict[str, str] = {}
    if shared and settings:
        names = ", ".join(map(_literal, settings))
        found = connection.query(
            f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})", "JSONCompactEachRow"
        )
        before = dict(json.loads(line) for line in found.bytes().splitlines())
    told = []
    try:
        for name, value in settings.items():
            connection.query(f"SET {name} = {_literal(value)}")
            told.append(name)
        yield
    finally:
        if shared:
            for name in told:
                connection.query(f"SET {name} = {_literal(before[name]) if name in before else 'DEFAULT'}")


class Answer:
    """What a statement gave: the bytes in their format, and how many rows were read and written."""

    def __init__(self, body: bytes, shape: str, read: int = 0, written: int = 0, returned: int = 0) -> None:
        self.body, self.shape = body, shape
        self.summary = {"read_rows": read, "written_rows": written, "result_rows": returned}


def execute(connection: Any, statement: bytes, shape: str, parameters: dict[str, str]) -> Answer:
    """Runs one statement, with its data behind it if it inserts some."""
    through = THROUGH.match(statement)
    if through is not None:
        return _execute_through(connection, through, statement[through.end() :])
    insert = INSERT.match(statement)
    if insert is not None and insert["format"] is not None:
        if parameters:
            raise RefusedError(48, "NOT_IMPLEMENTED", "These tests have no parameters in an INSERT with data")
        head = statement[: insert.start("format")].decode().rstrip()
        _single(connection, f"{head} {insert['format'].decode()}")
        inserting = connection.send_insert(head[: -len("FORMAT")], insert["format"].decode())
        try:
            inserting.append(statement[insert.end() :])
            done = inserting.finish()
        except BaseException:
            inserting.cancel()
            raise
        return Answer(b"", shape, written=done.rows_written)
    text = statement.decode()
    _single(connection, text if insert is None or insert["inline"].upper() != b"VALUES" else text[: insert.end()])
    result = connection.query(text, shape, params=parameters)
    said = re.search(r"\bFORMAT\s+(\w+)[\s;]*$", text, re.IGNORECASE)
    return Answer(
        result.bytes() or b"",
        said[1] if said else shape,
        result.storage_rows_read(),
        result.rows_written(),
        0 if insert else result.rows_read(),
    )


def _execute_through(connection: Any, statement: re.Match[bytes], data: bytes) -> Answer:
    """Runs an `INSERT ... SELECT ... FROM input()`; the engine alone has no input, but reads a file."""
    with tempfile.NamedTemporaryFile(suffix=".data") as file:
        file.write(data)
        file.flush()
        source = f"file({_literal(file.name)}, {statement['format'].decode()}, {statement['structure'].decode()})"
        text = f"{statement['head'].decode()}{source}{statement['tail'].decode()}"
        _single(connection, text)
        return Answer(b"", "", written=connection.query(text, "Null").rows_written())


def _single(connection: Any, text: str) -> None:
    """Refuses what is not one statement, in the engine's words."""
    connection.query(f"SELECT formatQuery({_literal(text)}) FORMAT Null")


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, values = self._asked()
        if path == "/ping":
            self._send(200, b"Ok.\n", {})
        else:
            values.pop("session_id", None)
            self._run({**values, "readonly": "2"}, b"")

    def do_POST(self) -> None:
        _, values = self._asked()
        body = self._body()
        if self.headers.get_content_type() == "multipart/form-data":
            kind = self.headers["Content-Type"].encode()
            for part in email.message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + body).walk():
                if name := part.get_param("name", header="content-disposition"):
                    values[str(name)] = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
            body = b""
        self._run(values, body)

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        return url.path, dict(parse_qsl(url.query, keep_blank_values=True))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        encoding = self.headers.get("Content-Encoding", "identity")
        return body if encoding == "identity" or not body else DECOMPRESS[encoding](body)

    def _run(self, values: dict[str, str], body: bytes) -> None:
        query_id = values.get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC"}
        statement = b"\n".join(part for part in (values.get("query", "").encode(), body) if part)
        behaviour = self.server.behaviour()
        if not re.search(behaviour.get("only", "").encode(), statement, re.IGNORECASE):
            behaviour = {}
        time.sleep(behaviour.get("delay", 0))
        began = time.monotonic_ns()
        try:
            self._check_user(values)
            if error := behaviour.get("error"):
                raise RefusedError(*error)
            session = values.get("session_id") or None
            shape = values.get("default_format") or "TabSeparated"
            parameters = {name[6:]: value for name, value in values.items() if name.startswith("param_")}
            settings = {name: v for name, v in values.items() if name not in RESERVED and name[:6] != "param_"}
            with self.server.engine.connection(session) as connection:
                if database := values.get("database"):
                    connection.query(f"USE `{database}`")
                with configured(connection, settings, shared=session is not None):
                    answer = execute(connection, statement, shape, parameters)
        except Exception as error:
            self._send_error(str(error), headers)
            return
        if behaviour.get("lose_answer"):
            self.close_connection = True
            return
        summary = {**answer.summary, "elapsed_ns": time.monotonic_ns() - began}
        headers["X-ClickHouse-Summary"] = json.dumps({name: str(value) for name, value in summary.items()})
        headers["X-ClickHouse-Format"] = answer.shape
        payload = answer.body
        if values.get("enable_http_compression") == "1":
            accepted = [name.strip() for name in self.headers.get("Accept-Encoding", "").split(",")]
            encoding = next((name for name in COMPRESS if name in accepted), None)
            if encoding is not None:
                headers["Content-Encoding"] = encoding
                payload = COMPRESS[encoding](payload)
        self._send(200, payload, headers)

    def _check_user(self, values: dict[str, str]) -> None:
        user = self.headers.get("X-ClickHouse-User") or values.get("user") or "default"
        password = self.headers.get("X-ClickHouse-Key") or values.get("password") or ""
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        if (user, password) != self.server.login:
            text = "Authentication failed: password is incorrect, or there is no user with such name"
            raise RefusedError(516, "AUTHENTICATION_FAILED", f"{user}: {text}")

    def _send_error(self, text: str, headers: dict[str, str]) -> None:
        code = re.search(r"Code: (\d+)\.", text)
        name = re.search(r"\(([A-Z0-9_]+)\)\s*$", text)
        if code is not None:
            headers["X-ClickHouse-Exception-Code"] = code[1]
            text = text[code.start() :]
        status = STATUS_OF.get(name[1] if name else "", 500)
        self._send(status, f"{text} (version {self.server.engine.version} (official build))\n".encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():  # early clients count on it
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    """Listens at a port, for one user."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, folder: Path, login: tuple[str, str]) -> None:
        self.engine = Engine(folder / "data")
        self.login = login
        self._behaviour = folder / "behaviour.json"
        super().__init__(("127.0.0.1", port), Handler)

    def behaviour(self) -> dict[str, Any]:
        """How a test wants it to misbehave now."""
        try:
            return json.loads(self._behaviour.read_bytes())
        except FileNotFoundError:
            return {}


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Server(int(sys.argv[1]), Path(sys.argv[2]), (sys.argv[3], sys.argv[4])).serve_forever()
