"""Forgetting a person: out of subjects, runs, outcomes and journal; the money stays, and every sum with it."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from aicost._ledger_url import LedgerUrl
from aicost.scopes.ids import opaque
from aicost.semconv.dimensions import LABEL

from .columns import SUBJECT, SUBJECT_KEYS
from .connection import as_ledger_error
from .ingest import READ_TIMEOUT_S, take_in_all
from .schema import FURTHER_VIEWS, OUTCOMES, PEOPLE, RUNS, UNREAD, LedgerTable
from .store import Row, Store
from .where import journal_of, open_store, where_is

_KEY = "user_id"


class Forgotten(NamedTuple):
    """What was changed."""

    subjects: int
    """Combinations of a person with sessions, conversations and labels, which many entries may refer to."""
    others: int
    """Runs, outcomes, and further views of events that named the person."""
    files: int
    """Damaged segments of the journal, which might have: they are gone."""


def forget_user(where: str | Path | LedgerUrl, user_id: str) -> Forgotten:
    """Remove a person from a ledger, whatever it says of them beside money; and what waits in its journal first.

    An id that looks like personal data is looked for as its hash, which is all that was kept of it. Done twice it
    changes nothing. Raises `LedgerError` where the journal cannot be taken in: then it would come back from there.
    """
    where = where_is(where)
    take_in_all(where)
    ids = sorted({user_id, opaque(_KEY, user_id)})
    with as_ledger_error(f"cannot write ledger {where}", "make it writable, or look at it with `aicost ledger check`"):
        with (
            closing(open_store(where, timeout_s=READ_TIMEOUT_S)) as store,
            store.erasing(time.monotonic() + READ_TIMEOUT_S),
        ):
            subjects = _subjects(store, ids)
            others = _attributions(store, RUNS, ids) + _attributions(store, OUTCOMES, ids) + _views(store, ids)
        damaged = list(journal_of(where).glob("*.damaged"))
        for file in damaged:
            file.unlink()
    return Forgotten(subjects, others, len(damaged))


def _subjects(store: Store, ids: Collection[str]) -> int:
    """Whoever it was, all that was told of them goes: a session, or a label, may name them as well."""
    nothing = (None,) * len(SUBJECT)
    gone = [row["id"] for one in ids for row in store.rows(f"SELECT id FROM subjects WHERE {_KEY} = ?", (one,))]
    store.replace(PEOPLE, [(number, *nothing) for number in gone])
    return len(gone)


def _without(attribution: Mapping[str, str]) -> dict[str, str]:
    """An attribution without whatever may name a person."""
    return {key: one for key, one in attribution.items() if key not in SUBJECT_KEYS and not key.startswith(LABEL)}


def _attributions(store: Store, table: LedgerTable, ids: Collection[str]) -> int:
    changed: list[Row] = []
    columns = table.names(store.dialect)
    for row in store.rows(f"SELECT * FROM {table.name} WHERE attribution LIKE ?", (f"%{_KEY}%",)):
        attribution = json.loads(row["attribution"])
        if attribution.get(_KEY) in ids:
            said: dict[str, Any] = {**dict(row), "attribution": json.dumps(_without(attribution))}
            changed.append(tuple([said[name] for name in columns]))
    store.replace(table, changed)
    return len(changed)


def _views(store: Store, ids: Collection[Any]) -> int:
    """Further views of an event decide what counts of it; whom they are about they need not say."""
    changed: list[Row] = []
    for row in store.stream("SELECT event, digest, record FROM views"):
        record = json.loads(row["record"])
        told = [_without(one) if isinstance(one, dict) and one.get(_KEY) in ids else one for one in record]
        if told != record:
            changed.append((row["event"], row["digest"], json.dumps(told)))
    store.replace(FURTHER_VIEWS, changed)
    # Records that could not be read are bytes: the person may be in them.
    unread = store.stream("SELECT writer, number, record FROM unread")
    gone = [
        (row["writer"], row["number"]) for row in unread if any(one.encode() in bytes(row["record"]) for one in ids)
    ]
    store.delete(UNREAD, gone)
    return len(changed) + len(gone)
