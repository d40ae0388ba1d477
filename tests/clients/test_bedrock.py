"""What only Bedrock has: regions, inference profiles, and other services behind the same client."""

from __future__ import annotations

from typing import Any

import pytest

boto3 = pytest.importorskip("boto3")

from aicost.integrations.clients.bedrock import model_of
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .doors import CLIENTS
from .doors.bedrock_doors import CLAUDE, NOVA

pytestmark = [pytest.mark.clients, pytest.mark.skipif("boto3" not in CLIENTS, reason="another client's turn")]


def client_in(region: str, emulator: ProviderEmulator, service: str = "bedrock-runtime") -> Any:
    keys = {"aws_access_key_id": "AKIAXXXXXXXXXXXXXXXX", "aws_secret_access_key": "x"}
    return boto3.client(service, region_name=region, endpoint_url=emulator.base_url("bedrock"), **keys)


def ask(client: Any, model: str) -> None:
    client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "x"}]}])


def test_a_region_without_a_price_is_unpriced_and_named(app: App, emulator: ProviderEmulator) -> None:
    ask(client_in("eu-central-1", emulator), NOVA)
    found = app.inference
    assert found["aicost.cost.reason"] == "no_rate:input,output[region=eu-central-1]"
    assert found["aicost.response.region"] == "eu-central-1"


def test_a_profile_costs_the_same_wherever_it_is_called_from(app: App, emulator: ProviderEmulator) -> None:
    ask(client_in("us-west-1", emulator), CLAUDE)
    assert app.inference["aicost.cost.status"] == "priced"


@pytest.mark.parametrize(
    ("model_id", "model"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}", CLAUDE),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", "abc123"),
    ],
)
def test_an_arn_names_its_model(model_id: str, model: str) -> None:
    assert model_of(model_id) == model


def test_other_services_are_left_alone(app: App, emulator: ProviderEmulator) -> None:
    with pytest.raises(Exception):
        client_in("us-east-1", emulator, "sts").get_caller_identity()
    assert app.inferences == []
