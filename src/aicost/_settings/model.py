"""The settings: every one of a process, the collector and the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aicost._ledger_url import LedgerUrl
from aicost._owner_rules import OwnerRules
from aicost.semconv.dimensions import METRIC_OWNERS, MetricOwner

from .collector_section import CollectorSettings
from .surroundings import Surroundings
from .units import Bytes, Durability, LedgerPlace, Profile, ReadBy, Text, UserPath, Words


def _content(value: Any) -> Any:
    """Upstream's variable also says where content goes; here it goes on spans."""
    return _CONTENT_PLACES.get(value.lower(), value) if isinstance(value, str) else value


_CONTENT_PLACES = {"span_only": True, "span_and_event": True, "event_only": False, "no_content": False, "": False}


class Secrets(BaseSettings):
    """What is needed where no other setting is, so that a mistake in another one does not matter."""

    model_config = SettingsConfigDict(env_prefix="AICOST_", env_nested_delimiter="__", extra="ignore", frozen=True)

    id_key: Annotated[SecretStr | None, ReadBy("process", "collector")] = None
    """The key of digests of ids that look like personal data, and of API keys; one in the state directory otherwise."""

    @property
    def secret_id_key(self) -> str | None:
        """The key as it is; an empty one is none."""
        return self.id_key.get_secret_value() or None if self.id_key is not None else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What it is made of, and nothing else: `load` asks the environment and the files, and knows who said what."""
        return (init_settings,)


class Settings(Secrets):
    """Every setting. A field is also the variable `AICOST_<FIELD>` and a key of `aicost.toml`.

    A key of a section is `AICOST_<SECTION>__<KEY>`, and a table of `aicost.toml`. Lists and mappings are JSON in a
    variable, or words between commas where that is enough. Made by itself it is all defaults; `load` gives what is in
    force.
    """

    model_config = SettingsConfigDict(extra="forbid")

    service_name: Text | None = None
    """`service.name` of a provider that `init()` sets up; `OTEL_SERVICE_NAME` otherwise."""
    attribution: dict[str, str] = Field(default_factory=dict)
    """Ownership of everything the process does, where no scope says otherwise."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of everything the process does: owners by keys of your own."""
    rate_card: Annotated[UserPath | None, ReadBy("process", "collector", "commands")] = None
    """A rate card, a file or a folder; the bundled one otherwise."""
    exporter: Literal["otlp", "console", "none"] | None = None
    """Where spans and metrics go. Unset: OTLP if an `OTEL_EXPORTER_OTLP_*ENDPOINT` is set, else nowhere."""
    ledger: Annotated[LedgerPlace, ReadBy("process", "collector", "commands")] = None
    """The ledger: a path, or a server's URL; `true` for the one in the user's state directory; unset or `false` for
    none, though commands that read a ledger look there then."""
    ledger_durability: Annotated[Durability, ReadBy("process", "collector")] = "process"
    """What a returned charge survives: the death of the process, or of the machine (`power`: each call waits for the
    disk, an event loop too)."""
    journal_max_bytes: Annotated[Bytes, ReadBy("process", "collector")] = 2**30
    """What may wait in a ledger's journal, of all its writers; what comes beyond counts in `aicost.ledger.lost`."""
    journal_segment_bytes: Annotated[Bytes, ReadBy("process", "collector")] = 8 * 2**20
    """How large a segment of the journal gets before the next one is begun."""
    owners: Annotated[OwnerRules, ReadBy("process", "collector")] = ()
    """Whose work is, by what it is about and from when to when, where the work itself does not say: `[[owners]]`."""
    instrument: Words[str] = ("auto",)
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
    """Record prompts and answers on spans; also upstream's `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`."""
    propagate_threads: bool = True
    """Carry scopes into threads and executors, by OpenTelemetry's threading instrumentation."""
    metric_attributes: Annotated[Words[MetricOwner], ReadBy("process", "collector")] = METRIC_OWNERS
    """Ownership keys that become metric attributes. Add `tenant_id` only if you have few tenants."""
    cost_profiles: Annotated[Words[Profile], ReadBy("process", "collector")] = ()
    """Further cost attribute names to write, for tools that read them."""
    baggage_keys: Words[str] = ()
    """Scope keys that may leave the process as baggage, to those hosts and with messages, and that are taken from what
    comes in: `tenant_id,run_id`. With `run_id` goes the workflow's name."""
    baggage_hosts: Words[str] = ()
    """Hosts they, and the id of each attempt, may go to; `.corp` means every host under it, `mcp` the `_meta` of MCP
    requests."""
    gateway_hosts: Words[str] = ()
    """Hosts of gateways that aicost is in, too: the call id that they answer with joins both ends of a call."""
    anthropic_native_spans: Literal["silence", "keep"] = "silence"
    """Whether the Anthropic client's own spans are kept beside aicost's."""
    collector: CollectorSettings = CollectorSettings()
    """What is the collector's own."""

    _surroundings: Surroundings = PrivateAttr(default_factory=Surroundings)

    @property
    def surroundings(self) -> Surroundings:
        """The variables of others that were there when these were loaded. They are in no file, and no arguments."""
        return self._surroundings

    @property
    def ledger_or_default(self) -> Path | LedgerUrl:
        """The ledger for those who cannot do without. Raises `ConfigError` for a user without a home."""
        return self.ledger or self.surroundings.ledger

    def for_collector(self) -> CollectorSettings:
        """The collector's section, with the settings that it shares with processes where it does not say otherwise."""
        own = self.collector
        card, pricing, metrics = own.rate_card, own.pricing, own.cost_metrics
        if card.path is None and card.url is None:
            card = card.model_copy(update={"path": self.rate_card})
        if "profiles" not in pricing.model_fields_set:
            pricing = pricing.model_copy(update={"profiles": self.cost_profiles})
        if "attributes" not in metrics.model_fields_set:
            metrics = metrics.model_copy(update={"attributes": self.metric_attributes})
        ledger = own.ledger if "ledger" in own.model_fields_set else self.ledger
        return own.model_copy(update={"rate_card": card, "pricing": pricing, "cost_metrics": metrics, "ledger": ledger})
