"""This product: a workflow with steps, a tenant and a run, over the openai and the anthropic client."""

from contextlib import suppress
from typing import Any

import anthropic
import openai

import aicost

aicost.init(service_name="recorded", exporter="otlp")
gpt = openai.OpenAI(max_retries=0)
claude = anthropic.Anthropic(max_retries=0)


def ask(words: str, model: str = "gpt-4o") -> None:
    gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": words}])


def ask_claude(words: str, *, stream: bool = False) -> None:
    messages: Any = [{"role": "user", "content": words}]
    answer = claude.messages.create(model="claude-sonnet-4-5", max_tokens=1000, messages=messages, stream=stream)
    for _ in answer if stream else ():
        pass


@aicost.track_step("read")
def read() -> None:
    ask("cached question")
    gpt.embeddings.create(model="text-embedding-3-small", input="plain question")


@aicost.track_step("judge")
def judge() -> None:
    ask("hard question", "o3")
    ask_claude("written question")


@aicost.track_workflow("renewals")
def score() -> None:
    read()
    judge()
    ask_claude("streamed question", stream=True)


with aicost.attribution(tenant_id="t-42"):
    score()
with aicost.run_scope("digest", tenant_id="t-7", feature_id="search"):
    ask("plain question")
    gpt.responses.create(model="gpt-5", input="cached question")
    with suppress(openai.BadRequestError):
        ask("bad question")
ask("plain question")  # outside any run
stream = gpt.chat.completions.create(
    model="gpt-4o", messages=[{"role": "user", "content": "streamed question"}], stream=True
)
for _ in stream:
    pass
aicost.flush()
aicost.shutdown()
