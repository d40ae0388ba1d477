"""An embedding that a database's client asks a model for is that model's call, counted once, inside the operation."""

from __future__ import annotations

import pytest

chromadb = pytest.importorskip("chromadb")
pytest.importorskip("openai")

from chromadb.utils.embedding_functions import OpenAIEmbeddingFunction

import aicost
from aicost.testing import ProviderEmulator
from tests.conftest import App


def test_an_embedding_inside_a_query_is_counted_once(app: App, emulator: ProviderEmulator) -> None:
    embed = OpenAIEmbeddingFunction(
        api_key="test-key", model_name="text-embedding-3-small", api_base=emulator.openai_base_url
    )
    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    docs = client.get_or_create_collection("tea", embedding_function=embed)
    with aicost.run_scope("retrieval") as run:
        docs.add(ids=["a"], documents=["tea"])
        docs.query(query_texts=["how much is tea"], n_results=1)
    client.delete_collection("tea")
    assert len(emulator.bill.calls) == 2
    assert app.ledger_total() == run.cost == emulator.bill.total
    rows = [(row.provider, row.operation) for row in app.charges() if row.run_id == run.id]
    assert sorted(rows) == [("chroma", "add"), ("chroma", "query"), ("openai", "embeddings"), ("openai", "embeddings")]
    spans = {span.context.span_id: span for span in app.spans}
    for span in app.spans:
        if span.name.startswith("embeddings"):
            assert span.parent is not None
            assert spans[span.parent.span_id].name in ("add tea", "query tea")
