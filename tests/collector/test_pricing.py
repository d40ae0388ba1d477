"""Trace requests priced as bytes: the same as the slow way, and nothing else changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from aicost.collector.pricer import Priced, Pricer
from aicost.collector.wire import MalformedRequestError, encoded, read_request
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.telemetry.evidence import span_event_id
from aicost.telemetry.profiles import CostProfile
from aicost.testing import assert_conforms

from .reference import price_slowly
from .running import a_request, a_span, attributes_of, chat, put, spans_of

KERNEL = Kernel(RateCard.bundled())
ALL_PROFILES = tuple(CostProfile)


def pricer(**options: Any) -> Pricer:
    return Pricer(KERNEL, **options)


def priced(*spans: Span, by: Pricer | None = None, **request: Any) -> list[dict[str, Any]]:
    """The attributes of spans after pricing."""
    done = (by or pricer()).price(a_request(spans, **request).SerializeToString())
    return [attributes_of(span) for span in spans_of(ExportTraceServiceRequest.FromString(done.data))]


def price(request: ExportTraceServiceRequest, by: Pricer | None = None) -> Priced:
    return (by or pricer()).price(request.SerializeToString())


# --- the same as the slow way

KEYS = st.sampled_from(
    [
        *chat(),
        "gen_ai.system",
        "gen_ai.response.model",
        "gen_ai.response.id",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.total_tokens",
        "gen_ai.usage.cost",
        "gen_ai.usage.audio.input_tokens",
        "openai.response.service_tier",
        "openinference.span.kind",
        "llm.token_count.prompt",
        "llm.token_count.completion",
        "llm.model_name",
        "aicost.run.id",
        "aicost.tenant.id",
        "error.type",
        "http.url",
        "résumé",
    ]
)
VALUES = st.one_of(
    st.integers(-5, 3_000_000),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(["openai", "anthropic", "gpt-4o", "gpt-4o-2024-08-06", "claude-sonnet-4-5", "chat", "embeddings"]),
    st.sampled_from(["LLM", "invoke_agent", "flex", "priority", "x" * 200, "", "12", "ünï"]),
    st.floats(allow_nan=False, allow_infinity=True),
    st.booleans(),
    st.just(["a", "b"]),
)
LIKELY = st.fixed_dictionaries(
    {
        "gen_ai.operation.name": st.sampled_from(["chat", "chat", "embeddings", "invoke_agent"]),
        "gen_ai.provider.name": st.sampled_from(["openai", "anthropic", "nobody"]),
        "gen_ai.request.model": st.sampled_from(["gpt-4o", "o3", "claude-sonnet-4-5", "unheard-of"]),
    },
    optional={
        "gen_ai.response.model": st.sampled_from(["gpt-4o-2024-08-06", "claude-sonnet-4-5"]),
        "gen_ai.usage.input_tokens": st.integers(0, 400_000),
        "gen_ai.usage.output_tokens": st.integers(0, 20_000),
        "gen_ai.usage.cache_read.input_tokens": st.integers(0, 300_000),
        "gen_ai.usage.cache_creation.input_tokens": st.integers(0, 1_000),
        "gen_ai.usage.reasoning.output_tokens": st.integers(0, 9_000),
        "openai.response.service_tier": st.sampled_from(["default", "flex", "priority"]),
        "gen_ai.usage.cost": st.floats(0, 1),
        "aicost.run.id": st.just("run-1"),
    },
)
SPANS = st.lists(
    st.tuples(
        st.one_of(LIKELY, LIKELY, st.dictionaries(KEYS, VALUES, max_size=8)), st.sampled_from([0, 1, 2]), st.booleans()
    ),
    max_size=8,
)
SCOPES = st.sampled_from(
    [
        "application",
        "openinference.instrumentation.openai",
        "opentelemetry.instrumentation.openai_v2",
        "openlit.x",
        "strands",
    ]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPANS, SCOPES, st.lists(st.sampled_from(ALL_PROFILES), unique=True), st.integers(0, 2**63))
def test_the_fast_way_is_the_slow_way(spans: Any, scope: str, profiles: list[CostProfile], start: int) -> None:
    made = []
    for number, (attributes, code, with_event) in enumerate(spans, 1):
        attributes = {**attributes, "unique": number}
        if "gen_ai.response.id" in attributes:
            attributes["gen_ai.response.id"] = f"resp-{number}"
        # Far apart in time, so that none is another's view.
        span = a_span(attributes, number=number, start_time_unix_nano=start, end_time_unix_nano=start + 5)
        span.status.code = code
        if with_event:
            put(span.events.add(name="gen_ai.event"), "gen_ai.usage.input_tokens", 9)
        made.append(span)
    data = a_request(made, scope=scope).SerializeToString()
    fast = ExportTraceServiceRequest.FromString(Pricer(KERNEL, profiles=profiles).price(data).data)
    slow = ExportTraceServiceRequest.FromString(price_slowly(data, KERNEL, tuple(profiles)))
    for one, other, before in zip(spans_of(fast), spans_of(slow), made, strict=True):
        assert attributes_of(one) == attributes_of(other)
        kept = len(before.attributes)
        del one.attributes[kept:]
        assert one == before


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_priced_or_refused(data: bytes) -> None:
    with suppress(MalformedRequestError):
        pricer().price(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_requests_are_priced_or_refused(data: st.DataObject) -> None:
    whole = bytearray(a_request([a_span(number=1), a_span({"http.url": "/"}, number=2)]).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        done = pricer().price(cut)
    except MalformedRequestError:
        return
    read_request(done.data)


# --- nothing else changed


def test_a_request_without_inferences_is_the_same_bytes() -> None:
    request = a_request([a_span({"http.url": "/", "gen_ai.agent.name": "helper"})])
    data = request.SerializeToString() + b"\xfa\x3e\x03new"
    assert pricer().price(data).data is data


def test_spans_that_are_no_inference_keep_their_bytes_and_unknown_fields() -> None:
    other = a_span({"http.url": "/"}).SerializeToString() + b"\xfa\x3e\x03new"
    inference = a_span().SerializeToString() + b"\xf2\x3e\x03odd"
    data = _wrapped(_field(2, other) + _field(2, inference) + _field(2, other) + b"\xea\x3e\x01x")
    done = pricer().price(data)
    (resource,) = read_request(done.data)
    (scope,) = resource.scopes
    found = [done.data[start:end] for _, start, end in scope.spans]
    assert found[0] == found[2] == other
    assert found[1].startswith(inference)
    assert len(found[1]) > len(inference)
    assert done.data.endswith(b"\xea\x3e\x01x")
    assert len(ExportTraceServiceRequest.FromString(done.data).resource_spans[0].scope_spans[0].spans) == 3


def test_spans_of_every_length_are_spliced() -> None:
    sizes = [0, 1, 50, 100, 120, 127, 128, 1000, 16000, 16383, 16384, 40000, 70000]
    spans = [a_span({**chat(), "filler": "x" * size}) for size in sizes]
    found = priced(*spans)
    assert [len(one["filler"]) for one in found] == sizes
    assert all(one["aicost.cost.amount_exact"] == "0.0075" for one in found)


def test_text_that_is_no_utf_8_passes_and_its_span_is_priced() -> None:
    span = a_span({**chat(), "filler": "abc"}).SerializeToString().replace(b"abc", b"\xff\xfe\xfd")
    data = _wrapped(_field(2, span))
    done = pricer().price(data)
    assert (done.rejected, len(done.counted)) == (0, 1)
    assert b"\xff\xfe\xfd" in done.data


def test_one_span_that_cannot_be_decoded_is_left_out_and_told() -> None:
    good = [a_span().SerializeToString() for _ in range(511)]
    bad = b"\x4a\x20gen_ai.operation.name"
    data = _wrapped(b"".join(_field(2, span) for span in (*good[:100], bad, *good[100:])))
    done = pricer().price(data)
    assert (done.spans, done.rejected, len(done.counted)) == (512, 1, 511)
    assert len(spans_of(ExportTraceServiceRequest.FromString(done.data))) == 511


def test_a_later_value_of_a_key_counts() -> None:
    span = a_span()
    put(span, "gen_ai.usage.input_tokens", 2000)
    (found,) = priced(span)
    assert found["aicost.cost.amount_exact"] == "0.01"


# --- what a span gains


def test_a_priced_span_says_everything() -> None:
    span = a_span(number=7)
    (found,) = priced(span)
    new = {key: value for key, value in found.items() if key not in chat(7)}
    assert new == {
        "aicost.event.id": span_event_id(f"{7:032x}", f"{7:016x}", span.start_time_unix_nano),
        "aicost.run.id": f"{7:032x}",
        "aicost.run.root_id": f"{7:032x}",
        "aicost.run.implicit": True,
        "aicost.step.name": "chat",
        "aicost.request.status": "success",
        "aicost.request.billed": "yes",
        "aicost.usage.source": "provider",
        "aicost.usage.complete": True,
        "aicost.usage.dialect": "unknown",
        "aicost.usage.meter.input": 1000,
        "aicost.usage.meter.output": 500,
        "aicost.cost.status": "priced",
        "aicost.cost.amount": 0.0075,
        "aicost.cost.amount_exact": "0.0075",
        "aicost.cost.currency": "USD",
        "aicost.cost.input": 0.0025,
        "aicost.cost.output": 0.005,
        "aicost.cost.rate_card": KERNEL.card.key,
        "aicost.cost.rate_ids": found["aicost.cost.rate_ids"],
    }
    assert all(KERNEL.describe(rate) for rate in found["aicost.cost.rate_ids"])


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"gen_ai.request.model": "unheard-of"}, "unpriced", "unknown_model:openai/unheard-of"),
        ({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, "unpriced", "usage_not_reported"),
        ({"gen_ai.usage.input_tokens": -1}, "partial", "usage_incomplete"),
        (
            {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.total_tokens": 9},
            "partial",
            "usage_suspect:total_tokens_mismatch",
        ),
        ({"gen_ai.provider.name": None}, "estimated", None),
    ],
)
def test_unknown_is_said_and_never_zero(more: dict[str, Any], status: str, reason: str | None) -> None:
    attributes = {key: value for key, value in {**chat(), **more}.items() if value is not None}
    (found,) = priced(a_span(attributes))
    assert found["aicost.cost.status"] == status
    assert found.get("aicost.cost.reason") == reason
    if status == "unpriced":
        assert "aicost.cost.amount" not in found


def test_an_unknown_scope_is_read_by_upstreams_conventions_and_marked() -> None:
    (found,) = priced(a_span(), scope="com.example.homemade")
    assert found["aicost.usage.dialect"] == "unknown"
    assert found["aicost.cost.status"] == "priced"


@pytest.mark.parametrize(
    ("counts", "input_tokens"),
    [
        ({"gen_ai.usage.total_tokens": 1500}, 200),
        ({"gen_ai.usage.total_tokens": 2300}, 1000),
        ({"gen_ai.usage.cache_read.input_tokens": 5000}, 1000),
        ({}, 200),
    ],
)
def test_the_totals_tell_whether_input_includes_the_cache(counts: dict[str, int], input_tokens: int) -> None:
    attributes = {**chat(), "gen_ai.usage.cache_read.input_tokens": 800, **counts}
    (found,) = priced(a_span(attributes), scope="com.example.homemade")
    assert found["aicost.usage.meter.input"] == input_tokens


def test_profiles_add_the_names_others_read_and_keep_what_is_there() -> None:
    span = a_span({**chat(), "gen_ai.usage.cost": 0.5})
    (found,) = priced(span, by=pricer(profiles=ALL_PROFILES))
    assert found["gen_ai.usage.cost"] == 0.5
    assert found["gen_ai.usage.cost.amount"] == found["llm.cost.total"] == found["aicost.cost.amount"] == 0.0075
    assert (found["llm.cost.prompt"], found["llm.cost.completion"]) == (0.0025, 0.005)


def test_overwriting_replaces_what_others_wrote_under_those_names() -> None:
    span = a_span({**chat(), "gen_ai.usage.cost": 0.5, "gen_ai.usage.cost.amount": 0.5})
    (found,) = priced(span, by=pricer(profiles=(CostProfile.FLAT,), overwrite=True))
    assert found["gen_ai.usage.cost"] == 0.0075
    assert found["gen_ai.usage.cost.amount"] == 0.5


def test_a_failed_call_is_no_charge_or_possibly_one() -> None:
    refused, lost = a_span(), a_span()
    for span, error in ((refused, "429"), (lost, "ReadTimeout")):
        del span.attributes[3:]
        span.status.code = 2
        put(span, "error.type", error)
    one, other = priced(refused, lost)
    assert (one["aicost.request.billed"], one["aicost.cost.amount"]) == ("no", 0)
    assert other["aicost.request.billed"] == "possibly"
    assert other["aicost.cost.status"] == "unpriced"


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "invoke_workflow"])
def test_a_roll_up_is_not_priced(operation: str) -> None:
    span = a_span({**chat(), "gen_ai.operation.name": operation})
    assert not any(key.startswith("aicost.") for key in priced(span)[0])


def test_what_spans_gain_conforms_to_the_conventions() -> None:
    spans = [a_span(), a_span({**chat(), "gen_ai.request.model": "unheard-of"}), a_span()]
    spans[2].status.code = 2
    found = priced(*spans, by=pricer(profiles=ALL_PROFILES), scope="aicost")
    assert_conforms(
        [
            ReadableSpan(name=span.name, attributes=attributes, instrumentation_scope=InstrumentationScope("aicost"))
            for span, attributes in zip(spans, found, strict=True)
        ]
    )


# --- counted once


def test_a_span_that_comes_again_is_priced_alike_and_counted_once() -> None:
    by, request = pricer(), a_request([a_span()])
    first, again = price(request, by), price(request, by)
    assert again.data == first.data
    assert [one.known for one in first.counted + again.counted] == [False, True]


NESTED: list[tuple[str, Callable[[Span, Span], list[list[Span]]]]] = [
    ("the inner one first", lambda outer, inner: [[inner, outer]]),
    ("the outer one first", lambda outer, inner: [[outer, inner]]),
    ("in two requests", lambda outer, inner: [[inner], [outer]]),
    ("in two requests, the outer one first", lambda outer, inner: [[outer], [inner]]),
]


@pytest.mark.parametrize("scopes", [("one", "one"), ("framework", "client")], ids=["one scope", "two scopes"])
@pytest.mark.parametrize("order", [order for _, order in NESTED], ids=[name for name, _ in NESTED])
def test_of_two_views_one_inside_the_other_one_is_charged(order: Any, scopes: tuple[str, str]) -> None:
    outer = a_span(chat(), end_time_unix_nano=1_790_000_009_000_000_000)
    inner = a_span(chat(), trace_id=outer.trace_id, parent_span_id=outer.span_id)
    inner.start_time_unix_nano = outer.start_time_unix_nano + 1000
    inner.end_time_unix_nano = outer.end_time_unix_nano - 1000
    by, counted, reasons = pricer(), [], []
    for spans in order(outer, inner):
        request = ExportTraceServiceRequest()
        for span in spans:
            scope = scopes[0] if span is outer else scopes[1]
            request.MergeFrom(a_request([span], scope=scope))
        done = price(request, by)
        counted += done.counted
        for span in spans_of(ExportTraceServiceRequest.FromString(done.data)):
            found = attributes_of(span)
            if "aicost.covered.reason" in found:
                reasons.append(found["aicost.covered.reason"])
                assert "aicost.cost.amount" not in found
    assert len(counted) == len(reasons) == 1
    assert reasons[0] in ("below", "above")


def test_views_with_a_chain_between_them_are_one_and_with_a_tool_between_them_two() -> None:
    for between, expected in (({"app": 1}, 1), ({"gen_ai.operation.name": "execute_tool"}, 2)):
        outer = a_span({**chat(), "gen_ai.usage.input_tokens": 7})
        middle = a_span(between, trace_id=outer.trace_id, parent_span_id=outer.span_id)
        inner = a_span(chat(), trace_id=outer.trace_id, parent_span_id=middle.span_id)
        request = a_request([inner], scope="client")
        request.MergeFrom(a_request([middle], scope="application"))
        request.MergeFrom(a_request([outer], scope="framework"))
        assert len(price(request).counted) == expected, between


def test_a_response_id_counts_once_whoever_tells_of_it() -> None:
    one, other = a_span({**chat(5)}), a_span({**chat(5)})
    request = a_request([one], scope="client")
    request.MergeFrom(a_request([other], scope="framework"))
    found = price(request)
    assert len(found.counted) == 1
    assert found.seen["covered", "same_response"] == 1


def test_calls_that_are_surely_two_are_two() -> None:
    outer = a_span({**chat(21)})
    inner = a_span({**chat(22), "gen_ai.usage.input_tokens": 7}, trace_id=outer.trace_id, parent_span_id=outer.span_id)
    assert len(price(a_request([inner, outer])).counted) == 2
    nameless = [a_span(chat(number), trace_id=b"\0" * 16, span_id=b"\0" * 8) for number in (31, 32, 33)]
    assert len(price(a_request(nameless)).counted) == 3
    alike = a_request([a_span(chat(1))], resource={"service.name": "one"})
    alike.MergeFrom(a_request([a_span({**chat(1), "gen_ai.usage.input_tokens": 7})], resource={"service.name": "two"}))
    found = price(alike, pricer(events=True)).counted
    assert len({event.event_id for one in found for event, _ in one.entries}) == 2


def test_the_same_counts_at_the_same_time_in_one_process_are_one_call() -> None:
    client = a_span(chat(11), number=11)
    framework = a_span(chat(), number=12, start_time_unix_nano=client.start_time_unix_nano - 10)
    framework.end_time_unix_nano = client.end_time_unix_nano + 10
    same = a_request([client], scope="client")
    same.MergeFrom(a_request([framework], scope="framework"))
    assert price(same).seen["covered", "same_call"] == 1
    elsewhere = a_request([client], scope="client")
    elsewhere.MergeFrom(a_request([framework], scope="framework", resource={"service.name": "another"}))
    assert len(price(elsewhere).counted) == 2


def test_the_view_that_has_usage_completes_the_one_that_has_none() -> None:
    inner = a_span({key: value for key, value in chat().items() if "usage" not in key})
    outer = a_span(chat(), trace_id=inner.trace_id)
    inner.parent_span_id = outer.span_id
    by = pricer(events=True)
    events = [
        event for spans in ([inner], [outer]) for one in price(a_request(spans), by).counted for event, _ in one.entries
    ]
    assert [event.usage is None for event in events] == [True, False]
    assert len({event.event_id for event in events}) == 1


def test_spans_that_aicost_priced_are_the_very_bytes_that_came_and_not_metered_again() -> None:
    span = a_span(chat(3))
    once = pricer(events=True).price(a_request([span], scope="aicost").SerializeToString())
    again = pricer(events=True).price(once.data)
    assert again.data == once.data
    (told,) = again.counted
    assert told.known
    ((event, _),) = told.entries
    (said,) = spans_of(ExportTraceServiceRequest.FromString(once.data))
    assert event.event_id == attributes_of(said)["aicost.event.id"]
    assert event.usage == {"input": 1000, "output": 500}
    assert str(told.charge.amount) == "0.0075"


def test_attempts_that_failed_before_reach_the_ledger_too() -> None:
    span = a_span(chat(6))
    put(span, "aicost.request.retry_count", 1)
    failed = span.events.add(name="aicost.attempt", time_unix_nano=span.start_time_unix_nano + 5)
    put(failed, "aicost.request.attempt", 1)
    put(failed, "aicost.request.status", "retry")
    put(failed, "aicost.request.billed", "possibly")
    put(failed, "error.type", "ReadTimeout")
    put(failed, "aicost.request.backoff", 0.5)
    marked = pricer().price(a_request([span], scope="aicost").SerializeToString()).data
    (told,) = pricer(events=True).price(marked).counted
    (attempt, nothing), (last, charge) = told.entries
    assert (attempt.attempt, attempt.chargeable.value, attempt.error_type) == (1, "possibly", "ReadTimeout")
    assert attempt.backoff_ns == 500_000_000
    assert attempt.event_id.endswith(":1")
    assert nothing.amount is None
    assert (last.attempt, str(charge.amount)) == (2, "0.0075")


def test_owners_are_those_of_the_resource_and_the_span_and_never_personal() -> None:
    span = a_span({**chat(), "aicost.tenant.id": "t-42", "user.id": "someone@example.com"})
    resource = {"service.name": "shop", "aicost.team": "search", "aicost.tenant.id": "t-1"}
    (told,) = price(a_request([span], resource=resource), pricer(events=True)).counted
    ((event, _),) = told.entries
    assert event.attribution["tenant_id"] == "t-42"
    assert event.attribution["team"] == "search"
    assert event.attribution["user_id"].startswith("h:")


def test_a_view_around_a_span_that_aicost_priced_is_covered() -> None:
    ours = a_span(chat(4))
    marked = pricer().price(a_request([ours], scope="aicost").SerializeToString()).data
    outer = a_span(chat(), trace_id=ours.trace_id)
    request = ExportTraceServiceRequest.FromString(marked)
    spans_of(request)[0].parent_span_id = outer.span_id
    request.MergeFrom(a_request([outer], scope="framework"))
    assert price(request).seen["covered", "below"] == 1


def _field(number: int, content: bytes) -> bytes:
    from aicost.collector.wire import varint

    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def _wrapped(scope_content: bytes) -> bytes:
    return _field(1, _field(2, scope_content))


def test_attributes_are_encoded_as_protobuf_would() -> None:
    attributes = {"a": "text", "b": 1, "c": 2**62, "d": 0.5, "e": True, "f": False, "g": ["x", "y"], "h": -1}
    span = Span.FromString(encoded(attributes))
    assert attributes_of(span) == attributes


STRANDS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "strands-agents",
    "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
OLD = ("gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cache_write_input_tokens")
NEW = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens")


@pytest.mark.parametrize(
    ("said", "usage", "blind"),
    [
        (dict.fromkeys(OLD, 0), (1000, None, None), True),
        (dict(zip(OLD, (700, 200), strict=True)), (1000, 700, 200), False),
        (dict(zip(OLD, (700, 0), strict=True)), (1000, 700, None), False),
        # 1.62 has both names, and its input includes what was read and written.
        (dict(zip((*OLD, *NEW), (700, 200, 700, 200), strict=True)), (100, 700, 200), False),
        (dict(zip((*OLD, *NEW), (0, 0, 0, 0), strict=True)), (1000, None, None), False),
    ],
    ids=["before 1.18, or none", "since 1.18", "only read", "1.62", "1.62, none"],
)
def test_strands_tells_of_its_cache_under_either_name(
    said: dict[str, int], usage: tuple[int, int | None, int | None], blind: bool
) -> None:
    done = pricer().price(a_request([a_span({**STRANDS, **said})], scope="strands").SerializeToString())
    [counted] = done.counted
    assert counted.usage is not None
    assert tuple(map(counted.usage.get, ("input", "input_cache_read", "input_cache_write"))) == usage
    [priced] = spans_of(ExportTraceServiceRequest.FromString(done.data))
    assert ("assumed_no_cache" in attributes_of(priced).get("aicost.usage.flags", ())) == blind


def test_a_provider_s_own_usage_object_sets_tier_region_and_cost() -> None:
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-5",
        "gen_ai.usage.raw": '{"input_tokens": 9, "output_tokens": 0, "service_tier": "batch", "inference_geo": "us"}',
    }
    done = pricer(events=True).price(a_request([a_span(said)], scope="logfire.x").SerializeToString())
    [(event, charge)] = done.counted[0].entries
    assert (event.service_tier, event.region) == ("batch", "us")
    assert charge.status.value == "priced"
    stated = {**said, "gen_ai.provider.name": "openrouter", "gen_ai.request.model": "openai/gpt-4o"}
    stated["gen_ai.usage.raw"] = '{"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.25}'
    [counted] = pricer().price(a_request([a_span(stated)], scope="logfire.x").SerializeToString()).counted
    assert (counted.charge.status.value, str(counted.charge.amount)) == ("provider_reported", "0.25")
