"""Ids: how they are made, and how those of the application are made fit to export."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time

from aicost._wellformed import as_text

from .id_key import id_key
from .personal import looks_personal

_log = logging.getLogger("aicost")

_MAX_LENGTH = 256

_warned: set[str] = set()


def new_id() -> str:
    """A new 128-bit id in hex, of the operating system's randomness.

    Not of `random`: applications seed it, and two processes that seed it alike would make the same ids.
    """
    return os.urandom(16).hex()


def new_event_id() -> str:
    """A new id that sorts by when it was made: milliseconds (48 bits), then 80 random bits.

    A ledger finds its place for it, and its period, by the id alone.
    """
    return (time.time_ns() // 1_000_000).to_bytes(6, "big").hex() + os.urandom(10).hex()


def derived_id(*parts: object) -> str:
    """The 128-bit id, in hex, of what is identified by these parts: the same wherever it is made.

    >>> derived_id("span", "5b8e", "6e0c", 1) == derived_id("span", "5b8e", "6e0c", "1")
    True
    """
    # With the length of each, so that no two lists of parts are one text.
    texts = [part if part.__class__ is str else str(part) for part in parts]
    whole = "".join([f"{len(text)}:{text}" for text in texts])
    return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def credential_digest(secret: str) -> str:
    """A keyed digest of an API key: what spans and ledgers have of it, and what a bill's key id can be mapped to.

    Keyed as in `opaque`. Give it your keys once to know which digest is which.

    >>> credential_digest("sk-proj-...")
    'c:a2f60c7c5bd6f05e'
    """
    return "c:" + _digest(secret)


def opaque(key: str, value: object) -> str:
    """`value` as an id fit to export: text of at most 256 characters, hashed if it looks like personal data.

    E-mail addresses, phone numbers and API keys become `h:` and 16 hex digits (HMAC-SHA256), the same for the same
    value, so that totals per owner still add up. The key is `AICOST_ID_KEY`, or one kept in the user's state
    directory. Never raises; logs once per key.

    >>> opaque("tenant_id", "t-42")
    't-42'
    """
    text = as_text(value)
    if not looks_personal(text):
        return text[:_MAX_LENGTH]
    if key not in _warned:
        _warned.add(key)
        _log.warning(
            "%s looks like personal data or a secret; its hash is used instead. Pass a stable internal id.", key
        )
    return "h:" + _digest(text)


def _digest(text: str) -> str:
    return hmac.new(id_key(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]
