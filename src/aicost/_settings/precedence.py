"""Who says a setting: an argument, else a variable, else a file the user named, else `aicost.toml`, else the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource, InitSettingsSource, TomlConfigSettingsSource

from aicost._errors import ConfigError
from aicost._ledger_url import is_url, without_password

from .leaves import leaves
from .model import Secrets, Settings

M = TypeVar("M", bound=Secrets)
_CONTAINERS = {"dict_type", "tuple_type", "model_type", "model_attributes_type", "mapping_type"}


class SettingsPlace(NamedTuple):
    """Somewhere settings are said."""

    name: str
    """What a user calls it: the path of a file."""
    said: Mapping[str, Any]
    """By the names of the model."""


def load(file: SettingsPlace | None = None, /, **arguments: Any) -> Settings:
    """The settings in force; arguments at None are left to the other places.

    `file` is one that the user named, which comes after the environment and before `aicost.toml`. Raises `ConfigError`
    naming each setting and value that cannot be used, and where it is said.

    >>> load(service_name="support-agent").service_name
    'support-agent'
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    return _read(Settings, given, *(() if file is None else (file,)))


def id_key() -> str | None:
    """The key that is set, if one is. By itself, since a wrong setting elsewhere must not change what ids are."""
    return _read(Secrets, {}).secret_id_key


def _read(model: type[M], arguments: dict[str, Any], *files: SettingsPlace) -> M:
    environment = _Environment(model)
    places = (
        SettingsPlace("an argument", InitSettingsSource(model, arguments)()),
        SettingsPlace("the environment", environment()),
        *files,
        SettingsPlace("aicost.toml", _toml(model)),
    )
    merged: dict[str, Any] = {}
    for place in reversed(places):
        merged = _merged(merged, place.said)
    try:
        return model(**merged)
    except ValidationError as error:
        problems = [_problem(dict(problem), places, environment) for problem in error.errors()]
        raise ConfigError("; ".join(problems)) from None


class _Environment(EnvSettingsSource):
    """The variables. What should be JSON and is not goes on as it is, for the model to refuse by its name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A list or mapping, from JSON."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value

    def variable(self, where: Sequence[str | int]) -> str:
        """The variable that says what is at a place in the model."""
        for length in range(len(where), 0, -1):
            name = f"{self.env_prefix}{'__'.join(map(str, where[:length]))}"
            if name.lower() in self.env_vars:
                return name.upper()
        alias = self.settings_cls.model_fields[str(where[0])].validation_alias
        others = alias.choices if isinstance(alias, AliasChoices) else []
        return next((str(one) for one in others if str(one).lower() in self.env_vars), "the environment")


def _toml(model: type[Secrets]) -> dict[str, Any]:
    try:
        said: dict[str, Any] = TomlConfigSettingsSource(model, "aicost.toml")()
        return said
    except (ValueError, OSError) as error:  # syntax, with line and column; no UTF-8; not ours to read
        raise ConfigError(f"aicost.toml: {error}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _problem(problem: dict[str, Any], places: Sequence[SettingsPlace], environment: _Environment) -> str:
    """`setting KEY: what is wrong with it (got VALUE in PLACE)`. Of an argument the caller knows the place."""
    where, value = problem["loc"], problem["input"]
    arguments, variables, *files = places
    place = max(places, key=lambda one: _said_there(one.said, where))
    said_in, message = f"in {place.name}", problem["msg"].removeprefix("Value error, ")
    if place is arguments:
        said_in = ""
    elif place is variables:
        said_in = f"in {environment.variable(where)}"
        if problem["type"] in _CONTAINERS:
            message += "; write it as JSON"
    elif place in files[:-1]:  # a section's own file does not name the section
        where = where[1:] or where
    shown = without_password(value) if is_url(value) else value
    got = f"got {shown!r:.80} {said_in}" if _may_be_shown(where, value) else said_in
    return f"setting {'.'.join(map(str, where)) or '?'}: {message}" + (f" ({got.strip()})" if got.strip() else "")


def _said_there(said: Any, where: Sequence[str | int]) -> int:
    """How far a place in the model is said; tags of unions, which are part of it, are said nowhere."""
    depth = 0
    for key in where:
        if isinstance(said, str):  # words that the model has taken apart
            return depth + 1
        try:
            said = said[key]
        except (KeyError, IndexError, TypeError):
            continue
        depth += 1
    return depth


def _may_be_shown(where: Sequence[str | int], value: Any) -> bool:
    """Whether a value is short, and no secret is in it."""
    secrets = {leaf.path[-1] for leaf in leaves(Settings) if leaf.secret}
    if isinstance(value, (Mapping, list, tuple)) or secrets & set(map(str, where)):
        return False
    return not (isinstance(value, str) and value.lstrip().startswith(("{", "[")))
