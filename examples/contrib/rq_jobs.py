"""Jobs that are steps of the run they were queued from.

    export AICOST_BAGGAGE_KEYS=run_id,workflow,tenant_id
    python rq_jobs.py
    rq worker --worker-class rq_jobs.Worker

Needs Redis (REDIS_URL), and OPENAI_API_KEY, or OPENAI_BASE_URL pointed at an emulator.
"""

from __future__ import annotations

import os

import openai
from redis import Redis

import aicost
from aicost.contrib.rq import TrackedQueue, TrackedWorker

aicost.init(service_name="rq-jobs", ledger="costs.sqlite")  # in the worker, too, which imports this for its class
Worker = TrackedWorker


def summarize(text: str) -> None:
    """A summary of a text."""
    openai.OpenAI().chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": text}])


if __name__ == "__main__":
    queue = TrackedQueue(connection=Redis.from_url(os.environ.get("REDIS_URL", "redis://")))
    with aicost.run_scope("report", tenant_id="t-42"):
        for chapter in ("one", "two"):
            queue.enqueue("rq_jobs.summarize", chapter)
