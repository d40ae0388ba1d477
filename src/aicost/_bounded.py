"""Memory that is bounded in bytes, whatever comes in over the wire."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from hashlib import blake2b
from typing import ParamSpec, TypeVar

LONGEST_NAME = 256
"""Characters of a name or an id that is kept. Those in use are shorter."""
_LONGEST_ARGUMENT = 2_048

P = ParamSpec("P")
R = TypeVar("R")


def short(text: str, most: int = LONGEST_NAME) -> str:
    """`text`, or its beginning and a digest of it if it has more than `most` characters: two texts stay two.

    >>> short("gpt-4o"), len(short("a" * 1_000_000))
    ('gpt-4o', 256)
    """
    if len(text) <= most:
        return text
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"{text[: most - 1 - len(digest)]}~{digest}"


def remembered(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """An `lru_cache` of so many answers, for text and bytes off the wire: for long ones it is worked out each time."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = lru_cache(maxsize=most)(function)

        @wraps(function)
        def answer(*args: P.args, **kwargs: P.kwargs) -> R:
            for argument in args:
                if isinstance(argument, (str, bytes)) and len(argument) > _LONGEST_ARGUMENT:
                    return function(*args, **kwargs)
            return known(*args, **kwargs)  # type: ignore[arg-type]

        return answer

    return decorate
