"""`aicost rates` and `aicost price` over whole cards, public lists and every API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_cli import aicost
from tests.pricing.cards import document, rate

GENAI = [
    {
        "id": "openai",
        "pricing_urls": ["https://example.com/openai"],
        "models": [{"id": "gpt-x", "match": {"equals": "gpt-x"}, "prices": {"input_mtok": 1, "output_mtok": 4}}],
    }
]
LITELLM = {"gpt-x": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2e-06}}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    (tmp_path / "genai.json").write_text(json.dumps(GENAI))
    (tmp_path / "litellm.json").write_text(json.dumps(LITELLM))
    return tmp_path


@pytest.fixture
def server(lists: Path) -> Iterator[str]:
    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = lists / self.path.strip("/")
            self.send_response(200 if path.exists() else 404)
            self.end_headers()
            self.wfile.write(path.read_bytes() if path.exists() else b"")

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def test_import_makes_a_card_that_can_be_used_and_says_what_the_lists_disagree_on(lists: Path) -> None:
    done = aicost(
        "rates", "import", "--genai-prices", str(lists / "genai.json"), "--litellm", str(lists / "litellm.json"),
        "--as-of", "2026-11-01", "--output", str(lists / "card"), "--conflicts", str(lists / "report.json"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 models and 2 rates of 1 providers" in done.stdout
    [conflict] = json.loads((lists / "report.json").read_text())["conflicts"]
    assert conflict["said"] == {"genai-prices genai.json": "1 per 1000000", "litellm litellm.json": "2 per 1000000"}
    line = {"provider": "openai", "model": "gpt-x", "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}
    priced = json.loads(aicost("price", "--rate-card", str(lists / "card"), stdin=json.dumps(line)).stdout)
    assert (priced["amount"], priced["rate_card"]) == ("0.001", "catalogue@2026-11-01")
    shown = json.loads(aicost("rates", "show", "openai", "gpt-x", "--rate-card", str(lists / "card"), "--json").stdout)
    assert {r["note"] for r in shown["rates"] if r["meter"] == "input"} == {"litellm litellm.json: 2 per 1000000"}


def test_import_says_which_list_it_cannot_find(lists: Path) -> None:
    done = aicost("rates", "import", "--genai-prices", str(lists / "genai.json"), "--output", str(lists / "card"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "litellm is not installed" in done.stderr
    assert "or give its file with --litellm" in done.stderr


def test_refresh_fetches_only_when_it_is_run_and_says_how_to_use_what_it_made(server: str, tmp_path: Path) -> None:
    urls = ("--genai-prices-url", f"{server}/genai.json", "--litellm-url", f"{server}/litellm.json")
    done = aicost("rates", "refresh", *urls, XDG_DATA_HOME=str(tmp_path / "data"))
    folder = tmp_path / "data" / "aicost" / "rate-card"
    assert done.returncode == 0, done.stderr
    assert f"AICOST_RATE_CARD={folder}" in done.stdout
    assert (folder / "openai.json").is_file()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{}/nowhere.json", "HTTP Error 404"),
        ("http://example.com/x.json", "only https addresses are fetched"),
        ("file:///etc/passwd", "only https addresses are fetched"),
    ],
)
def test_refresh_that_fails_leaves_one_line_and_no_card(server: str, tmp_path: Path, url: str, message: str) -> None:
    done = aicost("rates", "refresh", "--genai-prices-url", url.format(server), "--output", str(tmp_path / "card"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert not (tmp_path / "card").exists()


def test_validate_lists_what_is_odd_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(document(rate("input", "1", source="todo"), rate("output", "5000"))))
    done = aicost("rates", "validate", str(path))
    assert done.returncode == 1
    assert "provenance: p/m/input@always: its source is 'todo'" in done.stdout
    assert "unit: p/m/output@always: 5000 times the price of input" in done.stdout
    findings = json.loads(aicost("rates", "validate", str(path), "--json").stdout)["findings"]
    assert [finding["kind"] for finding in findings] == ["unit", "provenance"]


def test_diff_shows_what_changed(tmp_path: Path) -> None:
    for name, price in (("a", "1"), ("b", "2")):
        (tmp_path / f"{name}.json").write_text(json.dumps({**document(rate("input", price)), "version": name}))
    done = aicost("rates", "diff", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json")
    assert json.loads(done.stdout) == {
        "before": "t@a",
        "after": "t@b",
        "differences": [
            {
                "provider": "p",
                "model": "m",
                "what": "input@always",
                "change": "changed",
                "before": "1 USD per 1,000,000",
                "after": "2 USD per 1,000,000",
            }
        ],
    }


APIS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("chat", "openai", "gpt-4o", {"prompt_tokens": 1000, "completion_tokens": 100}, "0.0035"),
    ("responses", "openai", "gpt-4o", {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}, "0.0035"),
    ("embeddings", "openai", "text-embedding-3-small", {"prompt_tokens": 1000, "total_tokens": 1000}, "0.00002"),
    ("messages", "anthropic", "claude-haiku-4-5", {"input_tokens": 1000, "output_tokens": 100}, "0.0015"),
    (
        "generate_content",
        "gemini",
        "gemini-2.5-flash",
        {"promptTokenCount": 1000, "candidatesTokenCount": 60, "thoughtsTokenCount": 40, "totalTokenCount": 1100},
        "0.00055",
    ),
    (
        "converse",
        "bedrock",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100},
        "0.00165",
    ),
    ("rerank", "cohere", "rerank-v3.5", {"meta": {"billed_units": {"search_units": 3}}}, "0.006"),
    (
        "images",
        "openai",
        "gpt-image-1",
        {"input_tokens": 50, "output_tokens": 1000, "total_tokens": 1050, "input_tokens_details": {"text_tokens": 50}},
        "0.04025",
    ),
    ("transcription", "openai", "whisper-1", {"type": "duration", "seconds": 90.5}, "0.00905"),
    ("speech", "openai", "tts-1", {"input_characters": 2000}, "0.03"),
]


@pytest.mark.parametrize("guessed", [False, True], ids=["named", "guessed"])
def test_price_takes_every_api(guessed: bool) -> None:
    asked = [
        {"provider": provider, "model": model, "usage": usage, "at": "2026-11-20"}
        | ({} if guessed and api != "images" else {"api": api})
        for api, provider, model, usage, _ in APIS
    ]
    done = aicost("price", stdin="\n".join(map(json.dumps, asked)))
    out = [json.loads(line) for line in done.stdout.splitlines()]
    said = [(api, row["amount"], row["reason"]) for (api, *_), row in zip(APIS, out, strict=True)]
    assert said == [(api, amount, None) for api, *_, amount in APIS]
    assert set(out[0]["lines"][0]) >= {"meter", "quantity", "unit_price", "amount", "rate_id"}


BAD: list[tuple[str, str]] = [
    (
        '{"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": "a dozen", "completion_tokens": 1}}',
        "usage_incomplete",
    ),
    (
        '{"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": NaN, "completion_tokens": 1}}',
        "usage_incomplete",
    ),
    (f'{{"provider": "openai", "model": "gpt-4o", "usage": {{"prompt_tokens": {"9" * 4000}}}}}', "usage_incomplete"),
    (
        f'{{"provider": "openai", "model": "gpt-4o", "usage": {{"prompt_tokens": {"9" * 5000}}}}}',
        "invalid_input:not JSON",
    ),
    ('{"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": -5}}', "usage_incomplete"),
    (
        '{"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 5, "total_tokens": 9}}',
        "usage_suspect:total",
    ),
    ('{"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 5}, "at": "1900-01-01"}', None),  # type: ignore[list-item]
    ('{"provider": "openai", "model": "o3", "usage": {"prompt_tokens": 5}, "at": "0001-01-01"}', None),  # type: ignore[list-item]
    ('{"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 5}, "region": ["eu"]}', "invalid_input:"),
    ('{"provider": "openai", "model": {"a": 1}, "usage": {"prompt_tokens": 5}}', "invalid_input:"),
    ("[" * 100_000, "invalid_input:not JSON"),
    ('{"provider": "openai", "model": "gpt-4o", "usage": {"tokens_of_tomorrow": 5}}', "invalid_input:cannot tell"),
    ('{"provider": "openai", "model": "gpt-4o", "usage": [1]}', "invalid_input:usage must be"),
]


def test_bad_lines_each_have_a_status_and_a_reason_and_none_is_zero() -> None:
    done = aicost("price", stdin="\n".join(line for line, _ in BAD))
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(out) == len(BAD)
    for (line, reason), row in zip(BAD, out, strict=True):
        if reason is None:
            assert row["status"] == "priced", line[:80]
        else:
            assert row["reason"].startswith(reason), (line[:80], row["reason"])
            assert row["status"] in {"unpriced", "partial"}
        assert row["amount"] is None or row["status"] == "partial" or float(row["amount"]) > 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("provider", ["mistral_ai", "mistral", "MistralAI"])
def test_a_provider_is_listed_by_any_of_its_names(provider: str) -> None:
    listed = aicost("rates", "list", "--provider", provider, "--json")
    assert {row["provider"] for row in json.loads(listed.stdout)["models"]} == {"mistral_ai"}
