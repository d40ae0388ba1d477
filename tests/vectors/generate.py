"""Writes the vectors: `python tests/vectors/generate.py`, or `--check` to see whether they are up to date.

What is asked is written here by hand; what is answered comes from reference.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from reference import LIMIT, METERS, price, settle  # noqa: E402

AT = "2026-06-01T12:00:00Z"
HUGE = str(2**53)
SIZES = ["0", "1", "2", "3", "7", "999", "1000", "1001", "123456", "1000000", HUGE, str(2**53 + 1), str(LIMIT)]


def card(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A card of one provider, `p`; what `more` says of the provider goes there, the rest into the header."""
    header = {"schema": "aicost.rate-card/1", "id": "list", "version": "1", "currency": "USD"}
    provider = {"provider": "p", "source": "the price list", "checked": "2026-05-01"}
    for name in ("rates", "modifiers", "provider", "terms"):
        if name in more:
            provider[name] = more.pop(name)
    return {**header, **more, "providers": [{**provider, "models": list(models)}]}


def model(*rates: dict[str, Any], name: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": name, **more, "rates": list(rates)}


def rate(meter: str, price: str, per: int = 1_000_000, **more: Any) -> dict[str, Any]:
    return {"meter": meter, "price": price, "per": per, **more}


def event(usage: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    return {"provider": "p", "model": "m", "at": AT, "usage": usage, **more}


def over(value: int, basis: list[str], op: str = "gt", scope: str = "cliff") -> dict[str, Any]:
    return {"context": {"basis": basis, "op": op, "value": value, "scope": scope}}


Cases = dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]


def quantities() -> Cases:
    """Every size of quantity at prices that are and are not exact."""
    prices = {"3 per million": ("3", 1_000_000), "0.0375 per thousand": ("0.0375", 1000), "1 per 3": ("1", 3)}
    prices |= {"2 per 7": ("2", 7), "free": ("0", 1), "1e-12 each": ("0.000000000001", 1)}
    return {
        f"{size} at {name}": ([card(model(rate("input", price, per)))], event({"input": size}))
        for name, (price, per) in prices.items()
        for size in SIZES
    } | {
        f"{size} seconds": (
            [card(model(rate("input_audio_seconds", "0.006", 60)))],
            event({"input_audio_seconds": size}),
        )
        for size in ("0.5", "1.5", "59.999", "60.000001", "0.0000001")
    }


def every_meter() -> Cases:
    """Every meter priced at its own rate, and at that of the meter it is priced as."""
    own = {
        f"{meter} at its own rate": ([card(model(rate(meter, "2.5", 1000)))], event({meter: "1001"}))
        for meter in METERS
    }
    others = {
        f"{meter} without a rate of its own": (
            [card(model(rate("input", "1"), rate("output", "2")))],
            event({meter: "5"}),
        )
        for meter in METERS
    }
    fee = [rate("input", "1"), rate("requests", "5", 1000)]
    fees = {
        "a fee per call": ([card(model(*fee))], event({"input": "7"})),
        "a fee per call, with nothing used": ([card(model(*fee))], event({})),
        "a fee per call, and how many there were": ([card(model(*fee))], event({"input": "7", "requests": "3"})),
        "a fee per call that no tier states": ([card(model(*fee))], event({"input": "7"}, service_tier="flex")),
        "no fee for a call without usage": ([card(model(*fee))], event(None, billed="no")),
    }
    hidden = [rate("output", "2"), rate("output_reasoning", "9", when={"service_tier": ["flex"]})]
    return (
        own
        | others
        | fees
        | {
            "a meter with a rate for another tier only": ([card(model(*hidden))], event({"output_reasoning": "5"})),
            "a meter nobody declared": ([card(model(rate("acme_units", "3", 1)))], event({"acme_units": "4"})),
            "several meters": (
                [card(model(*(rate(m, "1.25") for m in ("input", "input_cache_read", "output"))))],
                event({"input": "7", "input_cache_read": "1024", "output": "80", "output_reasoning": "64"}),
            ),
        }
    )


def thresholds() -> Cases:
    """Cliff and marginal, `gt` and `ge`, one below, at and above, several steps, and a basis of several meters."""
    found: Cases = {}
    for op in ("gt", "ge"):
        for scope in ("cliff", "marginal"):
            rates = [rate("input", "1"), rate("input", "2", when=over(200_000, ["input"], op, scope))]
            rates.append(rate("input", "4", when=over(500_000, ["input"], op, scope)))
            for size in ("0", "1", "199999", "200000", "200001", "499999", "500000", "500001", HUGE):
                found[f"{scope} {op}, {size}"] = ([card(model(*rates))], event({"input": size}))
    basis = [rate("input", "1"), rate("output", "5"), rate("input_cache_read", "0.1")]
    basis += [
        rate("input", "2", when=over(1000, ["input_tokens"])),
        rate("output", "7", when=over(1000, ["input_tokens"])),
    ]
    for fresh, cached in (("1000", "0"), ("500", "500"), ("500", "501"), ("0", "1001"), ("1001", "0")):
        usage = {"input": fresh, "input_cache_read": cached, "output": "10"}
        found[f"all input counts: {fresh} fresh, {cached} cached"] = ([card(model(*basis))], event(usage))
    tiered = [rate("input", "1"), rate("input", "3", when={"service_tier": ["priority"]})]
    tiered.append(rate("input", "2", when=over(10, ["input"])))
    tiered.append(rate("input", "6", when={"service_tier": ["priority"], **over(10, ["input"])}))
    half = [{"id": "batch", "multiply": "1/2", "when": {"service_tier": ["batch"]}, "meters": ["input_tokens"]}]
    for tier in (None, "priority", "batch", "flex"):
        for size in ("10", "11"):
            asked = event({"input": size}) | ({"service_tier": tier} if tier else {})
            found[f"threshold on the {tier or 'default'} tier, {size}"] = (
                [card(model(*tiered, modifiers=half))],
                asked,
            )
    return found


def axes() -> Cases:
    """Tiers, regions and speeds: stated, factored, any, and not stated at all."""
    found: Cases = {}
    factors = {"service_tier": ("batch", "1/2"), "region": ("eu", "11/10"), "speed": ("fast", "6")}
    modifiers = [
        {"id": value, "multiply": factor, "when": {axis: [value]}, "meters": ["tokens"]}
        for axis, (value, factor) in factors.items()
    ]
    for n in range(8):
        asked = {axis: value for bit, (axis, (value, _)) in enumerate(factors.items()) if n & 1 << bit}
        priced = [
            card(
                model(rate("input", "3"), rate("output", "15"), rate("tool_web_search", "10", 1000)),
                modifiers=modifiers,
            )
        ]
        found[f"factors for {', '.join(asked.values()) or 'nothing'}"] = (
            priced,
            event({"input": "101", "output": "33", "tool_web_search": "2"}, **asked),
        )
    stated = [rate("input", "3"), rate("input", "1", when={"service_tier": ["flex", "batch"]})]
    stated.append(rate("input", "5", when={"service_tier": ["*"]}))
    stated.append(rate("input", "7", when={"service_tier": ["flex"], "region": ["eu"]}))
    for tier in (None, "flex", "batch", "scale"):
        for region in (None, "eu", "us"):
            asked = {key: value for key, value in (("service_tier", tier), ("region", region)) if value}
            name = f"stated for {' in '.join(asked.values()) or 'nothing'}"
            found[name] = ([card(model(*stated))], event({"input": "10"}, **asked))
    twice = [rate("input", "4"), rate("input", "3", when={"service_tier": ["batch"]})]
    found["a stated price is not factored again"] = (
        [card(model(*twice), modifiers=modifiers)],
        event({"input": "10"}, service_tier="batch", region="eu"),
    )
    anywhere = [{"id": "uplift", "multiply": "11/10", "when": {"region": ["*"]}, "meters": ["input"]}]
    for region in (None, "europe-west4"):
        found[f"any region, asked in {region or 'the default one'}"] = (
            [card(model(rate("input", "1")), modifiers=anywhere)],
            event({"input": "10"}) | ({"region": region} if region else {}),
        )
    return found


def times() -> Cases:
    """Effective dates to the microsecond, hours of the day, days of the week, time zones, changes of the clock."""
    found: Cases = {}
    dated = [
        rate("input", "10", valid_from="2024-01-01", valid_to="2025-06-10"),
        rate("input", "2", valid_from="2025-06-10", valid_to="2026-01-01T08:00:00Z"),
        rate("input", "1", valid_from="2026-01-01T08:00:00Z"),
    ]
    moments = [
        "1969-12-31T23:59:59Z",
        "2023-12-31T23:59:59.999999Z",
        "2024-01-01T00:00:00Z",
        "2025-06-09T23:59:59.999999Z",
    ]
    moments += ["2025-06-10T00:00:00Z", "2025-06-10T01:59:59+02:00", "2026-01-01T07:59:59Z", "2026-01-01T08:00:00Z"]
    for moment in [*moments, "2099-01-01T00:00:00Z"]:
        found[f"dated rates at {moment}"] = ([card(model(*dated))], event({"input": "1000000"}, at=moment))
    doubtful = [rate("input", "4", attested_from="2026-06-01"), rate("output", "8")]
    changed = [
        rate("input", "9", valid_to="2026-05-01"),
        rate("input", "4", valid_from="2026-05-01", attested_from="2026-06-01T08:00:00Z"),
        rate("input", "5", when={"service_tier": ["batch"]}),
        rate("output", "8"),
        rate("output", "1", attested_from="2026-07-01", when={"window": {"start": "00:00", "end": "06:00"}}),
    ]
    for moment in ("2026-04-30", "2026-05-01", "2026-05-31T23:59:59Z", "2026-06-01T00:00:00Z", "2026-06-01T08:00:00Z"):
        for name, rates in (("a price attested later", doubtful), ("one after another", changed)):
            for more in ({}, {"complete": False}, {"provider_cost": "0.5"}, {"service_tier": "batch"}):
                asked = event({"input": "7", "output": "3"}, at=moment, **more)
                half = [{"id": "batch", "multiply": "1/2", "when": {"service_tier": ["batch"]}, "meters": ["tokens"]}]
                said = f"{name} at {moment}{''.join(f', {key}' for key in more)}"
                found[said] = ([card(model(*rates, modifiers=half))], asked)
    promo = [{"id": "promo", "multiply": "3/4", "meters": ["*"], "valid_from": "2026-06-01", "valid_to": "2026-07-01"}]
    for moment in ("2026-05-31T23:59:59Z", "2026-06-01T00:00:00Z", "2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z"):
        contract = card(id="contract", modifiers=promo)
        found[f"a dated discount at {moment}"] = (
            [contract, card(model(rate("input", "4")))],
            event({"input": "9"}, at=moment),
        )
    windows = {
        "by day": {"start": "08:00", "end": "20:00"},
        "over midnight": {"start": "16:30", "end": "00:30"},
        "weekend": {"days": ["sat", "sun"], "start": "00:00", "end": "00:00"},
        "Friday night": {"days": ["fri"], "start": "22:00", "end": "06:00"},
        "Berlin mornings": {"start": "06:00", "end": "09:00", "timezone": "Europe/Berlin"},
        "Shanghai nights": {"start": "00:30", "end": "08:30", "timezone": "Asia/Shanghai"},
    }
    hours = ["2026-06-05T07:59:59Z", "2026-06-05T08:00:00Z", "2026-06-05T16:30:00Z", "2026-06-05T22:00:00Z"]
    hours += ["2026-06-06T00:29:59Z", "2026-06-06T05:59:59Z", "2026-06-06T06:00:00Z", "2026-03-29T01:30:00Z"]
    for name, window in windows.items():
        priced = [card(model(rate("input", "2", 1), rate("input", "1", 1, when={"window": window})))]
        for hour in hours:
            found[f"{name} at {hour}"] = (priced, event({"input": "1"}, at=hour))
    return found


def names() -> Cases:
    """Exact name, alias, dated snapshot, pattern, case; the same name at another provider; nothing at all."""
    priced = [
        model(rate("input", "1", 1), name="gpt-x", aliases=["x-latest"], patterns=["gpt-x-*"]),
        model(rate("input", "2", 1), name="gpt-x-mini", patterns=["gpt-*-mini*"]),
        model(rate("input", "3", 1), name="gpt-x-2026-01-31"),
    ]
    asked = ["gpt-x", "GPT-X", "x-latest", "gpt-x-2025-12-31", "gpt-x@20251231", "gpt-x-2026-01-31", "gpt-x-mini"]
    asked += [
        "models/gpt-x",
        "arn:aws:bedrock:us-east-1::foundation-model/gpt-x-mini",
        "org/gpt-x",
        "publishers/o/models/y",
    ]
    asked += ["gpt-x-mini-2026-01-01", "gpt-y-mini", "gpt-x-large", "gpt-y", "x", ""]
    found: Cases = {f"asked for {name!r}": ([card(*priced)], event({"input": "1"}, model=name)) for name in asked}
    elsewhere = card(model(rate("input", "9", 1), name="gpt-x"), provider="q")
    elsewhere["providers"] += card(*priced)["providers"]
    for provider in ("p", "q", "r"):
        found[f"the same model of {provider}"] = ([elsewhere], event({"input": "1"}, provider=provider, model="gpt-x"))
    return found


def layers() -> Cases:
    """Contracts over lists: a meter, a discount, modifiers replaced and added, aliases, three layers."""
    half = {"id": "batch", "multiply": "1/2", "when": {"service_tier": ["batch"]}, "meters": ["tokens"]}
    below = card(model(rate("input", "4"), rate("output", "8"), aliases=["other"]), modifiers=[half])
    tenth = {"id": "deal", "multiply": "9/10", "meters": ["*"]}
    contracts = {
        "says nothing": card(id="contract"),
        "one meter": card(model(rate("input", "3")), id="contract"),
        "a discount": card(id="contract", modifiers=[tenth]),
        "a discount on output": card(id="contract", modifiers=[{**tenth, "meters": ["output_tokens"]}]),
        "a price and a discount": card(model(rate("input", "3")), id="contract", modifiers=[tenth]),
        "a discount of one model": card(model(modifiers=[tenth]), id="contract"),
        "another batch factor": card(id="contract", modifiers=[{**half, "multiply": "2/5"}]),
        "a provider's rate for what the list prices": card(id="contract", rates=[rate("input", "3")]),
        "a provider's rate for what nobody priced": card(id="contract", rates=[rate("pages", "3", 1)]),
        "a name for a model of the list": card(model(name="m", aliases=["ours"]), id="contract"),
        "a price under the list's alias": card(model(rate("input", "3"), name="other"), id="contract"),
        "a new model": card(model(rate("input", "3"), name="new"), id="contract"),
    }
    found: Cases = {}
    for name, contract in contracts.items():
        for known in ({}, {"service_tier": "batch"}, {"model": "other"}, {"model": "ours"}, {"model": "new"}):
            said = ", ".join(known.values()) or "the plain model"
            found[f"{name}: {said}"] = (
                [contract, below],
                event({"input": "101", "output": "7", "pages": "2"}, **known),
            )
    dear = card(
        model(rate("input", "4"), rate("output", "8"), aliases=["alias-2026-01-01"], patterns=["m-*"]),
        model(rate("input", "9"), rate("output", "20"), name="m-2024-05-13"),
        model(rate("input", "7"), name="m-pro", patterns=["m-pro-*"]),
        modifiers=[half],
    )
    narrow = {
        "the base model": card(model(rate("input", "3")), id="contract"),
        "a pattern for the family": card(model(rate("input", "3"), name="ours", patterns=["m-*"]), id="contract"),
        "a narrower pattern": card(model(rate("input", "3"), name="ours", patterns=["m-pro-1*"]), id="contract"),
        "the snapshot itself": card(model(rate("input", "3"), name="m-2024-05-13"), id="contract"),
        "the snapshot as an alias": card(model(rate("input", "3"), aliases=["m-2024-05-13"]), id="contract"),
        "the list's alias": card(model(rate("input", "3"), name="alias-2026-01-01"), id="contract"),
    }
    names = ["m", "m-2024-05-13", "m-2026-01-01", "alias-2026-01-01", "m-pro", "m-pro-1", "m-pro-2", "m-other", "ours"]
    for name, contract in narrow.items():
        for asked in names:
            found[f"a contract for {name}: {asked}"] = (
                [contract, dear],
                event({"input": "101", "output": "7"}, model=asked),
            )
    three = [card(id="team", modifiers=[{**tenth, "id": "team"}]), contracts["a discount"], below]
    found["three layers"] = (three, event({"input": "101"}, service_tier="batch"))
    return found


def currencies() -> Cases:
    """Rates in other currencies, with and without an exchange rate in force, and both directions of it."""
    euro = {"base": "EUR", "quote": "USD", "price": "1.08", "source": "central bank", "checked": "2026-05-01"}
    fx = {"none": [], "one": [euro], "later": [{**euro, "valid_from": "2026-07-01"}]}
    fx["two in turn"] = [
        {**euro, "valid_to": "2026-06-01"},
        {**euro, "price": "1.1", "valid_from": "2026-06-01"},
    ]
    rates = {
        "all euro": [rate("input", "2", currency="EUR"), rate("output", "3", currency="EUR")],
        "mixed": [rate("input", "2", currency="EUR")],
        "dollars": [rate("input", "2"), rate("output", "3")],
    }
    found: Cases = {}
    for name, some in rates.items():
        for how, rows in fx.items():
            for own in ("USD", "EUR"):
                priced = [card(model(*some), fx=rows, currency=own)]
                if name == "mixed":
                    priced.append(card(model(rate("output", "3"))))
                found[f"{name}, exchange {how}, a card in {own}"] = (priced, event({"input": "1000", "output": "10"}))
                reported = event({"input": "1000"}, provider_cost="0.5", provider_currency="EUR")
                found[f"{name}, exchange {how}, a card in {own}, reported"] = (priced, reported)
    return found


def states() -> Cases:
    """What is said of usage that is missing, cut, doubtful, estimated, contradictory, or priced by the provider."""
    priced = [card(model(rate("input", "3", 1)))]
    found: Cases = {
        "nothing used": (priced, event({})),
        "zero of one": (priced, event({"input": "0"})),
        "nothing could be read": (priced, event({}, complete=False, flags=["missing_count:input_tokens"])),
        "nothing left after a contradiction": (priced, event({}, flags=["input_tokens_exceeded"])),
        "incomplete": (priced, event({"input": "2"}, complete=False)),
        "suspect": (priced, event({"input": "2"}, flags=["total_tokens_mismatch"])),
        "suspect and incomplete": (priced, event({"input": "2"}, flags=["x_exceeded"], complete=False)),
        "a field nobody knows": (priced, event({"input": "2"}, flags=["unknown_field:x"])),
        "a count that is missing": (priced, event({"input": "2"}, flags=["missing_count:x"], complete=False)),
        "estimated": (priced, event({"input": "2"}, estimated=True)),
        "estimated and incomplete": (priced, event({"input": "2"}, estimated=True, complete=False)),
        "one meter unknown": (priced, event({"input": "2", "output": "1"})),
        "all meters unknown": (priced, event({"pages": "2", "output": "1"})),
        "unknown on a tier": (priced, event({"input": "2"}, service_tier="scale", region="eu")),
        "a negative quantity": (priced, event({"input": "-1"})),
        "a negative quantity beside a good one": (priced, event({"input": "4", "output": "-1"})),
        "more than any call can use": (priced, event({"input": str(LIMIT + 1)})),
        "an unknown model": (priced, event({"input": "2"}, model="n")),
        "an unknown model, nothing used": (priced, event({}, model="n")),
        "an unknown model, nothing read": (priced, event({}, model="n", flags=["unknown_field:x"])),
        "an unknown provider": (priced, event({"input": "2"}, provider="q")),
        "an unknown model and a bad quantity": (priced, event({"input": "-2"}, model="n")),
    }
    fit = [card(model(rate("input", "3", 1)), model(rate("input", "5", 1), name="n"))]
    found |= {
        "the model that answered is unknown": (fit, event({"input": "2"}, model="x", request_model="n")),
        "it is unknown, and a meter as well": (fit, event({"input": "2", "pages": "1"}, model="x", request_model="n")),
        "it is unknown, and the usage doubtful": (
            fit,
            event({"input": "2"}, model="x", request_model="n", flags=["x_exceeded"]),
        ),
        "it is unknown, and the provider said what it cost": (
            fit,
            event({"input": "2"}, model="x", request_model="n", provider_cost="7"),
        ),
        "it is unknown, and so is the one asked for": (fit, event({"input": "2"}, model="x", request_model="y")),
        "the model that answered is known": (fit, event({"input": "2"}, request_model="n")),
        "it is known, if not for this": (fit, event({"pages": "2"}, request_model="n")),
        "the provider says 0, of what is free": (
            [card(model(rate("input", "0", 1)))],
            event({"input": "2"}, provider_cost="0"),
        ),
        "the provider says 0, of nothing used": (priced, event({}, provider_cost="0")),
        "the provider says 0, of an unknown model": (priced, event({"input": "2"}, model="x", provider_cost="0.00")),
        "the provider says 0, one meter unknown": (priced, event({"input": "2", "pages": "1"}, provider_cost="0")),
        "the provider says 0, without usage": (priced, event(None, provider_cost="0")),
        "the provider says 0, of an incomplete usage": (
            priced,
            event({"input": "2"}, complete=False, provider_cost="0"),
        ),
    }
    for billed in ("yes", "no", "possibly"):
        found[f"no usage, billed {billed}"] = (priced, event(None, billed=billed))
        found[f"no usage, billed {billed}, cost reported"] = (priced, event(None, billed=billed, provider_cost="0.25"))
    for cost in ("0", "0.00001", "7.123456789012345678", "1E-5", "-1", "NaN", "Infinity", "much"):
        found[f"the provider says {cost}"] = (priced, event({"input": "2"}, provider_cost=cost))
    found["the provider says, of an unknown model"] = (priced, event({"input": "2"}, model="n", provider_cost="2"))
    found["the provider says, one meter unknown"] = (priced, event({"input": "2", "pages": "1"}, provider_cost="2"))
    small = model(rate("input", "1", 1), rate("input", "5", 1, when=over(3, ["input"], "gt", "marginal")), name="small")
    for usage in ({"input": "1", "small/input": "3"}, {"small/input": "5"}, {"input": "1", "gone/input": "3"}):
        found[f"usage of another model: {usage}"] = ([card(model(rate("input", "3", 1)), small)], event(usage))
    return found


def machines() -> Cases:
    """Prices built from what a machine costs."""
    owned = {"capex": "30000", "lifetime_hours": "35040", "units_per_hour": "3600"}
    built = {
        "owned": owned,
        "owned, with everything": {
            **owned,
            "salvage": "0.1",
            "utilisation": "0.6",
            "power_kw": "0.7",
            "pue": "1.3",
            "energy_price": "0.12",
            "opex_per_hour": "0.2",
        },
        "rented": {"hourly": "2.10", "units_per_hour": "3600"},
        "rented, used by 40 %": {"hourly": "2.10", "utilisation": "0.4", "units_per_hour": "3600"},
    }
    return {
        f"{name}: {size} seconds": (
            [card(model({"meter": "compute_seconds", "per": 1, "built": how}))],
            event({"compute_seconds": size}),
        )
        for name, how in built.items()
        for size in ("0", "1", "3600", "0.25")
    }


def periods() -> list[dict[str, Any]]:
    """Terms of a month, with what its calls used and were charged, and the lines they add to the bill."""
    free = {"id": "free", "kind": "allowance", "meters": ["read_units"], "quantity": 1000}
    tiers = [{"start": 0, "price": "16"}, {"start": 1_000_000, "price": "12"}, {"start": 5_000_000, "price": "8.5"}]
    steps = {"id": "steps", "kind": "graduated", "meters": ["read_units"], "per": 1_000_000, "tiers": tiers}
    minimum = {"id": "plan", "kind": "minimum", "price": "50"}
    seat = {"id": "seat", "kind": "seat", "price": "19", "quantity": 2}
    agreed = {
        "nothing agreed": [],
        "an allowance": [free],
        "an allowance of one model": [{**free, "models": ["b"]}],
        "graduated": [steps],
        "volume": [{**steps, "kind": "volume"}],
        "a minimum": [minimum],
        "a minimum after an allowance": [minimum, free],
        "a minimum after tiers and seats": [minimum, seat, steps],
        "seats": [seat],
        "a term that begins later": [{**minimum, "valid_from": "2026-07-01"}],
        "a term that has ended": [{**minimum, "valid_to": "2026-06-01"}],
        "a yearly term": [{**minimum, "period": "year"}],
    }
    found = []
    for name, terms in agreed.items():
        for parts in ((), (999, 1), (1000, 1), (400_000, 600_000), (600_001, 400_000), (3_000_000, 4_000_000)):
            usage = [
                {"model": model, "meter": "read_units", "quantity": str(size), "amount": decimal(size * 16, 6)}
                for model, size in zip("ab", parts, strict=False)
            ]
            usage += [{"model": "a", "meter": "write_units", "quantity": "7", "amount": "0.000028"}] if parts else []
            seats = {"seat": len(parts) + 1}
            asked = {"terms": terms, "usage": usage, "seats": seats, "at": "2026-06-01"}
            lines = settle(terms, usage, seats, "2026-06-01")
            found.append(
                {"name": f"{name}, {' and '.join(map(str, parts)) or 'nothing used'}", **asked, "lines": lines}
            )
    return found


def decimal(number: int, places: int) -> str:
    """`number` shifted by decimal places, as text."""
    digits = str(number).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


FILES = [quantities, every_meter, thresholds, axes, times, names, layers, currencies, states, machines]


def keep(path: Path, text: str) -> list[str]:
    """Write a file, or only say whether it is out of date."""
    if "--check" in sys.argv:
        return [path.name] if not path.exists() or path.read_text() != text else []
    path.write_text(text)
    return []


def main() -> None:
    stale = []
    total = 0
    for make in FILES:
        cards: dict[str, Any] = {}
        cases = []
        for name, (used, asked) in make().items():
            refs = []
            for one in used:
                text = json.dumps(one, sort_keys=True)
                refs.append(
                    next((ref for ref, known in cards.items() if json.dumps(known, sort_keys=True) == text), None)
                )
                if refs[-1] is None:
                    refs[-1] = f"card {len(cards) + 1}"
                    cards[refs[-1]] = one
            cases.append({"name": name, "cards": refs, "event": asked, "charge": price(used, asked)})
        total += len(cases)
        listed = ",\n  ".join(json.dumps(case) for case in cases)
        known = ",\n  ".join(f"{json.dumps(ref)}: {json.dumps(one)}" for ref, one in cards.items())
        about = json.dumps((make.__doc__ or "").strip())
        text = (
            f'{{\n "vectors": 1,\n "about": {about},\n "cards": {{\n  {known}\n }},\n "cases": [\n  {listed}\n ]\n}}\n'
        )
        stale += keep(HERE / f"{make.__name__}.json", text)
    settled = periods()
    total += len(settled)
    listed = ",\n  ".join(json.dumps(case) for case in settled)
    text = f'{{\n "vectors": 1,\n "about": {json.dumps(periods.__doc__)},\n "periods": [\n  {listed}\n ]\n}}\n'
    stale += keep(HERE / "periods.json", text)
    print(f"{total} vectors" + (f"; out of date: {', '.join(stale)}" if stale else ""))
    sys.exit(bool(stale))


if __name__ == "__main__":
    main()
