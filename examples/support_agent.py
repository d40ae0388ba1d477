"""A two-step agent with its cost on every run. Needs OPENAI_API_KEY, or OPENAI_BASE_URL pointed at an emulator."""

from __future__ import annotations

import openai

import aicost


@aicost.track_step("plan")
def plan(client: openai.OpenAI, question: str) -> str:
    """What to look up."""
    messages = [{"role": "user", "content": f"List what to look up to answer: {question}"}]
    return client.chat.completions.create(model="gpt-4.1-mini", messages=messages).choices[0].message.content or ""


@aicost.track_step("answer")
def answer(client: openai.OpenAI, question: str, notes: str) -> str:
    """The answer."""
    return client.responses.create(model="gpt-4.1", instructions=notes, input=question).output_text


def main() -> None:
    """Answer one question for one tenant, and say what it cost."""
    aicost.init(service_name="support-agent", exporter="none")
    client = openai.OpenAI()
    with aicost.run_scope("support", tenant_id="t-42", feature_id="auto_reply") as run:
        question = "How do I rotate an access key?"
        print(answer(client, question, plan(client, question)))
        aicost.record_outcome("answer")
    print(f"{run.calls} calls, {run.retries} retries, {run.cost} USD")


if __name__ == "__main__":
    main()
