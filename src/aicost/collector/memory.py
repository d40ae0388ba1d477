"""What a collector has seen, kept on disk, so that one that is started again decides as it would have.

Two files, each a line of JSON for a view: where the newer one is full, it becomes the older one. What is read back is
decided again, in the same order, which leads to the same memory. A line that was cut by a crash is left out.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from aicost import _owner_only

from .view import SpanView

_log = logging.getLogger("aicost.collector")

KEPT_S = 72 * 3600
"""For how long a view is remembered across restarts."""
_MOST_BYTES = 16 * 2**20
"""Of each of the two files."""


class Memory:
    """The views that were seen, in files beside the ledger or in the spool. Never raises: it logs once, and forgets."""

    def __init__(self, path: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self.path = path
        self._older = path.with_name(path.name + ".1")
        self._most_bytes = most_bytes
        self._size = 0
        self._failed = False
        self._file: int | None = None

    def remembered(self, most: int) -> Iterator[SpanView]:
        """The latest views of the last 72 hours that are there, the oldest first."""
        since = time.time() - KEPT_S
        lines: deque[bytes] = deque(maxlen=most)
        for path in filter(Path.exists, (self._older, self.path)):
            try:
                with path.open("rb") as file:
                    lines.extend(file)
            except OSError as error:  # noqa: PERF203 - two files
                self._fail(error)
        yield from filter(None, (_read(line, since) for line in lines))

    def keep(self, views: list[SpanView]) -> None:
        """Remember these, too."""
        if not views:
            return
        now = int(time.time())
        data = "".join([json.dumps([now, *view.remembered()], separators=(",", ":")) + "\n" for view in views]).encode()
        try:
            if self._file is None:
                _owner_only.make_folder(self.path.parent)
                self._file = _owner_only.open_file(self.path, os.O_WRONLY | os.O_APPEND)
                self._size = os.fstat(self._file).st_size
                if self._size and not _ends_whole(self.path):
                    data = b"\n" + data
            self._size += len(data)
            while data:  # a disk that is nearly full may take a part
                data = data[os.write(self._file, data) :]
            if self._size > self._most_bytes:
                self.close()
                self.path.replace(self._older)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            _log.warning("%s cannot be used (%s): what was seen is forgotten at a restart", self.path, error)


def _read(line: bytes, since: float) -> SpanView | None:
    try:
        told_at, *fields = json.loads(line)
        return SpanView.of_memory(fields) if told_at >= since else None
    except Exception:  # noqa: BLE001 - whatever a damaged line holds
        return None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
