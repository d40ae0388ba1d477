"""redis: vector searches, `FT.SEARCH` with KNN or a vector range, and vector sets. Read in redis 5.2 and 8.1.

Every command of every client goes through `execute_command`.
"""

from __future__ import annotations

import re
from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, store

_KNN = re.compile(r"\[\s*KNN\s+(\d+)?", re.IGNORECASE)
_RANGE = re.compile(r"VECTOR_RANGE", re.IGNORECASE)


def _command(instance: Any, args: Any, kwargs: Any) -> Operation | None:  # noqa: ARG001
    command = args[0] if args else None
    if not isinstance(command, str) or len(args) < 2:
        return None
    verb, key = command.upper(), _text(args[1])
    if verb in ("FT.SEARCH", "FT.AGGREGATE") and len(args) > 2:
        asked = _text(args[2])[:2000]
        nearest = _KNN.search(asked)
        if nearest is None and _RANGE.search(asked) is None:
            return None
        top_k = int(nearest.group(1)) if nearest is not None and nearest.group(1) else None
        return Operation("query", "search", key, top_k=top_k)
    if verb == "VSIM":
        words = [_text(word).upper() for word in args[2:]]
        top_k = int(words[words.index("COUNT") + 1]) if "COUNT" in words else None
        return Operation("query", "search", key, top_k=top_k)
    if verb == "VADD":
        return Operation("write", "add", key)
    if verb == "VREM":
        return Operation("delete", "delete", key)
    if verb == "FT.CREATE" and any(_text(word).upper() == "VECTOR" for word in args[2:]):
        return Operation("manage", "create_index", key)
    return None


def _found(operation: Operation, result: Any) -> None:
    if operation.kind != "query":
        return
    total = getattr(result, "total", None)
    if total is None and isinstance(result, dict):
        total = result.get("total_results", len(result))
    if total is None and isinstance(result, list) and result:
        total = result[0] if isinstance(result[0], int) else len(result)
    operation.returned = total if isinstance(total, int) else None


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class RedisInstrumentor(PackageInstrumentor):
    """Instruments every redis client, for commands that have vectors in them."""

    name = "redis"
    requires = "redis >= 5.2, < 9"
    methods = (
        Method("redis.client", "Redis.execute_command", wrapper=store("redis", _command, _found)),
        Method("redis.asyncio.client", "Redis.execute_command", wrapper=store("redis", _command, _found)),
    )
