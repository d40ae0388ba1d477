"""A run for each request of a WSGI application, and its tenant from a header.

    gunicorn flask_app:app

Needs OPENAI_API_KEY, or OPENAI_BASE_URL pointed at an emulator.
"""

from __future__ import annotations

import openai
from flask import Flask

import aicost
from aicost.contrib.wsgi import WSGIMiddleware

aicost.init(service_name="flask-app", ledger="costs.sqlite")
app = Flask(__name__)
app.wsgi_app = WSGIMiddleware(app.wsgi_app, headers={"x-tenant": "tenant_id"})


@app.get("/answers/<question>")
def answer(question: str) -> str:
    """The answer to a question."""
    said = openai.OpenAI().chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": question}]
    )
    return said.choices[0].message.content or ""
