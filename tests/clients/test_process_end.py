"""How a process ends: whatever is open then is finished by the process that opened it, once."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

openai = pytest.importorskip("openai")

from aicost.ledger.reader import LedgerReader
from aicost.testing import ProviderEmulator, Reply, Stall
from tests.conftest import App

from .doors import CLIENTS
from .test_sessions import realtime

pytestmark = [pytest.mark.clients, pytest.mark.skipif("openai" not in CLIENTS, reason="another client's turn")]

PROGRAM = """
import multiprocessing, os, sys
import aicost, openai

START, HOW, URL, SOCKET, LEDGER = sys.argv[1:]

def set_up():
    if START == "instrument":
        os.environ["AICOST_LEDGER"] = LEDGER
        aicost.instrument("openai")
    else:
        aicost.init(ledger=LEDGER, exporter="none", instrument="openai")

def open_stream(name):
    client = openai.OpenAI(base_url=URL, api_key="x")
    stream = client.chat.completions.create(
        model="gpt-4o", stream=True, messages=[{"role": "user", "content": name}], user=name)
    next(iter(stream))
    return client, stream

def open_turn(name):
    client = openai.OpenAI(api_key="x", websocket_base_url=SOCKET + "/v1")
    manager = client.realtime.connect(model="gpt-realtime")
    connection = manager.__enter__()
    connection.response.create()
    for event in connection:
        if event.type == "response.created":
            return manager, connection

begin = open_turn if "turn" in HOW else open_stream
kept = []

def child():
    if multiprocessing.get_start_method() in ("spawn", "forkserver"):
        set_up()
    kept.append(begin("child"))

def main():
    set_up()
    kept.append(begin("parent"))
    if HOW.startswith("os.fork"):
        pid = os.fork()
        if pid == 0:
            child()
            sys.exit(0)
        os.waitpid(pid, 0)
    elif HOW.startswith("none"):
        pass
    else:
        multiprocessing.set_start_method(HOW.split()[0])
        process = multiprocessing.Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
    # The parent's is finished by the parent, when it ends.

if __name__ == "__main__":
    main()
"""

HOWS = ["none", "os.fork", "fork", "spawn", "forkserver"]


@pytest.mark.parametrize("start", ["init", "instrument"])
@pytest.mark.parametrize("what", ["stream", pytest.param("turn", marks=realtime)])
@pytest.mark.parametrize("how", HOWS)
def test_what_is_open_at_the_end_is_finished_once_by_who_opened_it(
    tmp_path: Path, emulator: ProviderEmulator, how: str, what: str, start: str
) -> None:
    emulator.on().then(*[Stall(after_chunks=2, seconds=60, reply=Reply(input_tokens=100, output_tokens=9))] * 2)
    program, ledger_path = tmp_path / "program.py", tmp_path / "ledger.sqlite"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), start, f"{how} {what}", emulator.openai_base_url, emulator.socket_url,
         str(ledger_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with LedgerReader(ledger_path) as ledger:
        rows = ledger.charges()
    assert [row.chargeable for row in rows] == ["possibly"] * (1 if how == "none" else 2), done.stderr
    assert len({row.event_id for row in rows}) == len(rows)


@realtime
def test_no_session_is_finished_inside_the_garbage_collector(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import aicost
    from aicost.integrations._sessions import Session
    from aicost.telemetry.call import Call, Target
    from aicost.telemetry.state import PipelineSource

    finished: list[Any] = []
    real = Call.finish

    def finish(self: Call, *args: Any) -> None:
        finished.append(threading.current_thread().name)
        real(self, *args)

    monkeypatch.setattr(Call, "finish", finish)
    session = Session(PipelineSource(), Target("openai", "chat", "realtime", "gpt-realtime"))
    session.begin("turn")
    del session
    gc.collect()
    for _ in range(100):
        aicost.flush()
        if finished:
            break
    threading.Event().wait(0.2)
    assert finished in (["aicost-reaper"], ["MainThread"])
    assert app.inference["aicost.request.billed"] == "possibly"
