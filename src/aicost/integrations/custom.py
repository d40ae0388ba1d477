"""Calls that somebody else's code makes known: what an integration outside of aicost is written with.

An integration opens a call, makes it, and says how it came out: `start`, then `stop` or `fail`, once, in any thread.
The span, the price, the metrics, the run's totals and the ledger follow as for every call, and so does counting it
once: where aicost sees the call nearer to the wire, in a client that the integrated one is built upon, that is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from aicost._errors import UsageError
from aicost._later import later
from aicost.scopes.leaving import leave
from aicost.telemetry import guard, state
from aicost.telemetry.call import Call, CallResult, Target
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.meters import Quantity
from aicost.usage.providers import canonical_provider
from aicost.usage.readers import READERS, ResponseView, read_answer
from aicost.usage.reading import PLAUSIBLE
from aicost.usage.reported import read_meters

from ._failures import cause_of, chargeable_after, chargeable_unseen, status_of, was_timeout

_log = logging.getLogger("aicost")


class OpenCall:
    """One call to a model that is being made, from its first attempt to its outcome.

    In a `with` block it is the current span, which whatever is started inside is a child of; an exception that leaves
    the block is how the call failed. Nothing here raises because of what it is told, and what comes after the outcome
    is known does nothing. One that is dropped without an outcome may have been billed, and is recorded as that.

    >>> with aicost.start_call("acme-sdk", provider="acme", model="acme-1") as call:
    ...     answer = client.ask("hello")
    ...     call.stop(usage={"input": answer.tokens_in, "output": answer.tokens_out})
    """

    __slots__ = ("_api", "_call", "_token")

    def __init__(self, call: Call | None, api: str | None) -> None:
        self._call, self._api = call, api
        self._token: Any = None

    @property
    def event_id(self) -> str | None:
        """The identity of the attempt under way; None where nothing is recorded."""
        return None if self._call is None else self._call.event_id

    @property
    def context(self) -> Context:
        """The OpenTelemetry context inside the call, for work that is done elsewhere than in a `with` block."""
        return otel_context.get_current() if self._call is None else self._call.context

    def retry(self, error: BaseException | str, *, chargeable: bool | None = None) -> None:
        """The attempt under way failed with `error`, and another one is about to be made.

        `chargeable` says whether the provider charges for it; if not given, what the error says of it.
        """
        call = self._call
        if call is None or call.finished:
            return
        try:
            error_type, found = _said(error)
            call.attempt_failed(chargeable=_charged(chargeable, found), error_type=error_type)
            call.attempt_started()
        except Exception as failure:  # noqa: BLE001 - the application comes first
            guard.failed("record an attempt", failure)

    def stop(
        self,
        response: object = None,
        *,
        usage: Mapping[str, Quantity] | None = None,
        model: str | None = None,
        response_id: str | None = None,
        complete: bool = True,
    ) -> None:
        """The call was answered.

        `response` is what the provider sent: its whole response or its usage object, JSON or typed; or `usage` are
        disjoint quantities by meter, as for `aicost.record_usage`. Without either, or if nobody can read it, the call
        is one whose usage was not reported. `model` and `response_id` are those of the answer, where `response` does
        not say. `complete` is False for a stream that was cut: then what is known is the least that was used.
        """
        call = self._call
        if call is None:
            return
        try:
            view = self._view(call, response, usage)
            view = view._replace(model=view.model or model, response_id=view.response_id or response_id)
        except UsageError as unread:
            _log.warning("%s: what a call used is not known: %s", call.target.provider, unread)
            view = ResponseView(None, response_id, model)
        except Exception as failure:  # noqa: BLE001 - the application comes first
            guard.failed("read a response", failure)
            view = ResponseView(None, response_id, model)
        call.finish(view, CallResult(complete=complete and view.reading is not None))

    def fail(self, error: BaseException | str, *, chargeable: bool | None = None) -> None:
        """The call failed for good with `error`: an exception, or the name of what went wrong.

        `chargeable` says whether the provider charges for it; if not given, what the error says of it: one that was
        refused (a 4xx, a 5xx, no connection) is not, and any other may have been.
        """
        call = self._call
        if call is None:
            return
        try:
            error_type, found = _said(error)
            late = isinstance(error, BaseException) and was_timeout(error)
            status = RequestStatus.TIMEOUT if late else RequestStatus.FAILURE
            charged = _charged(chargeable, found)
            outcome = CallResult(status, charged, error_type, complete=charged is not Chargeable.POSSIBLY)
        except Exception as failure:  # noqa: BLE001 - the application comes first
            guard.failed("record a failed call", failure)
            outcome = CallResult(RequestStatus.FAILURE, Chargeable.POSSIBLY, complete=False)
        call.finish(None, outcome)

    def _view(self, call: Call, response: object, usage: Mapping[str, Quantity] | None) -> ResponseView:
        if usage is not None:
            return ResponseView(read_meters(usage))
        if response is None:
            return ResponseView(None)
        return read_answer(response, api=self._api, provider=call.target.provider, model=call.target.model)

    def __enter__(self) -> OpenCall:  # noqa: PYI034 - of 3.11
        if self._call is not None:
            self._token = otel_context.attach(self._call.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call = self._call
        if call is None:
            return
        leave(self._token, call.context)
        if error is not None:
            self.fail(error)
        else:
            self.stop()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.finished:
            later(partial(call.finish, None, CallResult(chargeable=Chargeable.POSSIBLY, complete=False)))


def start_call(
    integration: str,
    *,
    provider: str,
    model: str,
    operation: str = "chat",
    api: str | None = None,
    server_address: str | None = None,
    server_port: int | None = None,
    region: str | None = None,
    streaming: bool = False,
    max_output_tokens: int | None = None,
) -> OpenCall:
    """Begin a call to a model that no integration of aicost sees; its first attempt is about to be made.

    `integration` names who tells of it, the same for all calls of one integration. `provider` and `model` are as rate
    cards name them, `operation` as `gen_ai.operation.name` does. `api` is how the provider's usage is read where
    `OpenCall.stop` is given a response (`chat`, `responses`, `messages`, ...; `aicost.usage.readers`): it is guessed if
    not given. `max_output_tokens` is the limit that the request sets, all choices together and reasoning included.
    The call belongs to the run, step and owners in scope. Never raises: what cannot be recorded is counted and logged.

    >>> call = aicost.start_call("acme-sdk", provider="acme", model="acme-1", max_output_tokens=500)
    >>> try:
    ...     answer = client.ask("hello", limit=500)
    ... except Exception as error:
    ...     call.fail(error)
    ...     raise
    ... else:
    ...     call.stop(usage={"input": answer.tokens_in, "output": answer.tokens_out})
    """
    if not is_instrumentation_enabled():
        return OpenCall(None, api)
    try:
        if api is not None and api not in READERS:
            _log.warning(
                "start_call(%s): no reader for api %r; known: %s", integration, api, ", ".join(sorted(READERS))
            )
            api = None
        name, read_as = canonical_provider(str(provider)), api or "custom"
        target = Target(name, str(operation), read_as, str(model), server_address, server_port, streaming, region)
        most = max_output_tokens if type(max_output_tokens) is int and 0 <= max_output_tokens <= PLAUSIBLE else None
        pipeline = state.with_providers(None, None).pipeline
        call = Call(
            pipeline, target, observer=f"custom:{integration}", max_output=None if most is None else lambda: most
        )
        call.attempt_started()
        return OpenCall(call, api)
    except Exception as error:  # noqa: BLE001 - the application comes first
        guard.failed("open a call", error)
        return OpenCall(None, api)


def _charged(said: bool | None, found: Chargeable) -> Chargeable:
    return found if said is None else Chargeable.YES if said else Chargeable.NO


def _said(error: BaseException | str) -> tuple[str, Chargeable]:
    """What went wrong, and whether it may be billed: it may, if nothing says that it was refused."""
    if isinstance(error, str):
        return error, Chargeable.POSSIBLY
    if status_of(error) is not None:
        return chargeable_unseen(error)
    cause = cause_of(error)
    return type(cause).__name__, chargeable_after(cause)
