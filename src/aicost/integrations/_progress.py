"""What is known of a call while it is made, and how it came out: by its requests, its answer and its errors."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from aicost.scopes import propagation
from aicost.scopes.ids import derived_id
from aicost.telemetry import guard
from aicost.telemetry.call import Call, CallResult
from aicost.telemetry.call_options import Message
from aicost.telemetry.evidence import is_unique, looks_drawn
from aicost.telemetry.pipeline import Pipeline
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.meters import Quantity
from aicost.usage.readers import ResponseView, is_result_line, read_response
from aicost.usage.reading import Raw, Reading

from ._admission import Permit
from ._background import asked, remember
from ._call_request import Arguments, CallRequest
from ._content import answer_of, content_attributes, plain_text, prompt_of, streamed_text
from ._failures import MAYBE_CHARGEABLE_STATUS, cause_of, chargeable_after, chargeable_unseen, status_of, was_timeout
from ._framing import first_object
from ._origin import request_origin, response_origin
from ._response_body import EndOfBody

_PER_MESSAGE = 4
"""Tokens that mark where a message begins and who says it, as OpenAI counts them."""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


class InProgress:
    """A call that is being made. The transports tell it of each request and its answer."""

    __slots__ = (
        "_lines_read",
        "amended",
        "call",
        "call_request",
        "credential",
        "failed",
        "in_flight",
        "over",
        "permit",
        "pipeline",
        "response",
        "results_read",
        "started_ns",
        "watched",
    )

    def __init__(self, pipeline: Pipeline, call_request: CallRequest, permit: Permit | None = None) -> None:
        self.call_request = call_request
        self.pipeline = pipeline
        self.permit = permit
        self.started_ns = time.time_ns()
        self.call = Call(pipeline, call_request.target) if call_request.recorded and not call_request.is_free else None
        self.credential: str | None = None
        """A digest of the key that the last request had."""
        self.amended: Arguments | None = None
        """The call's arguments, where usage is asked for on the application's behalf."""
        self.response: Any = None
        """The HTTP response of the attempt that succeeded."""
        self.results_read = 0
        self._lines_read: dict[str, int] = {}
        """How often each line of the file was read: the second of the same is another."""
        self.watched = False
        self.in_flight = False
        self.over = False
        """Whether the client's method has returned; what is still to be read of its answer goes on."""
        self.failed: tuple[str, int | None, Chargeable] | None = None
        """How the last attempt failed: error type, HTTP status, whether it may be billed."""

    def is_for(self, host: str) -> bool:
        """Whether a request to that host is part of this call, and not one for a token on the way."""
        expected = self.call_request.target.server_address
        return expected is None or expected == host

    def sending(self, headers: Any, host: str) -> None:
        """A request is about to leave."""
        self.failed = None
        self.in_flight = True
        if self.permit is not None:
            self.permit.sent()
        if not self.call_request.recorded:
            return
        if self.call is not None:
            self.call.attempt_started()
        try:
            said = request_origin(headers)
            self.credential = said.get("credential")
            if self.call is not None and said:
                self.call.traced(said)
            if self.call is not None and self.call_request.upstream_id is not None:
                self.call.is_work_of(self.call_request.upstream_id)
            if propagation.enabled():
                propagation.inject(headers, host=host, event_id=None if self.call is None else self.call.event_id)
        except Exception as error:  # noqa: BLE001 - the application's request comes first
            guard.failed("send the scope along", error)

    def answered(self, response: Any) -> None:
        """The request was answered, in whichever way."""
        call = self.call
        if call is None:
            return
        try:
            said, cached = response_origin(response)
            if said:
                host = self.call_request.target.server_address
                declared = "gateway_call_id" in said and host in self.pipeline.options.gateway_hosts
                call.traced({**said, "gateway": True} if declared else said)
            if cached:
                call.not_chargeable("cache")
        except Exception as error:  # noqa: BLE001 - the application's response comes first
            guard.failed("read a response's headers", error)

    def refused(self, status: int) -> None:
        """The request was answered with an error status."""
        self._failed(str(status), status, Chargeable.POSSIBLY if status in MAYBE_CHARGEABLE_STATUS else Chargeable.NO)

    def broken(self, error: BaseException) -> None:
        """The request failed without an answer."""
        cause = cause_of(error)
        self._failed(type(cause).__name__, None, chargeable_after(cause))

    def _failed(self, error_type: str, status: int | None, chargeable: Chargeable) -> None:
        self.failed = error_type, status, chargeable
        if self.call is not None:
            self.call.attempt_failed(chargeable=chargeable, error_type=error_type, http_status=status)

    def view(self, body: Raw | None) -> ResponseView | None:
        """What a response body says."""
        target, request = self.call_request.target, self.call_request.request
        if self.call_request.count_headers:
            body = {**self._counts(), **(body or {})} or None
        if body is None:
            if request is None:
                return None
            body = {}
        return read_response(
            {**request, **body} if request is not None else body,
            api=target.api,
            provider=target.provider,
            model=target.model,
        )

    @property
    def counted(self) -> bool:
        """Whether the answer's headers have its usage."""
        return any(name.endswith("-count") for name in self._counts())

    def _counts(self) -> dict[str, Any]:
        headers = getattr(self.response, "headers", None) or {}
        return {name: headers[name] for name in self.call_request.count_headers if name in headers}

    @property
    def keeps_events(self) -> bool:
        """Whether the events of a stream are needed when it has ended."""
        options = self.pipeline.options
        return options.capture_content or options.tokenizer is not None

    def estimate(self, events: Sequence[Raw]) -> ResponseView | None:
        """The tokens of a stream that reported none, if the application says how to count them."""
        tokenizer, request, target = self.pipeline.options.tokenizer, self.call_request.body, self.call_request.target
        if tokenizer is None or request is None or not events:
            return None
        messages, system = prompt_of(request)
        asked = plain_text([*messages, {"role": "system", "parts": system}])
        usage: dict[str, Quantity] = {
            "input": tokenizer(target.model, asked) + _PER_MESSAGE * len(messages),
            "output": tokenizer(target.model, streamed_text(events)),
        }
        first = events[0]
        reading = Reading({meter: n for meter, n in usage.items() if n})
        return ResponseView(reading, _text(first.get("id")), _text(first.get("model")))

    def say(self, answer: list[Message]) -> None:
        """Put what was said on the span, if the application asked for that."""
        options = self.pipeline.options
        if not options.capture_content or self.call is None:
            return
        try:
            self.call.add_attributes(content_attributes(options, self.call_request.body, answer))
        except Exception as error:  # noqa: BLE001 - also the application's own redaction
            guard.failed("record content", error)

    @property
    def _server(self) -> str:
        return f"{self.call_request.target.server_address}:{self.call_request.target.server_port}"

    def is_replay(self, view: ResponseView | None, digest: int | None) -> bool:
        """Whether the very bytes of this answer were counted before: a cache kept them, and says nothing of it.

        Only under an id that looks drawn, for two answers to one question may be alike in all but that.
        """
        if view is None or view.response_id is None or digest is None or not looks_drawn(view.response_id):
            return False
        return self.pipeline.counted.is_replay((self._server, view.response_id), digest)

    def stored(self, response_id: str) -> str:
        """The event of a response that its provider keeps: the same when it is asked for and when it is fetched.

        An id that is given once is one whatever key fetches it, and from whichever of the provider's hosts.
        """
        target = self.call_request.target
        if is_unique(response_id, target.provider, target.server_address):
            return derived_id("response", target.provider, response_id)
        return derived_id("response", self._server, self.credential, response_id)

    def identify(self, view: ResponseView | None) -> None:
        """Say which event it is, if the answer is one that will be fetched later."""
        body = self.call_request.body
        if self.call is None or view is None or view.response_id is None or body is None:
            return
        target = self.call_request.target
        waits = view.reading is None or not view.reading.usage
        if target.api != "responses" or body.get("background") is not True or not waits:
            return
        # Under an id that a server may give again, it is known by that to this process alone.
        if is_unique(view.response_id, target.provider, target.server_address):
            self.call.identify(self.stored(view.response_id))

    def record_result(self, result: Raw) -> None:
        """Record the result of a job as a call of its own, the first time it is fetched."""
        self.results_read += 1
        view = self.view(result)
        if view is None or view.reading is None or not (view.reading.usage or view.reading.flags):
            return
        event_id = self._result_id(result, view)
        counted = self.pipeline.counted
        if event_id is None or counted.has_seen(event_id):
            return
        if (
            self.call_request.target.api == "responses"
            and result.get("background") is not True
            and not counted.knows(event_id)
        ):
            return  # it was answered, and recorded, when it was asked for
        target = self.call_request.target if view.model is None else self.call_request.target._replace(model=view.model)
        before = asked(target, view.response_id)
        call = Call(self.pipeline, target, parent=None if before is None else before.context)
        call.attempt_started(self.started_ns)
        call.identify(event_id)
        if self.credential is not None:
            call.traced({"credential": self.credential})
        call.finish(view, CallResult(complete=view.reading.complete))

    def _result_id(self, result: Raw, view: ResponseView) -> str | None:
        """The event of a result. A line of a file is told by the file and its own ids, not by the response's."""
        job = self.call_request.job
        if job is None:
            before = asked(self.call_request.target, view.response_id)
            if before is not None and before.event_id is not None:
                return before.event_id
            return None if view.response_id is None else self.stored(view.response_id)
        ids = [result.get(name) for name in ("id", "custom_id", "key")]
        if not any(isinstance(one, str) for one in ids):
            ids = [self.results_read]
        # With what it says: a server that was started again may give its files the same names.
        said = json.dumps(result, sort_keys=True, default=str)
        event_id = derived_id("line", self._server, job, *ids, said)
        times = self._lines_read.get(event_id, 0)
        self._lines_read[event_id] = times + 1
        return derived_id(event_id, times) if times else event_id

    def waits(self, view: ResponseView | None) -> None:
        """What was asked for is made in the background, and its usage is asked after later."""
        work = view.response_id if view is not None and (view.reading is None or not view.reading.usage) else None
        if work is not None and self.call is not None and (self.call_request.body or {}).get("background"):
            remember(self.call_request.target, work, self.call.context, self.call.event_id)


def returned(progress: InProgress, result: Any) -> None:
    """The client gave the application something: finish now, unless a watched body will."""
    if progress.watched:
        return
    if not progress.call_request.recorded:
        _given(progress, result)
        return
    try:
        try:
            body, whole = _body_of(result, progress), True
        except ValueError:  # cut short on the way, and the client has not noticed
            body, whole = None, False
        if progress.call_request.results is not None:
            for result in progress.call_request.results(body) if body is not None else ():
                progress.record_result(result)
            return
        if progress.call is None:
            return
        if progress.failed is not None:  # some clients hand the refusal on and raise higher up
            error_type, status, chargeable = progress.failed
            progress.call.finish(None, CallResult(RequestStatus.FAILURE, chargeable, error_type, status))
            return
        view = progress.view(body)
        if progress.is_replay(view, _digest(progress.response)):
            progress.call.not_chargeable("replay")
        progress.identify(view)
        if progress.pipeline.options.capture_content:
            said = _json_of(progress.response) if progress.response is not None and whole else None
            progress.say(answer_of(said or {}))
        chargeable = Chargeable.YES if whole else Chargeable.POSSIBLY
        progress.waits(view)
        progress.call.finish(
            view, CallResult(chargeable=chargeable, complete=view is not None and view.reading is not None)
        )
    except Exception as error:  # noqa: BLE001 - the application has its result
        guard.failed("read a response", error)
        if progress.call is not None:
            progress.call.finish(None, CallResult(complete=False))


def _given(progress: InProgress, result: Any) -> None:
    """Work was given that is counted when it is done."""
    try:
        body = _body_of(result, progress) if is_instrumentation_enabled() else None
        work = _text(body.get("id")) if body is not None else None
        if work is not None:
            remember(progress.call_request.target, work, get_current())
    except Exception as error:  # noqa: BLE001 - the application has its result
        guard.failed("read what work was given", error)


def raised(progress: InProgress, error: BaseException) -> None:
    """The client raised. What the provider billed by then is whatever the response said, if one came back."""
    call = progress.call
    if call is None or progress.watched:
        return
    try:
        progress.say([])
        view, status = None, status_of(error)
        if progress.response is not None:
            data = _json_of(progress.response)
            view = progress.view(data) if data is not None else None
        if view is not None and view.reading is not None:
            error_type, chargeable = type(error).__name__, Chargeable.YES
        elif progress.failed is not None:
            error_type, status, chargeable = progress.failed
        elif progress.response is not None or call.sent:
            error_type, chargeable = type(cause_of(error)).__name__, Chargeable.POSSIBLY
        else:
            # No request was seen: none left, or one left by a way that is not watched.
            error_type, chargeable = chargeable_unseen(error)
        outcome = CallResult(
            status=RequestStatus.TIMEOUT if was_timeout(error) else RequestStatus.FAILURE,
            chargeable=chargeable,
            error_type=error_type,
            http_status=status,
            complete=chargeable is not Chargeable.POSSIBLY,
        )
        call.finish(view, outcome)
    except Exception as failure:  # noqa: BLE001 - the application's own error comes first
        guard.failed("record a failed call", failure)
        call.finish(None, CallResult(RequestStatus.FAILURE, Chargeable.POSSIBLY, complete=False))


def _body_of(result: Any, progress: InProgress) -> Raw | None:
    """What a response says, from the object the client made of it, or else from its bytes."""
    typed = progress.call_request.typed(result) if progress.call_request.typed is not None else None
    if typed is not None:
        return typed
    return None if progress.response is None else _json_of(progress.response)


class BodyOutcome:
    """Finishes a call when its watched body has ended."""

    __slots__ = ("_progress",)

    def __init__(self, progress: InProgress) -> None:
        self._progress = progress

    def line(self, result: Mapping[str, Any]) -> None:
        """One result of its own, out of a file of many; a file may hold anything else."""
        if is_result_line(result):
            self._progress.record_result(result)

    def __call__(self, body: Mapping[str, Any] | None, end: EndOfBody) -> None:
        progress = self._progress
        call = progress.call
        if progress.call_request.results is not None:
            for result in progress.call_request.results(body) if body is not None else ():
                progress.record_result(result)
            return
        if call is None or progress.call_request.each_line:
            return
        cut = end.closed_early or end.error is not None or end.error_type is not None
        # What was asked for is no proof that it was made; what the provider has counted is, wherever it says so.
        view = progress.view(body) if body is not None or not cut or progress.counted else None
        if end.complete and not cut and progress.is_replay(view, end.digest):
            call.not_chargeable("replay")
        progress.identify(view)
        known = (end.complete or progress.counted or not cut) and view is not None and view.reading is not None
        estimated = False
        if not cut and (view is None or view.reading is None) and end.events:
            estimate = progress.estimate(end.events)
            if estimate is not None:
                view, known, estimated = estimate, True, True
        if progress.pipeline.options.capture_content:
            streamed: list[Message] = [
                {"role": "assistant", "parts": [{"type": "text", "content": streamed_text(end.events)}]}
            ]
            progress.say(streamed if end.events else answer_of(body or {}))
        # A stream that ran to its end without usage was billed; one that was cut may have been.
        chargeable = Chargeable.POSSIBLY if cut and not known else Chargeable.YES
        if end.error is not None:
            status = RequestStatus.TIMEOUT if was_timeout(end.error) else RequestStatus.FAILURE
            outcome = CallResult(status, chargeable, type(cause_of(end.error)).__name__, complete=known)
        elif end.error_type is not None:
            outcome = CallResult(RequestStatus.FAILURE, chargeable, end.error_type, complete=known)
        else:
            outcome = CallResult(chargeable=chargeable, complete=known, estimated=estimated)
        progress.waits(view)
        call.finish(view, outcome)


def _digest(response: Any) -> int | None:
    """A digest of the bytes of a response that was read."""
    content = response.content if response is not None and getattr(response, "is_closed", True) else None
    return hash(content) if isinstance(content, bytes) and content else None


def _json_of(response: Any) -> dict[str, Any] | None:
    """The JSON object in a response that was read; None if it holds none."""
    content = response.content if getattr(response, "is_closed", True) else b""
    return first_object(content) if isinstance(content, bytes) else None
