"""The collector's section of the settings."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic import model_validator as check_whole

from aicost.semconv.dimensions import METRIC_OWNERS, MetricOwner

from .units import Address, Bytes, Durability, LedgerPlace, Profile, Seconds, UserPath, Words

Signal = Literal["traces", "metrics", "logs"]


class Section(BaseModel):
    """A part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ServerTls(Section):
    """Encryption of a receiver. With `client_ca_file`, clients must show a certificate of that authority (mTLS)."""

    cert_file: UserPath
    """The certificate, and those between it and an authority."""
    key_file: UserPath
    """Its key."""
    client_ca_file: UserPath | None = None
    """The authority whose certificates clients must show."""


class ClientTls(Section):
    """Encryption towards an exporter's endpoint."""

    ca_file: UserPath | None = None
    """Authorities to trust in place of the system's."""
    cert_file: UserPath | None = None
    """A certificate to show."""
    key_file: UserPath | None = None
    """Its key."""


class Receiver(Section):
    """Where OTLP is received."""

    listen: Address
    """`HOST:PORT`; without a host, every address of the machine."""
    tls: ServerTls | None = None
    """Encrypted; plain without it."""


class Receivers(Section):
    """Where OTLP comes in, and what is let in."""

    http: Receiver | None = None
    """OTLP over HTTP, usually at port 4318."""
    grpc: Receiver | None = None
    """OTLP over gRPC, usually at port 4317."""
    bearer_token_file: UserPath | None = None
    """A file with the token that clients must send as `authorization: Bearer ...`; for `/metrics`, too."""
    max_request: Bytes = 64 * 2**20
    """The size of a request, also after decompression."""
    max_in_flight: Bytes = 40 * 2**20
    """Of all requests together; beyond that clients are told to come again. One that is alone is let in at any size
    below `max_request`. Memory is up to five times this, for what spans gain and for what is being sent."""
    read_timeout: Seconds = 30.0
    """How long a client may take to send the headers, and the body, of one request."""
    max_connections: int = Field(default=10_000, gt=0)
    """Beyond that, connections are closed as they come."""


class Retry(Section):
    """How a delivery that failed is tried again: after `initial`, doubling up to `longest`."""

    initial: Seconds = 1.0
    """The first wait."""
    longest: Seconds = 30.0
    """The longest one."""
    give_up_after: Seconds = 3600.0
    """How long an endpoint is asked again that refuses what somebody has to put right: a credential, an address, a
    signal that it took before. What comes for it after that is tried once, and left out."""


class _Exporter(Section):
    signals: tuple[Signal, ...] = Field(default=("traces", "metrics", "logs"), min_length=1)
    """What is sent there."""


class OtlpExporter(_Exporter):
    """An OTLP endpoint. Over HTTP a base address: `/v1/traces` and the like are added."""

    type: Literal["otlp-http", "otlp-grpc"]
    """How it is sent."""
    endpoint: str
    """A base address, or `HOST:PORT`."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent along; never shown."""
    compression: Literal["none", "gzip"] = "gzip"
    """Of what is sent."""
    timeout: Seconds = 10.0
    """How long a request may take."""
    tls: ClientTls | None = None
    """For otlp-grpc, `tls: {}` is encryption with the system's authorities; without it there is none."""
    retry: Retry = Retry()
    """How a delivery that failed is tried again."""
    concurrency: int = Field(default=4, gt=0)
    """Requests of a signal under way at once."""


class FileExporter(_Exporter):
    """A file of OTLP/JSON, one request a line; `-` is the standard output."""

    type: Literal["file"]
    """Into a file."""
    path: str
    """OTLP/JSON, one request a line; `-` is the standard output."""


ExporterConfig = Annotated[OtlpExporter | FileExporter, Field(discriminator="type")]


class Card(Section):
    """The rate card: a file, a folder, or an HTTPS address; the bundled one if neither is given."""

    path: UserPath | None = None
    """A file or a folder; that of the setting `rate_card` otherwise."""
    url: str | None = None
    """An `https` address, in place of a path."""
    reload_interval: Seconds = 30.0
    """How often it is looked at for changes."""

    @check_whole(mode="after")
    def _one_of_them(self) -> Card:
        if self.path is not None and self.url is not None:
            raise ValueError("give either path or url")
        if self.url is not None and not re.match(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/]", self.url):
            raise ValueError("a rate card is fetched over https only")
        return self


class SpoolConfig(Section):
    """A folder that keeps what was received until it is delivered."""

    path: UserPath
    """The folder."""
    max_size: Bytes = 2**30
    """Of each process. Half of it is for traces, a quarter each for metrics and logs, as far as exporters take them."""
    durability: Durability = "process"
    """What an acknowledged request survives: the death of the process, or of the machine (slower: it is fsynced)."""


class Pricing(Section):
    """What priced spans gain."""

    profiles: Words[Profile] = ()
    """Further cost attribute names to write, for tools that read them; those of `cost_profiles` otherwise."""
    overwrite: bool = False
    """Replace what somebody else wrote under the names of those profiles."""


class CostMetrics(Section):
    """The metrics of cost and tokens that go where the spans go."""

    enabled: bool = True
    """Make them."""
    interval: Seconds = 60.0
    """How often they are sent to the exporters."""
    temporality: Literal["cumulative", "delta"] = "cumulative"
    """What a sum counts from: the start of the collector, or the last time it was sent."""
    attributes: Words[MetricOwner] = METRIC_OWNERS
    """Owner keys that become attributes; those of `metric_attributes` otherwise."""
    max_series: int = Field(default=2_000, gt=0)
    """Combinations of attributes that are told apart; what comes beyond that is one more."""


class CollectorSettings(Section):
    """What is a collector's own: `[collector]` of aicost.toml, or a file of its own."""

    receivers: Receivers = Receivers()
    """Where OTLP comes in, and what is let in."""
    exporters: tuple[ExporterConfig, ...] = ()
    """Where everything goes: a list, JSON in a variable."""
    rate_card: Card = Card()
    """The rate card."""
    pricing: Pricing = Pricing()
    """What priced spans gain."""
    ledger: LedgerPlace = None
    """A ledger that is to have every charge, too, a path or a server's URL; that of the setting `ledger` otherwise,
    `false` for none."""
    spool: SpoolConfig | None = None
    """A folder that keeps what was received until it is delivered."""
    cost_metrics: CostMetrics = CostMetrics()
    """The metrics of cost and tokens that go where the spans go."""
    admin: Address | None = None
    """Where `/healthz`, `/readyz` and `/metrics` are; unset, beside OTLP on the HTTP receiver."""
    processes: int = Field(default=1, gt=0)
    """Processes that share the ports. Each has its own `/metrics`: at the admin port, the next one, and so on."""
    drain_timeout: Seconds = 20.0
    """How long requests under way may take once the collector is told to stop."""
