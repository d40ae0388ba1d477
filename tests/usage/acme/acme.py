"""Acme, whom nobody has heard of: chat in its own words, here and in streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading
from aicost.usage.streams import StreamAccumulator

ACME = Fields("tokens_in tokens_out tokens_stored plan")


def read_acme(raw: Raw) -> Reading:
    """Usage of Acme's chat. What is stored is a part of what goes in."""
    counts = Counts(raw)
    stored = counts.take("tokens_stored")
    usage = {
        "input": counts.remainder(counts.require("tokens_in"), stored, name="input_tokens"),
        "input_cache_read": stored,
        "output": counts.require("tokens_out"),
    }
    return Reading(counts.usage(usage), counts.text("plan"), flags=counts.finish(ACME), complete=counts.complete)


class AcmeStream(StreamAccumulator):
    """Acme's chunks: the usage is in the one that says goodbye."""

    markers = (b'"goodbye"', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded chunk."""
        self._learn(event, "id", "model")
        told = event.get("goodbye")
        if isinstance(told, Mapping):
            self.body["usage"] = told
            self.complete = self.finished = True


PROVIDERS = (
    Provider(
        "acme_cloud",
        aliases=("acme", "acme_ai"),
        hosts=("api.acme.example",),
        default_tiers=("ordinary",),
        models=r"acme-",
        response_headers={"x-acme-trace": "request_id"},
        forms={
            "chat": UsageReader(
                read_acme, fields=ACME, stream=AcmeStream, told_by=frozenset({"tokens_in", "tokens_out"})
            ),
        },
    ),
)
