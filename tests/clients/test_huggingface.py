"""What only Hugging Face's client has: tasks whose answers say little or nothing of what they used."""

from __future__ import annotations

import pytest

hf = pytest.importorskip("huggingface_hub")

from aicost.testing import ProviderEmulator, Reply
from tests.conftest import App

from .doors import CLIENTS
from .test_conformance import meters_of

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("huggingface_hub" not in CLIENTS, reason="another client's turn"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_text_generation_says_what_was_written_and_not_what_was_read(
    app: App, emulator: ProviderEmulator, stream: bool
) -> None:
    emulator.on().then(Reply(text="a few words", output_tokens=5))
    client = hf.InferenceClient(model=emulator.base_url("hf") + "/models/m/generate", token="x")
    made = client.text_generation("a prompt", details=True, stream=stream)
    if stream:
        list(made)
    found = app.inference
    assert meters_of(found) == {"output": 5}
    assert (found["aicost.cost.status"], found["aicost.usage.complete"]) == ("unpriced", False)


def test_features_without_usage_are_unpriced_not_free(app: App, emulator: ProviderEmulator) -> None:
    pytest.importorskip("numpy")
    client = hf.InferenceClient(model=emulator.base_url("hf") + "/models/m/features", token="x")
    client.feature_extraction("a text")
    found = app.inference
    assert (found["gen_ai.operation.name"], found["aicost.cost.status"]) == ("embeddings", "unpriced")
    assert "aicost.cost.amount" not in found
