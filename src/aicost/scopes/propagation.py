"""Scopes across processes, by W3C baggage: opt-in, only allow-listed keys, only to allow-listed hosts.

Nothing is sent but to hosts that are configured (`AICOST_BAGGAGE_HOSTS`) and with messages that the application hands
over itself, and of the scope only the keys that are configured (`AICOST_BAGGAGE_KEYS`): who your tenants are is
nobody's business but yours, least of all a provider's. What comes in is taken only for allow-listed keys too. Beside
them goes the id of the attempt to those hosts, so that its work further down is one charge.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from aicost._errors import ConfigError
from aicost.semconv import attributes as a

from .leaving import leave
from .owners import ATTRIBUTES, attribute_of, is_owner
from .runs import Run
from .scope import Scope, current_scope, with_scope

_OF_RUN: Mapping[str, str] = {"run_id": a.AICOST_RUN_ID, "workflow": a.GEN_AI_WORKFLOW_NAME}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A key of baggage (W3C Baggage 1.0)."""
_HEADER = "baggage"
_EVENT_ID = re.compile(r"[0-9a-f]{32}")
_propagator = W3CBaggagePropagator()

_log = logging.getLogger("aicost")
_said = False

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
        if not (key in _OF_RUN or is_owner(key)):
            known = ", ".join((*ATTRIBUTES, *_OF_RUN))
            raise ConfigError(f"setting baggage_keys: {key!r} is unknown; known: {known}, or label:KEY")
        if not _TOKEN.fullmatch(_name_of(key)):
            raise ConfigError(
                f"setting baggage_keys: {key!r} cannot be sent: it has a sign that baggage's keys have not"
            )


def _name_of(key: str) -> str:
    """What a key is called in baggage: as on spans."""
    return _OF_RUN.get(key) or attribute_of(key)


def enabled() -> bool:
    """Whether anything may leave at all."""
    return bool(_hosts)


Carrier = MutableMapping[str, Any] | list[tuple[Any, Any]]
"""What headers may be written to: a mapping, or a list of pairs with bytes for values, as Kafka's clients have them."""
Received = Mapping[str, Any] | Iterable[tuple[Any, Any]] | None
"""What headers may be read from; their names and values may be bytes."""


def inject(headers: Carrier, *, host: str | None = None, event_id: str | None = None) -> None:
    """Add the scope to the headers of a message, or of a request to `host`, if the host is allow-listed.

    Without `host` the headers are those of a message to a queue of your own. Only keys of `AICOST_BAGGAGE_KEYS` are
    added; without any nothing is, and the log says so once. Other baggage that is there already is kept. Clients that
    aicost wraps do this for requests by themselves, and send the `event_id` of the attempt along, so that whoever does
    its work further down tells of the same charge.

    >>> aicost.inject(message.headers)
    >>> aicost.inject(request.headers, host="billing.internal")
    """
    if host is not None and not (enabled() and _allowed(host)):
        return
    if host is None and not _keys:
        _say_how_to_allow()
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
            context = baggage.set_baggage(_name_of(key), values[key], context)
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context)
    if carrier:
        _add(headers, carrier[_HEADER], baggage.get_all(context))


def _add(headers: Carrier, value: str, added: Mapping[str, object]) -> None:
    """Append to the baggage that is there, less what it says of the same keys: a message that is sent on carries its
    sender's, too."""
    present = _baggage_in(headers)
    kept = [entry for entry in present.split(",") if entry and entry.partition("=")[0].strip() not in added]
    whole = ",".join([*kept, value])
    if isinstance(headers, list):
        named = [pair[0] for pair in headers if _text(pair[0]).lower() == _HEADER]
        name = named[0] if named else _HEADER.encode() if headers and isinstance(headers[0][0], bytes) else _HEADER
        headers[:] = [pair for pair in headers if _text(pair[0]).lower() != _HEADER]
        headers.append((name, whole.encode()))
    else:
        name = next((name for name in headers if _text(name).lower() == _HEADER), _HEADER)
        headers[name] = whole


@contextmanager
def extract(headers: Received) -> Iterator[None]:
    """Continue the scope that a caller sent along: its owner, and its run if that is allow-listed.

    Takes a mapping, or pairs; names and values may be bytes.

    >>> with aicost.extract(request.headers):
    ...     handle(request)
    """
    continued = with_scope(received(headers))
    token = otel_context.attach(continued)
    try:
        yield
    finally:
        leave(token, continued)


def received(headers: Received) -> Scope:
    """The scope in force, with what a caller sent along."""
    found = baggage.get_all(_propagator.extract({_HEADER: _baggage_in(headers)}, Context()))
    values = {key: str(found[_name_of(key)]) for key in _keys if _name_of(key) in found}
    run_id, workflow = values.pop("run_id", None), values.pop("workflow", None)
    scope = current_scope().owned_by(values)
    upstream_id = found.get(a.AICOST_EVENT_ID)
    if isinstance(upstream_id, str) and _EVENT_ID.fullmatch(upstream_id):
        scope = replace(scope, upstream_id=upstream_id)
    if run_id is not None:
        scope = scope.in_run(Run(workflow, run_id=run_id))
    return scope


def _baggage_in(headers: Received) -> str:
    # Those of email.message, which http.server has, are no Mapping.
    items = getattr(headers, "items", None)
    pairs: Iterable[Any] = headers or () if items is None else items()
    return ",".join(_text(pair[1]) for pair in pairs if pair[1] and _text(pair[0]).lower() == _HEADER)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _say_how_to_allow() -> None:
    global _said
    if not _said:
        _said = True
        _log.warning(
            "no scope goes along with messages: name the keys that may leave in AICOST_BAGGAGE_KEYS, "
            "for instance AICOST_BAGGAGE_KEYS=run_id,workflow,tenant_id, where messages are sent and received."
        )


def _allowed(host: str) -> bool:
    host = host.lower()
    return any(host == allowed or (allowed.startswith(".") and host.endswith(allowed)) for allowed in _hosts)
