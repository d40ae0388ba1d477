"""The work that the tests of task queues queue, and the Celery application that it is queued in."""

from __future__ import annotations

import os
from pathlib import Path

import openai
from celery import Celery

import aicost
from aicost.contrib.celery import track_tasks

folder = os.environ.get("QUEUE_FOLDER", "")
queue = Celery("queued", broker="filesystem://")
queue.conf.update(
    broker_transport_options={
        "data_folder_in": folder + "/messages",
        "data_folder_out": folder + "/messages",
        "control_folder": folder + "/control",
        "polling_interval": 0.05,
    },
    worker_hijack_root_logger=False,
    result_backend=f"file://{folder}/results",
)
track_tasks()
if "AICOST_LEDGER" in os.environ:
    aicost.init()


def ask(about: str) -> None:
    """One chat, and a note that it was had."""
    openai.OpenAI(max_retries=0).chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": about}]
    )
    with Path(os.environ["QUEUE_FOLDER"], "done").open("a") as done:
        done.write(about + "\n")


def ask_and_fail(about: str) -> None:
    ask(about)
    raise RuntimeError(about)


@queue.task(name="plain")
def plain(about: str) -> None:
    ask(about)


@queue.task(name="fails")
def fails(about: str) -> None:
    ask_and_fail(about)


@queue.task(name="again", bind=True, max_retries=1, default_retry_delay=0)
def again(self: object, about: str) -> None:
    ask(about)
    if self.request.retries == 0:  # type: ignore[attr-defined]
        raise self.retry()  # type: ignore[attr-defined]


@queue.task(name="sends")
def sends(about: str) -> None:
    ask(about)
    plain.delay(about)
