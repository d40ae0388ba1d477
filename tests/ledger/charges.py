"""Usage events and charges for tests of the ledger and of what reads it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from aicost.ledger import Ledger
from aicost.ledger.rebuild import rebuild
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import UsageEvent

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def event(event_id: str = "e-1", **known: Any) -> UsageEvent:
    """An event of run `run-000001` that used 10 input and 2 output tokens."""
    base: dict[str, Any] = {"provider": "p", "operation": "chat", "model": "m", "usage": {"input": 10, "output": 2}}
    return UsageEvent(event_id=event_id, **{**base, "started_ns": 1, "ended_ns": 2, "run_id": "run-000001", **known})


def priced(*amounts: int, meters: tuple[str, ...] = ("input", "output"), **known: Any) -> Charge:
    """A charge with one line per amount."""
    lines = tuple(
        ChargeLine(meter, 10, str(atto), 1, atto, f"p/m/{meter}@always")
        for meter, atto in zip(meters, amounts, strict=False)
    )
    base = {"status": ChargeStatus.PRICED, "currency": "USD", "atto": sum(amounts), "rate_card": "t@1"}
    return Charge.of_lines(lines=lines, **{**base, **known})


def unpriced(reason: str = "unknown_model:p/m") -> Charge:
    """A charge of which nothing is known but what was used."""
    line = ChargeLine("input", 10, None, 1, None, None)
    return Charge.of_lines(ChargeStatus.UNPRICED, "USD", None, (line,), reason, "t@1")


UNSEEN = Charge.of_lines(ChargeStatus.UNPRICED, "USD", None, (), "usage_not_received")
"""An attempt that may have been billed although its usage never came back."""

FREE = Charge.of_lines(ChargeStatus.PRICED, "USD", 0, ())
"""An attempt that was refused before any work."""


def ns(text: str) -> int:
    """A time in UTC as nanoseconds since the epoch."""
    return (datetime.fromisoformat(text).replace(tzinfo=timezone.utc) - EPOCH) // timedelta(microseconds=1) * 1000


def recorded(path: Path, *entries: tuple[UsageEvent, Charge]) -> Path:
    """A ledger of these charges, each told by itself."""
    ledger = Ledger.open(path)
    for entry in entries:
        assert ledger.record([entry])
    ledger.close()
    return path


def multiplied(path: Path, times: int, *, step_ns: int = 1_000_000_000) -> None:
    """Make of every entry of a ledger so many, each `step_ns` after the one before: quicker than telling them."""
    with closing(sqlite3.connect(path)) as db, db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(entries)") if row[1] != "number"]
        made = {"id": "randomblob(16)", "charge_start": f"charge_start + i * {step_ns}"}
        db.execute(
            f"WITH RECURSIVE more(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM more WHERE i < {times - 1}) "
            f"INSERT INTO entries ({', '.join(columns)}) "
            f"SELECT {', '.join(made.get(name, name) for name in columns)} FROM more, entries"
        )
    rebuild(path)
