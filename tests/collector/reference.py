"""The slow way to price a request: protobuf's own messages, one attribute after the other. The fast way must equal it.

It shares the dialects and the kernel with the product, and nothing of how bytes are read and written. Of several views
of one inference it knows nothing: the requests it is given have none.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aicost.pricing.kernel import Inquiry, Kernel
from aicost.telemetry.dialect_table import dialect_of
from aicost.telemetry.dialects import failure_of
from aicost.telemetry.evidence import span_event_id
from aicost.telemetry.profiles import CostProfile
from aicost.usage.event import Chargeable

from .running import put


def price_slowly(data: bytes, kernel: Kernel, profiles: tuple[CostProfile, ...] = ()) -> bytes:
    request = ExportTraceServiceRequest.FromString(data)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            dialect = dialect_of(scope.scope.name, scope.scope.version)
            for span in scope.spans:
                _price(span, dialect, kernel, profiles)
    return request.SerializeToString()


def _price(span: Any, dialect: Any, kernel: Kernel, profiles: tuple[CostProfile, ...]) -> None:
    attributes: dict[str, Any] = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        plain = kind in ("string_value", "int_value", "double_value", "bool_value")
        attributes[pair.key] = getattr(pair.value, kind) if plain else None
    if not any(needle in span.SerializeToString() for needle in dialect.needles):
        return
    found = dialect.read(span.name, attributes)
    if found is None or "aicost.covered.reason" in attributes or "aicost.cost.status" in attributes:
        return
    labels, _, reading, estimated, _ = found
    chargeable, error = Chargeable.YES, None
    if span.status.code == 2:
        chargeable, error = failure_of(attributes, found)
    usage = None if reading is None else reading.usage
    complete = (reading is None or reading.complete) and chargeable is not Chargeable.POSSIBLY
    flags = () if reading is None else reading.flags
    charge = kernel.price(
        Inquiry(
            labels.provider,
            labels.model or labels.request_model,
            usage,
            span.start_time_unix_nano,
            labels.service_tier,
            complete=complete,
            flags=flags,
            chargeable=chargeable,
            estimated=estimated,
            request_model=labels.request_model,
        )
    )
    trace, number = span.trace_id.hex(), span.span_id.hex()
    new: dict[str, Any] = {
        "aicost.event.id": span_event_id(trace, number, span.start_time_unix_nano),
        "aicost.step.name": labels.operation,
        "aicost.request.status": "success" if error is None else "failure",
        "aicost.request.billed": chargeable.value,
        "aicost.usage.source": "none" if usage is None else "provider",
        "aicost.usage.dialect": labels.dialect,
        "aicost.cost.status": charge.status.value,
    }
    if "aicost.run.id" not in attributes:
        new |= {"aicost.run.id": trace, "aicost.run.root_id": trace, "aicost.run.implicit": True}
    if error is not None:
        new["error.type"] = error
    if labels.service_tier is not None:
        new["aicost.response.service_tier"] = labels.service_tier
    if flags:
        new["aicost.usage.flags"] = list(flags)
    if usage is not None:
        _usage(new, usage, complete, labels.operation)
    _cost(new, charge, profiles)
    for key, value in new.items():
        if key not in attributes:
            put(span, key, value)


def _usage(new: dict[str, Any], usage: Any, complete: bool, operation: str) -> None:
    new["aicost.usage.complete"] = complete
    new["gen_ai.usage.input_tokens"] = sum(q for m, q in usage.items() if m.startswith("input"))
    if operation != "embeddings" and complete:
        new["gen_ai.usage.output_tokens"] = sum(q for m, q in usage.items() if m.startswith("output"))
    sums: dict[str, int] = {}
    for meter, quantity in usage.items():
        new[f"aicost.usage.meter.{meter}"] = quantity
        for part, name in (
            ("_cache_read", "gen_ai.usage.cache_read.input_tokens"),
            ("_cache_write", "gen_ai.usage.cache_creation.input_tokens"),
            ("_reasoning", "gen_ai.usage.reasoning.output_tokens"),
        ):
            if part in meter:
                sums[name] = sums.get(name, 0) + quantity
    new.update(sums)


def _cost(new: dict[str, Any], charge: Any, profiles: tuple[CostProfile, ...]) -> None:
    if charge.reason is not None:
        new["aicost.cost.reason"] = charge.reason
    if charge.rate_card is not None:
        new["aicost.cost.rate_card"] = charge.rate_card
    if charge.atto is None:
        return
    amount = charge.atto / 10**18
    new |= {
        "aicost.cost.amount": amount,
        "aicost.cost.amount_exact": format(charge.amount, "f"),
        "aicost.cost.currency": charge.currency,
    }
    groups: dict[str, int] = {}
    sides = {"input": 0, "output": 0}
    for line in charge.lines:
        if line.atto is None or line.rate_id is None:
            continue
        side, _, rest = line.meter.partition("_")
        group = next((g for g in ("cache_read", "cache_write", "reasoning") if rest.startswith(g)), side)
        groups[group] = groups.get(group, 0) + line.atto
        sides[side] += line.atto
    new.update({f"aicost.cost.{group}": atto / 10**18 for group, atto in groups.items()})
    rates = [line.rate_id for line in charge.lines if line.atto is not None and line.rate_id is not None]
    if rates:
        new["aicost.cost.rate_ids"] = rates
    if CostProfile.FLAT in profiles:
        new["gen_ai.usage.cost"] = amount
    if CostProfile.SEMCONV in profiles:
        new |= {
            "gen_ai.usage.cost.amount": amount,
            "gen_ai.usage.cost.currency": charge.currency,
            "gen_ai.usage.cost.source": "local",
        }
    if CostProfile.OPENINFERENCE in profiles:
        new |= {
            "llm.cost.total": amount,
            "llm.cost.prompt": sides["input"] / 10**18,
            "llm.cost.completion": sides["output"] / 10**18,
        }
