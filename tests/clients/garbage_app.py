"""Makes garbage of one kind of thing that aicost hands out, and collects it while another thread holds every lock.

Run as `python -m tests.clients.garbage_app KIND EMULATOR_URL SOCKET_URL LEDGER`. Prints what was left open in the end.
If anything that runs in the collector waits for a lock, it never comes to that: the process shows where, and exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import io
import json
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aicost

URL, SOCKET, LEDGER = (sys.argv + [""] * 5)[2:5]
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
HANGS_S = 30

kinds: dict[str, Callable[[], Any]] = {}


def kind(make: Callable[[], Any]) -> Callable[[], Any]:
    """`make` returns what is to be garbage, half-way through."""
    kinds[make.__name__] = make
    return make


def openai(*, is_async: bool = False, **settings: Any) -> Any:
    import openai

    client = openai.AsyncOpenAI if is_async else openai.OpenAI
    return client(base_url=URL, api_key="x", max_retries=0, **settings)


def begun(body: Any) -> Any:
    next(body)
    return body


def suspended(step: Callable[[], Awaitable[Any]]) -> Any:
    """A coroutine that stands at an await, in a loop that was stopped and forgotten."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio itself logs, in the collector, that tasks were pending
    task = loop.create_task(step())  # type: ignore[arg-type]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    while not watch.open and not task.done():
        loop.run_until_complete(asyncio.sleep(0.1))
    loop.run_until_complete(asyncio.sleep(0.3))
    assert not task.done(), task
    return loop, task


@kind
def stream() -> Any:
    """A stream that is read half-way."""
    made = openai().chat.completions.create(**ASK, stream=True)
    return made, begun(iter(made))


@kind
def stream_held_by_a_generator() -> Any:
    """A `with` block of the application's own, in a generator that nobody reads to its end."""

    def answer() -> Iterator[Any]:
        with openai().chat.completions.create(**ASK, stream=True) as made:
            yield from made

    return begun(answer())


@kind
def raw_response() -> Any:
    """The bytes of a response, read half-way."""
    manager = openai().chat.completions.with_streaming_response.create(**ASK, stream=True)
    response = manager.__enter__()
    return manager, response, begun(response.iter_bytes(8))


@kind
def async_stream() -> Any:
    """An asynchronous stream, read half-way."""
    kept: list[Any] = []

    async def read() -> None:
        made = await openai(is_async=True).chat.completions.create(**ASK, stream=True)
        events = aiter(made)
        await anext(events)
        kept.extend((made, events))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(read())
    return loop, kept


@kind
def async_stream_awaited() -> Any:
    """A task that waits for the next event of a stream."""

    return suspended(lambda: over_aiohttp(stream=True))


@kind
def async_call() -> Any:
    """A task that waits for its answer."""
    return suspended(lambda: over_aiohttp(stream=False))


async def over_aiohttp(*, stream: bool) -> None:
    """A call over aiohttp: a task that waits in httpx is never garbage, because anyio keeps it."""
    import aiohttp
    import wrapt

    from aicost.integrations._call_request import CallRequest
    from aicost.integrations._calls import hook
    from aicost.telemetry.call import Target
    from aicost.telemetry.state import PipelineSource

    target = Target("openai", "chat", "chat", "gpt-4o", server_address="127.0.0.1", streaming=stream)

    async def post(session: Any) -> Any:
        return await session.post(f"{URL}/chat/completions", json={**ASK, "stream": stream})

    call = hook(lambda *_: CallRequest(target), PipelineSource(), kind="call", is_async=True)
    async with aiohttp.ClientSession() as session:
        response = await wrapt.FunctionWrapper(post, call)(session)
        async for _ in response.content:
            pass


@kind
def message_stream() -> Any:
    """Anthropic's stream, held by its manager."""
    import anthropic

    client = anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key="x", max_retries=0)
    manager = client.messages.stream(model="claude-sonnet-4-5", max_tokens=9, messages=ASK["messages"])
    made = manager.__enter__()
    return manager, made, begun(iter(made))


@kind
def session() -> Any:
    """A websocket session with a turn under way."""
    manager = openai(websocket_base_url=f"{SOCKET}/v1").realtime.connect(model="gpt-realtime")
    connection = manager.__enter__()
    connection.response.create()
    for event in connection:
        if event.type == "response.created":
            break
    return manager, connection


@kind
def session_awaited() -> Any:
    """A task that listens to a session."""
    from aicost.integrations._sessions import session_of

    async def listen() -> None:
        client = openai(is_async=True, websocket_base_url=f"{SOCKET}/v1")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()
            async for event in connection:
                if event.type == "response.done":
                    known = session_of(connection._connection) or session_of(connection)
                    assert known is not None
                    known.begin("the next turn")

    return suspended(listen)


@kind
def open_call() -> Any:
    """A call of somebody else's integration, which nobody ends."""
    return aicost.start_call("acme-sdk", provider="acme", model="m")


@kind
def open_call_in_a_generator() -> Any:
    """The same, as a block of a generator."""

    def answer() -> Iterator[int]:
        with aicost.start_call("acme-sdk", provider="acme", model="m") as call:
            yield 1
            call.stop()

    return begun(answer())


@kind
def generator() -> Any:
    """A tracked generator, which made a call."""

    @aicost.track_workflow("w")
    def work() -> Iterator[int]:
        record()
        yield 1

    return begun(work())


@kind
def async_generator() -> Any:
    """A tracked asynchronous generator that no loop looks after."""

    @aicost.track_workflow("w")
    async def work() -> AsyncGenerator[int, None]:
        record()
        yield 1

    made = work()
    with contextlib.suppress(StopIteration):
        anext(made).send(None)  # type: ignore[attr-defined]
    return made


@kind
def coroutine() -> Any:
    """A tracked coroutine that waits."""

    @aicost.track_workflow("w")
    async def work() -> None:
        record()
        await asyncio.sleep(3600)

    return suspended(work)


@kind
def generator_that_was_not_begun() -> Any:
    """What a plain function returned under a decorator of ours, and nobody took anything from."""

    def numbers() -> Iterator[int]:
        yield 1

    @aicost.track_workflow("w")
    def work() -> Iterator[int]:
        record()
        return numbers()

    return work()


@kind
def scope_held_by_a_generator() -> Any:
    """Blocks of ours in a generator of the application's."""

    def work() -> Iterator[int]:
        with aicost.run_scope("w"), aicost.attribution(tenant_id="t"), aicost.track_step("s"):
            record()
            yield 1

    return begun(work())


@kind
def part_of_a_framework() -> Any:
    """A method of a framework that is a generator."""
    import wrapt

    from aicost.integrations._traced_methods import traced_method
    from aicost.telemetry.state import PipelineSource

    def work() -> Generator[int, None, None]:
        record()
        yield 1

    step = traced_method("agent", lambda *_: "researcher")(PipelineSource())
    return begun(wrapt.FunctionWrapper(work, step)())


@kind
def operation_of_a_database() -> Any:
    """A task that waits for a vector database."""
    import wrapt

    from aicost.integrations._operations import Operation, store
    from aicost.telemetry.state import PipelineSource

    async def query() -> None:
        await asyncio.sleep(3600)

    wrap = store("qdrant", lambda *_: Operation("query", "query", "c"))(PipelineSource())
    return suspended(wrapt.FunctionWrapper(query, wrap))


@kind
def span_of_a_framework() -> Any:
    """A span of somebody else's instrumentation that is adopted, in a generator."""
    tracer = trace.get_tracer("opentelemetry.instrumentation.openai_v2")
    said: dict[str, Any] = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 3,
    }  # fmt: skip

    def work() -> Iterator[int]:
        with tracer.start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT, attributes=said):
            yield 1

    return begun(work())


@kind
def body_that_closes_itself() -> Any:
    """A body whose `close` is called by its own destructor, as `botocore.response.StreamingBody` is: an `io.IOBase`."""
    from aicost.integrations._call_request import CallRequest
    from aicost.integrations._observed_streams import RawBody
    from aicost.integrations._progress import BodyOutcome, InProgress
    from aicost.integrations._response_body import BodyObserver
    from aicost.telemetry.call import Target
    from aicost.telemetry.state import PipelineSource

    class Streaming(io.IOBase):
        def __init__(self, raw: Any) -> None:
            self.raw = raw

        def close(self) -> None:
            self.raw.close()
            super().close()

    ask = CallRequest(Target("openai", "chat", "chat", "gpt-4o", streaming=True))
    progress = InProgress(PipelineSource()(), ask, None)
    assert progress.call is not None
    progress.call.attempt_started()
    progress.over = True
    observer = BodyObserver({"content-type": "text/event-stream"}, ask, BodyOutcome(progress))
    return Streaming(RawBody(io.BytesIO(b"data: {}\n\n"), observer))


def record() -> None:
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 10})


class Watch(SpanProcessor):
    """Which spans are open."""

    def __init__(self) -> None:
        self.open: dict[int, str] = {}

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.open[id(span.context)] = span.name

    def on_end(self, span: ReadableSpan) -> None:
        self.open.pop(id(span.context), None)


watch = Watch()


def locks() -> list[Any]:
    """Every lock of OpenTelemetry, of logging, and of ours."""
    ours = ("opentelemetry", "aicost", "logging")
    holders = [vars(module) for name, module in sys.modules.items() if name.startswith(ours)]
    for found in gc.get_objects():
        if str(type(found).__module__).startswith(ours):
            slots = [name for base in type(found).__mro__ for name in getattr(base, "__slots__", ())]
            holders.append({**getattr(found, "__dict__", {}), **{s: getattr(found, s, None) for s in slots}})
    kinds_of_lock = (type(threading.Lock()), type(threading.RLock()), threading.Condition)
    held = [value for holder in holders for value in holder.values() if isinstance(value, kinds_of_lock)]
    return list({id(lock): lock for lock in held}.values())


def collect_under_all_locks() -> None:
    held, over = threading.Event(), threading.Event()
    found = locks()

    def hold() -> None:
        mine = [lock for lock in found if lock.acquire(timeout=2)]
        held.set()
        over.wait()
        for lock in mine:
            lock.release()

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    held.wait()
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    gc.collect()
    faulthandler.cancel_dump_traceback_later()
    over.set()
    holder.join()


def main() -> None:
    logging.basicConfig()
    provider = TracerProvider()
    provider.add_span_processor(watch)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter(), max_export_batch_size=1, max_queue_size=64))
    trace.set_tracer_provider(provider)
    aicost.init(ledger=LEDGER, instrument="auto")
    gc.collect()
    gc.disable()
    kept = [kinds[sys.argv[1]]()]
    kept.append(kept)
    assert watch.open, "nothing is under way"
    del kept
    collect_under_all_locks()
    aicost.flush()
    print(json.dumps({"open": list(watch.open.values())}))


if __name__ == "__main__":
    main()
