"""The `together` client. Read in together 2.0 and 3.1, which are of the same make as openai's."""

from __future__ import annotations

from aicost.integrations._hosts import provider_at
from aicost.integrations._instrumentor import PackageInstrumentor
from aicost.integrations._stainless import Endpoint, StainlessClient

from .openai import JOBS, POSTS

_POSTS = {**POSTS, "/rerank": Endpoint("rerank", "rerank")}


class TogetherInstrumentor(PackageInstrumentor):
    """Instruments every `Together` and `AsyncTogether` client, those that exist already included."""

    name = "together"
    requires = "together >= 2, < 4"
    methods = StainlessClient(
        module="together",
        posts={base + path: endpoint for base in ("", "/v1") for path, endpoint in _POSTS.items()},
        provider_of=lambda client: provider_at(client.base_url.host, client.base_url.port, default="together"),
        jobs=JOBS,
    ).methods()
