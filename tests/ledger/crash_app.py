"""An application that is killed again and again: run by test_crash.py.

Imports everything once and forks a child per life. Each child makes real calls and notes every response it was
given, in a file opened for appending, before it makes the next.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import time

import openai

import aicost

PRELOADED = (
    "aicost._runtime",
    "aicost.integrations.clients.openai",
    "aicost.ledger",
    "opentelemetry.instrumentation.threading",
)
"""What a life would otherwise spend its time importing."""


def live(base_url: str, ledger: str, notes: int, ready: int) -> None:
    """One life: call until killed."""
    aicost.init("crash", ledger=ledger, exporter="none")
    http = openai.DefaultHttpxClient(verify=False)  # loading certificates would take most of a short life
    client = openai.OpenAI(base_url=base_url, api_key="test", max_retries=1, http_client=http)
    os.write(ready, b"!")
    turn = 0
    while True:
        turn += 1
        messages = [{"role": "user", "content": f"turn {turn}"}]
        with aicost.run_scope("crash", tenant_id="t"):
            if turn % 2:
                answer = client.chat.completions.create(model="gpt-4o", messages=messages)
                os.write(notes, f"{answer.id}\n".encode())
            else:
                stream = client.chat.completions.create(
                    model="gpt-4o", messages=messages, stream=True, stream_options={"include_usage": True}
                )
                for chunk in stream:
                    answer_id = chunk.id
                os.write(notes, f"{answer_id}\n".encode())


def main() -> None:
    """Kill `lives` children at random moments."""
    for module in PRELOADED:
        importlib.import_module(module)
    openai.OpenAI(api_key="test").chat.completions  # noqa: B018 - resources are imported when first asked for
    base_url, ledger, notes_path, lives, seed = sys.argv[1:]
    chance = random.Random(int(seed))
    notes = os.open(notes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(int(lives)):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            live(base_url, ledger, notes, write_end)
        os.read(read_end, 1)
        time.sleep(chance.uniform(0, 0.16))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)


if __name__ == "__main__":
    main()
