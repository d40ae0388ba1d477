"""A support agent: plans, lets sub-agents retrieve side by side, drafts, reviews, and drafts again if need be.

Nothing in here knows about aicost but the four decorators; the clients are the ordinary ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import anthropic
import openai

import aicost

PLANNER, WRITER, REVIEWER, EMBEDDER = "gpt-4.1-mini", "claude-sonnet-5", "gpt-4.1", "text-embedding-3-small"
SYSTEM = "You answer support questions for a software company. Be brief and exact. " * 12


class ReviewError(Exception):
    """The reviewer did not accept the draft."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The real clients, pointed at the emulator or at the providers."""

    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic


@dataclass(frozen=True, slots=True)
class Task:
    """One question of one tenant."""

    tenant_id: str
    feature_id: str
    question: str


@aicost.track_workflow("answer_question", version="1")
async def answer(clients: Clients, task: Task) -> str:
    """One run: the answer to a question."""
    topics = await plan(clients, task)
    facts = await asyncio.gather(*(research(clients, task, topic) for topic in topics))
    try:
        return await draft_and_review(clients, task, "\n".join(facts))
    except ReviewError:
        return await draft_and_review(clients, task, "\n".join(facts))


@aicost.track_step("plan")
async def plan(clients: Clients, task: Task) -> list[str]:
    """The topics to look up."""
    response = await clients.openai.chat.completions.create(
        model=PLANNER,
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"[plan] {task.question}"}],
        max_completion_tokens=120,
    )
    text = response.choices[0].message.content or ""
    return [line for line in text.splitlines() if line][:2] or ["the question"]


@aicost.track_agent("researcher")
async def research(clients: Clients, task: Task, topic: str) -> str:
    """A sub-agent: embeds the topic, looks it up, and sums up what it found."""
    await retrieve(clients, topic)
    response = await clients.openai.responses.create(
        model=PLANNER, instructions=SYSTEM, input=f"[research] {topic} for: {task.question}", max_output_tokens=160
    )
    return response.output_text


@aicost.track_tool("search_tickets")
async def retrieve(clients: Clients, topic: str) -> None:
    """A tool: finds similar tickets."""
    await clients.openai.embeddings.create(model=EMBEDDER, input=[f"[embed] {topic}"])


@aicost.track_step("draft_and_review")
async def draft_and_review(clients: Clients, task: Task, facts: str) -> str:
    """A draft that passed review. Raises `ReviewError`, and then what it cost is waste."""
    text = await draft(clients, task, facts)
    await review(clients, task, text)
    return text


@aicost.track_step("draft")
async def draft(clients: Clients, task: Task, facts: str) -> str:
    """The draft, streamed."""
    parts = []
    async with clients.anthropic.messages.stream(
        model=WRITER,
        max_tokens=400,
        system=SYSTEM,
        messages=[{"role": "user", "content": f"[draft] {task.question}\n{facts}"}],
    ) as stream:
        async for text in stream.text_stream:
            parts.append(text)
            if "STOP" in text:  # the user pressed the button
                break
    return "".join(parts)


@aicost.track_step("review")
async def review(clients: Clients, task: Task, text: str) -> None:
    """Let a second model judge the draft."""
    response = await clients.openai.chat.completions.create(
        model=REVIEWER,
        messages=[{"role": "user", "content": f"[review] {task.question}\n{text}\nAnswer yes or no."}],
        max_completion_tokens=60,
    )
    if (response.choices[0].message.content or "").lower().startswith("no"):
        raise ReviewError
