"""Bodies of the HTTP libraries, watched: each is what it was, and an `BodyObserver` sees what is read from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from ._response_body import BodyObserver


def decoder_of(response: Any) -> Callable[[bytes], bytes] | None:
    """A decoder for the content coding of an httpx response, or None when its bytes are plain."""
    coding = response.headers.get("content-encoding")
    if coding is None or coding == "identity":
        return None
    # A second response object gives a decoder of the same library without touching the state of the first one's.
    decoder = type(response)(200, headers={"content-encoding": coding})._get_content_decoder()

    def decode(data: bytes) -> bytes:
        decoded: bytes | Iterable[bytes] = decoder.decode(data)  # httpx gives bytes, httpx2 an iterator of them
        return decoded if isinstance(decoded, bytes) else b"".join(decoded)

    return decode


def observed_stream(stream: Any, observer: BodyObserver) -> Any:
    """The byte stream of an httpx response, watched."""
    return _tee_class(_stream_base(type(stream)))(stream, observer)


def _stream_base(kind: type) -> type:
    """The byte-stream interface, sync or async, that the HTTP library will check for."""
    for base in kind.__mro__:
        if base.__name__ in {"SyncByteStream", "AsyncByteStream"}:
            return base
    raise TypeError(f"{kind.__qualname__} is no byte stream of httpx")


@lru_cache(maxsize=8)
def _tee_class(base: type) -> Any:
    kind = _ObservedAsyncStream if base.__name__ == "AsyncByteStream" else _ObservedSyncStream
    return type(kind.__name__, (kind, base), {})


class _ObservedStream:
    def __init__(self, inner: Any, observer: BodyObserver) -> None:
        self._inner = inner
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        # httpx2's Response.elapsed reads from the stream it was given.
        if name in {"_inner", "_observer"}:
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __del__(self) -> None:
        observer = self.__dict__.get("_observer")
        if observer is not None:
            observer.abandon()


class _ObservedSyncStream(_ObservedStream):
    def __iter__(self) -> Iterator[bytes]:
        observer = self._observer
        feed = observer.feed
        try:
            for chunk in self._inner:
                passed = feed(chunk)
                if passed:
                    yield passed
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)
        if rest := observer.rest():
            yield rest

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._observer.close()


class _ObservedAsyncStream(_ObservedStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        observer = self._observer
        feed = observer.feed
        try:
            async for chunk in self._inner:
                passed = feed(chunk)
                if passed:
                    yield passed
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)
        if rest := observer.rest():
            yield rest

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._observer.close()


class RawBody(_ObservedStream):
    """The raw body below a `requests` or `botocore` response (urllib3's response), watched."""

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """Read, as urllib3 does it."""
        observer = self._observer
        try:
            data: bytes = self._inner.read(amt, *args, **kwargs)
        except BaseException as error:
            observer.end(error)
            raise
        if data:
            observer.feed(data)
        if amt is None or (amt and not data):
            observer.end(None)
        return data

    def read1(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """Read what there is, as urllib3 does it."""
        data: bytes = self._inner.read1(amt, *args, **kwargs)
        if data:
            self._observer.feed(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as urllib3 does it."""
        count: int = self._inner.readinto(buffer)
        self._observer.feed(bytes(memoryview(buffer)[:count]))
        if not count:
            self._observer.end(None)
        return count

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        """Iterate over the body, as urllib3 does it."""
        observer = self._observer
        try:
            for chunk in self._inner.stream(*args, **kwargs):
                observer.feed(chunk)
                yield chunk
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)

    def __iter__(self) -> Iterator[bytes]:
        return self.stream()

    def close(self) -> None:
        """Close, as urllib3 does it."""
        try:
            self._inner.close()
        finally:
            self._observer.close()


class AioContent(_ObservedStream):
    """The content of an aiohttp response (its StreamReader), watched."""

    def _saw(self, data: bytes) -> bytes:
        if data:
            self._observer.feed(data)
        if self._inner.at_eof():
            self._observer.end(None)
        return data

    async def _watched(self, reading: Any) -> Any:
        try:
            return await reading
        except BaseException as error:
            self._observer.end(error)
            raise

    async def read(self, n: int = -1) -> bytes:
        """Read, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.read(n)))

    async def readany(self) -> bytes:
        """Read what there is, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readany()))

    async def readexactly(self, n: int) -> bytes:
        """Read so many bytes, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readexactly(n)))

    async def readline(self, **kwargs: Any) -> bytes:
        """Read a line, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readline(**kwargs)))

    async def readuntil(self, separator: bytes = b"\n", **kwargs: Any) -> bytes:
        """Read up to a separator, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readuntil(separator, **kwargs)))

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read a chunk as it was received, as aiohttp does it."""
        data, end_of_chunk = await self._watched(self._inner.readchunk())
        return self._saw(data), end_of_chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Iterate over what there is, as aiohttp does it."""
        while data := await self.readany():
            yield data

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Iterate in pieces of at most `n` bytes, as aiohttp does it."""
        while data := await self.read(n):
            yield data

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Iterate over the chunks as received, as aiohttp does it."""
        while True:
            data, end_of_chunk = await self.readchunk()
            if not data and not end_of_chunk:
                return
            yield data, end_of_chunk

    def set_exception(self, *args: Any, **kwargs: Any) -> None:
        """The connection was lost or closed, as aiohttp says it."""
        self._inner.set_exception(*args, **kwargs)
        self._observer.close()
