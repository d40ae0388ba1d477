"""Ids: how they are made, and what looks like personal data or a secret, which is never exported as it is."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import time

_log = logging.getLogger("aicost")

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_PHONE = re.compile(r"\+?\(?\d[\d\s().-]{7,}\d")
_SECRET = re.compile(r"^(sk|pk|rk|ghp|gho|xox[abp]|AKIA|AIza|Bearer|eyJ)[-_ A-Za-z0-9]{12,}")
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

    Keyed by `AICOST_ID_KEY`. Give it your keys once to know which digest is which.

    >>> credential_digest("sk-proj-...")
    'c:a2f60c7c5bd6f05e'
    """
    key = os.environ.get("AICOST_ID_KEY", "aicost").encode()
    return "c:" + hmac.new(key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


def opaque(key: str, value: object) -> str:
    """`value` as an id fit to export: text of at most 256 characters, hashed if it looks like personal data.

    E-mail addresses, phone numbers and API keys become `h:` and 16 hex digits, the same for the same value, so that
    totals per owner still add up. Set `AICOST_ID_KEY` to make the digest a keyed one (HMAC). Logs once per key.

    >>> opaque("tenant_id", "t-42")
    't-42'
    """
    text = value if isinstance(value, str) else str(value)
    if looks_personal(text):
        if key not in _warned:
            _warned.add(key)
            _log.warning(
                "%s looks like personal data or a secret; its hash is used instead. Pass a stable internal id.", key
            )
        secret = os.environ.get("AICOST_ID_KEY", "").encode()
        return "h:" + hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:16]
    return text[:_MAX_LENGTH]


def looks_personal(text: str) -> bool:
    """Whether `text` reads like an e-mail address, a phone number or an API key."""
    if text.isalnum() and not (text.isdigit() and len(text) >= 9) and len(text) < 16:
        return False
    return bool(_EMAIL.search(text) or _PHONE.fullmatch(text) or _SECRET.match(text))
