"""A gate that refuses, fails or admits as a test says."""

from __future__ import annotations

import asyncio

from aicost.integrations._call_request import CallRequest


class Hold:
    """What is held for one call, and what became of it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def sent(self) -> None:
        self.told.append("sent")

    def void(self) -> None:
        self.told.append("void")


class Policy:
    """Refuses, fails or admits; keeps what it was asked and what it held."""

    def __init__(self, answer: BaseException | None = None) -> None:
        self.answer = answer
        self.asked: list[CallRequest] = []
        self.holds: list[Hold] = []
        self.waits: asyncio.Event | None = None

    def admit(self, call_request: CallRequest) -> Hold:
        self.asked.append(call_request)
        if self.answer is not None:
            raise self.answer
        self.holds.append(Hold())
        return self.holds[-1]

    async def admit_async(self, call_request: CallRequest) -> Hold:
        held = self.admit(call_request)
        if self.waits is not None:
            try:
                await self.waits.wait()
            except asyncio.CancelledError:
                held.void()
                raise
        return held

    @property
    def told(self) -> list[list[str]]:
        return [hold.told for hold in self.holds]
