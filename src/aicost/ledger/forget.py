"""Forgetting a person: out of subjects, runs, outcomes and journal; the money stays, and every sum with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aicost.scopes.ids import opaque
from aicost.semconv.dimensions import LABEL

from .columns import SUBJECT, SUBJECT_KEYS
from .connection import as_ledger_error, connect
from .ingest import READ_TIMEOUT_S, take_in_all
from .where import journal_of

_KEY = "user_id"


class Forgotten(NamedTuple):
    """What was changed."""

    subjects: int
    """Combinations of a person with sessions, conversations and labels, which many entries may refer to."""
    others: int
    """Runs, outcomes, and further views of events that named the person."""
    files: int
    """Damaged segments of the journal, which might have: they are gone."""


def forget_user(path: Path, user_id: str) -> Forgotten:
    """Remove a person from a ledger, whatever it says of them beside money; and what waits in its journal first.

    An id that looks like personal data is looked for as its hash, which is all that was kept of it. Done twice it
    changes nothing. Raises `LedgerError` where the journal cannot be taken in: then it would come back from there.
    """
    take_in_all(path)
    ids = {user_id, opaque(_KEY, user_id)}
    with as_ledger_error(f"cannot write ledger {path}", "make it writable, or look at it with `aicost ledger check`"):
        with closing(connect(path, synchronous="FULL", timeout_s=READ_TIMEOUT_S)) as db:
            db.execute("PRAGMA secure_delete = ON")  # or the text stays in free pages
            db.execute("BEGIN IMMEDIATE")
            subjects = _subjects(db, ids)
            named = [_attributions(db, *table, ids) for table in (("runs", "run_id"), ("outcomes", "id"))]
            others = sum(named) + _views(db, ids)
            db.execute("COMMIT")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damaged = list(journal_of(path).glob("*.damaged"))
        for file in damaged:
            file.unlink()
    return Forgotten(subjects, others, len(damaged))


def _subjects(db: sqlite3.Connection, ids: set[str]) -> int:
    """Whoever it was, all that was told of them goes: a session, or a label, may name them as well."""
    nothing = ", ".join(f"{name} = NULL" for name in SUBJECT)
    return sum(db.execute(f"UPDATE subjects SET {nothing} WHERE {_KEY} = ?", (one,)).rowcount for one in ids)


def _without(attribution: Mapping[str, str]) -> dict[str, str]:
    """An attribution without whatever may name a person."""
    return {key: one for key, one in attribution.items() if key not in SUBJECT_KEYS and not key.startswith(LABEL)}


def _attributions(db: sqlite3.Connection, table: str, key: str, ids: set[str]) -> int:
    changed = []
    for identity, text in db.execute(f"SELECT {key}, attribution FROM {table} WHERE attribution LIKE '%{_KEY}%'"):
        attribution = json.loads(text)
        if attribution.get(_KEY) in ids:
            changed.append((json.dumps(_without(attribution)), identity))
    db.executemany(f"UPDATE {table} SET attribution = ? WHERE {key} = ?", changed)
    return len(changed)


def _views(db: sqlite3.Connection, ids: set[str]) -> int:
    """Further views of an event decide what counts of it; whom they are about they need not say."""
    changed = []
    for event, digest, text in db.execute("SELECT event, digest, record FROM views").fetchall():
        record = json.loads(text)
        told = [_without(one) if isinstance(one, dict) and one.get(_KEY) in ids else one for one in record]
        if told != record:
            changed.append((json.dumps(told), event, digest))
    db.executemany("UPDATE views SET record = ? WHERE event = ? AND digest = ?", changed)
    # Records that could not be read are bytes: the person may be in them.
    unread = db.execute("SELECT writer, number, record FROM unread").fetchall()
    gone = [(writer, number) for writer, number, data in unread if any(one.encode() in bytes(data) for one in ids)]
    db.executemany("DELETE FROM unread WHERE writer = ? AND number = ?", gone)
    return len(changed) + len(gone)
