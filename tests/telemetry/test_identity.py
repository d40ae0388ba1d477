"""Identity: whatever ids servers give, what was counted is what was billed, in every sink."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.clients import both as doors
from tests.conftest import App

import aicost
from aicost._money import to_decimal
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.scopes.ids import credential_digest
from aicost.testing import Fail, ProviderEmulator, Reply

DRAWN = "chatcmpl-CX5kFkl2Jq0Yt1AaQJ4Yy2m8"
IDS = {
    "a constant": lambda n: "chatcmpl-1",  # noqa: ARG005 - the same for all
    "of a thousand": lambda n: f"chatcmpl-{n % 2}",
    "the second": lambda n: f"chatcmpl-{1_763_990_000 + n // 3}",
    "a constant that looks drawn": lambda n: DRAWN,  # noqa: ARG005
}
DOORS: dict[str, Callable[[Any, str], Any]] = {
    "chat": doors.chat,
    "stream": doors.chat_stream,
    "embeddings": doors.embeddings,
    "messages": doors.messages,
}


def everywhere(app: App) -> dict[str, Decimal]:
    """What each sink says was spent."""
    spans = sum(Decimal(span["aicost.cost.amount_exact"]) for span in app.inferences)
    metrics = sum(app.metrics()["aicost.cost"].values())
    return {"ledger": app.ledger_total(), "spans": spans, "metrics": Decimal(repr(round(metrics, 12)))}


@pytest.mark.clients
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("alike", [True, False], ids=["equal counts", "other counts"])
def test_calls_are_as_many_as_were_made_whatever_ids_they_share(
    app: App, emulator: ProviderEmulator, door: Callable[[Any, str], Any], ids: Callable[[int], str], alike: bool
) -> None:
    for n in range(6):
        text = f"answer {n}"  # other bytes, so that none is a replay of another
        emulator.on().then(Reply(text=text, response_id=ids(n), input_tokens=100 if alike else 100 + n))
    clients = doors.connect(emulator)
    with aicost.run_scope("w") as run:
        for n in range(6):
            with aicost.attribution(tenant_id=f"t-{n % 2}"):
                door(clients, f"x{n}")
    assert emulator.bill.total > 0
    assert run.calls == app.total().calls == len(emulator.bill.calls) == 6
    assert run.cost == emulator.bill.total
    assert everywhere(app) == dict.fromkeys(("ledger", "spans", "metrics"), emulator.bill.total)
    ids_stated = [span["aicost.event.id"] for span in app.inferences]
    assert sorted(ids_stated) == sorted(charge.event_id for charge in app.charges())
    assert len(set(ids_stated)) == 6


@pytest.mark.clients
def test_a_stream_without_usage_is_not_completed_by_a_call_that_has_its_id(
    app: App, emulator: ProviderEmulator
) -> None:
    emulator.on().then(Reply(response_id="chatcmpl-1", omit_usage=True), Reply(response_id="chatcmpl-1"))
    clients = doors.connect(emulator)
    doors.chat_stream(clients, "x")
    doors.chat(clients, "y")
    lost, counted = app.charges()
    assert (lost.charge_status, counted.charge_status) == ("unpriced", "priced")
    assert app.ledger_total() == emulator.bill.delivered


@pytest.mark.clients
def test_each_attempt_states_its_own_event(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Fail(status=429), Fail(status=500), Reply())
    doors.chat(doors.connect(emulator), "x")
    span = next(s for s in app.spans if "aicost.cost.status" in (s.attributes or {}))
    told = [event.attributes["aicost.event.id"] for event in span.events if event.name == "aicost.attempt"]
    assert told == [charge.event_id for charge in app.charges()]
    assert span.attributes["aicost.event.id"] == told[-1]
    assert len(set(told)) == 3


SEEDED = """
import random, sys, time
random.seed(42)
import aicost
aicost.init(exporter="none", ledger=sys.argv[1], instrument=())
with aicost.run_scope("w", tenant_id=sys.argv[2]):
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000})
    aicost.record_outcome("document")
aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000})
aicost.shutdown()
"""


def test_processes_that_seed_random_alike_are_as_many_runs_and_charges(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    for tenant in ("a", "b"):
        subprocess.run([sys.executable, "-c", SEEDED, str(path), tenant], check=True, timeout=60)
    with LedgerReader(path) as ledger:
        (row,) = ledger.answer(Query())
        assert (row.calls, to_decimal(row.atto)) == (4, 4 * Decimal("0.0025"))
        runs = {charge.run_id for charge in ledger.charges()}
        outcomes = ledger._rows("SELECT SUM(count) AS n FROM outcomes", ())[0]["n"]
    assert (len(runs), outcomes) == (4, 2)


@pytest.mark.clients
@pytest.mark.parametrize(
    "headers",
    [
        {"x-litellm-cache-key": "9b1c"},
        {"cf-aig-cache-status": "HIT"},
        {"x-portkey-cache-status": "SEMANTIC HIT"},
        {"helicone-cache": "HIT"},
        {"x-openrouter-cache-status": "HIT"},
        {"x-cache-status": "Hit"},
    ],
    ids=lambda headers: next(iter(headers)),
)
@pytest.mark.parametrize("door", [doors.chat, doors.chat_stream, doors.messages], ids=["chat", "stream", "messages"])
def test_a_cache_that_says_so_costs_nothing(
    app: App, emulator: ProviderEmulator, door: Callable[[Any, str], Any], headers: dict[str, str]
) -> None:
    emulator.on().then(Reply(), Reply(headers=headers, billed=False))
    clients = doors.connect(emulator)
    with aicost.run_scope("w") as run:
        door(clients, "x")
        door(clients, "x")
    assert run.cost == app.ledger_total() == emulator.bill.total > 0
    assert [s.attributes["aicost.covered.reason"] for s in app.spans if "aicost.covered.reason" in s.attributes] == [
        "cache"
    ]
    with LedgerReader(app.ledger_path) as ledger:
        (seen,) = ledger.sightings()
    assert (seen.kind, seen.reason, seen.count) == ("joined", "cache", 1)
    assert to_decimal(seen.atto or 0) == emulator.bill.total, "what it would have cost is shown"


@pytest.mark.clients
@pytest.mark.parametrize(
    "headers",
    [{"cf-aig-cache-status": "MISS"}, {"x-portkey-cache-status": "SEMANTIC MISS"}, {"x-litellm-cache-key": ""}, {}],
    ids=str,
)
def test_a_cache_that_missed_costs_what_the_model_costs(
    app: App, emulator: ProviderEmulator, headers: dict[str, str]
) -> None:
    emulator.on().then(Reply(headers=headers), Reply(headers=headers))
    clients = doors.connect(emulator)
    for _ in range(2):
        doors.chat(clients, "x")
    assert app.ledger_total() == emulator.bill.total
    assert len(emulator.bill.calls) == 2


ANSWER: dict[str, Any] = {
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
CHUNKS = [
    {**ANSWER, "object": "chat.completion.chunk", "usage": None, "choices": [{"index": 0, "delta": {"content": "hi"}}]},
    {**ANSWER, "object": "chat.completion.chunk", "choices": []},
]


@pytest.mark.clients
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("ids", "texts", "calls"),
    [
        ((DRAWN, DRAWN), ("a", "a"), 1),  # the very bytes again, under an id that is given once
        ((DRAWN, DRAWN), ("a", "b"), 2),  # an id that comes twice, with other bytes
        ((DRAWN, DRAWN[:-1] + "9"), ("a", "a"), 2),
        (("chatcmpl-1", "chatcmpl-1"), ("a", "a"), 2),  # a short answer in one second, at a gateway that counts seconds
    ],
    ids=["replay", "other bytes", "other id", "a weak id"],
)
def test_a_replay_is_told_by_its_bytes_under_an_id_that_is_given_once(
    app: App, stream: bool, ids: tuple[str, str], texts: tuple[str, str], calls: int
) -> None:
    answers = []
    for response_id, text in zip(ids, texts, strict=True):
        if stream:
            parts = [{**chunk, "id": response_id, "said": text} for chunk in CHUNKS]
            body = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"
        else:
            body = json.dumps({**ANSWER, "id": response_id, "said": text})
        answers.append(body.encode())
    kind = "text/event-stream" if stream else "application/json"

    def answer(_: Any) -> Any:
        return library.Response(200, headers={"content-type": kind}, content=answers.pop(0))

    library = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]
    transport = library.MockTransport(answer)
    client = openai.OpenAI(api_key="k", http_client=openai.DefaultHttpxClient(transport=transport))
    said: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    with aicost.run_scope("w") as run:
        for _ in range(2):
            if stream:
                list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **said))
            else:
                client.chat.completions.create(**said)
    assert run.cost == app.ledger_total() == calls * Decimal("0.0035")
    replays = [s for s in app.spans if (s.attributes or {}).get("aicost.covered.reason") == "replay"]
    assert len(replays) == 2 - calls


@pytest.mark.clients
def test_what_a_bill_can_be_joined_by_is_recorded_and_the_key_is_not(app: App, emulator: ProviderEmulator) -> None:
    headers = {"openai-organization": "org-1", "openai-project": "proj_2", "x-request-id": "req_abc"}
    emulator.on().then(Fail(status=429), Reply(headers={**headers, "x-litellm-call-id": "call-7"}))
    doors.chat(doors.connect(emulator), "x")
    failed, charge = app.charges()
    digest = credential_digest("test-key")
    assert charge.origin.host == "127.0.0.1"
    assert (charge.origin.organization, charge.origin.project) == ("org-1", "proj_2")
    assert (charge.origin.request_id, charge.origin.gateway_call_id) == ("req_abc", "call-7")
    assert failed.origin.request_id == "req_0", "an attempt that failed has an id of its own"
    assert charge.origin.credential == failed.origin.credential == digest
    said = app.inference
    assert said["aicost.provider.organization"] == "org-1"
    assert said["aicost.provider.credential"] == digest
    assert "test-key" not in json.dumps([dict(span.attributes or {}) for span in app.spans], default=str)
