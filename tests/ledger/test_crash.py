"""Killed at random points, the ledger never loses or doubles a call whose answer the application was given."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from aicost._money import to_decimal
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.testing import ProviderEmulator

LIVES = int(os.environ.get("AICOST_TEST_KILLS", "100"))


@pytest.mark.slow
@pytest.mark.timeout(60 + LIVES)
def test_no_returned_call_is_lost_or_doubled_by_a_kill(tmp_path: Path, emulator: ProviderEmulator) -> None:
    ledger, notes = tmp_path / "ledger.sqlite", tmp_path / "returned.txt"
    app = Path(__file__).with_name("crash_app.py")
    arguments = [emulator.openai_base_url, str(ledger), str(notes), str(LIVES), "7"]
    subprocess.run([sys.executable, str(app), *arguments], check=True, timeout=50 + LIVES)

    returned = notes.read_text().split()
    bill = {call.call_id: call.amount for call in emulator.bill.calls}
    with LedgerReader(ledger) as reader:
        rows = {row.response_id: row for row in reader.charges() if row.response_id is not None}
        kept = sum(row.atto for row in reader.answer(Query()))
    assert len(returned) > LIVES, "the application must have got somewhere between the kills"
    assert len(returned) == len(set(returned))
    assert [call for call in returned if call not in rows] == [], "lost"
    amounts = {call: to_decimal(row.atto or 0) for call, row in rows.items()}
    assert {call: amount for call, amount in amounts.items() if amount != bill[call]} == {}, "wrong amount"
    assert Decimal(kept).scaleb(-18) == sum(amounts.values()), "something is in the total that is no billed call"
