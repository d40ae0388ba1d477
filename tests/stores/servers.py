"""The wire of databases that no package carries: hosted ones over HTTP, and Redis with vectors."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def http_server(answers: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Iterator[str]:
    """Answers paths with JSON, and others with 404. Gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = answers.get(self.path.partition("?")[0])
            body = json.dumps(
                answer if answer is not None else {"error": {"type": "index_not_found_exception"}}
            ).encode()
            self.send_response(200 if answer is not None else 404)
            for name, value in {**headers, "content-type": "application/json", "content-length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = answer  # noqa: N815 - the names are the library's

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


_SEARCHED = b"*7\r\n:3\r\n" + b"".join(b"$1\r\n%d\r\n*0\r\n" % n for n in range(3))
_SIMILAR = b"*3\r\n" + b"".join(b"$1\r\n%d\r\n" % n for n in range(3))


@contextmanager
def redis_server(*, vectors: bool) -> Iterator[int]:
    """Answers Redis's protocol as far as vectors go. Gives its port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                words = []
                for _ in range(int(line[1:])):
                    length = int(self.rfile.readline()[1:])
                    words.append(self.rfile.read(length + 2)[:-2])
                self.wfile.write(_answer(words))

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@contextmanager
def real_redis(folder: Path) -> Iterator[int]:
    """The Redis of the system's packages. Gives its port; skips where there is none."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed; on Debian: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            server.terminate()


def _answer(words: list[bytes]) -> bytes:
    verb = words[0].upper()
    if verb == b"FT.SEARCH":
        return _SEARCHED if words[1] == b"docs" else b"-nowhere: no such index\r\n"
    if verb == b"VSIM":
        return _SIMILAR
    return b":1\r\n" if verb == b"VADD" else b"+OK\r\n"


@contextmanager
def weaviate_grpc() -> Iterator[int]:
    """Weaviate's gRPC service, by the stubs that its client carries. Gives its port."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from weaviate.proto.v1 import batch_pb2, search_get_pb2, weaviate_pb2_grpc

    class Service(weaviate_pb2_grpc.WeaviateServicer):  # type: ignore[misc,unused-ignore]
        def Search(self, request: Any, context: Any) -> Any:
            if request.collection != "Docs":
                context.abort(grpc.StatusCode.NOT_FOUND, "could not find class")
            found = [
                search_get_pb2.SearchResult(
                    metadata=search_get_pb2.MetadataResult(id=f"00000000-0000-0000-0000-00000000000{n}")
                )
                for n in range(request.limit)
            ]
            return search_get_pb2.SearchReply(took=0.1, results=found)

        def BatchObjects(self, request: Any, context: Any) -> Any:
            return batch_pb2.BatchObjectsReply(took=0.1)

    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)
