"""Hosted tools of OpenAI's responses API: what a response bills beside the tokens of its model.

Read in openai 3.57 (types/responses/response.py: ToolUsage; tool.py, response_output_item.py,
response_function_web_search.py, response_function_shell_tool_call.py). A declared tool that never ran costs nothing, so
only what ran is counted. What `tool_usage` counts is what is billed; older responses have only the items.
"""

from __future__ import annotations

import re

from aicost._bounded import short
from aicost.usage.meters import Quantity
from aicost.usage.reading import Counts, Raw, Reading, fields_of

from ._openai_media import count_drawings, read_images

_DEFAULT_IMAGE_MODEL = "gpt-image-2.6-sunburst"
_DOES_NOT_REASON = re.compile(r"(?:openai/)?(?:chatgpt-4|gpt-3|gpt-4)")


def count_tool_calls(body: Raw) -> Reading:
    """Fees of the hosted tools that a response used, by meter; an image under the name of the model that made it.

    A container of the code interpreter or the shell is billed once a session, whatever the number of calls in it.
    """
    output = body.get("output")
    items = [item for one in output if (item := fields_of(one)) is not None] if isinstance(output, list) else []
    ran = [item for item in items if item.get("status") != "failed"] if items else []
    if not ran and body.get("tool_usage") is None:
        return _NOTHING
    counts = Counts(body)
    told = counts.inside("tool_usage")
    usage: dict[str, Quantity] = {}
    searches = sum(map(_is_search, ran))
    if told.has("web_search"):
        searches = told.inside("web_search").take("num_requests")
    if searches:
        usage[_search_meter(body)] = searches
    if files := sum(item.get("type") == "file_search_call" for item in ran):
        usage["tool_file_search"] = files
    if containers := {held for item in ran if (held := _container(item)) is not None}:
        usage["tool_code_interpreter"] = len(containers)
    _add_images(body, counts, told, ran, usage)
    return Reading(usage, flags=counts.finish(body.keys()), complete=counts.complete)


_NOTHING = Reading({})


def _is_search(item: Raw) -> bool:
    """Whether an item is a search that is billed: opening a page of the results and looking through it are not."""
    if item.get("type") != "web_search_call":
        return False
    action = fields_of(item.get("action")) or {}
    return bool(action.get("type", "search") == "search")


def _search_meter(body: Raw) -> str:
    """The preview of the tool has a fee of its own with models that do not reason."""
    kinds = {str(tool.get("type")) for tool in _tools(body)}
    searching = [kind for kind in kinds if kind.startswith("web_search")]
    preview = bool(searching) and all(kind.startswith("web_search_preview") for kind in searching)
    if preview and _DOES_NOT_REASON.match(str(body.get("model") or "")):
        return "tool_web_search_preview"
    return "tool_web_search"


def _container(item: Raw) -> str | None:
    if item.get("type") == "code_interpreter_call":
        return str(item.get("container_id"))
    environment = fields_of(item.get("environment")) if item.get("type") == "shell_call" else None
    held = environment.get("container_id") if environment is not None else None
    return None if held is None else str(held)


def _add_images(body: Raw, counts: Counts, told: Counts, ran: list[Raw], usage: dict[str, Quantity]) -> None:
    """What image models used, as far as it is told; an image whose usage is not told leaves the charge a part."""
    drawn = [item for item in ran if item.get("type") == "image_generation_call"]
    for item in drawn:
        for meter, quantity in count_drawings(item).usage.items():  # an SVG is written by a model of its own
            usage[meter] = usage.get(meter, 0) + quantity
    tokens = told.object("image_gen") or {}
    if tokens.get("input_tokens") or tokens.get("output_tokens"):
        named = {tool.get("model") for tool in _tools(body) if tool.get("type") == "image_generation"}
        model = next(iter(named)) if len(named) == 1 else None
        if not isinstance(model, str):
            model = _DEFAULT_IMAGE_MODEL
            counts.flag(f"assumed_model:{model}")
        read = read_images(tokens)
        for meter, quantity in read.usage.items():
            usage[f"{short(model)}/{meter}"] = quantity
        for flag in read.flags:
            counts.flag(flag)
    elif any(fields_of(item.get("svg_usage")) is None for item in drawn):
        counts.flag("missing_count:tool_usage.image_gen")


def _tools(body: Raw) -> list[Raw]:
    tools = body.get("tools")
    return [tool for one in tools if (tool := fields_of(one)) is not None] if isinstance(tools, (list, tuple)) else []
