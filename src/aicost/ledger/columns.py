"""What a ledger keeps of an entry, and what of it is interned.

Facts of low cardinality are a *context*, kept once and referred to by a number that is a digest of them: the same in
every store. Who a person or a conversation is, and labels, are a *subject*, kept apart so that they can be forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aicost._bounded import short
from aicost.semconv.dimensions import DIMENSIONS

SUBJECT_KEYS = tuple(one.key for one in DIMENSIONS if one.source == "subject")
"""Owners that name a person or a conversation."""

DIMENSION_KEYS = tuple(one.key for one in DIMENSIONS if one.source != "subject")
"""Owners, and what a resource says."""

FACTS = (
    "currency",
    "kind",
    "source",
    "provider",
    "host",
    "provider_organization",
    "provider_project",
    "credential",
    "gateway",
    "model",
    "request_model",
    "operation",
    "api",
    "service_tier",
    "region",
    "speed",
    "workflow",
    "step",
    "agent",
    "status",
    "chargeable",
    "error_type",
    "complete",
    "estimated",
    "flags",
    "charge_status",
    "reason",
    "confidence",
    "rate_card",
)
"""What an entry says of itself that many others say, too."""

CONTEXT = (*FACTS, "evidence", *DIMENSION_KEYS)
"""The columns of a context."""

SUBJECT = (*SUBJECT_KEYS, "labels")
"""The columns of a subject. `labels` is a JSON object, or NULL."""

MAX_COLUMN = 2**31 - 1
QUANTITIES = 8
"""Quantities that have columns of their own, if whole and below `MAX_COLUMN`: so no sum of them can overflow."""

AMOUNTS = ("list", "contracted", "amount", "invoiced", "at_most")
"""Amounts of an entry, each in three columns: whole units, 1e-9 and 1e-18 of the currency."""

NANO = 10**9

LONGEST_TEXT = 2_048
"""Bytes of a text that are kept; of a longer one its beginning, and a digest of it. PostgreSQL's indexes hold 2,704."""
MOST = 2**63 - 1
"""What a column of whole numbers can hold. A time beyond it, which nobody can mean, is the last there is."""


def fitting(value: Any) -> Any:
    """What a store can hold of a value, and of those inside it."""
    if isinstance(value, str):
        return short(value, LONGEST_TEXT if value.isascii() else LONGEST_TEXT // 4)  # a sign has 4 bytes at most
    if type(value) is int:
        return min(max(value, -MOST), MOST)
    if isinstance(value, Mapping):
        return {fitting(key): fitting(one) for key, one in value.items()}
    return [fitting(one) for one in value] if isinstance(value, (list, tuple)) else value


def limbs(atto: int | None) -> tuple[int | None, int | None, int | None]:
    """An amount in 1e-18 as (units, nano, atto), all of its sign, so that adding columns adds amounts."""
    if atto is None:
        return (None, None, None)
    nanos, rest = divmod(abs(atto), NANO)
    units, nano = divmod(nanos, NANO)
    return (units, nano, rest) if atto >= 0 else (-units, -nano, -rest)


def whole(units: int | None, nano: int | None, rest: int | None) -> int | None:
    """The amount that three columns, or their sums, are. None where there was nothing to add."""
    return None if units is None else (units * NANO + (nano or 0)) * NANO + (rest or 0)


def digest_of(columns: Sequence[str], values: Iterable[Any]) -> int:
    """The number that a context or subject is referred to by: a digest of what it says.

    Of 63 bits, as a 64-bit column can hold it. A column that says nothing does not count, so that one may be added.
    """
    said = [pair for pair in zip(columns, values, strict=True) if pair[1] is not None]
    text = json.dumps(said, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def pack(identifier: str | None) -> bytes | str | None:
    """An id as it is stored: half as long where it is lower-case hex, else its text.

    >>> pack("5b8efff798038103"), pack("run-7")
    (b'[\\x8e\\xff\\xf7\\x98\\x03\\x81\\x03', 'run-7')
    """
    if identifier is None:
        return None
    if len(identifier) in (32, 16) and not identifier.strip("0123456789abcdef"):
        return bytes.fromhex(identifier)
    return identifier


def unpack(stored: bytes | str | None) -> str | None:
    """The id that `pack` has stored."""
    return stored.hex() if isinstance(stored, bytes) else stored


def entry_id(event_id: str) -> bytes:
    """The 16 bytes that an entry is known by: those of a minted id, else a digest of the text."""
    if len(event_id) == 32 and not event_id.strip("0123456789abcdef"):
        return bytes.fromhex(event_id)
    return hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def derived(kind: str, corrected: bytes, content: bytes = b"") -> bytes:
    """The id of a reversal or replacement: of the same time as what it corrects, and the same wherever it is made."""
    digest = hashlib.blake2b(kind.encode() + corrected + content, digest_size=10).digest()
    return corrected[:6] + digest
