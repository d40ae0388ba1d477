"""Every setting in one model: arguments, then `AICOST_*` variables, then `aicost.toml`, then these defaults.

`Surroundings` are variables of others that aicost looks at, too. Nothing else reads the environment: a test sees to it,
and names what passes it on. The standard `OTEL_*` variables are read by the OpenTelemetry SDK itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ._errors import ConfigError
from ._owner_rules import OwnerRules
from ._wellformed import wellformed
from .semconv.dimensions import METRIC_OWNERS, MetricOwner


def _words(value: Any) -> Any:
    """A comma-separated variable as a tuple."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _sound(value: Any) -> Any:
    return wellformed(value) if isinstance(value, str) else value


def _ledger(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in {"", "0", "false", "no", "off"}:
        return None
    if value is True or (isinstance(value, str) and value.lower() in {"1", "true", "yes", "on"}):
        return default_ledger()
    return None if value is False else value


def _content(value: Any) -> Any:
    """Upstream's variable also says where content goes; here it goes on spans."""
    return _CONTENT_PLACES.get(value.lower(), value) if isinstance(value, str) else value


_CONTENT_PLACES = {"span_only": True, "span_and_event": True, "event_only": False, "no_content": False, "": False}
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


def default_ledger() -> Path:
    """The ledger in the user's state directory: `$XDG_STATE_HOME/aicost/ledger.sqlite`."""
    return state_folder() / "ledger.sqlite"


def state_folder() -> Path:
    """What aicost keeps for the user: `$XDG_STATE_HOME/aicost`. Raises `ConfigError` where the user has no home."""
    return _folder("xdg_state_home", ".local/state")


def data_folder() -> Path:
    """What the user has aicost fetch: `$XDG_DATA_HOME/aicost`. Raises `ConfigError` where the user has no home."""
    return _folder("xdg_data_home", ".local/share")


def _folder(variable: str, in_home: str) -> Path:
    base = getattr(Surroundings(), variable)
    # A relative one is to be ignored, says the XDG Base Directory Specification 0.8.
    if base is None or not base.is_absolute():
        try:
            base = Path.home() / in_home
        except RuntimeError:
            raise ConfigError(f"this user has no home directory; set HOME or {variable.upper()}") from None
    return Path(base) / "aicost"


class Surroundings(BaseSettings):
    """Variables that belong to others. What is empty is as good as not set."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    xdg_state_home: Path | None = None
    xdg_data_home: Path | None = None
    otel_exporter_otlp_endpoint: str | None = None
    otel_exporter_otlp_traces_endpoint: str | None = None
    otel_exporter_otlp_metrics_endpoint: str | None = None


class Secrets(BaseSettings):
    """What is no argument, and is needed where no other setting is."""

    model_config = SettingsConfigDict(
        env_prefix="AICOST_", toml_file="aicost.toml", extra="ignore", frozen=True, env_ignore_empty=True
    )

    id_key: SecretStr | None = None
    """The key of digests of ids that look like personal data, and of API keys; one in the state directory otherwise."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, file: in this order."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class Settings(Secrets):
    """What can be configured. Each field is also the variable `AICOST_<FIELD>` and a key of `aicost.toml`."""

    model_config = SettingsConfigDict(extra="forbid", env_ignore_empty=False)

    service_name: Annotated[str | None, BeforeValidator(_sound)] = None
    """`service.name` of a provider that init() sets up; OTEL_SERVICE_NAME otherwise."""
    attribution: dict[str, str] = Field(default_factory=dict)
    """Ownership of everything the process does, where no scope says otherwise."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of everything the process does: owners by keys of your own."""
    owners: OwnerRules = ()
    """Whose work is, by what it is about, where the work itself does not say: `[[owners]]` (docs/ownership.md)."""
    rate_card: Path | None = None
    """A rate-card file; the bundled one otherwise."""
    exporter: Literal["otlp", "console", "none"] | None = None
    """Where spans and metrics go. Unset: OTLP if an OTEL_EXPORTER_OTLP_*ENDPOINT is set, else nowhere."""
    ledger: Annotated[Path | None, BeforeValidator(_ledger)] = None
    """Path of the SQLite ledger; `true` for the user's state directory; unset for none."""
    ledger_durability: Literal["process", "power"] = "process"
    """What a returned charge survives: the death of the process, or of the machine (slower)."""
    instrument: Words = ("auto",)
    """Integrations by name; `auto` for all whose package is installed; empty for none."""
    provider_hosts: dict[str, str] = Field(default_factory=dict)
    """Provider names of hosts of your own that speak OpenAI's API: `{"llm.internal": "our_vllm"}`."""
    request_stream_usage: bool = False
    """Ask for usage in streams of chat completions that did not, and hide the chunk that has it."""
    tokenizer: str | None = None
    """What counts tokens where a stream reported none: `tiktoken`, or a function as `module:name`. Marked estimated."""
    capture_content: Annotated[bool, BeforeValidator(_content)] = Field(
        default=False,
        validation_alias=AliasChoices(
            "capture_content", "AICOST_CAPTURE_CONTENT", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
        ),
    )
    """Record prompts and answers on spans."""
    propagate_threads: bool = True
    """Carry scopes into threads and executors, by OpenTelemetry's threading instrumentation."""
    metric_attributes: Annotated[tuple[MetricOwner, ...], NoDecode, BeforeValidator(_words)] = METRIC_OWNERS
    """Ownership keys that become metric attributes. Add tenant_id only if you have few tenants."""
    cost_profiles: Annotated[
        tuple[Literal["flat", "semconv", "openinference"], ...], NoDecode, BeforeValidator(_words)
    ] = ()
    """Further cost attribute names to write, for tools that read them."""
    baggage_keys: Words = ()
    """Scope keys that may leave the process as baggage, such as `tenant_id,run_id`; none by default."""
    baggage_hosts: Words = ()
    """Hosts they, and the id of each attempt, may go to; none by default."""
    gateway_hosts: Words = ()
    """Hosts of gateways that aicost is in, too: the call id that they answer with joins both ends of a call."""
    anthropic_native_spans: Literal["silence", "keep"] = "silence"
    """Whether the Anthropic client's own spans are kept beside aicost's."""


def load(**arguments: Any) -> Settings:
    """The settings in force; arguments at None are left to the other sources.

    Raises `ConfigError` naming each field and value that cannot be used.
    """
    global _loaded
    try:
        _loaded = Settings(**{name: value for name, value in arguments.items() if value is not None})
        return _loaded
    except ValidationError as error:
        lines = [
            f"setting {'.'.join(map(str, problem['loc'])) or '?'}: {problem['msg']} (got {problem['input']!r:.80})"
            for problem in error.errors()
        ]
        raise ConfigError("; ".join(lines)) from None
    except ValueError as error:
        raise ConfigError(f"aicost.toml: {error}") from error


_loaded: Secrets | None = None


def id_key() -> str | None:
    """The key that is set, if one is: as the settings were loaded last, or as it is set now where none ever were.

    By itself, since a wrong setting elsewhere must not change what ids are. Raises `ConfigError`.
    """
    global _loaded
    try:
        _loaded = _loaded or Secrets()
    except ValueError as error:
        raise ConfigError(f"aicost.toml: {error}") from error
    return _loaded.id_key.get_secret_value() or None if _loaded.id_key is not None else None
