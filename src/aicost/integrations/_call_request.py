"""What a call asks for, as its integration reads it from the arguments of the client's method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aicost.telemetry.call import Target
from aicost.usage.reading import Raw

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class CallRequest(NamedTuple):
    """What a call asks for."""

    target: Target
    request: Raw | None = None
    """What the request says of the cost that the response does not, merged under the response's body."""
    body: Raw | None = None
    """The request itself, for those who record content or count tokens where nobody else does."""
    stream_usage: Callable[[tuple[Any, ...], dict[str, Any]], Arguments | None] | None = None
    """Changes the call's arguments, in copies, to ask for usage that the application did not ask for."""
    typed: Callable[[Any], Raw | None] | None = None
    """What the client's own object says, so that the response's bytes need not be parsed a second time."""
    results: Callable[[Raw], Iterable[Raw]] | None = None
    """For a job that is asked after: the results in the response. Without any, nothing is recorded."""
    each_line: bool = False
    """The response is a file with one result of its own in each line."""
    upstream_id: str | None = None
    """The attempt of another process that this call is the work of, if no id of one came along (`Origin`)."""
    job: str | None = None
    """The batch or file that results are of, where each has an id of its own in it."""
    count_headers: tuple[str, ...] = ()
    """Headers of the response that count what it used, whatever its body says; they are read beside it."""
    recorded: bool = True
    """False for what costs money and is recorded elsewhere, when it is done, or not at all: only a gate sees it."""

    @property
    def is_free(self) -> bool:
        """Whether it only fetches what was paid for when it was asked for."""
        return self.results is not None or self.each_line
