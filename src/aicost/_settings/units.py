"""The kinds of values that settings have: bytes, seconds, addresses, words; and choices that several have."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    SerializationInfo,
    WrapValidator,
)
from pydantic_settings import NoDecode

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl, is_url
from aicost._wellformed import wellformed

from .surroundings import Surroundings

_BYTES = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Program = Literal["process", "collector", "commands"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number is of: for the table in the docs."""

    name: str


class ReadBy:
    """Who reads a setting, where that is not its section's program alone: for the table in the docs."""

    __slots__ = ("programs",)

    def __init__(self, *programs: Program) -> None:
        self.programs = programs


def _bytes(value: Any) -> Any:
    """`64MiB` as a number of bytes."""
    found = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    if found.group(2).lower() not in _BYTES:
        raise ValueError(f"unknown unit {found.group(2)!r}; use KiB, MiB or GiB")
    return int(found.group(1)) * _BYTES[found.group(2).lower()]


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


def _words(value: Any) -> Any:
    """A comma-separated variable as a tuple."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _ledger(value: Any, as_path: Callable[[Any], Any]) -> Any:
    if value is False or (isinstance(value, str) and value.lower() in {"", "0", "false", "no", "off"}):
        return None
    if value is True or (isinstance(value, str) and value.lower() in {"1", "true", "yes", "on"}):
        return Surroundings().ledger
    if isinstance(value, str) and is_url(value):
        try:
            return LedgerUrl(value)
        except LedgerError as error:
            raise ValueError(str(error)) from None
    return value if isinstance(value, LedgerUrl) else as_path(value)


def _dumped(value: Any, info: SerializationInfo) -> Any:
    return str(value) if info.mode == "json" and value is not None else value


def _at_home(value: Path) -> Path:
    """`~` is the user's home: nothing has expanded it in a file, or in many a variable."""
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("there is no such home directory; write the whole path") from None


def _sound(value: Any) -> Any:
    return wellformed(value) if isinstance(value, str) else value


T = TypeVar("T")
Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0), Unit("bytes")]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0), Unit("seconds")]
Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, BeforeValidator(_sound)]
Words = Annotated[tuple[T, ...], NoDecode, BeforeValidator(_words)]
UserPath = Annotated[Path, AfterValidator(_at_home)]
# What it returns is said here: pydantic 2.10 looks for the names of annotations where the setting is, not here.
_AsLedger = Annotated[UserPath | None, WrapValidator(_ledger), PlainSerializer(_dumped, return_type=Any)]
LedgerPlace = Annotated[
    Path | LedgerUrl | None,
    # Not as a union: a mistake is one of the setting, not of each of its kinds.
    GetPydanticSchema(lambda _, handler: handler.generate_schema(_AsLedger)),
]
Durability = Literal["process", "power"]
Profile = Literal["flat", "semconv", "openinference"]
