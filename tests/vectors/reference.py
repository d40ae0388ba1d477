"""The rules of docs/rate-cards.md, one after the other, in rationals and with no thought of speed.

It shares no code with the product. The expected charges in this folder are made with it, and the suite compares the
product with it on cards and events that nobody chose.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

METERS = {m["id"]: m for m in json.loads((Path(__file__).parent / "meters.json").read_text())}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AXES = ("service_tier", "region", "speed")
LIMIT = 2**63 - 1


def price(cards: list[dict[str, Any]], event: dict[str, Any]) -> dict[str, Any]:
    """The charge of an event with cards that lie over each other, the uppermost first."""
    currency = cards[0]["currency"]
    reported = money(event["provider_cost"]) if event.get("provider_cost") is not None else None
    if event.get("usage") is None:
        if reported is not None:
            return finish(cards, event, currency, [], [], [], None, reported)
        if event.get("billed", "yes") == "no":
            return charge("priced", Fraction(0), currency, None, None, [])
        reason = "usage_not_received" if event.get("billed") == "possibly" else "usage_not_reported"
        return charge("unpriced", None, currency, reason, None, [])
    found, doubts = find(cards, event["provider"], event["model"]), []
    if found is None and event.get("request_model"):
        found = find(cards, event["provider"], event["request_model"])
        doubts = [f"assumed_model:{event['request_model']}"] if found else []
    if found is None:
        said = event.get("flags") or not event.get("complete", True) or event.get("provider_cost") is not None
        if not event["usage"] and not said:
            return charge("priced", Fraction(0), currency, None, None, [])
        lines = [blank(meter, quantity) for meter, quantity in event["usage"].items()]
        reason = f"unknown_model:{event['provider']}/{event['model']}"
        return finish(cards, event, currency, lines, [reason], [], None, reported)
    name, layers = found
    currency = currency_of(cards, event, name, layers)
    lines, missing = [], {}
    for meter, quantity in event["usage"].items():
        made, problem = price_meter(cards, event, name, layers, currency, meter, quantity)
        lines += made
        if problem:
            missing.setdefault(problem, []).append(meter)
    if rates_of(layers, name, "requests") and "requests" not in event["usage"]:
        made, problem = price_meter(cards, event, name, layers, currency, "requests", "1")
        lines += made
        if problem:
            missing.setdefault(problem, []).append("requests")
    lost = [reason_of(event, missing)] if missing else []
    applied = [one["meter"] for one in lines if one["rate_id"] and not attested(cards, event, layers, one)]
    doubts += [f"price_before_attested:{','.join(dict.fromkeys(applied))}"] if applied else []
    said = "+".join(dict.fromkeys(f"{c['id']}@{c['version']}" for c, p, m in layers if says_something(layers, c, p, m)))
    return finish(cards, event, currency, lines, lost, doubts, said, reported)


def attested(cards: list[dict[str, Any]], event: dict[str, Any], layers: list[Any], made: dict[str, Any]) -> bool:
    """Whether the rate of a line is known to have had its price at that time; a qualified meter has another model's."""
    model, _, meter = made["meter"].rpartition("/")
    if model:
        layers = (find(cards, event["provider"], model) or ("", []))[1]
    name = made["rate_id"].partition("*")[0].partition("/")[2].rpartition("@")[0].partition("[")[0].rpartition("/")[0]
    for wanted in (meter, METERS.get(meter, {}).get("priced_as")):
        for rate in rates_of(layers, name, wanted) if wanted else []:
            if rate["id"] == made["rate_id"].partition("*")[0]:
                since = rate["raw"].get("attested_from")
                return since is None or instant(since) <= instant(event["at"])
    return True


def finish(
    cards: list[dict[str, Any]],
    event: dict[str, Any],
    currency: str,
    lines: list[dict[str, Any]],
    lost: list[str],
    doubts: list[str],
    card: str | None,
    reported: Fraction | None,
) -> dict[str, Any]:
    """`lost` is what the amount lacks, `doubts` are why it is only an estimate."""
    known = [Fraction(line["amount"]) for line in lines if line["amount"] is not None]
    nothing = (bool(lines) and not known) or event.get("usage") is None or (card is None)
    total = None if nothing else sum(known, Fraction(0))
    if event.get("provider_cost") is not None and reported is None:
        doubts = [*doubts, "invalid_provider_cost"]
    elif reported == 0 and total:
        doubts = [*doubts, "provider_cost_zero"]
        reported = None
    if reported is not None:
        reason = ";".join([*lost, *doubts]) or None
        native = event.get("provider_currency", "USD")
        if native != currency:
            exchange = fx(cards, native, currency, instant(event["at"]))
            if exchange is None:
                bare = [blank(line["meter"], line["quantity"]) for line in lines]
                return charge("provider_reported", reported, native, reason, None, bare)
            reported *= exchange[0]
        return charge("provider_reported", reported, currency, reason, card, lines)
    flags = event.get("flags", [])
    complete = event.get("complete", True)
    harmless = ("unknown_field:", "missing_count:", "invalid_count:")
    if not lost and total is not None and any(not flag.startswith(harmless) for flag in flags):
        lost = ["usage_suspect:" + ",".join(flags)]
    if not lost and total is not None and not complete:
        lost = ["usage_incomplete"]
    reason = ";".join([*lost, *doubts]) or None
    if total is None or (lost and not lines):
        return charge("unpriced", None, currency, reason, card, lines)
    status = "partial" if lost else "estimated" if doubts or event.get("estimated") else "priced"
    return charge(status, total, currency, reason, card, lines)


def price_meter(
    cards: list[dict[str, Any]],
    event: dict[str, Any],
    name: str,
    layers: list[Any],
    currency: str,
    meter: str,
    quantity: str,
) -> tuple[list[dict[str, Any]], str | None]:
    """The lines of one meter, and what is missing if anything is."""
    number = Fraction(quantity)
    if not 0 <= number <= LIMIT:
        return [blank(meter, quantity)], "invalid_quantity"
    rates = rates_of(layers, name, meter)
    if not rates and METERS.get(meter, {}).get("priced_as"):
        rates = rates_of(layers, name, METERS[meter]["priced_as"])
    fitting, convertible = [], not rates
    for rate in rates:
        fit = fits(cards, event, layers, rate, currency)
        if fit is not None:
            fitting.append(fit)
    if not fitting:
        other = of_another_model(cards, event, currency, meter)
        if other:
            return other, None if all(one["amount"] is not None for one in other) else "no_rate"
        axes_only = [fits(cards, event, layers, rate, None) for rate in rates]
        convertible = not any(axes_only)
        return [blank(meter, quantity)], "no_rate" if convertible else "no_fx"
    steps = sorted((f for f in fitting if f["marginal"]), key=lambda f: f["rank"], reverse=True)
    plain = [f for f in fitting if not f["marginal"]]
    lines = []
    for step in steps:
        threshold = step["context"]
        if number >= threshold["value"] if threshold["op"] == "ge" else number > threshold["value"]:
            lines.append(line(meter, number - threshold["value"], step))
            number = Fraction(threshold["value"])
    if not plain:
        return [*lines, blank(meter, text(number))], "no_rate"
    return [*lines, line(meter, number, max(plain, key=lambda f: f["rank"]))], None


def fits(
    cards: list[dict[str, Any]], event: dict[str, Any], layers: list[Any], rate: dict[str, Any], currency: str | None
) -> dict[str, Any] | None:
    """A rate with its factors if all its conditions hold. Without a currency, whatever currency it is in."""
    at, raw, depth = instant(event["at"]), rate["raw"], rate["depth"]
    when = raw.get("when", {})
    if not dated(raw, at):
        return None
    mine = [m for m in modifiers_of(layers, at) if touches(m, event, when, raw["meter"], depth)]
    covered = {axis for m in mine for axis in m["raw"].get("when", {})}
    score = 0
    for axis in AXES:
        wanted, value = when.get(axis), event.get(axis)
        if wanted is None:
            if value is not None and axis not in covered and not raw["meter"].startswith("tool_"):
                return None
        elif value is not None and value in wanted:
            score += 2
        elif "*" in wanted:
            score += 1
        else:
            return None
    context = when.get("context")
    marginal = context is not None and context["scope"] == "marginal"
    if context is not None and not marginal:
        basis = [m for group in context["basis"] for m in group_of(group)]
        size = sum(Fraction(q) for m, q in event["usage"].items() if m in basis)
        if not (size >= context["value"] if context["op"] == "ge" else size > context["value"]):
            return None
    if "window" in when and not open_at(when["window"], at):
        return None
    factor, applied = Fraction(1), [rate["id"]]
    for m in mine:
        factor *= Fraction(m["raw"]["multiply"])
        applied.append(m["raw"]["id"])
    if currency is not None and rate["currency"] != currency:
        exchange = fx(cards, rate["currency"], currency, at)
        if exchange is None:
            return None
        factor *= exchange[0]
        applied.append(exchange[1])
    rank = (context["value"] if context else -1, "window" in when, score)
    unit = price_of(raw) * factor
    return {
        "rank": rank,
        "marginal": marginal,
        "context": context,
        "unit": unit,
        "per": raw["per"],
        "id": "*".join(applied),
    }


def touches(modifier: dict[str, Any], event: dict[str, Any], when: dict[str, Any], meter: str, depth: int) -> bool:
    raw = modifier["raw"]
    axes = raw.get("when", {})
    for axis, wanted in axes.items():
        value = event.get(axis)
        if value not in wanted and not ("*" in wanted and value is not None):
            return False
        if axis in when and "*" not in when[axis]:
            return False
    if not axes and modifier["depth"] >= depth:
        return False
    meters = [m for group in raw["meters"] for m in group_of(group)]
    return "*" in meters or meter in meters


def settle(
    terms: list[dict[str, Any]], usage: list[dict[str, str]], seats: dict[str, int], at: str
) -> list[dict[str, Any]]:
    """What the terms of a month add to its calls' charges, in the order allowances, tiers, seats, minimums."""
    current = [term for term in terms if dated(term, instant(at)) and term.get("period", "month") == "month"]
    lines: list[dict[str, Any]] = []

    def add(term: dict[str, Any], meter: str | None, quantity: Fraction, amount: Fraction) -> None:
        exact = Fraction(round(amount * 10**18), 10**18)
        lines.append({"term": term["id"], "meter": meter, "quantity": text(quantity), "amount": text(exact)})

    for kind in ("allowance", "graduated", "volume"):
        for term in (t for t in current if t["kind"] == kind):
            models = term.get("models")
            rows = [r for r in usage if r["meter"] in term["meters"] and (models is None or r["model"] in models)]
            left, before = Fraction(term.get("quantity", 0)), Fraction(0)
            total = sum((Fraction(row["quantity"]) for row in rows), Fraction(0))
            for row in rows:
                quantity, charged = Fraction(row["quantity"]), Fraction(row["amount"])
                if kind == "allowance":
                    free = min(left, quantity)
                    left -= free
                    if free:
                        add(term, row["meter"], free, -charged * free / quantity)
                    continue
                if kind == "volume":
                    tier = [t for t in term["tiers"] if t["start"] <= total][-1]
                    right = quantity * Fraction(tier["price"]) / term.get("per", 1)
                else:
                    right = graduated(term, before + quantity) - graduated(term, before)
                before += quantity
                if right != charged:
                    add(term, row["meter"], quantity, right - charged)
    for term in (t for t in current if t["kind"] == "seat"):
        paid = seats.get(term["id"], 0) - term.get("quantity", 0)
        if paid > 0:
            add(term, None, Fraction(paid), Fraction(term["price"]) * paid)
    for term in (t for t in current if t["kind"] == "minimum"):
        known = sum(Fraction(row["amount"]) for row in usage) + sum(Fraction(line["amount"]) for line in lines)
        if known < Fraction(term["price"]):
            add(term, None, Fraction(1), Fraction(term["price"]) - known)
    return lines


def graduated(term: dict[str, Any], quantity: Fraction) -> Fraction:
    """What the first units of a period cost, tier by tier."""
    cost, tiers = Fraction(0), term["tiers"]
    for n, tier in enumerate(tiers):
        end = min(quantity, tiers[n + 1]["start"]) if n + 1 < len(tiers) else quantity
        cost += max(Fraction(0), end - tier["start"]) * Fraction(tier["price"]) / term.get("per", 1)
    return cost


def find(cards: list[dict[str, Any]], provider: str, model: str) -> tuple[str, list[Any]] | None:
    """The model's name in the lowest card that has it, and what each card says of the provider and the model."""
    entries = [(card, p) for card in cards for p in card["providers"] if p["provider"] == provider]
    said = meant([entry for _, entry in entries], model.lower())
    layers = [(card, entry, own) for (card, entry), own in zip(entries, said, strict=True)]
    named = [own["model"] for _, _, own in layers if own]
    return (named[-1], layers) if named else None


def meant(providers: list[dict[str, Any]], asked: str) -> list[dict[str, Any] | None]:
    """The entry of each card, the uppermost first, for the model that is asked for."""
    found: list[dict[str, Any] | None] = []
    name = asked
    for n, provider in enumerate(providers):
        fit, own = entry_of(provider, asked)
        rivals = [entry_of(below, asked) for below in providers[n + 1 :]]
        best = max([r for r, _ in rivals], default=(0, 0))
        if best > fit:
            rival = next(entry for how, entry in rivals if how == best)
            exact, same = entry_of(provider, (rival or {})["model"].lower())
            own = same if exact == EXACT else None
        if own is None and name != asked:
            own = meant(providers[n:], name)[0]
        name = own["model"].lower() if own else name
        found.append(own)
    return found


EXACT, SNAPSHOT, PATTERN = (3, 0), (2, 0), 1


def entry_of(provider: dict[str, Any], model: str) -> tuple[tuple[int, int], dict[str, Any] | None]:
    """How well the best entry of one card fits a name, and that entry."""
    models = provider.get("models", [])
    for fit, wanted in ((EXACT, model), (SNAPSHOT, re.sub(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$", "", model))):
        for entry in models:
            if wanted in [name.lower() for name in (entry["model"], *entry.get("aliases", []))]:
                return fit, entry
    matching = [
        (len(pattern.replace("*", "")), n)
        for n, entry in enumerate(models)
        for pattern in entry.get("patterns", [])
        if fnmatchcase(model, pattern.lower())
    ]
    if matching:
        return (PATTERN, max(matching)[0]), models[max(matching)[1]]
    full = model.startswith(("arn:", "models/", "publishers/", "projects/", "accounts/"))
    return entry_of(provider, model.rpartition("/")[2]) if full else ((0, 0), None)


def rates_of(layers: list[Any], name: str, meter: str) -> list[dict[str, Any]]:
    """A meter's rates: of the uppermost card that has any, the model's own before the provider's."""
    for depth, (card, provider, model) in enumerate(layers):
        for owner in (model or {}, provider):
            raws = [raw for raw in owner.get("rates", []) if raw["meter"] == meter]
            if raws:
                return [
                    {
                        "raw": raw,
                        "depth": depth,
                        "currency": raw.get("currency", card["currency"]),
                        "id": rate_id(provider["provider"], name, raw),
                    }
                    for raw in raws
                ]
    return []


def modifiers_of(layers: list[Any], at: datetime) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for depth, (_, provider, model) in enumerate(layers):
        for owner in (model or {}, provider):
            for raw in owner.get("modifiers", []):
                found.setdefault(raw["id"], {"raw": raw, "depth": depth})
    return [m for m in found.values() if dated(m["raw"], at)]


def says_something(
    layers: list[Any], card: dict[str, Any], provider: dict[str, Any], model: dict[str, Any] | None
) -> bool:
    above = layers[: [c is card for c, _, _ in layers].index(True)]
    taken = {raw["meter"] for _, p, m in above for owner in (m or {}, p) for raw in owner.get("rates", [])}
    own = [raw["meter"] for owner in (model or {}, provider) for raw in owner.get("rates", [])]
    return any(meter not in taken for meter in own) or any(owner.get("modifiers") for owner in (model or {}, provider))


def currency_of(cards: list[dict[str, Any]], event: dict[str, Any], name: str, layers: list[Any]) -> str:
    """The card's own, unless all rates that could hold are in one other and nothing leads out of it."""
    own = cards[0]["currency"]
    at = instant(event["at"])
    meters = {raw["meter"] for _, p, m in layers for owner in (m or {}, p) for raw in owner.get("rates", [])}
    sized = {**event, "usage": {}}
    natives = set()
    for meter in meters:
        for rate in rates_of(layers, name, meter):
            anywhere = {k: v for k, v in rate["raw"].get("when", {}).items() if k in AXES}
            plain = {**rate, "raw": {**rate["raw"], "when": anywhere}}
            if fits(cards, sized, layers, plain, None) is not None:
                natives.add(rate["currency"])
    if len(natives) == 1 and own not in natives and fx(cards, *natives, own, at) is None:
        return natives.pop()
    return own


def of_another_model(
    cards: list[dict[str, Any]], event: dict[str, Any], currency: str, meter: str
) -> list[dict[str, Any]]:
    model, _, bare = meter.rpartition("/")
    if not model:
        return []
    own = {m.rpartition("/")[2]: q for m, q in event["usage"].items() if m.rpartition("/")[0] == model}
    plain = {key: event[key] for key in ("provider", "at", *AXES) if key in event}
    made = price(cards, {**plain, "model": model, "usage": own})
    if made["currency"] != currency:
        return []
    return [{**one, "meter": meter} for one in made["lines"] if one["meter"] == bare]


def fx(cards: list[dict[str, Any]], base: str, quote: str, at: datetime) -> tuple[Fraction, str] | None:
    for card in cards:
        for raw in card.get("fx", []):
            if dated(raw, at) and {raw["base"], raw["quote"]} == {base, quote}:
                value = Fraction(raw["price"])
                name = f"fx:{raw['base']}>{raw['quote']}@{raw.get('valid_from') or 'always'}"
                return (value if raw["base"] == base else 1 / value), name
    return None


def price_of(raw: dict[str, Any]) -> Fraction:
    if "price" in raw:
        return Fraction(raw["price"])
    built = {key: Fraction(value) for key, value in raw["built"].items()}
    used = built.get("utilisation", Fraction(1))
    if "hourly" in built:
        return built["hourly"] / used / built["units_per_hour"]
    lost = built["capex"] * (1 - built.get("salvage", 0)) / (built["lifetime_hours"] * used)
    power = built.get("power_kw", 0) * built.get("pue", 1) * built.get("energy_price", 0)
    return (lost + power + built.get("opex_per_hour", 0)) / built["units_per_hour"]


def open_at(window: dict[str, Any], at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(window.get("timezone", "UTC")))
    now, start, end = local.strftime("%H:%M"), window["start"], window["end"]
    today = local.weekday()
    if start < end:
        return DAYS[today] in window.get("days", DAYS) and start <= now < end
    opened = today if now >= start else (today - 1) % 7
    return DAYS[opened] in window.get("days", DAYS) and (now >= start or now < end)


def group_of(name: str) -> list[str]:
    directions = {"input_tokens": ("input",), "output_tokens": ("output",), "tokens": ("input", "output")}.get(name)
    return [name] if directions is None else [m for m, about in METERS.items() if about["direction"] in directions]


def dated(raw: dict[str, Any], at: datetime) -> bool:
    start, end = raw.get("valid_from"), raw.get("valid_to")
    return (start is None or instant(start) <= at) and (end is None or at < instant(end))


def instant(when: str) -> datetime:
    parsed = datetime.fromisoformat(when.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def rate_id(provider: str, model: str, raw: dict[str, Any]) -> str:
    when = raw.get("when", {})
    said = [f"{axis}={'|'.join(when[axis])}".replace("*", "any") for axis in AXES if axis in when]
    if "context" in when:
        said.append(f"context{'>=' if when['context']['op'] == 'ge' else '>'}{when['context']['value']}")
    if "window" in when:
        window = when["window"]
        said.append(f"window={','.join(window.get('days', ()))}{window['start']}-{window['end']}")
    conditions = f"[{';'.join(said)}]" if said else ""
    return f"{provider}/{model}/{raw['meter']}{conditions}@{raw.get('valid_from') or 'always'}"


def reason_of(event: dict[str, Any], missing: dict[str, list[str]]) -> str:
    said = [f"{axis}={event[axis]}" for axis in AXES if event.get(axis) is not None]
    axes = f"[{';'.join(said)}]" if said else ""
    return ";".join(f"{kind}:{','.join(m)}{axes if kind == 'no_rate' else ''}" for kind, m in missing.items())


def money(given: str) -> Fraction | None:
    if not re.fullmatch(r"\d+(\.\d+)?([eE][-+]?\d{1,3})?", given):
        return None
    return Fraction(given) if Fraction(given) <= LIMIT else None


def line(meter: str, quantity: Fraction, step: dict[str, Any]) -> dict[str, Any]:
    amount = Fraction(round(quantity * step["unit"] / step["per"] * 10**18), 10**18)
    return {
        "meter": meter,
        "quantity": text(quantity),
        "unit_price": text(step["unit"]),
        "per": step["per"],
        "amount": text(amount),
        "rate_id": step["id"],
    }


def blank(meter: str, quantity: str) -> dict[str, Any]:
    sane = quantity if abs(Fraction(quantity)) <= LIMIT else "0"
    return {"meter": meter, "quantity": sane, "unit_price": None, "per": 1, "amount": None, "rate_id": None}


def charge(
    status: str,
    amount: Fraction | None,
    currency: str,
    reason: str | None,
    card: str | None,
    lines: list[dict[str, Any]],
) -> dict[str, Any]:
    rounded = None if amount is None else text(Fraction(round(amount * 10**18), 10**18))
    return {
        "status": status,
        "amount": rounded,
        "currency": currency,
        "reason": reason,
        "rate_card": card,
        "lines": lines,
    }


def text(number: Fraction) -> str:
    """An exact decimal, or `a/b` where no decimal is exact."""
    if number < 0:
        return f"-{text(-number)}"
    digits = 0
    while (number * 10**digits).denominator != 1:
        digits += 1
        if digits > 400:
            return f"{number.numerator}/{number.denominator}"
    whole = str(int(number * 10**digits)).rjust(digits + 1, "0")
    return whole if not digits else f"{whole[:-digits]}.{whole[-digits:]}"
