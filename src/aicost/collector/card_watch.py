"""The rate card of a collector: loaded at the start, and again whenever it changes.

A card is read and checked in a thread and put in force at once; one that is wrong changes nothing but a counter. What
is asked is a file's or folder's modification times, sizes and inodes, which see a ConfigMap's swapped links too, or a
server's ETag.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from aicost import _owner_only
from aicost._errors import RateCardError
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel

from .config import Card

_log = logging.getLogger("aicost.collector")
_MOST = 64 * 2**20
_TIMEOUT_S = 30.0

FileState = tuple[object, ...]


class CardWatch:
    """Keeps a kernel's card up to date."""

    def __init__(self, config: Card) -> None:
        """Load the card. Raises `RateCardError` for one that cannot be used."""
        self._config = config
        self.reloads = 0
        self.failures = 0
        self._state: FileState | None = None
        card = self._changed()
        self.kernel = Kernel(card if card is not None else RateCard.bundled())
        self.loaded_at = time.time()
        self._said = ""

    @property
    def version(self) -> str:
        """`id@version` of the card in force."""
        return self.kernel.card.key

    @property
    def age(self) -> float:
        """Seconds since it was put in force."""
        return max(0.0, time.time() - self.loaded_at)

    async def watch(self) -> None:
        """Look for a new card for ever; ends at once where the card cannot change."""
        while self._config.path is not None or self._config.url is not None:
            await asyncio.sleep(self._config.reload_interval)
            await self.look()

    async def look(self) -> None:
        """Look for a new card once."""
        try:
            card = await asyncio.get_running_loop().run_in_executor(None, self._changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the last good card stays and the watch goes on
            self.failures += 1
            if str(error) != self._said:
                self._said = str(error)
                _log.error("the rate card was not reloaded, and %s stays in force: %s", self.version, error)
            return
        if card is not None:
            self.kernel.use(card)
            self.reloads += 1
            self.loaded_at = time.time()
            self._said = ""
            _log.info("rate card %s is in force", self.version)

    def _changed(self) -> RateCard | None:
        """The card if it is another than before. A state is remembered only once its card could be read."""
        if self._config.path is not None:
            state = _state_of(self._config.path)
            if state == self._state:
                return None
            card = RateCard.load(self._config.path)
            if _state_of(self._config.path) == state:  # else it was being written, and is looked at again
                self._state = state
            return card
        return self._fetched(self._config.url) if self._config.url is not None else None

    def _fetched(self, url: str) -> RateCard | None:
        headers = {"if-none-match": str(self._state[0])} if self._state is not None and self._state[0] else {}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the configuration allows https only
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                body = response.read(_MOST + 1)
                etag = response.headers.get("etag")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None
            raise RateCardError(f"{url} answered {error.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RateCardError(f"{url} cannot be fetched: {error!r}") from None
        if len(body) > _MOST:
            raise RateCardError(f"{url} is larger than {_MOST} bytes")
        if self._state == (etag, body):
            return None
        with tempfile.TemporaryDirectory(prefix="aicost-card-") as folder:
            file = Path(folder) / "card.json"
            _owner_only.write_bytes(file, body)
            try:
                card = RateCard.load(file)
            except RateCardError as error:
                raise RateCardError(str(error).replace(str(file), url)) from None
        self._state = (etag, body)
        return card


def _state_of(path: Path) -> FileState:
    try:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        return tuple((str(file), (found := os.stat(file)).st_mtime_ns, found.st_size, found.st_ino) for file in files)  # noqa: PTH116
    except OSError as error:
        raise RateCardError(f"rate card {path} cannot be read: {error.strerror}") from None
