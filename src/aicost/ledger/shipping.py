"""A ledger on a server as a process writes to it: its journal is on this machine, and a thread ships it.

No call, and no fork, waits for the server: only that thread talks to it. A server that is away, slow or full costs
nothing but disk, up to `journal_max_bytes`; what is beyond that is counted as lost.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Literal

from aicost._later import Worker
from aicost._ledger_url import LedgerUrl
from aicost._owner_rules import OwnerRule

from .engines import engine_of
from .ingest import Ingester
from .recording import SOON_S, Ledger, RateSource

WAIT_S = 2.0
"""How long the thread waits for other writers at a time."""

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
"""How long it leaves a server that could not be written: twice as long each time, less a random part, up to a bound."""


class ServerLedger(Ledger):
    """A ledger that is shipped to a server. Nobody need be there when it is opened, nor when it is closed."""

    _way_out = "Charges wait in the journal on this machine until it can be; nothing is lost as long as that has room."

    def __init__(
        self,
        where: LedgerUrl,
        rates: RateSource | None,
        durability: Literal["process", "power"],
        max_bytes: int,
        segment_bytes: int,
        owners: Sequence[OwnerRule],
    ) -> None:
        engine_of(where.secret)  # that nothing can be shipped at all is said at once
        super().__init__(where, rates, durability, max_bytes, segment_bytes, owners)
        self._url = where
        self._begin()
        # What a process before this one has left is shipped, too; and a wrong password is noticed now.
        self._is_due = True
        self._worker.take(self._take_in_soon)

    def _begin_anew_in_child(self) -> None:
        # Not closed: the connection is the parent's, whose thread may be half-way through something with it.
        _left_to_the_parent.append(self._ingester)
        self._ingester = Ingester(self.where)
        self._begin()

    def _begin(self) -> None:
        self._worker = Worker("aicost-ledger")
        self._is_due = False
        self._failures = 0
        self._asked: deque[SimpleQueue[bool]] = deque()
        """Who waits for all to be shipped."""
        self._wake: SimpleQueue[None] = SimpleQueue()

    def _take_in_soon(self) -> None:
        """Ship the journal, in the thread."""
        self._pause(SOON_S)
        while True:
            self._is_due = False  # what is recorded from here on is for another turn
            asked = [self._asked.popleft() for _ in range(len(self._asked))]
            is_done = self._ingest(WAIT_S)
            if is_done is False:  # another process is at it, who may have begun before
                self._asked.extend(asked)
            else:
                for one in asked:
                    one.put(is_done is True)
            if is_done:
                self._failures = 0
                break
            if self._closed:
                break
            self._is_due = True
            if is_done is None:
                self._failures += 1
            self._pause(self._retry_after() if is_done is None else SOON_S)
        if self._closed and not self._asked:
            self._ingester.close()

    def _retry_after(self) -> float:
        longest = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 16))
        return random.uniform(longest / 2, longest)  # noqa: S311 - so that not all machines come at once

    def _pause(self, seconds: float) -> None:
        """Wait so long, unless somebody waits for what is shipped."""
        if self._asked or self._closed:
            return
        try:
            while True:
                self._wake.get(timeout=seconds)
                if self._asked or self._closed:
                    return
        except Empty:
            return

    def _ingest_within(self, wait_s: float) -> bool:
        answer: SimpleQueue[bool] = SimpleQueue()
        self._asked.append(answer)
        if not self._is_due:
            self._is_due = True
            self._worker.take(self._take_in_soon)
        self._wake.put(None)
        try:
            return answer.get(timeout=wait_s)
        except Empty:
            return False

    def _let_go(self) -> None:
        """The thread does, when it has left the server."""

    def _told_of(self, error: Exception) -> str:
        return self._url.hidden_in(" ".join(str(error).split()))


_left_to_the_parent: list[Ingester] = []
