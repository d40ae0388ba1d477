"""Text that every place can hold, for where text comes in; and that a terminal can be shown, for where it goes out.

Python's strings may hold halves of surrogate pairs, out of JSON that was cut or of file names in another encoding.
SQLite refuses them, and protobuf (read in 7.36) refuses the whole batch of spans or metrics that one of them is in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, TypeVar

V = TypeVar("V")


def wellformed(text: str) -> str:
    r"""`text` as UTF-8 can hold it: lone surrogates, and NUL, as their escapes. Two odd texts stay two.

    >>> wellformed("acme\ud83d")
    'acme\\ud83d'
    """
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def as_text(value: object) -> str:
    """`value` as well-formed text, whatever it is: an object whose `str` fails is called by its type."""
    try:
        # Not what a subclass makes of it: an `Enum` of texts would stay an `Enum`.
        text = str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - the application's own object
        text = f"<{type(value).__name__}>"
    return wellformed(text)


def wellformed_values(values: Mapping[str, V]) -> Mapping[str, V]:
    """The same names and values, each text, and each list of texts, well-formed. Mostly that is `values` itself."""
    texts: list[Any] = [value for value in values.values() if isinstance(value, str)]
    if len(texts) != len(values):
        several = [value for value in values.values() if isinstance(value, (list, tuple))]
        texts += [one for each in several for one in each if isinstance(one, str)]
    whole = "".join(texts)
    if wellformed(whole) is whole:
        return values
    return {name: _wellformed(value) for name, value in values.items()}


def _wellformed(value: Any) -> Any:
    if isinstance(value, str):
        return wellformed(value)
    return [_wellformed(one) for one in value] if isinstance(value, (list, tuple)) else value


def printable(text: str) -> str:
    r"""`text` without what a terminal would obey: control characters and marks of direction, as their escapes.

    >>> printable("evil\x1b[2Jname")
    'evil\\x1b[2Jname'
    """
    if text.isprintable():
        return text
    return "".join([sign.encode("unicode_escape").decode() if _is_obeyed(sign) else sign for sign in text])


def _is_obeyed(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and sign not in "\u200c\u200d"  # joiners
