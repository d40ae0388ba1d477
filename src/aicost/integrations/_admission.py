"""Whether a call may be made: the one place where the user's own policy may say no.

`asking -> admit -> in progress`: once it is known what a call asks for, and before anything of it leaves, the gate is
asked, outside of the guard, so that its refusal reaches the application. Nothing else does: a gate that fails is
counted, and the call goes on. A call inside one that was admitted is part of it. Suppressing telemetry does not switch
a policy off. Without a gate, nothing here runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aicost._errors import CallRefused
from aicost.telemetry import guard
from aicost.usage.event import Chargeable

from ._call_request import CallRequest
from ._failures import chargeable_unseen


class Held(Protocol):
    """What a gate holds for a call it admitted. Told one of the two, once."""

    def sent(self) -> None:
        """The call has left, or may have: what it costs, if anything, is for its charge to say."""

    def void(self) -> None:
        """Nothing of the call has left: what was held is given back."""


class Gate(Protocol):
    """Admits calls, or raises `CallRefused`."""

    def admit(self, call_request: CallRequest) -> Held | None:
        """Admit a call that is made in this thread."""

    async def admit_async(self, call_request: CallRequest) -> Held | None:
        """Admit a call of an event loop. Cancelled while it waits, it gives back by itself what it holds by then."""


_gate: Gate | None = None


def use_gate(gate: Gate | None) -> None:
    """Ask this gate before every call of the process from now on; None asks nobody."""
    global _gate
    _gate = gate


def gate_in_force() -> Gate | None:
    """The gate that is asked, if there is any."""
    return _gate


class Permit:
    """A call that was admitted, until it is known whether it leaves."""

    __slots__ = ("_held",)

    def __init__(self, held: Held | None = None) -> None:
        self._held = held

    def sent(self) -> None:
        """A request of it is about to leave."""
        held, self._held = self._held, None
        if held is not None:
            _told(held.sent)

    def over(self, error: BaseException | None = None) -> None:
        """Its method returned or raised. What no request was seen of has left all the same, unless the error tells."""
        if self._held is None:
            return
        # A cancellation says nothing of how far it came; a request would have been seen leaving.
        unsent = error is not None and (
            not isinstance(error, Exception) or chargeable_unseen(error)[1] is Chargeable.NO
        )
        if not unsent:
            self.sent()
            return
        held, self._held = self._held, None
        _told(held.void)


def admit(call_request: CallRequest) -> Permit | None:
    """Ask the gate. Raises `CallRefused`, and nothing else of the gate's."""
    if _gate is None or call_request.is_free:
        return None
    try:
        held = _gate.admit(call_request)
    except CallRefused:
        raise
    except Exception as error:  # noqa: BLE001 - only a refusal may stop the application's call
        guard.failed(_ASKING, error)
        return Permit()
    return Permit(held)


async def admit_async(call_request: CallRequest) -> Permit | None:
    """Ask the gate from an event loop; see `admit`."""
    if _gate is None or call_request.is_free:
        return None
    try:
        held = await _gate.admit_async(call_request)
    except CallRefused:
        raise
    except Exception as error:  # noqa: BLE001 - only a refusal may stop the application's call
        guard.failed(_ASKING, error)
        return Permit()
    return Permit(held)


_ASKING = "ask whether a call may be made"


def _told(tell: Callable[[], None]) -> None:
    try:
        tell()
    except Exception as error:  # noqa: BLE001 - the application's call comes first
        guard.failed("tell the gate of a call", error)
