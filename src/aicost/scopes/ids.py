"""Ids are opaque: what looks like personal data or a secret is never exported as it is."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import random
import re

_log = logging.getLogger("aicost")

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_PHONE = re.compile(r"\+?\(?\d[\d\s().-]{7,}\d")
_SECRET = re.compile(r"^(sk|pk|rk|ghp|gho|xox[abp]|AKIA|AIza|Bearer|eyJ)[-_ A-Za-z0-9]{12,}")
_MAX_LENGTH = 256

_warned: set[str] = set()


def new_id() -> str:
    """A random 128-bit id in hex. `random` is reseeded after a fork, so children do not repeat each other."""
    return f"{random.getrandbits(128):032x}"


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
