"""The scene of the demo: which tenants ask what, and what goes wrong on the way."""

from __future__ import annotations

from aicost.testing.emulator import Fail, Hang, ProviderEmulator, Reply, Stall

from .agent import Task

TASKS = (
    Task("acme", "smart_search", "How do I rotate an access key?"),
    Task("acme", "auto_reply", "Why was I charged twice in March?"),
    Task("globex", "smart_search", "Which plan has single sign-on?"),
    Task("globex", "auto_reply", "My export is stuck at 80 percent."),
    Task("initech", "auto_reply", "Can I move my data to another region?"),
    Task("initech", "smart_search", "What does error E-1042 mean?"),
)


def write_script(emulator: ProviderEmulator) -> None:
    """Everything the providers do in the demo, mishaps included. Each is tied to a question, not to a time."""
    topics = "billing history of the account\nknown problems of the feature"
    draft = "Here is what you can do, step by step, with links to the pages that explain it. " * 3

    # A rate limit: the client backs off and tries again; nothing is billed for it.
    emulator.on("[plan] How do I rotate").then(Fail(status=429, retry_after=0.05))
    # A read timeout after the work was done: billed, and the client never sees it. The retry is billed again.
    slow = Reply(text=topics, input_tokens=620, output_tokens=24)
    emulator.on("[plan] Why was I charged").then(Hang(seconds=10, bill=slow))
    # A stream the user stops after a few words: the provider generated all of it.
    stopped = Reply(text="To export, first STOP " + draft, input_tokens=900, cached_tokens=512, output_tokens=180)
    emulator.on("[draft] My export is stuck").then(Stall(after_chunks=5, reply=stopped))
    # A draft that fails review and is written again: the first one is waste.
    emulator.on("[review] Can I move my data").then(Reply(text="No, it does not answer.", input_tokens=240))
    for task in TASKS:
        emulator.on(f"[plan] {task.question}").then(Reply(text=topics, input_tokens=620, output_tokens=24))
        emulator.on(f"for: {task.question}").then(
            *[Reply(input_tokens=700, cached_tokens=512, output_tokens=90, reasoning_tokens=32)] * 2
        )
        emulator.on(f"[draft] {task.question}").then(
            *[Reply(text=draft, input_tokens=1100, cached_tokens=512, cache_write_5m=256, output_tokens=170)] * 2
        )
        emulator.on(f"[review] {task.question}").then(*[Reply(text="Yes.", input_tokens=260, output_tokens=4)] * 2)
