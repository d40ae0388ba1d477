"""A run for each request, its tenant from a header, and a dependency that adds to it.

    uvicorn fastapi_app:app

Needs OPENAI_API_KEY, or OPENAI_BASE_URL pointed at an emulator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import openai
from fastapi import Depends, FastAPI
from starlette.responses import StreamingResponse

import aicost
from aicost.contrib.asgi import ASGIMiddleware

aicost.init(service_name="fastapi-app", ledger="costs.sqlite")
app = FastAPI()
app.add_middleware(ASGIMiddleware, headers={"x-tenant": "tenant_id"})


def smart_search() -> Iterator[None]:
    """Everything that an endpoint with this dependency does is of one feature."""
    with aicost.attribution(feature_id="smart_search"):
        yield


@app.get("/answers/{question}", dependencies=[Depends(smart_search)])
async def answer(question: str) -> StreamingResponse:
    """The answer as it comes; the run ends with its last word."""

    async def words() -> AsyncIterator[str]:
        stream = await openai.AsyncOpenAI().chat.completions.create(
            model="gpt-4.1-mini",
            messages=[{"role": "user", "content": question}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

    return StreamingResponse(words(), media_type="text/plain")
