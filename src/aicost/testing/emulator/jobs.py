"""Work that is done later: background responses, batches, videos, fine-tuning.

A job is billed when it is given; the first time it is asked after it is still running, the next time it is done.
Bodies as in openai 3.52 and anthropic 2.11 (`types/`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .formats import anthropic, google, openai
from .formats.route import EmulatedRequest, Generated, Usage, tokens
from .script import Action, Reply


class Host(Protocol):
    """What jobs need of the server."""

    def call_id(self, prefix: str) -> str:
        """A new id."""
        ...

    def charge(self, made: Generated, provider: str, tier: str | None) -> None:
        """Put a generated answer on the bill."""
        ...

    def delivered(self, made: Generated) -> None:
        """Note that its usage is on its way to the client."""
        ...

    def next_action(self, raw: bytes, model: str, api: str) -> Action:
        """What the script says."""
        ...


@dataclass(slots=True)
class Job:
    """One piece of work and what it says of itself before and after."""

    running: dict[str, Any]
    done: dict[str, Any]
    made: list[Generated] = field(default_factory=list)
    polls: int = 1


Answer = tuple[str, bytes]
"""Content type and body."""


class Jobs:
    """The work that was given to one emulator."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._jobs: dict[str, Job] = {}
        self._files: dict[str, tuple[bytes, list[Generated]]] = {}

    def serve(self, method: str, path: str, body: dict[str, Any], raw: bytes) -> Answer | None:
        """The answer to a request about a job; None when the path is none."""
        for wanted, pattern, handler in _PATHS:
            found = re.fullmatch(pattern, path) if method == wanted else None
            if found is not None:
                return handler(self, EmulatedRequest(path, found.groupdict(), body, raw))
        return None

    def background(self, request: EmulatedRequest) -> Answer:
        """A response that is made in the background."""
        return _json(self.begun(self._make("responses", request, tokens, "resp_"), request))

    def begun(self, made: Generated, request: EmulatedRequest) -> dict[str, Any]:
        """A response that is made in the background, maybe streamed meanwhile; what it says of itself so far."""
        whole = openai.responses_body(made, request)
        waiting = {**whole, "status": "queued", "output": [], "usage": None, "background": True}
        self._jobs[made.call_id] = Job(waiting, {**whole, "background": True}, [made])
        return waiting

    def _response(self, request: EmulatedRequest) -> Answer | None:
        """A response that is asked after; as a stream, from the event after `starting_after` to its end."""
        job = self._jobs.get(request.found["id"])
        if job is None or request.body.get("stream") != "true":
            return self._poll(request)
        (made,) = job.made
        after = int(request.body.get("starting_after") or -1)
        self._host.delivered(made)
        events = list(openai.responses_stream(made, request))[after + 1 :]
        return "text/event-stream", b"".join(event.data for event in events)

    def _cancel(self, request: EmulatedRequest) -> Answer | None:
        job = self._jobs.get(request.found["id"])
        if job is None:
            return None
        job.done, job.polls = {**job.running, "status": "cancelled"}, 0
        job.made.clear()
        return _json(job.done)

    def _make(
        self,
        api: str,
        request: EmulatedRequest,
        usage: Callable[[Reply, EmulatedRequest], Usage],
        prefix: str,
        *,
        provider: str = "openai",
        tier: str | None = None,
    ) -> Generated:
        action = self._host.next_action(request.raw, request.model, api)
        reply = action if isinstance(action, Reply) else Reply()
        used = {meter: n for meter, n in usage(reply, request).items() if n}
        made = Generated(self._host.call_id(prefix), api, reply.model or request.model, reply, used)
        self._host.charge(made, provider, tier)
        return made

    def _poll(self, request: EmulatedRequest) -> Answer | None:
        job = self._jobs.get(request.found["id"])
        if job is None:
            return None
        if job.polls > 0:
            job.polls -= 1
            return _json(job.running)
        if job.done.get("object") in {"response", "video", "fine_tuning.job"} or "metadata" in job.done:
            for made in job.made:
                self._host.delivered(made)
        return _json(job.done)

    def _video(self, request: EmulatedRequest) -> Answer:
        seconds = int(request.body.get("seconds") or 4)
        made = self._make("videos", request, lambda _r, _q: {"output_video_seconds": seconds}, "video_")
        base: dict[str, Any] = {"id": made.call_id, "object": "video", "model": made.model, "seconds": str(seconds)}
        base |= {"size": request.body.get("size") or "720x1280", "created_at": 1, "progress": 0}
        queued = {**base, "status": "queued"}
        self._jobs[made.call_id] = Job(queued, {**base, "status": "completed", "progress": 100}, [made])
        return _json(queued)

    def _fine_tuning(self, request: EmulatedRequest) -> Answer:
        made = self._make("fine_tuning", request, lambda r, _q: {"training_tokens": r.input_tokens or 9000}, "ftjob-")
        base: dict[str, Any] = {
            "id": made.call_id,
            "object": "fine_tuning.job",
            "model": made.model,
            "created_at": 1,
            "seed": 1,
        }
        base |= {"hyperparameters": {}, "organization_id": "org", "result_files": [], "training_file": "file-1"}
        running = {**base, "status": "running", "trained_tokens": None}
        done = {**base, "status": "succeeded", "trained_tokens": made.usage["training_tokens"]}
        self._jobs[made.call_id] = Job(running, done, [made])
        return _json(running)

    def _batch(self, request: EmulatedRequest) -> Answer:
        """A batch of three chats, one of which fails; what its input file would hold is made up."""
        batch, output = self._host.call_id("batch_"), self._host.call_id("file-")
        lines, all_made = [], []
        for number in range(2):
            one = EmulatedRequest("/v1/chat/completions", {}, {"model": "gpt-4o-mini"}, b"x" * 400)
            made = self._make("chat", one, tokens, "chatcmpl-", tier="batch")
            all_made.append(made)
            response = {"status_code": 200, "request_id": f"r{number}", "body": openai.chat_body(made, one)}
            lines.append({"id": f"batch_req_{number}", "custom_id": f"c{number}", "response": response, "error": None})
        refused = {"status_code": 400, "request_id": "r9", "body": {"error": {"message": "no"}}}
        lines.append({"id": "batch_req_9", "custom_id": "c9", "response": refused, "error": None})
        self._files[output] = (b"\n".join(json.dumps(line).encode() for line in lines) + b"\n", all_made)
        base: dict[str, Any] = {
            "id": batch,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        base |= {"created_at": 1, "input_file_id": request.body.get("input_file_id")}
        running = {**base, "status": "in_progress"}
        self._jobs[batch] = Job(running, {**base, "status": "completed", "output_file_id": output}, all_made)
        return _json(running)

    def _file(self, request: EmulatedRequest) -> Answer | None:
        content, made = self._files.get(request.found["id"], (None, []))
        if content is None:
            return None
        for one in made:
            self._host.delivered(one)
        return "application/octet-stream", content

    def _message_batch(self, request: EmulatedRequest) -> Answer:
        batch = self._host.call_id("msgbatch_")
        lines, all_made = [], []
        for one in request.body["requests"]:
            params: Mapping[str, Any] = one["params"]
            asked = EmulatedRequest("/v1/messages", {}, dict(params), json.dumps(params).encode())
            made = self._make("messages", asked, tokens, "msg_", provider="anthropic", tier="batch")
            all_made.append(made)
            message = anthropic.messages_body(made, asked)
            message["usage"]["service_tier"] = "batch"
            lines.append({"custom_id": one["custom_id"], "result": {"type": "succeeded", "message": message}})
        lines.append({"custom_id": "late", "result": {"type": "expired"}})
        self._files[batch] = (b"\n".join(json.dumps(line).encode() for line in lines) + b"\n", all_made)
        base: dict[str, Any] = {"id": batch, "type": "message_batch", "created_at": "2026-11-01T00:00:00Z"}
        base |= {"expires_at": "2026-11-02T00:00:00Z", "archived_at": None, "cancel_initiated_at": None}
        counts = {"processing": 0, "succeeded": len(all_made), "errored": 0, "canceled": 0, "expired": 1}
        base |= {"request_counts": counts, "ended_at": None, "results_url": None}
        ended = {**base, "processing_status": "ended", "results_url": f"/v1/messages/batches/{batch}/results"}
        self._jobs[batch] = Job({**base, "processing_status": "in_progress"}, ended, all_made)
        return _json({**base, "processing_status": "in_progress"})

    def _message_results(self, request: EmulatedRequest) -> Answer | None:
        answer = self._file(request)
        return None if answer is None else ("application/x-jsonl", answer[1])

    def _gemini_batch(self, request: EmulatedRequest) -> Answer:
        all_made, answers = [], []
        asked = request.body["batch"]["inputConfig"]["requests"]["requests"]
        for one in asked:
            inner = EmulatedRequest("", {"model": request.model}, one["request"], json.dumps(one).encode())
            made = self._make("generate_content", inner, tokens, "gen-", provider="gcp.gemini", tier="batch")
            all_made.append(made)
            answers.append({"response": google.generate_body(made, inner)})
        name = self._host.call_id("b")
        running = {"name": f"batches/{name}", "metadata": {"state": "BATCH_STATE_RUNNING"}}
        output = {"inlinedResponses": {"inlinedResponses": answers}}
        done = {"state": "BATCH_STATE_SUCCEEDED", "output": output}
        self._jobs[name] = Job(running, {"name": f"batches/{name}", "metadata": done, "done": True}, all_made)
        return _json(running)


def _json(body: Mapping[str, Any]) -> Answer:
    return "application/json", json.dumps(body).encode()


_PATHS: tuple[tuple[str, str, Callable[[Jobs, EmulatedRequest], Answer | None]], ...] = (
    ("POST", r"(?:/openai)?/v1/videos", Jobs._video),
    ("POST", r"(?:/openai)?/v1/fine_tuning/jobs", Jobs._fine_tuning),
    ("POST", r"(?:/openai)?/v1/batches", Jobs._batch),
    ("GET", r"(?:/openai)?/v1/(?:videos|fine_tuning/jobs|batches)/(?P<id>[^/]+)", Jobs._poll),
    ("GET", r"(?:/openai)?/v1/responses/(?P<id>[^/]+)", Jobs._response),
    ("POST", r"(?:/openai)?/v1/responses/(?P<id>[^/]+)/cancel", Jobs._cancel),
    ("GET", r"(?:/openai)?/v1/files/(?P<id>[^/]+)/content", Jobs._file),
    ("POST", r"/gemini/v1(?:beta)?/models/(?P<model>[^:]+):batchGenerateContent", Jobs._gemini_batch),
    ("GET", r"/gemini/v1(?:beta)?/batches/(?P<id>[^/]+)", Jobs._poll),
    ("POST", r"/v1/messages/batches", Jobs._message_batch),
    ("GET", r"/v1/messages/batches/(?P<id>[^/]+)/results", Jobs._message_results),
    ("GET", r"/v1/messages/batches/(?P<id>[^/]+)", Jobs._poll),
)
