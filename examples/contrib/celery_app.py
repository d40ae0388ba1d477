"""Tasks that are steps of the run they were sent from.

    export AICOST_BAGGAGE_KEYS=run_id,workflow,tenant_id
    celery -A celery_app worker
    python celery_app.py

Needs a broker (CELERY_BROKER_URL), and OPENAI_API_KEY, or OPENAI_BASE_URL pointed at an emulator.
"""

from __future__ import annotations

import os

import openai
from celery import Celery

import aicost
from aicost.contrib.celery import track_tasks

app = Celery("celery_app", broker=os.environ.get("CELERY_BROKER_URL", "redis://"))
aicost.init(service_name="celery-app", ledger="costs.sqlite")
track_tasks()


@app.task(name="summarize")
def summarize(text: str) -> None:
    """A summary of a text."""
    openai.OpenAI().chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": text}])


if __name__ == "__main__":
    with aicost.run_scope("report", tenant_id="t-42"):
        for chapter in ("one", "two"):
            summarize.delay(chapter)
