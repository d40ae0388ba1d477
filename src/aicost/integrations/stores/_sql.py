"""SQL statements that work on vectors, told by the operators and types of pgvector 0.8."""

from __future__ import annotations

import re
from typing import Any

from aicost.integrations._operations import Operation, size, width

_MAX_TEXT = 20_000
_OPERATOR = re.compile(r"<(?:->|#>|=>|\+>|~>|%>)")
_TABLE = re.compile(r"\b(?:from|into|update|on)\s+((?:\"[^\"]+\"|[\w$]+)(?:\.(?:\"[^\"]+\"|[\w$]+))*)", re.IGNORECASE)
_LIMIT = re.compile(r"\blimit\s+(\d+)", re.IGNORECASE)
_INDEX = re.compile(r"\bcreate\s+index\b.*\busing\s+(?:hnsw|ivfflat)\b", re.IGNORECASE | re.DOTALL)
_WRITE = re.compile(r"\s*(?:insert|update|copy)\b", re.IGNORECASE)


def operation_of(statement: object, parameters: object, *, many: bool) -> Operation | None:
    """What a statement does with vectors; None for one that has none in it."""
    text = statement.decode(errors="replace") if isinstance(statement, bytes) else statement
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        return None
    if _OPERATOR.search(text) is not None and not _WRITE.match(text):
        limit = _LIMIT.search(text)
        top_k = int(limit.group(1)) if limit is not None else None
        return Operation("query", "query", _table(text), None, 1, top_k, _vector(parameters))
    if _INDEX.search(text) is not None:
        return Operation("manage", "create_index", _table(text))
    if _WRITE.match(text):
        rows = list(parameters) if many and isinstance(parameters, (list, tuple)) else [parameters]
        dimension = _vector(rows[0]) if rows else None
        if dimension is not None:
            return Operation("write", "insert", _table(text), None, len(rows), dimension=dimension)
    return None


def _table(text: str) -> str:
    found = _TABLE.search(text)
    return found.group(1).replace('"', "") if found is not None else "unknown"


def _vector(parameters: object) -> int | None:
    """The numbers in the first parameter that is a vector, as pgvector's types, numpy's, or its text."""
    values: Any = parameters.values() if isinstance(parameters, dict) else parameters
    if size(values) is None and not isinstance(parameters, dict):
        return None
    for value in values:
        if isinstance(value, str):
            if value.startswith("[") and value.endswith("]") and len(value) <= _MAX_TEXT:
                return value.count(",") + 1
            continue
        dimensions = getattr(value, "dimensions", None)
        if callable(dimensions) and type(value).__module__.startswith("pgvector"):
            return int(dimensions())
        if type(value).__module__ == "numpy" or isinstance(value, list):
            found = width(value)
            if found is not None:
                return found
    return None
