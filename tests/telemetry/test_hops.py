"""A gateway that aicost is in, too: the caller's attempt and the gateway's are one charge in the ledger they share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.conftest import App

import aicost
from aicost._money import to_decimal
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.testing import ProviderEmulator, Reply

GATEWAY = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import openai
import aicost

ledger, provider, call_id = sys.argv[1:]
aicost.init(exporter="none", ledger=ledger, instrument=("openai",))

class Gateway(BaseHTTPRequestHandler):
    def log_message(self, *args): ...
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked["model"] = "gpt-4o"  # it knows what its caller's name stands for
        with aicost.extract(self.headers):
            if call_id:
                from dataclasses import replace
                from opentelemetry import context
                from aicost.scopes.scope import current_scope, with_scope
                context.attach(with_scope(replace(current_scope(), upstream_id="gateway:" + call_id)))
            body = openai.OpenAI(base_url=provider, api_key="k").chat.completions.create(**asked).model_dump_json()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body.encode())))
        if call_id:
            self.send_header("x-litellm-call-id", call_id)
        self.end_headers()
        self.wfile.write(body.encode())

server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.mark.clients
@pytest.mark.parametrize(
    ("settings", "call_id", "charges"),
    [
        ({"baggage_hosts": ("127.0.0.1",)}, "", 1),
        ({"gateway_hosts": ("127.0.0.1",)}, "4b9f7c1e", 1),
        ({}, "4b9f7c1e", 2),  # a call id of a host that is not declared a gateway is no proof
        ({}, "", 2),
    ],
    ids=["the id is sent along", "a declared gateway's call id", "not declared", "nothing"],
)
def test_a_call_through_a_gateway_is_one_charge_of_what_the_gateway_asked(
    make_app: Any, emulator: ProviderEmulator, tmp_path: Path, settings: dict[str, Any], call_id: str, charges: int
) -> None:
    ledger = tmp_path / "shared.sqlite"
    app: App = make_app(ledger=ledger, **settings)
    emulator.on().then(Reply(), Reply())
    with subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(ledger), emulator.openai_base_url, call_id],
        stdout=subprocess.PIPE,
        text=True,
    ) as gateway:
        try:
            assert gateway.stdout is not None
            port = int(gateway.stdout.readline())
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0)
            with aicost.run_scope("w", tenant_id="t-1"):
                client.chat.completions.create(model="our-best", messages=[{"role": "user", "content": "x"}])
        finally:
            gateway.terminate()
    aicost.flush()
    with LedgerReader(ledger) as reader:
        rows = reader.charges()
        total = to_decimal(sum(row.atto for row in reader.answer(Query())))
        joined = [(seen.kind, seen.reason, seen.count) for seen in reader.sightings()]
    assert len(rows) == charges
    if charges == 1:
        assert (rows[0].request_model, total) == ("gpt-4o", emulator.bill.total)
        assert joined == [("joined", "downstream", 1)]
        if not call_id:
            assert rows[0].origin.upstream_id == app.inference["aicost.event.id"]
    else:
        assert joined == []


@pytest.mark.clients
def test_in_one_process_too(make_app: Any, emulator: ProviderEmulator) -> None:
    """The gateway's view and the caller's, both of this process: live totals and metrics know it as one."""
    from dataclasses import replace

    from opentelemetry import context as otel_context

    from aicost.scopes.scope import current_scope, with_scope
    from aicost.telemetry.call import Call, CallResult, Target
    from aicost.telemetry.state import current
    from aicost.usage.readers import ResponseView
    from aicost.usage.reading import Reading

    app: App = make_app()
    state = current()
    assert state is not None
    with aicost.run_scope("w") as run:
        outer = Call(state.pipeline, Target("openai", "chat", "chat", "our-best", "gateway.internal", 443))
        outer.attempt_started()
        token = otel_context.attach(with_scope(replace(current_scope(), upstream_id=outer.event_id)))
        inner = Call(state.pipeline, Target("openai", "chat", "chat", "gpt-4o", "api.openai.com", 443))
        inner.attempt_started()
        inner.finish(ResponseView(Reading({"input": 1000})), CallResult())
        otel_context.detach(token)
        outer.finish(ResponseView(Reading({"input": 1000})), CallResult())
    assert run.cost == app.ledger_total() == to_decimal(2_500_000_000_000_000)
    assert (run.calls, len(app.charges())) == (1, 1)
