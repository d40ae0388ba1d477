"""What only Groq has: its own words for its tiers."""

from __future__ import annotations

import pytest

pytest.importorskip("groq")

from aicost.testing import ProviderEmulator, Reply
from tests.conftest import App

from .doors import CLIENTS
from .test_conformance import assert_bill_is_matched

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("groq" not in CLIENTS, reason="another client's turn"),
]


@pytest.mark.parametrize("tier", ["on_demand", "auto", "default"])
def test_its_default_tier_is_priced_whatever_it_is_called(app: App, emulator: ProviderEmulator, tier: str) -> None:
    from .doors import groq_doors as doors

    emulator.on().then(Reply(service_tier=tier, input_tokens=1200, output_tokens=80))
    doors.chat(doors._connector(doors.groq.Groq)(emulator), "x")
    found = app.inference
    assert found["aicost.cost.status"] == "priced"
    assert "aicost.response.service_tier" not in found
    assert_bill_is_matched(app, emulator)
