"""UsageEvent: the one record every door produces and every sink consumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One billable operation *attempt*: what was used, of whom, when, for whom, and how it ended.

    `usage` holds disjoint quantities by meter id. It is `None` when no usage reached us, which is not the same
    as `{}`, nothing used. Times are nanoseconds since the epoch.
    """

    event_id: str
    provider: str
    operation: str
    model: str
    """The model that answered if the response says so, else the one asked for."""
    usage: Mapping[str, Quantity] | None
    started_ns: int
    ended_ns: int
    request_model: str | None = None
    response_id: str | None = None
    api: str | None = None
    service_tier: str | None = None
    """The tier that served the request; `None` is the provider's default."""
    region: str | None = None
    speed: str | None = None
    status: RequestStatus = RequestStatus.SUCCESS
    chargeable: Chargeable = Chargeable.YES
    error_type: str | None = None
    attempt: int = 1
    retry_count: int = 0
    """Attempts of the same call that came before this one."""
    backoff_ns: int = 0
    """Time the client waited after this attempt before the next."""
    complete: bool = True
    """False when the usage is known to miss something: a stream that was cut short."""
    estimated: bool = False
    flags: tuple[str, ...] = ()
    """What does not add up in the usage, for example `cached_exceeds_input`."""
    provider_cost: str | None = None
    """The cost the provider itself reported, as a decimal string in `provider_currency`."""
    provider_currency: str = "USD"
    trace_id: str | None = None
    span_id: str | None = None
    run_id: str | None = None
    root_run_id: str | None = None
    workflow: str | None = None
    step: str | None = None
    step_id: str | None = None
    agent: str | None = None
    retry_of: str | None = None
    """The event of the failed call to the same model that the application followed with this one."""
    fallback_of: str | None = None
    """The event of the failed call to another model or provider that the application followed with this one."""
    attribution: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = NOWHERE

    @property
    def is_storage(self) -> bool:
        """Whether it is an operation of a database: `provider` is its system, `model` the collection."""
        return self.api == STORAGE_API
