"""`aicost rates export`: a card's prices of today, for OpenTelemetry collectors that cannot run aicost.

Formats read in opentelemetry-collector-contrib 0.159: the YAML source of the `lookup` processor, and the statements of
the `transform` processor. docs/collector.md lists what neither can do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import click

from aicost._money import ATTO
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Inquiry, Kernel
from aicost.usage.providers import canonical_provider

from ._options import card_in_force, rate_card_option

_METERS = {"input": "input", "cache_read": "input_cache_read", "cache_write": "input_cache_write", "output": "output"}
_SOME = 1_000
"""Tokens that are priced: below every threshold of size."""
_LIMITS = (
    "List prices of one moment, as doubles: no service tiers, regions, batches, context thresholds, hours, cache",
    "lifetimes, reasoning or audio rates, fees, contracts, aliases or dated names; a model that is not listed gets",
    "no cost and no reason; spans of frameworks around calls are priced too, so calls may count twice. Input must",
    "include cached tokens (gen_ai.usage.input_tokens does by convention, though not all instrumentations keep to it).",
)


@click.command("export")
@click.option("--format", "kind", type=click.Choice(["otel-lookup", "ottl"]), required=True, help="What to write.")
@click.option("--provider", "providers", multiple=True, help="Only this provider; may be given several times.")
@rate_card_option
def export_rates(kind: str, providers: tuple[str, ...], rate_card: Path | None) -> None:
    """Write today's prices per token for stock OpenTelemetry collectors.

    otel-lookup is a YAML table for the `lookup` processor. ottl is a `transform` processor with a statement for each
    model, every one of which runs on every span: name the providers you use.
    """
    card = card_in_force(rate_card)
    now = time.time_ns()
    click.echo(f"# {card.key}, prices of {datetime.now(timezone.utc):%Y-%m-%d} per token, in {card.currency}.")
    for line in _LIMITS:
        click.echo(f"# {line}")
    write = _lookup if kind == "otel-lookup" else _ottl
    for line in write(_prices(card, providers, now)):
        click.echo(line)


def _prices(card: RateCard, providers: tuple[str, ...], now: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Provider, model and price per token of what has one on the default tier; input and output at least."""
    kernel, wanted = Kernel(card), {canonical_provider(name) for name in providers}
    for model in card.models():
        if wanted and model.provider not in wanted:
            continue
        found: dict[str, float] = {}
        for name, meter in _METERS.items():
            charge = kernel.price(Inquiry(model.provider, model.name, {meter: _SOME}, now))
            prices = [line.atto for line in charge.lines if line.meter == meter]
            if len(prices) == 1 and prices[0] is not None and charge.currency == card.currency:
                found[name] = prices[0] / (_SOME * ATTO)
        if found.keys() >= {"input", "output"}:
            yield model.provider, model.name, found


def _lookup(prices: Iterator[tuple[str, str, dict[str, float]]]) -> Iterator[str]:
    yield '# Key: Concat([attributes["gen_ai.provider.name"], attributes["gen_ai.response.model"]], "/").'
    yield "# Copy the fields to attributes of your own, then multiply in a `transform` processor after it."
    for provider, model, found in prices:
        # What is not priced by itself is priced as plain input.
        row = ", ".join(f"{name}: {_decimal(found.get(name, found['input']))}" for name in _METERS)
        yield f'"{provider}/{model}": {{{row}}}'


def _decimal(price: float) -> str:
    """Without an exponent, which YAML parsers take differently."""
    return f"{price:.15f}".rstrip("0") + ("0" if price == int(price) else "")


def _ottl(prices: Iterator[tuple[str, str, dict[str, float]]]) -> Iterator[str]:
    yield "transform/aicost:"
    yield "  error_mode: ignore"
    yield "  trace_statements:"
    yield "    - context: span"
    yield "      conditions:"
    yield '        - attributes["gen_ai.usage.input_tokens"] != nil and attributes["gen_ai.usage.cost"] == nil'
    yield "      statements:"
    counts = {
        "input": "gen_ai.usage.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "cache_read": "gen_ai.usage.cache_read.input_tokens",
        "cache_write": "gen_ai.usage.cache_creation.input_tokens",
    }
    for name, key in counts.items():
        yield f'        - set(cache["{name}"], 0.0)'
        yield f'        - set(cache["{name}"], Double(attributes["{key}"])) where attributes["{key}"] != nil'
    answered = 'attributes["gen_ai.response.model"]'
    yield '        - set(cache["model"], attributes["gen_ai.request.model"])'
    yield f'        - set(cache["model"], {answered}) where {answered} != nil'
    yield '        - set(cache["plain"], cache["input"] - cache["cache_read"] - cache["cache_write"])'
    for provider, model, found in prices:
        read, write = (found.get(name, found["input"]) for name in ("cache_read", "cache_write"))
        cost = (
            f'cache["plain"] * {_decimal(found["input"])} + cache["cache_read"] * {_decimal(read)} '
            f'+ cache["cache_write"] * {_decimal(write)} + cache["output"] * {_decimal(found["output"])}'
        )
        where = f'attributes["gen_ai.provider.name"] == "{provider}" and cache["model"] == "{model}"'
        yield f"        - 'set(attributes[\"gen_ai.usage.cost\"], {cost}) where {where}'"
