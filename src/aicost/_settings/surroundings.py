"""Variables that belong to others and that aicost goes by, too: where the user's files are, and where OTLP goes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from aicost._errors import ConfigError


class Surroundings(BaseSettings):
    """Variables of others, each by its own name. What is empty is as good as not set.

    The OpenTelemetry SDK reads all `OTEL_*` variables itself; these are the ones that decide whether, and which of its
    exporters, aicost has it make.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    xdg_state_home: Path | None = None
    """Where the user's state directory is; `~/.local/state` otherwise. aicost keeps the ledger, the
    journals of servers and its key there."""
    xdg_data_home: Path | None = None
    """Where the user's data folder is; `~/.local/share` otherwise. `aicost rates refresh` writes there."""
    otel_exporter_otlp_endpoint: str | None = None
    """Where OTLP goes. That it is set means that spans and metrics are exported."""
    otel_exporter_otlp_traces_endpoint: str | None = None
    """The same for spans."""
    otel_exporter_otlp_metrics_endpoint: str | None = None
    """The same for metrics."""
    otel_exporter_otlp_protocol: str = "http/protobuf"
    """`http/protobuf` or `grpc`."""
    otel_exporter_otlp_traces_protocol: str | None = None
    """The same for spans."""
    otel_exporter_otlp_metrics_protocol: str | None = None
    """The same for metrics."""

    @property
    def otlp_endpoint(self) -> str | None:
        """Where OTLP goes, or None if that is said nowhere."""
        return (
            self.otel_exporter_otlp_endpoint
            or self.otel_exporter_otlp_traces_endpoint
            or self.otel_exporter_otlp_metrics_endpoint
        )

    def otlp_protocol(self, signal: Literal["traces", "metrics"]) -> str:
        """How OTLP goes there."""
        own: str | None = getattr(self, f"otel_exporter_otlp_{signal}_protocol")
        return own or self.otel_exporter_otlp_protocol

    @property
    def state_folder(self) -> Path:
        """What aicost keeps for the user: `$XDG_STATE_HOME/aicost`. Raises `ConfigError` for a user without a home."""
        return _folder(self.xdg_state_home, ".local/state", "XDG_STATE_HOME")

    @property
    def data_folder(self) -> Path:
        """What the user has aicost fetch: `$XDG_DATA_HOME/aicost`. Raises `ConfigError` for a user without a home."""
        return _folder(self.xdg_data_home, ".local/share", "XDG_DATA_HOME")

    @property
    def ledger(self) -> Path:
        """The ledger of a user who named none. Raises `ConfigError` for a user without a home."""
        return self.state_folder / "ledger.sqlite"


def _folder(base: Path | None, in_home: str, variable: str) -> Path:
    # A relative one is to be ignored, says the XDG Base Directory Specification 0.8.
    if base is None or not base.is_absolute():
        try:
            base = Path.home() / in_home
        except RuntimeError:
            raise ConfigError(f"this user has no home directory; set HOME or {variable}") from None
    return base / "aicost"
