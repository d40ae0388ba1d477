"""What a priced span gains: its attributes, encoded.

`attributes_of` says what they are. Most spans differ only in their numbers, so `Fragments` keeps the encoding of all
the rest: a *template* for each combination of labels, meters and rates, made from the attributes of the first such
span.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from aicost._money import ATTO, to_text
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.semconv import attributes as a
from aicost.telemetry.dialect_table import dialect_of
from aicost.telemetry.profiles import (
    COST_GROUPS,
    METER_KEYS,
    PROFILE_KEYS,
    PROFILES,
    UPSTREAM_GROUPS,
    CostProfile,
    add_cost,
    add_usage,
)
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.meters import direction_of, group_of

from . import wire
from .view import SpanView

_MOST_TEMPLATES = 10_000
_PLAIN = ChargeStatus.PRICED
_RUN_KEYS = (a.AICOST_RUN_ID, a.AICOST_RUN_ROOT_ID)

_TOTALS = {a.AICOST_COST_AMOUNT, a.GEN_AI_USAGE_COST, a.GEN_AI_USAGE_COST_AMOUNT, a.LLM_COST_TOTAL}

_VARINTS = [wire.varint(number) for number in range(16384)]


def attributes_of(view: SpanView, charge: Charge, profiles: Sequence[CostProfile]) -> dict[str, Any]:
    """Everything a span that is counted says of its cost, whatever it says already."""
    labels = view.inference.labels
    trace = view.trace_id.hex()
    attributes: dict[str, Any] = {
        a.AICOST_EVENT_ID: view.event_id,
        a.AICOST_RUN_ID: trace,
        a.AICOST_RUN_ROOT_ID: trace,
        a.AICOST_RUN_IMPLICIT: True,
        a.AICOST_STEP_NAME: labels.operation,
        a.AICOST_REQUEST_STATUS: (RequestStatus.SUCCESS if view.error_type is None else RequestStatus.FAILURE).value,
        a.AICOST_REQUEST_BILLED: view.chargeable.value,
        a.AICOST_USAGE_SOURCE: "none" if view.usage is None else "provider",
        a.AICOST_USAGE_DIALECT: labels.dialect,
        a.AICOST_COST_STATUS: charge.status.value,
    }
    if view.error_type is not None:
        attributes[a.ERROR_TYPE] = view.error_type
    if labels.service_tier is not None:
        attributes[a.AICOST_RESPONSE_SERVICE_TIER] = labels.service_tier
    if view.flags:
        attributes[a.AICOST_USAGE_FLAGS] = list(view.flags)
    add_usage(attributes, view)
    add_cost(attributes, charge)
    for profile in profiles:
        PROFILES[profile](attributes, charge)
    return attributes


def gained(attributes: Mapping[str, Any], present: Any) -> dict[str, Any]:
    """Those attributes that a span does not have yet. Whoever named a run or a step named all of it."""
    left = {key: value for key, value in attributes.items() if key not in present}
    if a.AICOST_RUN_ID in present:
        for key in (a.AICOST_RUN_ROOT_ID, a.AICOST_RUN_IMPLICIT):
            left.pop(key, None)
    return left


class Fragments:
    """Encodes what spans gain."""

    def __init__(self, profiles: Sequence[CostProfile] = ()) -> None:
        self._profiles = tuple(profiles)
        self._templates: dict[tuple[Any, ...], _Template] = {}
        self._checked = (
            *UPSTREAM_GROUPS.values(),
            a.GEN_AI_USAGE_INPUT_TOKENS,
            a.GEN_AI_USAGE_OUTPUT_TOKENS,
            *(key for profile in profiles for key in PROFILE_KEYS[profile]),
        )
        self._left: dict[frozenset[str], tuple[str, ...]] = {}
        """By the keys a span is known to have, those that are still to be looked for."""

    def of(self, view: SpanView, charge: Charge) -> bytes:
        """The fragment for a span."""
        layout, lines = view.inference.layout, charge.lines
        failed = view.error_type is not None
        if (
            layout is None
            or failed
            or view.stamped
            or charge.status is not _PLAIN
            or view.chargeable is not Chargeable.YES
            or not lines
        ):
            return wire.encoded(gained(attributes_of(view, charge, self._profiles), view.attributes))
        there, left = layout.there, self._left.get(layout.there)
        if left is None:
            left = self._still_to_look_for(view, there)
        found = tuple(map(view.attributes.__contains__, left)) if left else ()
        rates = tuple([line[5] for line in lines])
        key = (view.inference.labels, there, charge.rate_card, tuple(view.usage or ()), rates, found)
        template = self._templates.get(key)
        if template is None:
            template = self._make(key, view, charge)
        return template.filled(view, charge.atto or 0, lines)

    def _still_to_look_for(self, view: SpanView, there: frozenset[str]) -> tuple[str, ...]:
        known = dialect_of(view.scope.name, view.scope.version).keys
        left = tuple(key for key in self._checked if key not in known)
        if len(self._left) >= _MOST_TEMPLATES:
            self._left.clear()
        self._left[there] = left
        return left

    def _make(self, key: tuple[Any, ...], view: SpanView, charge: Charge) -> _Template:
        attributes = gained(attributes_of(view, charge, self._profiles), view.attributes)
        made = _Template(attributes, [line.meter for line in charge.lines])
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        self._templates[key] = made
        return made


class _Template:
    """A fragment but for what differs from span to span: whole numbers, amounts, and a few texts."""

    __slots__ = ("_amounts", "_arguments", "_constant", "_counts", "_doubles", "_event", "_exact", "_runs")

    def __init__(self, attributes: Mapping[str, Any], meters: Sequence[str]) -> None:
        counts, amounts = _sources(meters)
        constant: dict[str, Any] = {}
        heads: list[bytes] = []
        self._runs: list[bytes] = []
        self._counts: list[tuple[tuple[bytes, ...], list[int]]] = []
        self._amounts: list[list[int] | None] = []
        """The lines that each amount is the sum of; None for all of them."""
        self._event = self._exact = b""
        for key, value in attributes.items():
            if key == a.AICOST_EVENT_ID:
                self._event = wire.text_head(key)
            elif key == a.AICOST_COST_AMOUNT_EXACT:
                self._exact = wire.text_head(key)
            elif key in _RUN_KEYS:
                self._runs.append(wire.attribute(key, "0" * 32)[:-32])
            elif key in counts:
                self._counts.append((wire.int_heads(key), counts[key]))
            elif key in _TOTALS or key in amounts:
                heads.append(wire.attribute(key, 0.0)[:-8])
                self._amounts.append(None if key in _TOTALS else amounts[key])
            else:
                constant[key] = value
        self._constant = wire.encoded(constant)
        self._doubles = struct.Struct("<" + "".join([f"{len(head)}sd" for head in heads])).pack
        self._arguments: list[Any] = [part for head in heads for part in (head, 0.0)]

    def filled(self, view: SpanView, total: int, lines: Sequence[ChargeLine]) -> bytes:
        trace = view.trace_id.hex().encode()
        parts = [self._constant, wire.text(self._event, view.event_id), wire.text(self._exact, to_text(total))]
        for head in self._runs:
            parts += (head, trace)
        attos: list[Any] = [line[4] for line in lines]
        self._arguments[1::2] = [
            (total if which is None else attos[which[0]] if len(which) == 1 else sum([attos[i] for i in which])) / ATTO
            for which in self._amounts
        ]
        parts.append(self._doubles(*self._arguments))
        for heads, which in self._counts:
            number: Any = lines[which[0]][1] if len(which) == 1 else sum([lines[i][1] for i in which])
            encoded = _VARINTS[number] if number < 16384 else wire.varint(number)
            parts += (heads[len(encoded)], encoded)
        return b"".join(parts)


def _sources(meters: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """By attribute, which lines of a charge its count is the sum of, and which its amount."""
    counts: dict[str, list[int]] = {a.GEN_AI_USAGE_INPUT_TOKENS: [], a.GEN_AI_USAGE_OUTPUT_TOKENS: []}
    amounts: dict[str, list[int]] = {a.LLM_COST_PROMPT: [], a.LLM_COST_COMPLETION: []}
    for index, meter in enumerate(meters):
        group, direction = group_of(meter), direction_of(meter)
        counts[METER_KEYS.get(meter) or f"{a.AICOST_USAGE_METER}.{meter}"] = [index]
        amounts.setdefault(COST_GROUPS[group], []).append(index)
        if group in UPSTREAM_GROUPS:
            counts.setdefault(UPSTREAM_GROUPS[group], []).append(index)
        if direction == "input":
            counts[a.GEN_AI_USAGE_INPUT_TOKENS].append(index)
            amounts[a.LLM_COST_PROMPT].append(index)
        elif direction == "output":
            counts[a.GEN_AI_USAGE_OUTPUT_TOKENS].append(index)
            amounts[a.LLM_COST_COMPLETION].append(index)
    return counts, amounts
