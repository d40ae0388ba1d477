"""The rate card of a running collector: loaded again when it changes, and never half."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from .running import Backend, InProcess, a_request, a_span, attributes_of, get, metric, post, until


def card(version: str, price: str = "1") -> dict[str, Any]:
    rates = [{"meter": meter, "price": price, "per": 1000} for meter in ("input", "output")]
    openai = {"provider": "openai", "source": "a contract", "checked": "2026-11-01"}
    return {
        "schema": "aicost.rate-card/1",
        "id": "ours",
        "version": version,
        "currency": "USD",
        "providers": [{**openai, "models": [{"model": "gpt-4o", "rates": rates}]}],
    }


def amount(one: InProcess, backend: Backend) -> str | None:
    assert post(one.http, a_request([a_span()]).SerializeToString())[0] == 200
    return attributes_of(backend.spans[-1]).get("aicost.cost.amount_exact")


def reloads(one: InProcess, result: str) -> float:
    return metric(one.http, "aicost_collector_rate_card_reloads_total", result=result)


def test_a_file_that_changes_is_in_force_soon_and_one_that_is_wrong_never(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    file = tmp_path / "card.json"
    file.write_text(json.dumps(card("1")))
    one = collector(rate_card={"path": str(file), "reload_interval": 0.05})
    assert amount(one, backend) == "1.5"
    file.write_text(json.dumps(card("2", "2")))
    until(lambda: reloads(one, "ok") == 1)
    assert amount(one, backend) == "3"
    file.write_text(json.dumps(card("3", "4"))[:100])
    until(lambda: reloads(one, "failed") >= 1)
    assert amount(one, backend) == "3"
    assert 'rate_card="ours@2"' in get(one.http, "/metrics")[1]
    other = tmp_path / "new.json"
    other.write_text(json.dumps(card("4", "4")))
    other.replace(file)
    until(lambda: reloads(one, "ok") == 2)
    assert amount(one, backend) == "6"
    file.unlink()
    before = reloads(one, "failed")
    until(lambda: reloads(one, "failed") > before)
    assert amount(one, backend) == "6"


def test_a_linked_folder_that_is_swapped_is_seen(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    for version, price in (("1", "1"), ("2", "2")):
        folder = tmp_path / f"v{version}"
        folder.mkdir()
        (folder / "card.json").write_text(json.dumps(card(version, price)))
    link = tmp_path / "current"
    link.symlink_to("v1")
    one = collector(rate_card={"path": str(link / "card.json"), "reload_interval": 0.05})
    assert amount(one, backend) == "1.5"
    new = tmp_path / "next"
    new.symlink_to("v2")
    new.replace(link)
    until(lambda: reloads(one, "ok") == 1)
    assert amount(one, backend) == "3"


class Prices:
    """A server of a rate card, with ETags."""

    def __init__(self) -> None:
        self.card = json.dumps(card("1"))
        self.asked: list[int] = []
        self.broken = False
        prices = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

            def do_GET(self) -> None:
                if prices.broken:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nab")
                    return
                tag = f'"{hash(prices.card)}"'
                known = self.headers.get("if-none-match") == tag
                code = 500 if not prices.card else 304 if known else 200
                prices.asked.append(code)
                self.send_response(code)
                self.send_header("etag", tag)
                self.end_headers()
                if code == 200:
                    self.wfile.write(prices.card.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/card.json"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def prices() -> Iterator[Prices]:
    made = Prices()
    yield made
    made.close()


def test_an_address_is_asked_with_its_etag(
    collector: Callable[..., InProcess], backend: Backend, prices: Prices
) -> None:
    one = collector(rate_card={"url": prices.url, "reload_interval": 0.05})
    assert amount(one, backend) == "1.5"
    until(lambda: 304 in prices.asked)
    prices.card = json.dumps(card("2", "2"))
    until(lambda: reloads(one, "ok") == 1)
    assert amount(one, backend) == "3"
    prices.card = "{"
    until(lambda: reloads(one, "failed") >= 1)
    prices.card = ""
    assert amount(one, backend) == "3"
    failed = reloads(one, "failed")
    prices.broken = True
    until(lambda: reloads(one, "failed") > failed)
    prices.broken = False
    prices.card = json.dumps(card("3", "4"))
    until(lambda: reloads(one, "ok") == 2)
