"""What the hosted tools of the responses API bill, told from `tool_usage` or, without it, from the items."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from openai.types.responses import Response

import aicost
from aicost.usage.providers._openai_tools import count_tool_calls
from aicost.usage.readers import read_usage

IMAGE = {"type": "image_generation_call", "status": "completed", "id": "ig"}
SVG = {"model": "gpt-5", "input_tokens": 9, "output_tokens": 8, "reasoning_tokens": 3, "total_tokens": 17}
TOLD = {
    "input_tokens": 30,
    "input_tokens_details": {"image_tokens": 20, "text_tokens": 10},
    "output_tokens": 70,
    "total_tokens": 100,
}


def search(action: str | None = "search", status: str | None = "completed") -> dict[str, Any]:
    return {"type": "web_search_call", "status": status, "action": None if action is None else {"type": action}}


CASES: list[tuple[str, dict[str, Any], dict[str, int], tuple[str, ...]]] = [
    ("searches", {"output": [search(), search(None), search(status=None)]}, {"tool_web_search": 3}, ()),
    ("pages of the results", {"output": [search("open_page"), search("find_in_page")]}, {}, ()),
    ("a search that failed", {"output": [search(status="failed")]}, {}, ()),
    (
        "what is billed comes before the items",
        {"output": [search(), search()], "tool_usage": {"web_search": {"num_requests": 5}}},
        {"tool_web_search": 5},
        (),
    ),
    ("none is billed", {"output": [search()], "tool_usage": {"web_search": {"num_requests": 0}}}, {}, ()),
    (
        "the preview, with a model that does not reason",
        {
            "model": "gpt-4.1-mini-2025-04-14",
            "output": [search()],
            "tools": [{"type": "web_search_preview_2025_03_11"}],
        },
        {"tool_web_search_preview": 1},
        (),
    ),
    (
        "the preview, with one that does",
        {"model": "o4-mini", "output": [search()], "tools": [{"type": "web_search_preview"}]},
        {"tool_web_search": 1},
        (),
    ),
    (
        "the preview beside the tool itself",
        {"model": "gpt-4o", "output": [search()], "tools": [{"type": "web_search_preview"}, {"type": "web_search"}]},
        {"tool_web_search": 1},
        (),
    ),
    (
        "one container, whatever runs in it",
        {
            "output": [
                {"type": "code_interpreter_call", "container_id": "c1"},
                {"type": "shell_call", "environment": {"type": "container_reference", "container_id": "c1"}},
                {"type": "shell_call", "environment": {"type": "local"}},
            ]
        },
        {"tool_code_interpreter": 1},
        (),
    ),
    (
        "images, at the model that was named",
        {
            "output": [IMAGE],
            "tools": [{"type": "image_generation", "model": "gpt-image-2"}],
            "tool_usage": {"image_gen": {**TOLD, "cached_tokens": 10}},
        },
        {"gpt-image-2/input_image": 20, "gpt-image-2/input_cache_read": 10, "gpt-image-2/output_image": 70},
        (),
    ),
    (
        "images, at the default model",
        {"output": [IMAGE], "tools": [{"type": "image_generation"}], "tool_usage": {"image_gen": TOLD}},
        {
            "gpt-image-2.6-sunburst/input": 10,
            "gpt-image-2.6-sunburst/input_image": 20,
            "gpt-image-2.6-sunburst/output_image": 70,
        },
        ("assumed_model:gpt-image-2.6-sunburst",),
    ),
    ("images whose usage is not told", {"output": [IMAGE]}, {}, ("missing_count:tool_usage.image_gen",)),
    (
        "images whose usage was skipped",
        {"output": [IMAGE], "tool_usage": {"image_gen": {"input_tokens": 0, "output_tokens": 0}}},
        {},
        ("missing_count:tool_usage.image_gen",),
    ),
    ("an image that failed", {"output": [{**IMAGE, "status": "failed"}]}, {}, ()),
    (
        "an SVG",
        {"output": [{**IMAGE, "svg_usage": SVG}]},
        {"gpt-5/input": 9, "gpt-5/output": 5, "gpt-5/output_reasoning": 3},
        (),
    ),
    ("nothing", {"output": [{"type": "message"}, {"type": "mcp_call"}], "tools": [{"type": "web_search"}]}, {}, ()),
    ("no list", {"output": "text", "tools": "text", "tool_usage": "text"}, {}, ("invalid_field:tool_usage",)),
]


@pytest.mark.parametrize(("body", "usage", "flags"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_ran_is_counted_as_it_is_billed(
    body: dict[str, Any], usage: dict[str, int], flags: tuple[str, ...]
) -> None:
    found = count_tool_calls(body)
    assert (found.usage, found.flags) == (usage, flags)
    assert found.complete == (not any(flag.startswith("missing") for flag in flags))


def test_a_typed_response_has_its_tools_counted_like_json() -> None:
    body = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-5",
        "service_tier": "flex",
        "output": [search(), search("open_page"), {"type": "file_search_call", "status": "completed"}],
        "tools": [{"type": "web_search"}],
        "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
    }
    typed = Response.model_construct(**body)
    as_json = aicost.price(provider="openai", model="gpt-5", usage=body)
    assert aicost.price(provider="openai", model="gpt-5", usage=typed) == as_json
    assert [line.meter for line in as_json.lines] == ["input", "output", "tool_web_search", "tool_file_search"]
    plain = {name: value for name, value in body.items() if name != "service_tier"}
    assert aicost.price(provider="openai", model="gpt-5", usage=plain).amount == Decimal("0.01475")


def test_a_host_that_counts_its_tools_in_the_usage_does_not_have_them_counted_twice() -> None:
    body = {
        "usage": {
            "input_tokens": 10,
            "output_tokens": 2,
            "server_side_tool_usage_details": {"web_search_calls": 1, "code_interpreter_calls": 1},
        },
        "output": [search(), search(), {"type": "code_interpreter_call", "container_id": "c"}],
    }
    reading = read_usage(body, api="responses", provider="x_ai")
    assert reading.usage == {"input": 10, "output": 2, "tool_web_search": 1, "tool_code_execution": 1}
