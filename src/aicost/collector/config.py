"""What a collector is told: one model for the YAML file and the flags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic import model_validator as check_whole

from aicost._errors import ConfigError
from aicost._settings import OwnerKey
from aicost.telemetry.profiles import CostProfile

_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _bytes(value: Any) -> Any:
    """`64MiB` as a number of bytes."""
    found = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    if found.group(2).lower() not in _UNITS:
        raise ValueError(f"unknown unit {found.group(2)!r}; use KiB, MiB or GiB")
    return int(found.group(1)) * _UNITS[found.group(2).lower()]


def _seconds(value: Any) -> Any:
    """`500ms`, `30s` or `5m` as a number of seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    if found.group(2) not in _SECONDS:
        raise ValueError(f"unknown unit {found.group(2)!r}; use ms, s, m or h")
    return float(found.group(1)) * _SECONDS[found.group(2)]


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (colon and port.isdigit() and int(port) <= 65535):
        raise ValueError("write it as HOST:PORT, such as 127.0.0.1:4318")
    return f"{host or '0.0.0.0'}:{port}"  # noqa: S104 - no host before the colon means every one


Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
Address = Annotated[str, AfterValidator(_address)]
Signal = Literal["traces", "metrics", "logs"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ServerTls(_Model):
    """Encryption of a receiver. With `client_ca_file`, clients must show a certificate of that authority (mTLS)."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


class ClientTls(_Model):
    """Encryption towards an exporter's endpoint."""

    ca_file: Path | None = None
    """Authorities to trust in place of the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None


class Receiver(_Model):
    """Where OTLP is received."""

    listen: Address
    tls: ServerTls | None = None


class Receivers(_Model):
    """Where OTLP comes in, and what is let in."""

    http: Receiver | None = None
    grpc: Receiver | None = None
    bearer_token_file: Path | None = None
    """A file with the token that clients must send as `authorization: Bearer ...`."""
    max_request: Bytes = 64 * 2**20
    """The size of a request, also after decompression."""
    max_in_flight: Bytes = 40 * 2**20
    """Of all requests together; beyond that clients are told to come again. One that is alone is let in at any size
    below `max_request`. Memory is up to five times this, for what spans gain and for what is being sent."""
    read_timeout: Seconds = 30.0
    """How long a client may take to send one request."""
    max_connections: int = Field(default=10_000, gt=0)
    """Beyond that, connections are closed as they come."""


class Retry(_Model):
    """How a delivery that failed is tried again: after `initial`, doubling up to `longest`."""

    initial: Seconds = 1.0
    longest: Seconds = 30.0
    give_up_after: Seconds = 3600.0
    """How long an endpoint is asked again that refuses what somebody has to put right: a credential, an address, a
    signal that it took before. What comes for it after that is tried once, and left out."""


class _Exporter(_Model):
    signals: tuple[Signal, ...] = Field(default=("traces", "metrics", "logs"), min_length=1)
    """What is sent there."""


class OtlpExporter(_Exporter):
    """An OTLP endpoint. Over HTTP a base address: `/v1/traces` and the like are added."""

    type: Literal["otlp-http", "otlp-grpc"]
    endpoint: str
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    compression: Literal["none", "gzip"] = "gzip"
    timeout: Seconds = 10.0
    tls: ClientTls | None = None
    """For otlp-grpc, `tls: {}` is encryption with the system's authorities; without it there is none."""
    retry: Retry = Retry()
    concurrency: int = Field(default=4, gt=0)
    """Requests of a signal under way at once."""


class FileExporter(_Exporter):
    """A file of OTLP/JSON, one request a line; `-` is the standard output."""

    type: Literal["file"]
    path: str


ExporterConfig = Annotated[OtlpExporter | FileExporter, Field(discriminator="type")]


class Card(_Model):
    """The rate card: a file, a folder, or an HTTPS address; the bundled one if neither is given."""

    path: Path | None = None
    url: str | None = None
    reload_interval: Seconds = 30.0

    @check_whole(mode="after")
    def _one_of_them(self) -> Card:
        if self.path is not None and self.url is not None:
            raise ValueError("give either path or url")
        if self.url is not None and not re.match(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/]", self.url):
            raise ValueError("a rate card is fetched over https only")
        return self


class SpoolConfig(_Model):
    """A folder that keeps what was received until it is delivered."""

    path: Path
    max_size: Bytes = 2**30
    """Of each process. Half of it is for traces, a quarter each for metrics and logs, as far as exporters take them."""
    durability: Literal["process", "power"] = "process"
    """What an acknowledged request survives: the death of the process, or of the machine (slower: it is fsynced)."""


class Pricing(_Model):
    """What priced spans gain."""

    profiles: tuple[CostProfile, ...] = ()
    """Further cost attribute names to write, for tools that read them."""
    overwrite: bool = False
    """Replace what somebody else wrote under the names of those profiles."""


class CostMetrics(_Model):
    """The metrics of cost and tokens that go where the spans go."""

    enabled: bool = True
    interval: Seconds = 60.0
    temporality: Literal["cumulative", "delta"] = "cumulative"
    attributes: tuple[OwnerKey, ...] = ("feature_id", "team")
    max_series: int = Field(default=2_000, gt=0)


class CollectorConfig(_Model):
    """Everything a collector is told."""

    receivers: Receivers = Receivers()
    exporters: tuple[ExporterConfig, ...] = ()
    rate_card: Card = Card()
    pricing: Pricing = Pricing()
    ledger: Path | None = None
    spool: SpoolConfig | None = None
    cost_metrics: CostMetrics = CostMetrics()
    admin: Address | None = None
    """Where `/healthz`, `/readyz` and `/metrics` are; unset, beside OTLP on the HTTP receiver."""
    processes: int = Field(default=1, gt=0)
    """Processes that share the ports. Each has its own `/metrics`: at the admin port, the next one, and so on."""
    drain_timeout: Seconds = 20.0
    """How long requests under way may take once the collector is told to stop."""

    @check_whole(mode="after")
    def _can_work(self) -> CollectorConfig:
        if self.receivers.http is None and self.receivers.grpc is None:
            raise ValueError("nothing to listen on: set receivers.http.listen or receivers.grpc.listen")
        if not self.exporters and self.ledger is None:
            raise ValueError("nowhere to send to: set exporters, or a ledger")
        if self.spool is not None and not self.exporters:
            raise ValueError("a spool keeps what exporters have still to deliver: set exporters, or leave it out")
        if self.processes > 1 and self.admin is None:
            raise ValueError("several processes need admin, so that each can be asked for its metrics")
        return self


def read_config(path: Path | None, given: dict[str, Any]) -> CollectorConfig:
    """A configuration from a file, with what was `given` as flags in place of what it says.

    Raises `ConfigError` naming the file and each field that cannot be used.
    """
    data: Any = {}
    if path is not None:
        try:
            data = yaml.safe_load(path.read_text()) or {}
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: expected settings such as receivers and exporters, not {type(data).__name__}")
    try:
        return CollectorConfig.model_validate(_merged(data, given))
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        lines = [
            f"{where}{'.'.join(map(str, problem['loc'])) or 'collector'}: "
            + problem["msg"].removeprefix("Value error, ")
            + (f" (got {problem['input']!r:.80})" if not isinstance(problem["input"], dict) else "")
            for problem in error.errors()
        ]
        raise ConfigError("; ".join(lines)) from None


def show_config(config: CollectorConfig) -> str:
    """A configuration as YAML, with secrets left out."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False)


def exporter_from(text: str) -> dict[str, Any]:
    """`otlp-http=URL`, `otlp-grpc=HOST:PORT` or `file=PATH` as an exporter's settings."""
    kind, _, where = text.partition("=")
    if kind == "file" and where:
        return {"type": kind, "path": where}
    if kind in ("otlp-http", "otlp-grpc") and where:
        return {"type": kind, "endpoint": where}
    raise ConfigError(f"--export {text!r}: write it as otlp-http=URL, otlp-grpc=HOST:PORT or file=PATH")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
