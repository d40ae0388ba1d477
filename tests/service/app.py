"""A service as its users write it, for servers to run: each request asks a model once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

import openai

if os.environ.get("APP_CALLS_INIT") == "1":
    import aicost

    aicost.init()


def ask() -> None:
    client = openai.OpenAI(base_url=os.environ["APP_PROVIDER"], api_key="x")
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await asyncio.to_thread(ask)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    ask()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


for _ in range(int(os.environ.get("APP_ASKS_AT_IMPORT", "0"))):
    ask()
