"""Public price lists become rates: key names, units, tiers, thresholds, history, and what two lists disagree on."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from aicost import RateCardError
from aicost.pricing.card import RateCard
from aicost.pricing.catalogue import litellm
from aicost.pricing.catalogue.folder import report, write
from aicost.pricing.catalogue.listing import ListedPrice, Listing, PriceList, exact, near
from aicost.pricing.catalogue.merge import Catalogue, merge
from aicost.pricing.catalogue.sources import genai_prices_list, litellm_list

LONG = {"context": {"basis": ["input_tokens"], "op": "gt", "value": 200_000, "scope": "cliff"}}


def lite(name: str = "m", provider: str = "openai", **model: Any) -> list[Listing]:
    return litellm.read({name: {"litellm_provider": provider, "mode": "chat", **model}}, "litellm").listings


def said(prices: list[ListedPrice]) -> list[tuple[str, str, int, dict[str, Any]]]:
    return sorted(((p.meter, str(float(p.price)), p.per, p.when) for p in prices), key=str)


KEYS: list[tuple[str, dict[str, Any], list[tuple[str, str, int, dict[str, Any]]]]] = [
    ("per token", {"input_cost_per_token": 2.5e-06}, [("input", "2.5", 10**6, {})]),
    ("float noise", {"input_cost_per_token": 1.8000000000000001e-07}, [("input", "0.18", 10**6, {})]),
    (
        "a tier",
        {"output_cost_per_token_priority": 1.7e-05},
        [("output", "17.0", 10**6, {"service_tier": ["priority"]})],
    ),
    (
        "batches are the batch tier",
        {"input_cost_per_token_batches": 1e-06},
        [("input", "1.0", 10**6, {"service_tier": ["batch"]})],
    ),
    ("a threshold", {"input_cost_per_token_above_200k_tokens": 6e-06}, [("input", "6.0", 10**6, LONG)]),
    (
        "a threshold of a tier of a cache life",
        {"cache_creation_input_token_cost_above_1hr_above_200k_tokens_flex": 6e-06},
        [("input_cache_write_1h", "6.0", 10**6, {"service_tier": ["flex"], **LONG})],
    ),
    (
        "ranges",
        {
            "tiered_pricing": [
                {"range": [0, 200000.0], "input_cost_per_token": 1e-06},
                {"range": [200000.0, 1e6], "input_cost_per_token": 2e-06},
            ]
        },
        [("input", "1.0", 10**6, {}), ("input", "2.0", 10**6, LONG)],
    ),
    (
        "cheaper hours, and the weekend",
        {
            "input_cost_per_token": 2e-06,
            "off_peak_pricing": {
                "input_cost_per_token": 1e-06,
                "windows": [
                    {"hours_utc": ["16:30-00:30"], "weekdays": [1]},
                    {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
                ],
            },
        },
        [
            ("input", "1.0", 10**6, {"window": {"start": "00:00", "end": "00:00", "days": ["sat", "sun"]}}),
            ("input", "1.0", 10**6, {"window": {"start": "16:30", "end": "00:30", "days": ["mon"]}}),
            ("input", "2.0", 10**6, {}),
        ],
    ),
    (
        "cheaper days by name",
        {
            "input_cost_per_token": 2e-06,
            "off_peak_pricing": {
                "input_cost_per_token": 1e-06,
                "windows": [{"hours_utc": "00:00-00:00", "weekdays": ["saturday", "Sunday"]}],
            },
        },
        [
            ("input", "1.0", 10**6, {"window": {"start": "00:00", "end": "00:00", "days": ["sat", "sun"]}}),
            ("input", "2.0", 10**6, {}),
        ],
    ),
    (
        "image tokens in a batch, which are no size of an image",
        {"output_cost_per_image_token": 3e-05, "output_cost_per_image_token_batches": 1.5e-05},
        [("output_image", "15.0", 10**6, {"service_tier": ["batch"]}), ("output_image", "30.0", 10**6, {})],
    ),
    (
        "searches by size",
        {"search_context_cost_per_query": {"search_context_size_low": 0.03, "search_context_size_medium": 0.035}},
        [
            ("tool_web_search", "35.0", 1000, {}),
            ("tool_web_search_low", "30.0", 1000, {}),
            ("tool_web_search_medium", "35.0", 1000, {}),
        ],
    ),
    ("pages", {"mode": "ocr", "ocr_cost_per_page": 0.001}, [("pages", "1.0", 1000, {})]),
    ("a rerank", {"mode": "rerank", "input_cost_per_query": 0.002}, [("search_units", "2.0", 1000, {})]),
    (
        "seconds of audio, said twice",
        {"mode": "audio_transcription", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001},
        [("input_audio_seconds", "0.36", 3600, {})],
    ),
    (
        "seconds of audio, said once and zero once",
        {"mode": "audio_transcription", "input_cost_per_second": 0.0, "output_cost_per_second": 0.0001},
        [("input_audio_seconds", "0.36", 3600, {})],
    ),
    (
        "seconds of a conversation",
        {"mode": "realtime", "input_cost_per_second": 0.000833333333333},
        [("input_audio_seconds", "3.0", 3600, {})],
    ),
    (
        "video by resolution",
        {"mode": "video_generation", "output_cost_per_second_720p": 0.1},
        [("output_video_seconds_720p", "0.1", 1, {})],
    ),
    (
        "characters",
        {"mode": "audio_speech", "input_cost_per_character": 1.5e-05},
        [("input_characters", "15.0", 10**6, {})],
    ),
    (
        "an image, however it is called",
        {"mode": "image_generation", "input_cost_per_image": 0.04},
        [("output_images", "0.04", 1, {})],
    ),
    (
        "an image into a model",
        {"input_cost_per_image": 0.04, "input_cost_per_token": 1e-6},
        [("input", "1.0", 10**6, {}), ("input_images", "0.04", 1, {})],
    ),
    (
        "a zero beside a price is no price",
        {"input_cost_per_token": 1e-06, "output_cost_per_token": 0.0},
        [("input", "1.0", 10**6, {})],
    ),
]


@pytest.mark.parametrize(("model", "prices"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS])
def test_litellm_s_keys_become_rates(model: dict[str, Any], prices: list[Any]) -> None:
    [listing] = lite(**model)
    assert said(listing.prices) == sorted(prices, key=str)


@pytest.mark.parametrize(
    ("key", "listed", "provider", "model", "when"),
    [
        ("gpt-4o", "openai", "openai", "gpt-4o", {}),
        ("azure/gpt-4o", "azure", "azure.ai.openai", "gpt-4o", {}),
        ("azure/eu/gpt-4o", "azure", "azure.ai.openai", "gpt-4o", {"region": ["eu"]}),
        ("azure/global-standard/gpt-4o", "azure", "azure.ai.openai", "gpt-4o", {}),
        ("us.anthropic.claude-x-v1:0", "bedrock_converse", "aws.bedrock", "us.anthropic.claude-x-v1:0", {}),
        ("bedrock/us-east-1/m", "bedrock", "aws.bedrock", "m", {"region": ["us-east-1"]}),
        ("vertex_ai/claude-x@20250101", "vertex_ai-anthropic_models", "gcp.vertex_ai", "claude-x-20250101", {}),
        ("xai/grok-9", "xai", "x_ai", "grok-9", {}),
    ],
)
def test_litellm_s_names_become_those_that_answers_carry(
    key: str, listed: str, provider: str, model: str, when: dict[str, Any]
) -> None:
    [listing] = lite(key, listed, input_cost_per_token=1e-06)
    assert (listing.provider, listing.model, listing.prices[0].when) == (provider, model, when)


def test_fine_tuned_models_are_found_by_their_base() -> None:
    [listing] = lite("ft:gpt-x-2026-01-01", input_cost_per_token=1e-06)
    assert listing.patterns == ["ft:gpt-x-2026-01-01:*"]


def test_images_by_size_and_quality_are_one_model() -> None:
    [listing] = lite("hd/1024-x-1792/dall-e-3", mode="image_generation", output_cost_per_image=0.12)
    assert (listing.model, listing.prices[0].meter) == ("dall-e-3", "output_images_hd_1024x1792")


def test_what_cannot_be_carried_over_is_reported() -> None:
    found = litellm.read(
        {
            "sample_spec": {"litellm_provider": "x"},
            "free": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0},
            "a:free": {"litellm_provider": "openrouter", "mode": "chat", "input_cost_per_token": 0},
            "odd": {
                "litellm_provider": "openai",
                "mode": "chat",
                "input_cost_per_token": 1e-6,
                "input_dbu_cost_per_token": 1,
            },
            "guard": {"litellm_provider": "bedrock", "mode": "guardrail"},
        },
        "litellm",
    )
    assert {listing.model for listing in found.listings} == {"a:free", "odd"}
    assert found.left_out == {
        "no price": ["free"],
        "key input_dbu_cost_per_token": ["odd"],
        "mode guardrail": ["guard"],
    }


GENAI = [
    {
        "id": "anthropic",
        "pricing_urls": ["https://example.com/prices"],
        "models": [
            {
                "id": "claude-x",
                "match": {
                    "or": [{"starts_with": "claude-x-"}, {"equals": "X-Latest"}, {"regex": "^claude-x\\.1-\\d{8}$"}]
                },
                "prices_checked": "2026-10-01",
                "prices": [
                    {
                        "prices": {
                            "input_mtok": {"base": 3, "tiers": [{"start": 200000, "price": 6}]},
                            "output_mtok": 15,
                        }
                    },
                    {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 3, "output_mtok": 15}},
                ],
                "price_variants": [
                    {"when": {"processing": "batch"}, "prices": {"input_mtok": 1.5, "output_mtok": 7.5}}
                ],
            },
            {
                "id": "claude-night",
                "match": {"contains": "night"},
                "prices": [
                    {"prices": {"input_mtok": 2}},
                    {"constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"}, "prices": {"input_mtok": 1}},
                ],
            },
        ],
    }
]


def test_genai_prices_history_tiers_and_hours_become_rates() -> None:
    found = genai_prices_list(json.dumps(GENAI).encode(), "test")
    dated, hours = found.listings
    assert (dated.aliases, dated.patterns, dated.checked) == (["x-latest", "claude-x.1"], ["claude-x-*"], "2026-10-01")
    rows = [(p.meter, int(p.price * 10), p.valid_from, p.valid_to, p.when) for p in dated.prices]
    assert rows == [
        ("input", 30, None, None, {}),
        ("input", 60, None, "2026-03-13", LONG),
        ("output", 150, None, None, {}),
        ("input", 15, None, None, {"service_tier": ["batch"]}),
        ("output", 75, None, None, {"service_tier": ["batch"]}),
    ]
    assert [(p.price, p.when.get("window")) for p in hours.prices] == [
        (1, {"start": "00:30", "end": "16:30"}),
        (2, None),
    ]
    assert hours.patterns == ["*night*"]


def lists(one: list[Listing], other: list[Listing]) -> Catalogue:
    return merge([PriceList("one", one), PriceList("other", other)], as_of="2026-11-21", trust={"q": "other"})


def listing(model: str, *prices: ListedPrice, provider: str = "p", **more: Any) -> Listing:
    return Listing(provider, model, list(prices), **more)


def price(meter: str, amount: str, **more: Any) -> ListedPrice:
    return ListedPrice(meter, Fraction(amount), 10**6, **more)


def rates(made: Catalogue, provider: str = "p") -> dict[str, list[tuple[str, str, str | None]]]:
    models = made.providers[provider]["models"]
    return {m["model"]: [(r["meter"], r["price"], r.get("note")) for r in m.get("rates", ())] for m in models}


def test_lists_that_agree_are_one_and_each_adds_what_the_other_lacks() -> None:
    made = lists([listing("m", price("input", "1"))], [listing("m", price("input", "1"), price("output", "2"))])
    assert rates(made) == {"m": [("input", "1", None), ("output", "2", None)]}
    assert made.conflicts == []


@pytest.mark.parametrize(
    ("provider", "believed", "note"), [("p", "1", "other: 2 per 1000000"), ("q", "2", "one: 1 per 1000000")]
)
def test_a_conflict_is_decided_noted_and_reported(provider: str, believed: str, note: str) -> None:
    made = lists(
        [listing("m", price("input", "1"), provider=provider)], [listing("m", price("input", "2"), provider=provider)]
    )
    assert rates(made, provider) == {"m": [("input", believed, note)]}
    [conflict] = made.conflicts
    assert dict(conflict.said) == {"one": "1 per 1000000", "other": "2 per 1000000"}
    assert conflict.chosen == ("one" if provider == "p" else "other")


def test_a_price_that_one_list_has_rounded_is_no_conflict() -> None:
    assert lists([listing("m", price("input", "0.21"))], [listing("m", price("input", "0.20999988"))]).conflicts == []


def test_a_threshold_that_one_list_lacks_is_kept_and_reported() -> None:
    made = lists(
        [listing("m", price("input", "1"))], [listing("m", price("input", "1"), price("input", "2", when=LONG))]
    )
    assert ("input", "2", "one has no such threshold") in rates(made)["m"]
    assert [dict(c.said) for c in made.conflicts] == [{"one": None, "other": "2 per 1000000"}]


def test_where_the_plain_prices_differ_the_rest_is_not_mixed() -> None:
    made = lists(
        [listing("m", price("input", "1"))], [listing("m", price("input", "5"), price("input", "9", when=LONG))]
    )
    assert rates(made) == {"m": [("input", "1", "other: 5 per 1000000")]}


def test_a_tier_at_one_ratio_is_a_factor() -> None:
    tier = {"service_tier": ["batch"]}
    made = lists(
        [
            listing(
                "m",
                price("input", "2"),
                price("output", "8"),
                price("input_cache_read", "1"),
                price("input", "1", when=tier),
                price("output", "4", when=tier),
                price("input_cache_read", "0.9", when=tier),
            )
        ],
        [],
    )
    [model] = made.providers["p"]["models"]
    assert model["modifiers"] == [{"id": "batch", "multiply": "1/2", "when": tier, "meters": ["input", "output"]}]
    assert [rate["meter"] for rate in model["rates"] if "when" in rate] == ["input_cache_read"]


BATCH = {"service_tier": ["batch"]}


def factors(made: Catalogue) -> dict[str, dict[str, list[str]]]:
    """The factors on a batch, with their meters, by model."""
    models = made.providers["p"]["models"]
    return {m["model"]: {f["multiply"]: f["meters"] for f in m.get("modifiers", ())} for m in models}


DIRECTIONS: list[tuple[str, list[ListedPrice], dict[str, list[str]], list[str]]] = [
    (
        "what is not named follows its direction",
        [
            *(price(m, "2") for m in ("input", "output", "output_reasoning", "input_cache_read", "input_image")),
            price("input", "1", when=BATCH),
            price("output", "1", when=BATCH),
        ],
        {"1/2": ["input", "input_cache_read", "input_image", "output", "output_reasoning"]},
        [],
    ),
    (
        "each its own",
        [
            *(price(m, "2") for m in ("input", "output", "output_reasoning", "input_cache_read")),
            price("input", "1", when=BATCH),
            price("output", "1.8", when=BATCH),
        ],
        {"1/2": ["input", "input_cache_read"], "9/10": ["output_reasoning"]},
        ["output"],
    ),
    (
        "unless the list says otherwise",
        [
            *(price(m, "2") for m in ("input", "output", "input_cache_read")),
            price("input", "1", when=BATCH),
            price("output", "1", when=BATCH),
            price("input_cache_read", "2", when=BATCH),
        ],
        {"1/2": ["input", "output"]},
        ["input_cache_read"],
    ),
    (
        "and only where it says anything",
        [*(price(m, "2") for m in ("input", "output", "output_reasoning", "pages")), price("input", "1", when=BATCH)],
        {"1/2": ["input"]},
        [],
    ),
    (
        "by the plain price, where the tier has no threshold",
        [
            price("input", "2"),
            price("input", "4", when=LONG),
            price("input_cache_read", "1"),
            price("input", "1", when=BATCH),
        ],
        {"1/2": ["input_cache_read"]},
        ["input"],
    ),
    (
        "a threshold says what the tier is below it, too",
        [price("input", "2"), price("input", "4", when=LONG), price("input", "2", when={**BATCH, **LONG})],
        {"1/2": ["input"]},
        [],
    ),
]


@pytest.mark.parametrize(("prices", "expected", "stated"), [r[1:] for r in DIRECTIONS], ids=[r[0] for r in DIRECTIONS])
def test_a_tier_s_factor_covers_its_direction(
    prices: list[ListedPrice], expected: dict[str, list[str]], stated: list[str]
) -> None:
    made = lists([listing("m", *prices)], [])
    assert factors(made)["m"] == expected
    [model] = made.providers["p"]["models"]
    assert [rate["meter"] for rate in model["rates"] if "service_tier" in rate.get("when", {})] == stated


def test_what_no_list_prices_on_a_tier_is_listed() -> None:
    made = lists([listing("m", price("input", "2"), price("output", "2"), price("input", "1", when=BATCH))], [])
    assert made.not_sold == {"p/m: batch": ["output"]}


def dated(amount: str, start: str | None, end: str | None = None, meter: str = "input", **more: Any) -> ListedPrice:
    return price(meter, amount, valid_from=start, valid_to=end, history=True, **more)


def stated(made: Catalogue, provider: str = "p") -> list[tuple[str, str, str | None, str | None, str | None]]:
    rates = made.providers[provider]["models"][0]["rates"]
    return [(r["meter"], r["price"], *(r.get(d) for d in ("valid_from", "valid_to", "attested_from"))) for r in rates]


def test_the_list_that_says_what_prices_were_is_believed_on_it_if_it_is_right_today() -> None:
    history = [dated("5", None, "2026-03-01"), dated("2", "2026-03-01")]
    agreed = lists([listing("m", price("input", "2"))], [listing("m", *history)])
    assert stated(agreed) == [("input", "5", None, "2026-03-01", None), ("input", "2", "2026-03-01", None, None)]
    differing = lists([listing("m", price("input", "3"))], [listing("m", *history)])
    assert stated(differing) == [("input", "3", None, None, None)]
    assert len(differing.conflicts) == 1


def test_what_goes_with_a_price_that_changed_is_attested_since_the_change() -> None:
    history = [dated("5", None, "2026-03-01"), dated("2", "2026-03-01")]
    made = lists([listing("m", *history)], [listing("m", price("input_cache_write_12h", "4"), price("pages", "1"))])
    assert ("input_cache_write_12h", "4", None, None, "2026-03-01") in stated(made)
    assert ("pages", "1", None, None, None) in stated(made)


@pytest.mark.parametrize(("now", "attested"), [("2", "2026-03-01"), ("2.2", "2026-03-01"), ("5", None)])
def test_a_seller_of_a_model_whose_maker_changed_its_price_has_followed_then(now: str, attested: str | None) -> None:
    history = [dated("5", None, "2026-03-01"), dated("2", "2026-03-01")]
    maker = listing("gpt-9", *history, provider="openai")
    made = lists([maker, listing("vendor/gpt-9-2026-01-01", price("input", now))], [])
    assert stated(made) == [("input", now, None, None, attested)]
    assert stated(lists([maker, listing("gpt-90", price("input", now))], [])) == [("input", now, None, None, None)]


def test_a_snapshot_has_the_past_that_its_model_has_in_another_list() -> None:
    history = [dated("5", None, "2026-03-01"), dated("2", "2026-03-01")]
    made = lists([listing("m", *history)], [listing("m-2026-01-01", price("input", "2"))])
    assert [model["model"] for model in made.providers["p"]["models"]] == ["m"]
    other = lists([listing("m", *history)], [listing("m-2026-01-01", price("input", "3"))])
    assert [model["model"] for model in other.providers["p"]["models"]] == ["m", "m-2026-01-01"]


@pytest.mark.parametrize(("now", "attested"), [("2", "2026-03-01"), ("3", None), ("5", None)])
def test_a_variant_of_a_model_that_costs_the_same_has_changed_with_it(now: str, attested: str | None) -> None:
    history = [dated("5", None, "2026-03-01"), dated("2", "2026-03-01")]
    maker = listing("grok-9", *history, provider="x_ai")
    made = lists([maker, listing("grok-9-beta-reasoning", price("input", now), provider="x_ai")], [])
    assert made.providers["x_ai"]["models"][1]["rates"][0].get("attested_from") == attested


def test_a_meter_that_costs_what_its_kind_costs_changes_with_it() -> None:
    history = [dated("5", None, "2027-01-01", "output"), dated("9", "2027-01-01", None, "output")]
    made = lists([listing("m", *history)], [listing("m", price("output_reasoning", "5"))])
    assert [row[0] for row in stated(made)] == ["output", "output"]
    other = lists([listing("m", *history)], [listing("m", price("output_reasoning", "4"))])
    assert [row[0] for row in stated(other)] == ["output", "output", "output_reasoning"]


def test_a_snapshot_has_the_long_context_that_its_model_has_in_another_list() -> None:
    made = lists(
        [listing("m", price("input", "1"), price("input", "2", when=LONG), patterns=["m-*"])],
        [listing("m", price("input", "1")), listing("m-2026-01-01", price("input", "1"))],
    )
    assert rates(made) == {
        "m": [("input", "2", "other has no such threshold"), ("input", "1", None)],
    }
    assert sorted((c.model, dict(c.said)["one"], dict(c.said)["other"]) for c in made.conflicts) == [
        ("m", "2 per 1000000", None),
        ("m-2026-01-01", "2 per 1000000", None),
    ]


def test_a_tier_s_dated_prices_are_those_of_their_day() -> None:
    data = json.loads(json.dumps(GENAI))
    model = data[0]["models"][0]
    model["prices"] = [
        {"prices": {"input_mtok": 2}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 4}},
    ]
    variant = {"when": {"processing": "batch"}}
    model["price_variants"] = [
        {**variant, "constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 2}},
        {**variant, "constraint": {"start_date": "2026-10-14"}, "prices": {"input_mtok": 1}},
    ]
    found = genai_prices_list(json.dumps(data).encode(), "test")
    made = merge([found], as_of="2026-11-21", trust={})
    [entry] = [m for m in made.providers["anthropic"]["models"] if m["model"] == "claude-x"]
    assert [(m["id"], m["multiply"]) for m in entry["modifiers"]] == [("batch", "1/2")]
    assert [(r["price"], r.get("valid_from")) for r in entry["rates"]] == [("2", None), ("4", "2027-01-01")]


def test_cheaper_hours_are_of_the_prices_before_them_in_the_list() -> None:
    data = json.loads(json.dumps(GENAI))
    hours = {"start_time": "00:30:00Z", "end_time": "16:30:00Z"}
    data[0]["models"][1]["prices"] = [
        {"prices": {"input_mtok": 2}},
        {"constraint": {"start_date": "2026-05-01"}, "prices": {"input_mtok": 4}},
        {"constraint": hours, "prices": {"input_mtok": 3}},
        {"constraint": {"start_date": "2026-09-01"}, "prices": {"input_mtok": 5}},
    ]
    _, found = genai_prices_list(json.dumps(data).encode(), "test").listings
    assert sorted((float(p.price), p.valid_from, p.valid_to, bool(p.when)) for p in found.prices) == [
        (2.0, None, "2026-05-01", False),
        (3.0, "2026-05-01", "2026-09-01", True),
        (4.0, "2026-05-01", "2026-09-01", False),
        (5.0, "2026-09-01", None, False),
    ]


def test_what_only_the_compatible_endpoint_of_bedrock_has_is_bedrock_s() -> None:
    one = {"mode": "chat", "litellm_provider": "bedrock_mantle"}
    found = litellm.read(
        {
            "bedrock_mantle/openai.gpt-oss-9": {**one, "input_cost_per_token": 1e-6},
            "bedrock_mantle/us-gov-west-1/openai.gpt-oss-9": {**one, "input_cost_per_token": 2e-6},
            "bedrock_mantle/both": {**one, "input_cost_per_token": 3e-6},
            "both": {**one, "litellm_provider": "bedrock", "input_cost_per_token": 4e-6},
        },
        "litellm",
    )
    at_bedrock = [
        (x.model, int(x.prices[0].price), x.prices[0].when) for x in found.listings if x.provider == "aws.bedrock"
    ]
    assert at_bedrock == [
        ("both", 4, {}),
        ("openai.gpt-oss-9", 1, {}),
        ("openai.gpt-oss-9", 2, {"region": ["us-gov-west-1"]}),
    ]


def test_snapshots_that_cost_the_same_are_found_by_the_model_s_name() -> None:
    made = lists(
        [
            listing("m", price("input", "1")),
            listing("m-2026-01-01", price("input", "1")),
            listing("m-2026-02-02", price("input", "3")),
        ],
        [],
    )
    assert set(rates(made)) == {"m", "m-2026-02-02"}


def test_a_name_or_pattern_belongs_to_one_model_only() -> None:
    made = lists(
        [
            listing("a", price("input", "1"), aliases=["same"], patterns=["x-*"]),
            listing("b", price("input", "2"), aliases=["Same", "a"], patterns=["x-*"]),
        ],
        [],
    )
    a, b = made.providers["p"]["models"]
    assert (a.get("aliases"), a.get("patterns"), b.get("aliases"), b.get("patterns")) == (["same"], ["x-*"], None, None)
    assert len(made.dropped) == 3


def test_a_price_of_another_unit_is_left_out_and_reported() -> None:
    usual = [listing(f"m{n}", price("input", "1")) for n in range(4)]
    made = lists([*usual, listing("odd", price("input", "3200"))], [])
    assert rates(made)["odd"] == []
    assert made.implausible == ["p/odd: input 3200 per 1,000,000; input is usually 1"]


def test_the_same_lists_give_the_same_bytes_and_a_card_that_loads(tmp_path: Path) -> None:
    found = [genai_prices_list(json.dumps(GENAI).encode(), "test")]
    found.append(
        litellm_list(json.dumps({"gpt": {"litellm_provider": "openai", "input_cost_per_token": 1e-6}}).encode())
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gone.json").write_text("{}")
        write(merge(found, as_of="2026-11-21", trust={}), tmp_path / name, card_id="c", version="1")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["anthropic.json", "card.json", "openai.json"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    card = RateCard.load(tmp_path / "a")
    model = card.find("anthropic", "x-latest")
    assert model is not None
    assert {r.source for r in model.rates["input"]} == {"https://example.com/prices (via genai-prices test)"}
    made = report(merge(found, as_of="2026-11-21", trust={}), found)
    assert (made["models"], made["lists"]) == (3, ["genai-prices test", "litellm file"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "has no models"),
        (b'{"a": 1}', "has no models"),
        (b"[1]", "of a form this version does not know"),
    ],
    ids=["cut", "empty", "something else", "another form"],
)
def test_a_list_that_cannot_be_read_is_named(data: bytes, message: str) -> None:
    with pytest.raises(RateCardError, match=message):
        (litellm_list if data == b'{"a": 1}' else genai_prices_list)(data)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        (1e-07, "0.0000001"),
        (0.1, "0.1"),
        (3, "3"),
        (True, None),
        ("1", None),
        (-1, None),
        (float("nan"), None),
        (None, None),
    ],
)
def test_a_number_is_the_decimal_it_was_meant_to_be(value: object, price: str | None) -> None:
    assert exact(value) == (None if price is None else Fraction(price))


def test_a_price_divided_to_seconds_is_found_again() -> None:
    assert near(Fraction("0.20999988")) == Fraction("0.21")
    assert near(Fraction("0.110988")) == Fraction("0.110988")
