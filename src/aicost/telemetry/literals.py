"""Values that spans hold as text: JSON, or a dictionary as Python writes it."""

from __future__ import annotations

import json
import re
from typing import Any

_MOST_TEXT = 2**20
# A string that is not closed goes on to the end: to begin anew at each quote in it would take the square of its size.
_PYTHON = re.compile(r"""'((?:[^'\\]|\\.?)*)(?:'|\Z)|"((?:[^"\\]|\\.?)*)(?:"|\Z)|\b(True|False|None)\b""", re.DOTALL)
_IN_STRING = re.compile(r"""\\x([0-9a-fA-F]{2})|\\U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|\\(.)|(["\n])""", re.DOTALL)
_WORDS = {"True": "true", "False": "false", "None": "null"}


def object_in(text: str | None) -> Any:
    """The object that a text of at most a megabyte holds; None for what is none. Takes time in proportion to its size.

    >>> object_in("{'usage': {'total': 3, 'note': \\"it's\\"}}")
    {'usage': {'total': 3, 'note': "it's"}}
    """
    if text is None or len(text) > _MOST_TEXT or not text.startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        # `ast.literal_eval` would build a tree of the source, of hundreds of times its size.
        return json.loads(_PYTHON.sub(_as_json, text))
    except (ValueError, RecursionError):
        return None


def _as_json(found: re.Match[str]) -> str:
    single, double, word = found.groups()
    if word is not None:
        return _WORDS[word]
    return f'"{_IN_STRING.sub(_escaped, single if single is not None else double)}"'


def _escaped(found: re.Match[str]) -> str:
    byte, wide, sign, bare = found.groups()
    if byte is not None:
        return f"\\u00{byte}"
    if wide is not None:
        return json.dumps(chr(int(wide, 16)))[1:-1]
    if bare is not None:
        return '\\"' if bare == '"' else "\\n"
    return sign if sign == "'" else f"\\{sign}"
