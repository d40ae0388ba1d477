"""The `groq` client. Read in groq 0.9 and 1.7."""

from __future__ import annotations

from aicost.integrations._hosts import provider_at
from aicost.integrations._instrumentor import PackageInstrumentor
from aicost.integrations._stainless import StainlessClient

from .openai import JOBS, POSTS


class GroqInstrumentor(PackageInstrumentor):
    """Instruments every `Groq` and `AsyncGroq` client, those that exist already included."""

    name = "groq"
    requires = "groq >= 0.9, < 2"
    methods = StainlessClient(
        module="groq",
        posts={f"/openai/v1{path}": endpoint for path, endpoint in POSTS.items()},
        provider_of=lambda client: provider_at(client.base_url.host, client.base_url.port, default="groq"),
        jobs=JOBS,
    ).methods()
