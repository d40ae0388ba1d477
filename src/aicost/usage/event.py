"""UsageEvent: the one record every door produces and every sink consumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from enum import Enum
from typing import Any, NamedTuple

from .meters import Quantity

STORAGE_API = "vector"
"""The `api` of an operation of a vector database."""


class RequestStatus(str, Enum):
    """How an attempt ended, as `aicost.request.status` says it."""

    SUCCESS = "success"
    RETRY = "retry"
    """Failed, and the client tried again."""
    TIMEOUT = "timeout"
    FAILURE = "failure"


class Chargeable(str, Enum):
    """Whether the provider charges for an attempt, as far as its caller can know."""

    YES = "yes"
    NO = "no"
    """Refused before any work: a 429, a 5xx, a connection never made."""
    POSSIBLY = "possibly"
    """The provider may have done work whose usage never reached us: a read timeout, a cut stream."""


SKEW_NS = 10_000_000_000
"""How far apart the clocks of a caller and of a process further down may be."""


class Origin(NamedTuple):
    """Where an attempt was answered, and the ids by which a bill or a downstream hop may tell of it."""

    host: str | None = None
    organization: str | None = None
    """The provider's organisation, workspace or account that is billed."""
    project: str | None = None
    """The provider's project."""
    credential: str | None = None
    """A keyed digest of the API key (`aicost.scopes.ids.credential_digest`); never the key."""
    request_id: str | None = None
    """The provider's id of the request, of its headers: what its support asks for."""
    gateway_call_id: str | None = None
    """The id that a gateway on the way gave the call."""
    gateway: bool = False
    """Whether the host is a gateway that the application has declared, so that its call id is proof of one call."""
    upstream_id: str | None = None
    """The attempt of another process that this one is the work of: its event id, or `gateway:` and the call id."""


NOWHERE = Origin()
_NOBODY: Mapping[str, str] = {}


@dataclass(init=False, frozen=True, slots=True)
class UsageEvent:
    """One billable operation *attempt*: what was used, of whom, when, for whom, and how it ended.

    `usage` holds disjoint quantities by meter id. It is `None` when no usage reached us, which is not the same
    as `{}`, nothing used. Times are nanoseconds since the epoch. It keeps copies of `usage` and `attribution`, here and
    nowhere else, so that whoever made an event may go on with what it was made from.
    """

    event_id: str
    provider: str
    operation: str
    model: str
    """The model that answered if the response says so, else the one asked for."""
    usage: Mapping[str, Quantity] | None
    started_ns: int
    ended_ns: int
    request_model: str | None
    response_id: str | None
    api: str | None
    service_tier: str | None
    """The tier that served the request; `None` is the provider's default."""
    region: str | None
    speed: str | None
    status: RequestStatus
    chargeable: Chargeable
    error_type: str | None
    attempt: int
    retry_count: int
    """Attempts of the same call that came before this one."""
    backoff_ns: int
    """Time the client waited after this attempt before the next."""
    complete: bool
    """False when the usage is known to miss something: a stream that was cut short."""
    estimated: bool
    flags: tuple[str, ...]
    """What does not add up in the usage, for example `cached_exceeds_input`."""
    provider_cost: str | None
    """The cost the provider itself reported, as a decimal string in `provider_currency`."""
    provider_currency: str
    trace_id: str | None
    span_id: str | None
    run_id: str | None
    root_run_id: str | None
    workflow: str | None
    step: str | None
    step_id: str | None
    agent: str | None
    retry_of: str | None
    """The event of the failed call to the same model that the application followed with this one."""
    fallback_of: str | None
    """The event of the failed call to another model or provider that the application followed with this one."""
    attribution: Mapping[str, str]
    origin: Origin

    def __new__(  # noqa: PYI034 - of 3.11
        cls,
        event_id: str,
        provider: str,
        operation: str,
        model: str,
        usage: Mapping[str, Quantity] | None,
        started_ns: int,
        ended_ns: int,
        request_model: str | None = None,
        response_id: str | None = None,
        api: str | None = None,
        service_tier: str | None = None,
        region: str | None = None,
        speed: str | None = None,
        status: RequestStatus = RequestStatus.SUCCESS,
        chargeable: Chargeable = Chargeable.YES,
        error_type: str | None = None,
        attempt: int = 1,
        retry_count: int = 0,
        backoff_ns: int = 0,
        complete: bool = True,
        estimated: bool = False,
        flags: tuple[str, ...] = (),
        provider_cost: str | None = None,
        provider_currency: str = "USD",
        trace_id: str | None = None,
        span_id: str | None = None,
        run_id: str | None = None,
        root_run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        step_id: str | None = None,
        agent: str | None = None,
        retry_of: str | None = None,
        fallback_of: str | None = None,
        attribution: Mapping[str, str] = _NOBODY,
        origin: Origin = NOWHERE,
    ) -> UsageEvent:
        # The constructor of a frozen dataclass sets each field through `object.__setattr__`, which takes four times as
        # long as all of this; there is an event for every call.
        made = _Draft(
            event_id,
            provider,
            operation,
            model,
            None if usage is None else {**usage},
            started_ns,
            ended_ns,
            request_model,
            response_id,
            api,
            service_tier,
            region,
            speed,
            status,
            chargeable,
            error_type,
            attempt,
            retry_count,
            backoff_ns,
            complete,
            estimated,
            flags,
            provider_cost,
            provider_currency,
            trace_id,
            span_id,
            run_id,
            root_run_id,
            workflow,
            step,
            step_id,
            agent,
            retry_of,
            fallback_of,
            {**attribution},
            origin,
        )
        made.__class__ = cls
        event: UsageEvent = made
        return event

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __reduce__(self) -> tuple[type[UsageEvent], tuple[Any, ...]]:
        return UsageEvent, tuple(getattr(self, name) for name in _FIELDS)

    @property
    def is_storage(self) -> bool:
        """Whether it is an operation of a database: `provider` is its system, `model` the collection."""
        return self.api == STORAGE_API


_FIELDS = tuple(field.name for field in fields(UsageEvent))
_Draft: Any = make_dataclass("_Draft", _FIELDS, slots=True, eq=False, repr=False)
"""An event while it is made: the same slots, and they can be set."""
