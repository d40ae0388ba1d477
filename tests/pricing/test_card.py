"""Rate cards: finding a model, and refusing a file that is wrong with its line and field."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aicost import RateCardError
from aicost.pricing.card import RateCard, _bundled
from aicost.pricing.lint import findings
from aicost.pricing.rates import parse_instant
from aicost.pricing.validate import RateCardFile

from .cards import card, document, rate

DATA = Path(RateCard.bundled.__code__.co_filename).parent / "data"


def write(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "card.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data, indent=1))
    return path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("m", "m"),
        ("M", "m"),
        ("other", "m"),
        ("m-2026-01-31", "m"),
        ("m-20260131", "m"),
        ("m@20260131", "m"),
        ("m-audio-9", "m"),
        ("n", None),
        ("m-2026", None),
    ],
    ids=["exact", "case", "alias", "snapshot", "snapshot compact", "snapshot at", "pattern", "unknown", "no snapshot"],
)
def test_a_model_is_found_by_name_alias_snapshot_or_pattern(name: str, found: str | None) -> None:
    model = card(rate("input", "1"), aliases=["other"], patterns=["m-audio-*"]).find("p", name)
    assert (model.name if model else None) == found


def test_the_same_model_on_another_provider_is_another_model() -> None:
    assert card(rate("input", "1")).find("q", "m") is None


def test_the_longest_pattern_wins() -> None:
    data = document(rate("input", "1"), patterns=["gpt-*"])
    data["providers"][0]["models"].append({"model": "mini", "patterns": ["gpt-*-mini"], "rates": [rate("input", "2")]})
    found = RateCard(data).find("p", "gpt-x-mini")
    assert found is not None
    assert found.name == "mini"


def test_everyday_provider_names_are_understood() -> None:
    data = document(rate("input", "1"))
    data["providers"][0]["provider"] = "x_ai"
    assert RateCard(data).find("xai", "m") is not None


def test_a_card_that_extends_the_bundled_one_is_asked_first(tmp_path: Path) -> None:
    data = document(rate("input", "1"))
    data["providers"][0]["provider"] = "openai"
    data["providers"][0]["models"][0]["model"] = "gpt-4o"
    data["extends"] = "bundled"
    loaded = RateCard.load(write(tmp_path, data))
    ours, theirs = loaded.find("openai", "gpt-4o"), loaded.find("openai", "gpt-4o-mini")
    assert ours is not None
    assert theirs is not None
    assert ours.rates["input"][0].price == 1
    assert theirs.rates["input"][0].price == Fraction("0.15")
    assert (ours.cards.split("@")[0], theirs.cards.split("@")[0]) == ("t", "bundled")


def test_a_rate_explains_where_it_comes_from() -> None:
    about = RateCard.bundled().describe("openai/gpt-4o/input@always*batch")
    assert about is not None
    assert about["price"] == "2.5"
    assert about["source"].startswith("https://")
    assert about["checked"] == "2026-11-25"
    assert RateCard.bundled().describe("openai/gpt-4o/nothing@always") is None


CONTEXT = {"basis": ["output"], "op": "gt", "value": 5, "scope": "marginal"}
WRONG: list[tuple[str, Any, str]] = [
    ("not JSON", '{"schema": "aicost.rate-card/1",\n "id" "x"}', r"card\.json is not valid JSON.*line 2 column 7"),
    ("not a card", {"schema": "x"}, r'not a rate card: "schema" must be "aicost.rate-card/1", found \'x\''),
    ("a list", [], r"not a rate card"),
    (
        "a missing currency",
        {k: v for k, v in document(rate("input", "1")).items() if k != "currency"},
        r"card\.json:1: currency: Field required",
    ),
    (
        "a misspelt field",
        document({**rate("input", "1"), "prise": "2"}),
        r"card\.json:1\d: .*rates\.0\.prise \(p/m/input\): Extra inputs",
    ),
    (
        "a price that is a number",
        document({"meter": "input", "price": 1.5, "per": 1}),
        r"price \(p/m/input\): Input should be a valid string",
    ),
    ("a price that is no number", document(rate("input", "1,50")), r"'1,50' is not a decimal number"),
    ("a negative price", document(rate("input", "-1")), r"'-1' is not a price"),
    ("a price nobody can compute with", document(rate("input", "1e-999999999")), r"'1e-999999999' is not a price"),
    ("a price too large", document(rate("input", "1e999999999")), r"'1e999999999' is not a price"),
    (
        "a factor nobody can compute with",
        document(modifiers=({"id": "b", "multiply": "1e999999999", "meters": ["input"]},)),
        r"'1e999999999' is not a factor",
    ),
    (
        "a factor by zero",
        document(modifiers=({"id": "b", "multiply": "1/0", "meters": ["input"]},)),
        r"'1/0' is not a factor",
    ),
    ("per zero", document(rate("input", "1", 0)), r"per \(p/m/input\): Input should be greater than 0"),
    (
        "a time zone nobody knows",
        document(rate("input", "1", when={"window": {"start": "08:00", "end": "09:00", "timezone": "Europe/Utopia"}})),
        r"'Europe/Utopia' is no time zone",
    ),
    ("a bad date", document(rate("input", "1", valid_from="1.5.2026")), r"valid_from \(p/m/input\): Invalid isoformat"),
    (
        "a bad factor",
        document(rate("input", "1"), modifiers=({"id": "b", "multiply": "half", "when": {}, "meters": ["input"]},)),
        r"'half' is not a factor",
    ),
    (
        "overlapping rates",
        document(rate("input", "1"), rate("input", "2", valid_from="2026-01-01")),
        r"overlapping rates: p/m/input@always and p/m/input@2026-01-01",
    ),
    (
        "two currencies",
        document(rate("input", "1"), rate("output", "2", currency="EUR")),
        r"rates in EUR and USD; use one, or give fx",
    ),
    (
        "a name used twice",
        {
            **document(rate("input", "1")),
            "providers": [
                {
                    **document()["providers"][0],
                    "models": [{"model": "m", "rates": []}, {"model": "n", "aliases": ["M"], "rates": []}],
                }
            ],
        },
        r"'M' names both 'm' and 'n'",
    ),
    ("a provider twice", {**document(), "providers": document()["providers"] * 2}, r"provider 'p' stands twice"),
    (
        "dates the wrong way round",
        document(rate("input", "1", valid_from="2026-02-01", valid_to="2026-01-01")),
        r"valid_from is not before valid_to",
    ),
    (
        "attested before it holds",
        document(rate("input", "1", valid_from="2026-02-01", attested_from="2026-02-01")),
        r"attested_from is not between valid_from and valid_to",
    ),
    (
        "attested after it holds",
        document(rate("input", "1", valid_to="2026-02-01", attested_from="2026-02-01")),
        r"attested_from is not between valid_from and valid_to",
    ),
    (
        "a marginal threshold on another meter",
        document(rate("input", "1", when={"context": CONTEXT})),
        r"a marginal threshold must count that meter alone",
    ),
]


@pytest.mark.parametrize(("data", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_card_is_refused_with_file_line_and_field(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(RateCardError, match=message):
        RateCard.load(write(tmp_path, data))


def test_an_error_names_the_line_of_the_rate(tmp_path: Path) -> None:
    path = write(tmp_path, document(rate("input", "1"), rate("output", "1"), rate("output", "2")))
    with pytest.raises(RateCardError) as caught:
        RateCard.load(path)
    line = int(str(caught.value).split(":")[1])
    assert '"output"' in "".join(path.read_text().splitlines()[line - 1 : line + 1])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RateCardError, match=r"cannot read rate card .*nowhere\.json: No such file"):
        RateCard.load(tmp_path / "nowhere.json")


def test_rates_may_follow_each_other(tmp_path: Path) -> None:
    rates = [rate("input", "1", valid_to="2026-01-01"), rate("input", "2", valid_from="2026-01-01")]
    assert RateCard.load(write(tmp_path, document(*rates))).find("p", "m") is not None


def test_the_published_schema_is_the_one_the_loader_checks() -> None:
    published = json.loads((DATA / "rate-card.schema.json").read_text())
    published.pop("$schema")
    assert published == RateCardFile.model_json_schema(by_alias=True)


def test_the_bundled_card_is_valid_and_every_rate_has_source_and_date() -> None:
    schema = json.loads((DATA / "rate-card.schema.json").read_text())
    for folder in (DATA / "catalogue", DATA / "overlay"):
        header = json.loads((folder / "card.json").read_text())
        entries = [json.loads(path.read_text()) for path in folder.glob("*.json") if path.name != "card.json"]
        jsonschema.Draft202012Validator(schema).validate({**header, "providers": entries})
        loaded = RateCard.load(folder)
        rates = [r for model in loaded.models() for every in model.rates.values() for r in every]
        assert all(r.source and r.checked >= "2025-01-01" for r in rates)
        assert len({r.id for r in rates}) == len(rates)


def test_the_bundled_card_knows_the_models_of_the_largest_providers() -> None:
    known = dict.fromkeys(RateCard.bundled().providers(), 0)
    for model in RateCard.bundled().models():
        known[model.provider] += 1
    assert sum(known.values()) > 5000
    largest = (
        "openai anthropic azure.ai.openai aws.bedrock gcp.gemini gcp.vertex_ai mistral_ai cohere x_ai deepseek groq"
    )
    largest += " together fireworks openrouter perplexity voyage deepinfra databricks cloudflare dashscope"
    assert [name for name in largest.split() if known.get(name, 0) < 5] == []


def test_nothing_in_the_bundled_card_is_odd() -> None:
    for folder in (DATA / "catalogue", DATA / "overlay"):
        loaded = RateCard.load(folder)
        assert list(findings(loaded, now_ns=parse_instant(loaded.version))) == []


def test_only_the_provider_asked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = _bundled.__wrapped__()
    assert fresh.find("openai", "gpt-4o") is not None
    assert {name for layer in (fresh, fresh.base) for name in layer._providers} == {"openai"}


WELL_KNOWN = [
    ("openai", "gpt-4.1", "2", "0.5", "8"),
    ("openai", "gpt-4.1-mini", "0.4", "0.1", "1.6"),
    ("openai", "gpt-4.1-nano", "0.1", "0.025", "0.4"),
    ("openai", "gpt-4o", "2.5", "1.25", "10"),
    ("openai", "gpt-4o-mini", "0.15", "0.075", "0.6"),
    ("openai", "gpt-5", "1.25", "0.125", "10"),
    ("openai", "gpt-5-mini", "0.25", "0.025", "2"),
    ("openai", "o4-mini", "1.1", "0.275", "4.4"),
    ("anthropic", "claude-haiku-4-5", "1", "0.1", "5"),
    ("anthropic", "claude-opus-4-5", "5", "0.5", "25"),
    ("anthropic", "claude-3-5-sonnet-20241022", "3", "0.3", "15"),
]


@pytest.mark.parametrize(
    ("provider", "model", "fresh", "cached", "out"), WELL_KNOWN, ids=[row[1] for row in WELL_KNOWN]
)
def test_well_known_prices(provider: str, model: str, fresh: str, cached: str, out: str) -> None:
    found = RateCard.bundled().find(provider, model)
    assert found is not None
    said = [
        next(r.price for r in found.rates[meter] if not r.axes and r.context is None)
        for meter in ("input", "input_cache_read", "output")
    ]
    assert said == [Fraction(fresh), Fraction(cached), Fraction(out)]
