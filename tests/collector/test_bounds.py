"""Whatever comes in over the wire takes memory that is bounded, time in proportion to its size, and a clear answer."""

from __future__ import annotations

import gc
import gzip
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost._bounded import LONGEST_NAME, remembered, short
from aicost.collector.config import CostMetrics, Receivers
from aicost.collector.cost_metrics import CostMeters
from aicost.collector.exporters import REQUESTS
from aicost.collector.http import _inflated, _Room
from aicost.collector.otlp_json import OtlpJsonError, from_json
from aicost.collector.pricer import Pricer
from aicost.pricing.kernel import kernel_in_force
from aicost.scopes.ids import opaque
from aicost.semconv import attributes as a
from aicost.telemetry.evidence import looks_drawn
from aicost.telemetry.literals import object_in
from aicost.usage.providers import provider_named
from aicost.usage.readers import read_usage

from .running import InProcess, a_request, a_span, chat, post

JSON = {"content-type": "application/json"}
MIB = 2**20


def a_large(number: int, size: int = MIB) -> str:
    return f"{number:06d}" + "x" * (size - 6)


def chat_with(**changed: Any) -> dict[str, Any]:
    return {**chat(), **{name.replace("__", "."): value for name, value in changed.items()}}


PLACES: dict[str, Callable[[str], Any]] = {
    "a resource": lambda text: a_request([a_span(chat(1))], resource={"service.name": "shop", "other": text}),
    "a service's name": lambda text: a_request([a_span(chat(1))], resource={"service.name": text}),
    "an owner in a resource": lambda text: a_request([a_span(chat(1))], resource={a.AICOST_TEAM: text}),
    "an owner": lambda text: a_request([a_span(chat_with() | {a.AICOST_TEAM: text})]),
    "a scope's name": lambda text: a_request([a_span(chat(1))], scope=text),
    "a scope's version": lambda text: a_request([a_span(chat(1))], version=text),
    "a span's name": lambda text: a_request([_named(text)]),
    "a model": lambda text: a_request([a_span(chat_with(gen_ai__request__model=text))]),
    "a model that answered": lambda text: a_request([a_span(chat_with(gen_ai__response__model=text))]),
    "a provider": lambda text: a_request([a_span(chat_with(gen_ai__provider__name=text))]),
    "an operation": lambda text: a_request([a_span(chat_with(gen_ai__operation__name=text))]),
    "a response's id": lambda text: a_request([a_span(chat_with(gen_ai__response__id=text))]),
    "a host": lambda text: a_request([a_span(chat_with(server__address=text))]),
    "a URL": lambda text: a_request([a_span(chat_with(url__full=f"http://{text}/v1"))]),
    "a gateway's id": lambda text: a_request([a_span(chat_with(litellm__call_id=text))]),
    "a tier": lambda text: a_request([a_span(chat_with(gen_ai__openai__response__service_tier=text))]),
    "an error": lambda text: a_request([a_span(chat_with(error__type=text))]),
    "an id of aicost's": lambda text: a_request(
        [a_span(chat_with() | {a.AICOST_EVENT_ID: text, a.AICOST_PROVIDER_REQUEST_ID: text})], scope="aicost"
    ),
}


def _named(text: str) -> Any:
    span = a_span(chat())
    span.name = text
    return span


@pytest.mark.parametrize("made", PLACES.values(), ids=PLACES)
def test_what_is_remembered_of_large_texts_is_bounded(made: Callable[[str], Any]) -> None:
    meters = CostMeters(CostMetrics())
    pricer = Pricer(kernel_in_force(), events=True, owners=meters.owners)

    def take(number: int) -> None:
        meters.count(pricer.price(made(a_large(number)).SerializeToString()))

    for number in range(3):
        take(number)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(3, 33):
            take(number)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 3 * MIB


def test_a_collector_that_was_sent_300_resources_of_a_megabyte_is_small(collector: Callable[..., InProcess]) -> None:
    one = collector(exporters=[{"type": "file", "path": "/dev/null"}])
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(300):
            data = a_request([a_span(chat(number))], resource={"text": a_large(number)}).SerializeToString()
            assert post(one.http, data)[0] == 200
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 20 * MIB


def test_meters_named_by_a_provider_are_a_bounded_number_of_series() -> None:
    meters = CostMeters(CostMetrics())
    pricer = Pricer(kernel_in_force(), owners=meters.owners)
    priced = pricer.price(a_request([a_span(chat())]).SerializeToString())
    (one,) = priced.counted
    for number in range(500):
        usage = {f"model-{number}/{meter}": 1 for meter in ("input", "output")}
        priced.counted = [one._replace(event_id=f"e{number}", usage=usage)]
        meters.count(priced)
    points = [(labels, value) for metric, labels, value in meters._points() if metric.name == "aicost.usage"]
    assert len(points) <= 65
    assert sum(value for _, value in points) == 1000


def test_unknown_fields_that_are_named_are_a_bounded_number() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2} | {f"new_{n}": 1 for n in range(5000)}
    usage["x" * MIB] = 1
    flags = read_usage(usage, provider="openai").flags
    assert 0 < len(flags) < 100
    assert all(len(flag) <= LONGEST_NAME for flag in flags)


def test_a_long_text_is_told_from_another_and_never_remembered_whole() -> None:
    calls = []

    @remembered(10)
    def answer(text: str) -> int:
        calls.append(len(text))
        return len(text)

    assert [answer("a"), answer("a"), answer("b" * MIB), answer("b" * MIB)] == [1, 1, MIB, MIB]
    assert calls == [1, MIB, MIB]
    assert short("a" * 1000 + "b") != short("a" * 1000 + "c")


# --- numbers and nesting

NUMBERS = [
    "9" * 400,
    "-" + "9" * 400,
    "9" * 5000,
    "1e400",
    "1e999999999",
    "0.1",
    "NaN",
    "Infinity",
    "1e19",
    "[1]",
    '"x"',
]
FIELDS = {
    "a count as a number": '{"key":"gen_ai.usage.input_tokens","value":{"intValue":%s}}',
    "a count as text": '{"key":"gen_ai.usage.input_tokens","value":{"intValue":"%s"}}',
    "a double": '{"key":"gen_ai.usage.input_tokens","value":{"doubleValue":%s}}',
    "a double as text": '{"key":"gen_ai.usage.input_tokens","value":{"doubleValue":"%s"}}',
}


@pytest.mark.parametrize("number", NUMBERS, ids=lambda text: text[:12])
@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_numbers_that_there_are_not_are_a_bad_request(
    collector: Callable[..., InProcess], field: str, number: str
) -> None:
    one = collector()
    attributes = field % number.strip('"')
    span = f'{{"name":"chat","traceId":"{"1" * 32}","spanId":"{"2" * 16}","attributes":[{attributes}]}}'
    body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()
    code, answer, _ = post(one.http, body, headers=JSON)
    assert code in (200, 400), answer
    if len(number) > 100:
        assert code == 400
    if code == 400:
        assert json.loads(answer)["message"]


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, "1e400", "-1", "1.5"], ids=lambda text: text[:12])
def test_times_that_there_are_not_are_a_bad_request(collector: Callable[..., InProcess], number: str) -> None:
    one = collector()
    for said in (number, f'"{number}"'):
        span = f'{{"name":"chat","traceId":"{"1" * 32}","spanId":"{"2" * 16}","startTimeUnixNano":{said}}}'
        body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()
        assert post(one.http, body, headers=JSON)[0] == 400


_NAMES = [
    *("resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "intValue", "doubleValue"),
    *("boolValue", "bytesValue", "stringValue", "arrayValue", "values", "startTimeUnixNano", "kind", "traceId"),
]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers(-(10**400), 10**400) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_json_is_a_request_or_says_why_it_is_none(data: Any) -> None:
    with suppress(OtlpJsonError):
        from_json({"resourceSpans": data}, REQUESTS["traces"]())


# --- what spans hold as text


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        max_size=3,
    )
)
def test_an_object_is_read_as_json_and_as_python_writes_it(value: dict[str, Any]) -> None:
    assert object_in(json.dumps(value)) == value
    assert object_in(repr(value)) == value


@pytest.mark.parametrize("text", ["", "{", "{'a': 1", "{'a", "{'a\\", "[1]", "{1: 2}", "{'a': b}", "{'a': (1,)}", None])
def test_what_is_no_object_is_none(text: str | None) -> None:
    assert object_in(text) is None


# --- time


def _chain(count: int) -> bytes:
    """Views at the end of a long chain of spans, in two scopes."""
    spans = [a_span({"a": 1}) for _ in range(count)]
    for number, span in enumerate(spans, 2):
        span.trace_id, span.span_id = b"t" * 16, number.to_bytes(8, "big")
        span.parent_span_id = (number - 1).to_bytes(8, "big")
    made = a_request(spans)
    for number in range(count // 2):
        view = a_span()
        view.trace_id, view.parent_span_id = b"t" * 16, (count + 1).to_bytes(8, "big")
        made.MergeFrom(a_request([view], scope=f"scope-{number % 2}"))
    return bytes(made.SerializeToString())


def _one_resource(size: int) -> bytes:
    """A large resource of many scopes and spans."""
    made = a_request([a_span()], resource={"filler": "x" * size})
    for number in range(size // 2_000):
        scope = made.resource_spans[0].scope_spans.add()
        scope.scope.name = f"scope-{number}"
        scope.spans.append(a_span(chat(number)))
    return bytes(made.SerializeToString())


def _price(data: bytes) -> None:
    meters = CostMeters(CostMetrics())
    meters.count(Pricer(kernel_in_force(), events=True, owners=meters.owners).price(data))


class _NoIntake:
    def reserve(self, signal: str, size: int, held: int = 0) -> None: ...
    def release(self, signal: str, size: int) -> None: ...


def _inflate(data: bytes) -> None:
    _inflated(data, _Room(_NoIntake(), Receivers().max_request, "traces"))  # type: ignore[arg-type]


def _nested(count: int) -> list[Any]:
    spans = [a_span(chat(number)) for number in range(count)]
    for outer, inner in pairwise(spans):
        inner.trace_id, inner.parent_span_id = spans[0].trace_id, outer.span_id
    return spans


SHAPES: dict[str, tuple[Callable[[int], Any], Callable[[Any], Any], int]] = {
    "json in an attribute": (lambda n: json.dumps({"a": ["x"] * (n // 5)}), object_in, 80_000),
    "python in an attribute": (lambda n: repr({"a": ["x'"] * (n // 6)}), object_in, 80_000),
    "quotes that are not closed": (lambda n: "{" + "'\\" * (n // 2), object_in, 80_000),
    "quotes of both kinds": (lambda n: "{" + "'\"\\" * (n // 3), object_in, 80_000),
    "backslashes": (lambda n: "{'" + "\\" * n, object_in, 80_000),
    "brackets": (lambda n: "{'a':" + "[" * n, object_in, 80_000),
    "an id": (lambda n: "a1-" * (n // 3), looks_drawn, 80_000),
    "an id of digits": (lambda n: "1" * n, looks_drawn, 80_000),
    "a provider": (lambda n: "azure." * (n // 6), provider_named, 80_000),
    "a value that may be personal": (lambda n: "a.b@" * (n // 4), lambda text: opaque("tenant_id", text), 80_000),
    "a value that may be a phone number": (lambda n: "+49 170 " * (n // 8), lambda t: opaque("tenant_id", t), 80_000),
    "a usage object of many fields": (
        lambda n: {f"field_{i}": 1 for i in range(n)} | {"prompt_tokens": 1},
        lambda usage: read_usage(usage, provider="openai"),
        5_000,
    ),
    "a request of many spans": (
        lambda n: a_request([a_span(chat(i)) for i in range(n)]).SerializeToString(),
        lambda data: Pricer(kernel_in_force()).price(data),
        200,
    ),
    "a span of many attributes": (
        lambda n: a_request([a_span({**chat(), **{f"k{i}": i for i in range(n)}})]).SerializeToString(),
        lambda data: Pricer(kernel_in_force()).price(data),
        2_000,
    ),
    "a span with a large attribute": (
        lambda n: a_request([a_span({**chat(), "gen_ai.prompt": "x" * n})]).SerializeToString(),
        lambda data: Pricer(kernel_in_force()).price(data),
        200_000,
    ),
    "spans of one trace inside of each other": (
        lambda n: a_request(_nested(n)).SerializeToString(),
        lambda data: Pricer(kernel_in_force()).price(data),
        200,
    ),
    "a chain of spans": (_chain, _price, 400),
    "a large resource": (_one_resource, _price, 200_000),
    "gzip": (lambda n: gzip.compress(random.Random(1).randbytes(n), 1), _inflate, 2 * MIB),
    "gzip files in a row": (lambda n: gzip.compress(b"x" * (n // 10)) * 9, _inflate, MIB),
    "json with a long array": (
        lambda n: {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}] * n}]}]},
        lambda data: from_json(data, REQUESTS["traces"]()),
        500,
    ),
}


@pytest.mark.parametrize(("make", "read", "size"), SHAPES.values(), ids=SHAPES)
def test_ten_times_the_size_takes_about_ten_times_as_long(
    make: Callable[[int], Any], read: Callable[[Any], Any], size: int
) -> None:
    def best(value: Any) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            read(value)
            times.append(time.perf_counter() - began)
        return min(times)

    small, large = make(size), make(10 * size)
    # Quadratic is a hundred times. Below a few milliseconds it is the machine that is measured.
    assert best(large) < 30 * max(best(small), 0.002)
