"""How a process ships its journal to a server: in a thread, which alone talks to it.

No call, and no fork, waits for the server. One that is away, slow or full costs nothing but disk.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from aicost._later import Worker

SHIPPED_SOON_S = 0.2
"""How long a record waits in the journal, with all that comes meanwhile."""

TURN_S = 2.0
"""How long the thread waits for other writers at a time."""

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
"""How long it leaves a server that could not be written: twice as long each time, less a random part, up to a bound."""


class Shipper:
    """Ships in a thread of its own what waits. A forked child begins another one.

    `ingest` waits so long for others and returns whether all is shipped: False where another is at it, None where the
    server cannot be written. `let_go` leaves the server.
    """

    def __init__(self, ingest: Callable[[float], bool | None], let_go: Callable[[], None]) -> None:
        self._ingest, self._let_go = ingest, let_go
        self._worker = Worker("aicost-ledger")
        self._is_due = False
        self._is_closed = False
        self._failures = 0
        self._asked: deque[SimpleQueue[bool]] = deque()
        """Who waits for all to be shipped."""
        self._wake: SimpleQueue[None] = SimpleQueue()

    def soon(self) -> None:
        """Have what waits shipped. Takes no lock, and waits for nothing."""
        if not self._is_due:
            self._is_due = True
            self._worker.take(self._ship)

    def within(self, wait_s: float) -> bool:
        """Have what waits shipped now; whether it was, within that time. A server that is away is not waited for."""
        answer: SimpleQueue[bool] = SimpleQueue()
        self._asked.append(answer)
        self.soon()
        self._wake.put(None)
        try:
            return answer.get(timeout=wait_s)
        except Empty:
            return False

    def close(self, wait_s: float) -> bool:
        """As `within`, for the last time; the thread leaves the server, when that answers."""
        self._is_closed = True
        return self.within(wait_s)

    def _ship(self) -> None:
        self._pause(SHIPPED_SOON_S)
        while True:
            self._is_due = False  # what comes from here on is for another turn
            asked = [self._asked.popleft() for _ in range(len(self._asked))]
            is_done = self._ingest(TURN_S)
            if is_done is False:  # another process is at it, which may have begun before
                self._asked.extend(asked)
            else:
                for one in asked:
                    one.put(is_done is True)
            if is_done:
                self._failures = 0
            if is_done or self._is_closed:
                break
            self._is_due = True
            if is_done is None:
                self._failures += 1
            self._pause(self._retry_after() if is_done is None else SHIPPED_SOON_S)
        if self._is_closed and not self._asked:
            self._let_go()

    def _retry_after(self) -> float:
        longest = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 16))
        return random.uniform(longest / 2, longest)  # noqa: S311 - so that not all machines come at once

    def _pause(self, seconds: float) -> None:
        """Wait so long, unless somebody waits for what is shipped."""
        try:
            while not (self._asked or self._is_closed):
                self._wake.get(timeout=seconds)
        except Empty:
            return
