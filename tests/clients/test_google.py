"""What only the Gemini client has: caches, batches, and answers it gets by calling functions of the application."""

from __future__ import annotations

import pytest

genai = pytest.importorskip("google.genai")

from google.genai import types

from aicost.testing import ProviderEmulator, Reply
from tests.conftest import App

from .doors import CLIENTS
from .doors.google_doors import MODEL, connect
from .test_conformance import assert_bill_is_matched, meters_of

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("google-genai" not in CLIENTS, reason="another client's turn"),
]


def test_a_cache_costs_its_tokens_and_the_hours_it_is_kept(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(input_tokens=5000))
    config = types.CreateCachedContentConfig(contents=["a long text"], ttl="7200s")
    client = connect(emulator)
    client.caches.create(model=MODEL, config=config)
    assert meters_of(app.inference) == {"input": 5000, "cache_storage_token_hours": 10_000}
    assert_bill_is_matched(app, emulator)


@pytest.mark.skipif(not hasattr(types, "InlinedRequest"), reason="this version has no batches in themselves")
def test_results_of_a_batch_are_counted_once_at_its_price(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    asked = [{"contents": [{"parts": [{"text": f"ask {n}"}], "role": "user"}]} for n in range(2)]
    batch = client.batches.create(model=MODEL, src=asked)
    for _ in range(3):
        batch = client.batches.get(name=batch.name)
    assert [found["aicost.response.service_tier"] for found in app.inferences] == ["batch", "batch"]
    assert app.total().calls == 2
    assert_bill_is_matched(app, emulator)


def test_counting_tokens_is_no_event(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    assert client.models.count_tokens(model=MODEL, contents="x").total_tokens == 21
    assert app.inferences == []
