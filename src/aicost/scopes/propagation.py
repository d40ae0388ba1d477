"""Scopes across processes, by W3C baggage: opt-in, only allow-listed keys, only to allow-listed hosts.

Nothing is sent but to hosts that are configured (`AICOST_BAGGAGE_HOSTS`), and of the scope only the keys that are
(`AICOST_BAGGAGE_KEYS`): who your tenants are is nobody's business but yours, least of all a provider's. What comes in
is taken only for allow-listed keys too. Beside them goes the id of the attempt, so that its work further down is one
charge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from aicost._errors import ConfigError
from aicost.semconv import attributes as a

from .leaving import leave
from .runs import Run
from .scope import ATTRIBUTES, Scope, current_scope, with_scope

_NAMES: Mapping[str, str] = {**ATTRIBUTES, "run_id": a.AICOST_RUN_ID, "workflow": a.GEN_AI_WORKFLOW_NAME}
_HEADER = "baggage"
_EVENT_ID = re.compile(r"[0-9a-f]{32}")
_propagator = W3CBaggagePropagator()

_keys: tuple[str, ...] = ()
_hosts: tuple[str, ...] = ()


def allow(keys: tuple[str, ...], hosts: tuple[str, ...]) -> None:
    """Set what may leave and enter, and where to. Hosts are exact, or suffixes with a leading dot.

    With `run_id` goes the name of the run's workflow.
    """
    global _keys, _hosts
    check(keys)
    if "run_id" in keys and "workflow" not in keys:
        # One run has one name, whoever goes on with it.
        keys = (*keys, "workflow")
    _keys, _hosts = keys, tuple(host.lower() for host in hosts)


def check(keys: tuple[str, ...]) -> None:
    """Raise `ConfigError` for a key that a scope does not have."""
    for key in keys:
        if key not in _NAMES:
            raise ConfigError(f"setting baggage_keys: {key!r} is unknown; known: {', '.join(_NAMES)}")


def enabled() -> bool:
    """Whether anything may leave at all."""
    return bool(_hosts)


def inject(headers: MutableMapping[str, str], *, host: str, event_id: str | None = None) -> None:
    """Add the scope to the headers of a request to `host`, if the host is allow-listed.

    Baggage that is there already is kept. Clients that aicost wraps do this by themselves, and send the `event_id` of
    the attempt along, so that whoever does its work further down tells of the same charge.

    >>> aicost.inject(request.headers, host="billing.internal")
    """
    if not enabled() or not _allowed(host):
        return
    scope = current_scope()
    values = dict(scope.attribution)
    if scope.run is not None:
        values["run_id"] = scope.run.id
        if scope.run.workflow is not None:
            values["workflow"] = scope.run.workflow
    context = Context()
    if event_id is not None:
        context = baggage.set_baggage(a.AICOST_EVENT_ID, event_id, context)
    for key in _keys:
        if key in values:
            context = baggage.set_baggage(_NAMES[key], values[key], context)
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context)
    if carrier:
        present = headers.get(_HEADER)
        headers[_HEADER] = f"{present},{carrier[_HEADER]}" if present else carrier[_HEADER]


@contextmanager
def extract(headers: Mapping[str, str]) -> Iterator[None]:
    """Continue the scope that a caller sent along: its owner, and its run if that is allow-listed.

    >>> with aicost.extract(request.headers):
    ...     handle(request)
    """
    continued = with_scope(received(headers))
    token = otel_context.attach(continued)
    try:
        yield
    finally:
        leave(token, continued)


def received(headers: Mapping[str, object]) -> Scope:
    """The scope in force, with what a caller sent along."""
    carrier = {name.lower(): value for name, value in headers.items()}
    found = baggage.get_all(_propagator.extract({_HEADER: str(carrier.get(_HEADER) or "")}, Context()))
    values = {key: str(found[_NAMES[key]]) for key in _keys if _NAMES[key] in found}
    run_id, workflow = values.pop("run_id", None), values.pop("workflow", None)
    scope = current_scope().owned_by(values)
    upstream_id = found.get(a.AICOST_EVENT_ID)
    if isinstance(upstream_id, str) and _EVENT_ID.fullmatch(upstream_id):
        scope = replace(scope, upstream_id=upstream_id)
    if run_id is not None:
        scope = scope.in_run(Run(workflow, run_id=run_id))
    return scope


def _allowed(host: str) -> bool:
    host = host.lower()
    return any(host == allowed or (allowed.startswith(".") and host.endswith(allowed)) for allowed in _hosts)
