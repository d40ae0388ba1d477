"""An `init()` that is refused says why in one kind of error, and the process is as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, threading
from opentelemetry import metrics, trace
from opentelemetry.context import get_current
import aicost, openai
from aicost import _forks
from aicost.scopes.scope import current_scope
from aicost.telemetry import state

def look():
    return {{
        "threads": sorted(t.name for t in threading.enumerate()),
        "tracing": type(trace.get_tracer_provider()).__name__,
        "metering": type(metrics.get_meter_provider()).__name__,
        "signal": signal.getsignal(signal.SIGTERM),
        "call": openai.resources.chat.completions.Completions.create,
        "thread": threading.Thread.start,
        "owner": dict(current_scope().attribution),
        "state": state.current(),
        "files": sorted(os.listdir()),
        "context": get_current(),
    }}

before = look()
try:
    {call}
except aicost.ConfigError as error:
    print(error)
else:
    sys.exit("not refused")
after = look()
assert after == before, (before, after)
for name in [name for name in os.environ if name.startswith(("AICOST_", "OTEL_"))]:
    del os.environ[name]
aicost.init(exporter="none", ledger="kept.sqlite", attribution={{"team": "core"}})
assert current_scope().attribution == {{"team": "core"}}
aicost.shutdown()
"""

REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "an owner key": ("aicost.init(ledger='l.sqlite', attribution={'tenat': 'x'})", {}, "attribution"),
    "an integration": ("aicost.init(ledger='l.sqlite', instrument=['openia'])", {}, "openia"),
    "a rate card that is not there": ("aicost.init(ledger='l.sqlite', rate_card='none.json')", {}, "none.json"),
    "a rate card that is none": ("aicost.init(ledger='l.sqlite', rate_card=__file__)", {}, "program.py"),
    "an exporter": ("aicost.init(ledger='l.sqlite', exporter='oltp')", {}, "oltp"),
    "a tokenizer": ("aicost.init(ledger='l.sqlite', tokenizer='none:such')", {}, "none:such"),
    "a baggage key": ("aicost.init(ledger='l.sqlite')", {"AICOST_BAGGAGE_KEYS": "tenant"}, "tenant"),
    "a profile": ("aicost.init(ledger='l.sqlite')", {"AICOST_COST_PROFILES": "loud"}, "cost_profiles"),
    "a metric attribute": (
        "aicost.init(ledger='l.sqlite')",
        {"AICOST_METRIC_ATTRIBUTES": "tenat"},
        "metric_attributes",
    ),
    "a protocol": (
        "aicost.init(ledger='l.sqlite', exporter='otlp')",
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"},
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ),
    "a certificate": (
        "aicost.init(ledger='l.sqlite', exporter='otlp')",
        {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://localhost:1",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "squeeze",
        },
        "OTEL_EXPORTER_OTLP",
    ),
    "an interval": (
        "aicost.init(ledger='l.sqlite', exporter='otlp')",
        {"OTEL_METRIC_EXPORT_INTERVAL": "-1"},
        "OTEL_",
    ),
    "an integration of instrument()": ("aicost.instrument('openia')", {"AICOST_LEDGER": "l.sqlite"}, "openia"),
    "a setting of instrument()": (
        "aicost.instrument('openai')",
        {"AICOST_LEDGER": "l.sqlite", "AICOST_EXPORTER": "oltp"},
        "oltp",
    ),
}


@pytest.mark.parametrize(("call", "variables", "says"), REFUSED.values(), ids=REFUSED)
def test_a_refused_init_leaves_nothing_behind(call: str, variables: dict[str, str], says: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(call=call))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "AICOST_"))}
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**env, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout
