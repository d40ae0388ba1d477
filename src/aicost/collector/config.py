"""What a collector is told: its section of the settings, a YAML file with the same keys, and the flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from aicost._errors import ConfigError
from aicost._settings import Settings, SettingsPlace, load
from aicost._settings.collector_section import CollectorSettings


def read_config(path: Path | None, given: dict[str, Any]) -> Settings:
    """The settings of a collector: what was `given` as flags, the environment, its own file, `aicost.toml`.

    Raises `ConfigError` naming the file and each setting that cannot be used.
    """
    settings = load(None if path is None else SettingsPlace(str(path), {"collector": _in_file(path)}), collector=given)
    own = settings.for_collector()
    _check_it_can_work(own)
    return settings.model_copy(update={"collector": own})


def show_config(settings: Settings) -> str:
    """What a collector was told as YAML, with secrets left out."""
    return yaml.safe_dump(settings.collector.model_dump(mode="json", exclude_none=True), sort_keys=False)


def exporter_from(text: str) -> dict[str, Any]:
    """`otlp-http=URL`, `otlp-grpc=HOST:PORT` or `file=PATH` as an exporter's settings."""
    kind, _, where = text.partition("=")
    if kind == "file" and where:
        return {"type": kind, "path": where}
    if kind in ("otlp-http", "otlp-grpc") and where:
        return {"type": kind, "endpoint": where}
    raise ConfigError(f"--export {text!r}: write it as otlp-http=URL, otlp-grpc=HOST:PORT or file=PATH")


def _in_file(path: Path) -> dict[str, Any]:
    try:
        said: Any = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise ConfigError(f"{path}: expected settings such as receivers and exporters, not {type(said).__name__}")
    return said


def _check_it_can_work(own: CollectorSettings) -> None:
    """Raise `ConfigError` for a collector that would do nothing. A process with the same settings need not run one."""
    if own.receivers.http is None and own.receivers.grpc is None:
        raise ConfigError("nothing to listen on: set receivers.http.listen or receivers.grpc.listen")
    if not own.exporters and own.ledger is None:
        raise ConfigError("nowhere to send to: set exporters, or a ledger")
    if own.spool is not None and not own.exporters:
        raise ConfigError("a spool keeps what exporters have still to deliver: set exporters, or leave it out")
    if own.processes > 1 and own.admin is None:
        raise ConfigError("several processes need admin, so that each can be asked for its metrics")
