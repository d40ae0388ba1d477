"""A service that is ended by a signal has sent everything by then, and ends as it would without aicost."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from aicost.testing import OtlpReceiver, ProviderEmulator

from .running import environment, free_port, get, metered, priced_spans, running

UVICORN = ("uvicorn", "--no-access-log", "--port", "{port}", "app:asgi")
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--no-control-socket")
SERVERS = {
    "uvicorn": UVICORN,
    "uvicorn, 2 workers": (*UVICORN, "--workers", "2"),
    "uvicorn, reload": (*UVICORN, "--reload"),
    "uvicorn on asyncio": (*UVICORN, "--loop", "asyncio"),
    "gunicorn": (*GUNICORN, "app:wsgi"),
    "gunicorn, 2 workers": (*GUNICORN, "--workers", "2", "app:wsgi"),
    "gunicorn, preload, 2 workers": (*GUNICORN, "--workers", "2", "--preload", "app:wsgi"),
    "gunicorn, threads": (*GUNICORN, "--threads", "4", "app:wsgi"),
    "gunicorn, preload, threads": (*GUNICORN, "--threads", "4", "--preload", "app:wsgi"),
    "gunicorn, gevent": (*GUNICORN, "--worker-class", "gevent", "app:wsgi"),
    "gunicorn, asgi": (*GUNICORN, "--worker-class", "asgi", "app:asgi"),
    "gunicorn, uvicorn-worker": (*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", "app:asgi"),
}
STARTS = {
    "init": ((), {"APP_CALLS_INIT": "1"}),
    "aicost run": (("aicost", "run", "--"), {}),
    "opentelemetry-instrument": (("opentelemetry-instrument", "--logs_exporter", "none"), {}),
}
REQUESTS = 5
STOPPED = [
    *((server, "init", signal.SIGTERM) for server in SERVERS),
    *((server, "init", signal.SIGINT) for server in ("uvicorn", "uvicorn, 2 workers", "gunicorn", "gunicorn, asgi")),
    *(
        (server, "aicost run", signal.SIGTERM)
        for server in ("uvicorn", "uvicorn, reload", "gunicorn, preload, 2 workers")
    ),
    *(
        (server, "opentelemetry-instrument", signal.SIGTERM)
        for server in ("uvicorn", "uvicorn, 2 workers", "gunicorn, 2 workers", "gunicorn, preload, threads")
    ),
]


@pytest.mark.parametrize(
    ("server", "start", "ending"),
    STOPPED,
    ids=[f"{server}, {start}, {ending.name}" for server, start, ending in STOPPED],
)
def test_a_service_that_is_stopped_has_sent_everything(
    server: str, start: str, ending: signal.Signals, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    before, variables = STARTS[start]
    port = free_port()
    command = [*before, *(word.format(port=port) for word in SERVERS[server])]
    with OtlpReceiver() as receiver:
        env = environment(emulator, receiver, AICOST_LEDGER=str(tmp_path / "ledger.sqlite"), **variables)
        with running(command, env, tmp_path / "log") as process:
            for _ in range(REQUESTS):
                get(port)
            assert not priced_spans(receiver), "sent before the end: the test shows nothing"
            process.send_signal(ending)
            process.wait(30)
        log = (tmp_path / "log").read_text()
        bill = emulator.bill
        assert len(bill.calls) == REQUESTS
        spans = priced_spans(receiver)
        assert (len(spans), len(set(spans))) == (REQUESTS, REQUESTS), log
        assert round(metered(receiver), 12) == bill.total, log
        if server == "uvicorn":
            assert process.returncode == (-ending if ending is signal.SIGTERM else 0), "as it ends without aicost"


PROGRAM = """
{first}
import os, signal, sys, threading, time
import aicost
from app import ask
{before}
aicost.init()
{after}
ask()
print("ready", flush=True)
{meanwhile}
while True:
    time.sleep(0.05)
"""


@dataclass(frozen=True)
class Case:
    """What a program does around `init()`, and how it ends."""

    first: str = ""
    before: str = ""
    after: str = ""
    meanwhile: str = ""
    ending: signal.Signals | None = signal.SIGTERM
    returncode: int = -signal.SIGTERM
    says: str = ""
    sent: int | None = 1
    """How many calls are sent. None where none need be: it ends in time all the same."""
    twice: bool = False


PROGRAMS = {
    "by default": Case(),
    "hangs up": Case(ending=signal.SIGHUP, returncode=-signal.SIGHUP),
    "interrupted by default": Case(
        before="signal.signal(signal.SIGINT, signal.SIG_DFL)", ending=signal.SIGINT, returncode=-signal.SIGINT
    ),
    "handled before init": Case(
        before="signal.signal(signal.SIGTERM, lambda *_: (print('mine', flush=True), sys.exit(3)))",
        after="assert signal.getsignal(signal.SIGTERM).__name__ == '<lambda>'",
        returncode=3,
        says="mine",
    ),
    "handled after init": Case(
        after="assert signal.signal(signal.SIGTERM, lambda *_: (print('mine', flush=True), sys.exit(3))) == 0",
        returncode=3,
        says="mine",
    ),
    "handled for a while": Case(
        after="was = signal.signal(signal.SIGTERM, lambda *_: None); assert was is signal.SIG_DFL\n"
        "assert signal.signal(signalnum=signal.SIGTERM, handler=was).__name__ == '<lambda>'\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL",
    ),
    "ignored, then left at once": Case(
        before="signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        after="assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN",
        meanwhile="os.kill(os.getpid(), signal.SIGTERM); print('still here', flush=True); os._exit(4)",
        returncode=4,
        says="still here",
        sent=0,
    ),
    "initialised in another thread": Case(
        before="init = aicost.init\n"
        "def elsewhere():\n    t = threading.Thread(target=init); t.start(); t.join()\n"
        "aicost.init = elsewhere",
        after="signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    ),
    "blocked, as the first process of a container": Case(
        before="signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",  # every thread inherits that
        meanwhile="from aicost import _signals; _signals._on_signal(signal.SIGTERM, None)\n"
        "print('still here', flush=True)\n"
        "ask(); signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])",
        says="still here",
        sent=2,
    ),
    "blocked in the main thread only": Case(
        meanwhile="threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
    ),
    "another handler raises meanwhile": Case(
        after="class Late(BaseException): pass\n"
        "def late(*_): raise Late\n"
        "signal.signal(signal.SIGALRM, late)\n"
        "from aicost import _signals; was = _signals._finish\n"
        "_signals._finish = lambda: (signal.setitimer(signal.ITIMER_REAL, 0.05), time.sleep(0.5), was())[2]",
        sent=None,
    ),
    "told twice": Case(meanwhile="threading.Timer(0.31, lambda: None).start()", twice=True, returncode=-signal.SIGHUP),
    "handled in C": Case(
        before="import faulthandler; faulthandler.register(signal.SIGTERM, chain=False)",
        meanwhile="os.kill(os.getpid(), signal.SIGTERM); print('still here', flush=True); os._exit(4)",
        returncode=4,
        says="still here",
        sent=0,
    ),
    "a stream is open": Case(
        meanwhile="import openai; stream = openai.OpenAI(base_url=os.environ['APP_PROVIDER'], api_key='x')"
        ".chat.completions.create(model='gpt-4o', stream=True, messages=[{'role': 'user', 'content': 'hi'}])\n"
        "next(iter(stream))",
        sent=2,
    ),
    "holding a lock of threading's": Case(meanwhile="threading._active_limbo_lock.acquire()"),
    "holding a lock of logging's": Case(meanwhile="import logging; logging._lock.acquire()", sent=None),
    "holding the ledger": Case(meanwhile="from aicost.telemetry import state; state.current().ledger._lock.acquire()"),
    "holding all locks of aicost": Case(
        meanwhile="from aicost import _forks\nfor each in list(_forks._locks): each().acquire()"
    ),
    "patched by gevent": Case(first="from gevent import monkey; monkey.patch_all()"),
    "patched by gevent, ends by itself": Case(
        first="from gevent import monkey; monkey.patch_all()", meanwhile="sys.exit(0)", ending=None, returncode=0
    ),
    "after shutdown": Case(after="ask(); aicost.shutdown()"),
}


@pytest.mark.parametrize("case", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_ended_by_a_signal_as_without_aicost_once_it_has_sent_everything(
    case: Case, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(PROGRAM.format(first=case.first, before=case.before, after=case.after, meanwhile=case.meanwhile))
    with OtlpReceiver() as receiver:
        env = environment(emulator, receiver, AICOST_LEDGER=str(tmp_path / "ledger.sqlite"))
        with running([sys.executable, str(program)], env, log) as process:
            _wait_for("ready", log, process)
            time.sleep(0.3)
            if case.ending is not None:
                process.send_signal(case.ending)
            if case.twice:
                process.send_signal(signal.SIGHUP)
            began = time.monotonic()
            process.wait(30)
            took = time.monotonic() - began
        text = log.read_text()
        assert (process.returncode, case.says in text) == (case.returncode, True), text
        assert took < 15, text
        assert case.sent is None or len(priced_spans(receiver)) == case.sent, text


@pytest.mark.parametrize("by", ["a signal", "itself", "shutdown"])
@pytest.mark.parametrize("backend", ["silent", "down"])
def test_a_backend_that_does_not_answer_delays_the_end_by_seconds_only(
    backend: str, by: str, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    program, log = tmp_path / "program.py", tmp_path / "log"
    last = {"a signal": "", "itself": "sys.exit(0)", "shutdown": "aicost.shutdown(); sys.exit(0)"}[by]
    program.write_text(PROGRAM.format(first="", before="", after="", meanwhile=last))
    with OtlpReceiver() as receiver, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if backend == "silent" else free_port()
        env = environment(emulator, receiver) | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        with running([sys.executable, str(program)], env, log) as process:
            _wait_for("ready", log, process)
            began = time.monotonic()
            if by == "a signal":
                process.terminate()
            assert process.wait(60) == (-signal.SIGTERM if by == "a signal" else 0), log.read_text()
            took = time.monotonic() - began
    assert took < 9, log.read_text()


POOL = """
import multiprocessing, sys
import aicost
from app import ask

def work(_):
    ask()

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    aicost.init()
    ask()
    pool = multiprocessing.Pool(2, initializer=aicost.init)
    pool.map(work, range(6), chunksize=1)
    pool.terminate()
    pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_pool_that_is_terminated_have_sent_everything(
    method: str, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(POOL)
    with OtlpReceiver() as receiver:
        command = [sys.executable, str(program), method]
        done = subprocess.run(command, env=environment(emulator, receiver), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert len(priced_spans(receiver)) == len(set(priced_spans(receiver))) == 7, done.stderr
        assert round(metered(receiver), 12) == emulator.bill.total


def _wait_for(word: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while word not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
