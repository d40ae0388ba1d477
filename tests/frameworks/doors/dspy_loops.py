"""The loops of dspy."""

from __future__ import annotations

import os

os.environ["DSPY_MODEL_METADATA_REFRESH"] = "0"

from importlib.util import find_spec
from typing import Any

import dspy

from aicost.testing import ProviderEmulator

WORKFLOW, ASKED = "Helper", "How much is tea?"
AGENT = None  # there are modules, no agents
REPORTS = "priced" if find_spec("dspy.clients.execution") else "nothing"  # litellm asked then
SAYS = "[[ ## answer ## ]]\nTea is dear.\n\n[[ ## completed ## ]]"


class Helper(dspy.Module):  # type: ignore[misc,unused-ignore]
    """Asks the model."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return self.ask(question=question)

    async def aforward(self, question: str) -> Any:
        return await self.ask.acall(question=question)


def model(emulator: ProviderEmulator) -> Any:
    return dspy.LM("openai/gpt-4o", api_base=emulator.openai_base_url, api_key="test-key", cache=False)


def answer(emulator: ProviderEmulator) -> Any:
    with dspy.context(lm=model(emulator)):
        return Helper()(question=ASKED)


async def answer_async(emulator: ProviderEmulator) -> Any:
    with dspy.context(lm=model(emulator)):
        return await Helper().acall(question=ASKED)
