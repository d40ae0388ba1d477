"""What looks like personal data or a secret: e-mail addresses, phone numbers, keys.

A number by itself is an id: many tenants have one of 5 to 15 digits. A phone number is told by how it is written: a `+`
or an area code in brackets or with a 0, groups as people write them. `tests/scopes/test_personal.py` has the examples.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

_LOOKED_AT = 1024
"""Characters. More than an id may have and an address that its end cuts through: what follows is never exported."""

_REMEMBERED = 64
"""Characters of a text whose verdict is kept: owners are the same few again and again."""

_OTHER_SIGNS = str.maketrans("\u2010\u2012\u2013\u2014\u2212\u3002\uff61", "-----..")
"""Dashes that text processors set, and the full stops of Chinese and Japanese addresses."""

# A host with a name below its top level, which no version (`tool@1.2.3`) has; or an address in brackets.
_DOMAIN = re.compile(r"\[|[^\s@]+\.[^\W\d_]")

_NOT_IN_A_WORD = r"(?<![\w.+/-])"
_NOT_GOING_ON = r"(?![\w/-]|\.\d)"
_PHONES = (
    # International: +49 170 1234567, tel:+14155550123. No country's code begins with 0, as an offset of UTC does.
    (re.compile(_NOT_IN_A_WORD + r"\+[1-9](?:[ ./()-]{0,3}\d){6,14}(?!\d)"), 7),
    # An area code in brackets: (415) 555-0123, (030)123456.
    (re.compile(_NOT_IN_A_WORD + r"\(\d{2,5}\)[ ./-]?\d{2,9}(?:[ ./-]\d{2,9}){0,4}" + _NOT_GOING_ON), 9),
    # As in North America: 415-555-0123, 1 415 555 0123, 415.555.0123.
    (re.compile(_NOT_IN_A_WORD + r"(?:1[ .-])?\d{3}([ .-])\d{3}\1\d{4}" + _NOT_GOING_ON), 10),
    (re.compile(r"\b(?:tel|sms|whatsapp):[+\d]\d{4}"), 5),
    # The rest only where it is all there is. With the 0 of a trunk: 0170/1234567, 020 7946 0958, 01.23.45.67.89.
    (re.compile(r"\A0[1-9]\d{0,4}[ /-]\d{3,8}(?:[ /-]\d{2,5}){0,4}\Z"), 9),
    (re.compile(r"\A0[1-9](?:[ .-]\d\d){4}\Z"), 10),
    (re.compile(r"\A00[1-9]\d{0,2}[ /-]\d{2,8}(?:[ /-]\d{2,8}){0,4}\Z"), 11),
    # Digits with nothing but spaces between groups: 98765 43210.
    (re.compile(r"\A\d{1,6}(?: \d{2,6}){1,6}\Z"), 9),
)
"""How a phone number is written, and how many digits it has at least."""
_MOST_DIGITS = 15

_SECRETS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    # OpenAI, Anthropic, OpenRouter, Stripe and those that followed them. A name may begin with `sk-`, too.
    r"[spr]k[-_](?:(?:proj|ant|or|svcacct|admin|live|test|lf)[-_][A-Za-z0-9_-]{8}|[A-Za-z0-9]{16})"
    r"|eyJ[A-Za-z0-9_-]{16}"  # a JSON web token
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{20}|ya29\.[A-Za-z0-9_-]{8}"  # AWS, Google
    r"|gh[opsur]_[A-Za-z0-9]{16}|github_pat_[A-Za-z0-9_]{16}|glpat-[A-Za-z0-9_-]{16}|xox[abeoprs]-[A-Za-z0-9-]{8}"
    r"|(?:gsk|hf|r8|npm|tgp_v1|pcsk)_[A-Za-z0-9_]{16}|(?:xai|pplx|nvapi|fw|dapi|lin_api)[-_][A-Za-z0-9]{16}"
    r"|(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{12}"
    r")|-----BEGIN [A-Z ]*PRIVATE KEY"
)


def looks_personal(text: str) -> bool:
    """Whether `text` reads like an e-mail address, a phone number or a key, or has one in it. Takes constant time."""
    if len(text) < 16 and text.isalnum():  # shorter than any key, and with none of the signs of the rest
        return False
    return _is_personal(text) if len(text) <= _REMEMBERED else _is_personal.__wrapped__(text[:_LOOKED_AT])


@lru_cache(maxsize=1024)
def _is_personal(text: str) -> bool:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_OTHER_SIGNS)
        # Marks that nobody sees: what is copied from a list of contacts is wrapped in them.
        text = "".join([_plain(sign) for sign in text if unicodedata.category(sign) != "Cf"])
    return _has_email(text) or _has_phone(text.strip()) or _SECRETS.search(text) is not None


def _plain(sign: str) -> str:
    return str(unicodedata.decimal(sign)) if sign.isdecimal() else sign


def _has_email(text: str) -> bool:
    if "%40" in text:  # as an address has it
        text = text.replace("%40", "@")
    parts = text.split("@") if "@" in text else ()
    return any(before and not before[-1].isspace() and _DOMAIN.match(after) for before, after in pairwise(parts))


def _has_phone(text: str) -> bool:
    for pattern, least in _PHONES:
        found = pattern.search(text)
        if found is not None and least <= sum(sign.isdigit() for sign in found.group()) <= _MOST_DIGITS:
            return True
    return False
