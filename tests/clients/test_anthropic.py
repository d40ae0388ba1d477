"""What only the Anthropic client has: cache writes by their time to live, its own spans, batches, other platforms."""

from __future__ import annotations

from typing import Any

import pytest

anthropic = pytest.importorskip("anthropic")

import aicost
from aicost.testing import ProviderEmulator, Reply
from tests.conftest import App

from .doors import CLIENTS
from .doors import anthropic_doors as doors
from .doors.anthropic_doors import MODEL, connect, said
from .test_conformance import assert_bill_is_matched

Messages = anthropic.resources.Messages

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("anthropic" not in CLIENTS, reason="another client's turn"),
]


def test_cache_writes_are_priced_by_how_long_they_live(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(
        Reply(
            input_tokens=2000,
            cached_tokens=500,
            cache_write_5m=400,
            cache_write_1h=300,
            output_tokens=10,
            web_searches=2,
        )
    )
    doors.messages(connect(emulator), "x")
    assert app.inference["gen_ai.usage.cache_creation.input_tokens"] == 700
    assert app.inference["aicost.cost.tool"] == pytest.approx(0.02)
    assert_bill_is_matched(app, emulator)


def test_the_client_s_own_spans_are_not_doubled(app: App, emulator: ProviderEmulator) -> None:
    doors.messages(connect(emulator), "x")
    with doors.messages_stream_helper(connect(emulator), "x") as stream:
        list(stream)
    with_usage = [s for s in app.spans if "gen_ai.usage.input_tokens" in (s.attributes or {})]
    assert [s.instrumentation_scope.name for s in with_usage if s.instrumentation_scope] == ["aicost", "aicost"]


def test_the_client_s_own_spans_can_be_kept(
    make_app: object, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(anthropic._base_client, "start_api_call_span"):
        pytest.skip("this version has no spans of its own")
    monkeypatch.setenv("AICOST_ANTHROPIC_NATIVE_SPANS", "keep")
    app = make_app()  # type: ignore[operator]
    doors.messages(connect(emulator), "x")
    scopes = sorted(s.instrumentation_scope.name for s in app.spans if s.instrumentation_scope)
    assert scopes == ["aicost", "com.anthropic.sdk.python"]
    assert_bill_is_matched(app, emulator)


@pytest.mark.skipif(not hasattr(Messages, "count_tokens"), reason="this version does not count tokens")
def test_counting_tokens_is_free_and_no_event(app: App, emulator: ProviderEmulator) -> None:
    counted = connect(emulator).messages.count_tokens(model=MODEL, messages=said("x")["messages"])
    assert counted.input_tokens == 21
    assert app.inferences == []
    assert app.ledger_total() == emulator.bill.total == 0


@pytest.mark.skipif(not hasattr(Messages, "batches"), reason="this version has no batches")
def test_results_of_a_batch_are_counted_once_at_its_price(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    batches = client.messages.batches
    batch = batches.create(requests=[{"custom_id": f"c{n}", "params": said(f"ask {n}")} for n in range(3)])
    while batch.processing_status != "ended":
        batch = batches.retrieve(batch.id)
    with aicost.attribution(feature_id="nightly"):
        assert len(list(batches.results(batch.id))) == 4
        list(batches.results(batch.id))
    assert [found["aicost.response.service_tier"] for found in app.inferences] == ["batch"] * 3
    assert {found["aicost.feature.id"] for found in app.inferences} == {"nightly"}
    assert app.total().calls == 3
    assert_bill_is_matched(app, emulator)


def test_each_turn_of_the_tool_runner_is_a_call(app: App, emulator: ProviderEmulator) -> None:
    beta = getattr(connect(emulator), "beta", None)
    if beta is None or not hasattr(getattr(beta, "messages", None), "tool_runner"):
        pytest.skip("this version has no tool runner")

    @anthropic.beta_tool  # type: ignore[untyped-decorator,unused-ignore]
    def add(a: int, b: int) -> str:
        """Add.

        Args:
            a: one
            b: other
        """
        return str(a + b)

    runner = connect(emulator).beta.messages.tool_runner(tools=[add], **said("x"))
    runner.until_done()
    assert len(app.inferences) == len(emulator.bill.calls) == 1
    assert_bill_is_matched(app, emulator)


BEDROCK, VERTEX = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5@20250929"


def bedrock(emulator: ProviderEmulator) -> Any:
    pytest.importorskip("botocore")
    keys = {"aws_access_key": "AKIAXXXXXXXXXXXXXXXX", "aws_secret_key": "x", "aws_region": "us-east-1"}
    return anthropic.AnthropicBedrock(base_url=emulator.base_url("bedrock"), **keys)


def vertex(emulator: ProviderEmulator) -> Any:
    pytest.importorskip("google.auth")
    where = {"project_id": "p-1", "region": "us-east5", "access_token": "x"}
    return anthropic.AnthropicVertex(base_url=emulator.base_url("vertex") + "/v1", **where)


def foundry(emulator: ProviderEmulator) -> Any:
    if not hasattr(anthropic, "AnthropicFoundry"):
        pytest.skip("this version has no Foundry client")
    return anthropic.AnthropicFoundry(base_url=emulator.base_url("foundry"), api_key="x")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("connect_to", "model", "provider"),
    [
        (bedrock, BEDROCK, "aws.bedrock"),
        (vertex, VERTEX, "gcp.vertex_ai"),
        (foundry, "claude-sonnet-4-5", "azure.ai.inference"),
    ],
)
def test_other_platforms_have_their_own_prices(
    app: App, emulator: ProviderEmulator, connect_to: Any, model: str, provider: str, stream: bool
) -> None:
    emulator.on().then(Reply(input_tokens=1200, cached_tokens=1024, output_tokens=80))
    client = connect_to(emulator)
    made = client.messages.create(**{**said("x"), "model": model}, stream=stream)
    if stream:
        list(made)
    found = app.inference
    assert found["gen_ai.provider.name"] == provider
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (1200, 80)
    assert found["aicost.cost.status"] == "priced"
    assert all(rate.startswith(f"{provider}/") for rate in found["aicost.cost.rate_ids"])
