"""Scopes cross processes only where both the key and the host are allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.clients import both as doors
from tests.conftest import App

import aicost
from aicost import ConfigError
from aicost.scopes.scope import current_scope
from aicost.testing import ProviderEmulator


def send(host: str) -> dict[str, str]:
    headers = {"baggage": "theirs=1"}
    with aicost.run_scope("w", run_id="run-1", tenant_id="t-1", customer_id="c 9"):
        aicost.inject(headers, host=host)
    return headers


def test_nothing_leaves_by_default(app: App) -> None:
    assert send("billing.internal") == {"baggage": "theirs=1"}


@pytest.mark.parametrize(
    ("host", "leaves"),
    [
        ("billing.internal", True),
        ("BILLING.internal", True),
        ("a.corp", True),
        ("corp", False),
        ("evilcorp", False),
        ("api.openai.com", False),
    ],
)
def test_only_allowed_keys_go_to_allowed_hosts(make_app: Callable[..., App], host: str, leaves: bool) -> None:
    make_app(baggage_keys=("tenant_id", "run_id"), baggage_hosts=("billing.internal", ".corp"))
    expected = "theirs=1,aicost.tenant.id=t-1,aicost.run.id=run-1,gen_ai.workflow.name=w" if leaves else "theirs=1"
    assert send(host) == {"baggage": expected}


def test_a_scope_that_came_along_is_continued(make_app: Callable[..., App]) -> None:
    make_app(baggage_keys=("customer_id", "run_id", "workflow"), baggage_hosts=("here",))
    headers = send("here")
    headers["baggage"] += ",aicost.tenant.id=forged"
    with aicost.extract({"Baggage": headers["baggage"]}):
        scope = current_scope()
        assert dict(scope.attribution) == {"customer_id": "c 9"}, "a key that is not allowed is not taken"
        assert scope.run is not None
        assert (scope.run.id, scope.run.workflow) == ("run-1", "w")
    assert current_scope().run is None


@pytest.mark.clients
def test_wrapped_clients_send_the_scope_to_allowed_hosts_only(
    make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    app = make_app(baggage_keys=("tenant_id",), baggage_hosts=("127.0.0.1",))
    with aicost.attribution(tenant_id="t-1"):
        doors.chat(doors.connect(emulator), "x")
    sent = dict(pair.split("=") for pair in emulator.requests[-1].headers["baggage"].split(","))
    assert sent == {"aicost.tenant.id": "t-1", "aicost.event.id": app.inference["aicost.event.id"]}


def test_an_unknown_key_is_refused(make_app: Callable[..., App]) -> None:
    with pytest.raises(ConfigError, match="baggage_keys: 'tenant' is unknown; known: tenant_id"):
        make_app(baggage_keys=("tenant",))
