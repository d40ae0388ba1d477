"""The journal: bytes kept in segment files, each process its own, until a consumer has made something of them.

What is in them is the business of who appends and who reads: the ledger's entries, the collector's requests. The
format is described in `segments`.
"""

from __future__ import annotations

from .consumer import Damaged, identified, identity_of, ingesting, read, release, waiting
from .segments import MOST_BYTES, Place, Record
from .writer import Journal, JournalFullError

__all__ = [
    "Journal",
    "JournalFullError",
    "identified",
    "identity_of",
    "ingesting",
    "read",
    "waiting",
    "release",
    "Damaged",
    "Place",
    "Record",
    "MOST_BYTES",
]
