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
from aicost.pricing.catalogue.listing import Listing, Price, PriceList, exact, near
from aicost.pricing.catalogue.merge import Catalogue, merge
from aicost.pricing.catalogue.sources import genai_prices_list, litellm_list

LONG = {"context": {"basis": ["input_tokens"], "op": "gt", "value": 200_000, "scope": "cliff"}}


def lite(name: str = "m", provider: str = "openai", **model: Any) -> list[Listing]:
    return litellm.read({name: {"litellm_provider": provider, "mode": "chat", **model}}, "litellm").listings


def said(prices: list[Price]) -> list[tuple[str, str, int, dict[str, Any]]]:
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


def listing(model: str, *prices: Price, provider: str = "p", **more: Any) -> Listing:
    return Listing(provider, model, list(prices), **more)


def price(meter: str, amount: str, **more: Any) -> Price:
    return Price(meter, Fraction(amount), 10**6, **more)


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
