"""What is configured comes from one model, and nothing reads the environment beside it."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args

import click
import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel, SecretStr
from pydantic_settings import NoDecode

import aicost
from aicost._errors import ConfigError
from aicost._settings import Settings, Surroundings, load
from aicost._settings.leaves import Leaf, kinds, leaves
from aicost._settings.units import Profile
from aicost.cli import cli
from aicost.scopes.ids import opaque
from aicost.telemetry.profiles import CostProfile

SOURCE = Path(aicost.__file__).parent

# --- nothing reads the environment beside it

TOUCHES = {
    "cli/run.py": "hands the environment on to the program",
    "cli/autoload/sitecustomize.py": "runs before anything is imported, in every Python of the program",
    "demo/runner.py": "sets the demo's own endpoint, and looks for the keys that its clients read",
}
"""Files that touch the environment, and why they may. Rich goes by NO_COLOR and the like, and the SDK by `OTEL_*`."""


def touches_environment(code: str) -> bool:
    """Whether a file reads or writes variables: by `os`, whatever it is called there, or by pydantic-settings."""
    tree = ast.walk(ast.parse(code))
    nodes = list(tree)
    variables = {"environ", "getenv", "environb", "getenvb", "expandvars", "putenv", "unsetenv"}
    modules = {"os"}
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {one.asname for one in node.names if one.name in ("os", "posix", "os.path") and one.asname}
            if any(one.name.startswith("pydantic_settings") for one in node.names):
                return True
        if isinstance(node, ast.ImportFrom):
            if node.module in ("os", "os.path", "posix") and variables & {one.name for one in node.names}:
                return True
            if (node.module or "").startswith("pydantic_settings"):
                return True
    return any(
        isinstance(node, ast.Attribute) and node.attr in variables and ast.unparse(node.value).split(".")[0] in modules
        for node in nodes  # WSGI calls what it hands over an environ, too
    )


def test_nothing_reads_the_environment_beside_the_settings() -> None:
    files = [path for path in SOURCE.rglob("*.py") if path.parent.name != "_settings"]
    touching = {path.relative_to(SOURCE).as_posix() for path in files if touches_environment(path.read_text())}
    assert touching == set(TOUCHES)


@pytest.mark.parametrize(
    ("code", "touches"),
    [
        ("import os\nos.environ['A']", True),
        ("import os\nos.getenv('A')", True),
        ("import os as system\nsystem.environ.get('A')", True),
        ("import os.path\nos.path.expandvars('$A')", True),
        ("from os import environ", True),
        ("from os import getenv as read", True),
        ("from pydantic_settings import BaseSettings", True),
        ("import os\nos.getpid()", False),
        ("def app(environ): return environ.get('A'), request.environ", False),
    ],
)
def test_what_counts_as_reading_it(code: str, touches: bool) -> None:
    assert touches_environment(code) is touches


# --- who says a setting: argument, variable, file, default


class _Read(BaseException):
    """Settings, at the moment somebody has read them: nothing is done with them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


def by_init(argument: dict[str, Any], *_: Any) -> Settings:
    with pytest.raises(_Read) as read:
        aicost.init(**argument)
    return read.value.settings


def by_command(words: list[str]) -> Settings:
    with pytest.raises(_Read) as read:
        cli.main(words, standalone_mode=False)
    return read.value.settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings, where whoever reads any stops as soon as they are read."""
    from aicost._settings import precedence
    from aicost.collector import service

    read = precedence._read

    def stop(model: Any, *places: Any) -> Any:
        found = read(model, *places)
        if isinstance(found, Settings) and not found.collector.exporters:
            raise _Read(found)
        return found

    def stop_collector(settings: Settings) -> int:
        raise _Read(settings)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precedence, "_read", stop)
    monkeypatch.setattr(service, "run", stop_collector)
    return tmp_path


SETTINGS = [leaf for leaf in leaves(Settings) if leaf.variable is not None]
"""Those of a variable of their own."""
TWO: dict[str, tuple[Any, Any]] = {
    "owners": tuple([{"match": {"feature_id": "search"}, "team": team}] for team in ("core", "web")),
    "capture_content": (True, False),
    "collector.receivers.http.listen": ("127.0.0.1:1", "127.0.0.1:2"),
    "collector.receivers.grpc.listen": ("127.0.0.1:3", "127.0.0.1:4"),
    "collector.admin": ("127.0.0.1:5", "127.0.0.1:6"),
    "collector.exporters": ([{"type": "file", "path": "a"}], [{"type": "file", "path": "b"}]),
    "collector.rate_card.url": ("https://prices/a.json", "https://prices/b.json"),
}
"""Two values of settings whose kind does not say what they may be."""


def two_values(leaf: Leaf) -> tuple[Any, Any]:
    """Two values as a file has them, the first of which is not the default."""
    if leaf.key in TWO:
        return TWO[leaf.key]
    found, default = kinds(leaf.field.annotation), leaf.field.default
    is_list = tuple in found
    literals = [kind for kind in found if isinstance(kind, str)]
    (kind, *_) = [one for one in found if one not in (NoneType, Union, UnionType, tuple, ...)]
    if literals:
        first, *_ = others = [one for one in literals if one != default]
        values: tuple[Any, Any] = (first, others[1] if len(others) > 1 else default)
    elif kind is bool:
        values = (not default, default)
    elif kind in (int, float):
        values = (default + 1, default + 2)
    elif kind is dict:
        values = ({"key": "a"}, {"key": "b"})
    elif kind in (str, Path, SecretStr):
        values = ("/somewhere/a", "/somewhere/b")
    else:
        raise AssertionError(f"add two values of {leaf.key} to TWO")
    return ([values[0]], [values[1]]) if is_list else values


def as_variable(leaf: Leaf, value: Any) -> str:
    if isinstance(value, list) and NoDecode in leaf.field.metadata:
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def as_toml(said: dict[str, Any]) -> str:
    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {inline(one)}" for key, one in value.items()) + "}"
        return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)

    return "".join(f"{key} = {inline(value)}\n" for key, value in said.items())


def plain(value: Any) -> Any:
    """A value as a file has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return plain(value.model_dump(exclude_unset=True))
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def found_in(settings: Settings, leaf: Leaf) -> Any:
    value: Any = settings
    for name in leaf.path:
        value = getattr(value, name)
    return plain(value)


def of(program: str) -> list[Any]:
    return [pytest.param(leaf, id=leaf.key) for leaf in SETTINGS if program in leaf.read_by]


ARGUMENTS = set(inspect.signature(aicost.init).parameters)


@pytest.mark.parametrize("leaf", of("process"))
def test_a_process_goes_by_argument_variable_file_default(
    leaf: Leaf, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_values(leaf)
    assert found_in(by_init({}), leaf) == plain(leaf.field.get_default(call_default_factory=True))
    (place / "aicost.toml").write_text(as_toml({leaf.key: first}))
    assert found_in(by_init({}), leaf) == first
    monkeypatch.setenv(str(leaf.variable), as_variable(leaf, second))
    assert found_in(by_init({}), leaf) == second
    if leaf.key in ARGUMENTS:
        assert found_in(by_init({leaf.key: first}), leaf) == first


def test_an_argument_of_init_is_a_setting() -> None:
    assert ARGUMENTS - set(Settings.model_fields) == {"redact"}  # a function can be said nowhere else


FLAGS = {
    "collector.receivers.http.listen": "--listen-http",
    "collector.receivers.grpc.listen": "--listen-grpc",
    "collector.exporters": "--export",
    "collector.rate_card.path": "--rate-card",
    "collector.rate_card.url": "--rate-card",
    "collector.ledger": "--ledger",
    "collector.spool.path": "--spool",
    "collector.admin": "--admin",
}
NEEDED = {
    "collector.receivers.http.listen": "127.0.0.1:0",
    "collector.receivers.http.tls.cert_file": "cert",
    "collector.receivers.http.tls.key_file": "key",
    "collector.receivers.grpc.listen": "127.0.0.1:0",
    "collector.receivers.grpc.tls.cert_file": "cert",
    "collector.receivers.grpc.tls.key_file": "key",
    "collector.exporters": [{"type": "file", "path": "-"}],
    "collector.spool.path": "spool",
    "collector.admin": "127.0.0.1:9",
}
"""What a collector with every section needs, in aicost.toml."""


@pytest.mark.parametrize("leaf", of("collector"))
def test_a_collector_goes_by_flag_variable_its_file_the_file_default(
    leaf: Leaf, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*flags: str) -> Any:
        return found_in(by_command(["collector", *flags]), leaf)

    first, second = two_values(leaf)
    (place / "aicost.toml").write_text(as_toml(NEEDED))
    if leaf.key not in NEEDED:
        assert read() == plain(leaf.field.default)
    (place / "aicost.toml").write_text(as_toml(NEEDED | {leaf.key: first}))
    assert read() == first
    own: list[str] = []
    if leaf.path[0] == "collector":
        said = second
        for name in reversed(leaf.path[1:]):
            said = {name: said}
        (place / "collector.yaml").write_text(yaml.safe_dump(said))
        own = ["--config", "collector.yaml"]
        assert read(*own) == second
        first, second = second, first
    monkeypatch.setenv(str(leaf.variable), as_variable(leaf, second))
    assert read(*own) == second
    if leaf.key in FLAGS:
        flag = "file=" + first[0]["path"] if leaf.key == "collector.exporters" else first
        assert read(*own, FLAGS[leaf.key], flag) == first


def test_flags_of_the_collector_are_all_of_them() -> None:
    from aicost.cli.collector import command

    flags = {option for parameter in command.params for option in parameter.opts}
    assert flags == {*FLAGS.values(), "--config", "--print-config"}


COMMANDS = {
    "report": ("ledger", []),
    "explain": ("ledger", ["run-1"]),
    "run": ("ledger", ["--", "true"]),
    "ledger check": ("ledger", []),
    "ledger ingest": ("ledger", []),
    "ledger migrate": ("ledger", []),
    "ledger forget": ("ledger", ["--user", "u-1"]),
    "ledger rebuild": ("ledger", []),
    "ledger close": ("ledger", ["2020-01"]),
    "export csv": ("ledger", []),
    "export focus": ("ledger", []),
    "export parquet": ("ledger", ["--output", "c.parquet"]),
    "doctor": ("ledger", []),
    "price": ("rate_card", []),
    "rates list": ("rate_card", []),
    "rates show": ("rate_card", ["openai", "gpt-4o"]),
    "rates export": ("rate_card", ["--format", "ottl"]),
}
"""Commands that go by a setting, and what else they need to be said."""


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_goes_by_option_variable_file_default(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, needed = COMMANDS[name]
    (leaf,) = [one for one in SETTINGS if one.key == key]
    first, second = two_values(leaf)
    words = name.split()
    assert found_in(by_command([*words, *needed]), leaf) is None
    (place / "aicost.toml").write_text(as_toml({key: first}))
    assert found_in(by_command([*words, *needed]), leaf) == first
    monkeypatch.setenv(str(leaf.variable), second)
    assert found_in(by_command([*words, *needed]), leaf) == second
    option = f"--{key.replace('_', '-')}"
    if option in {one for parameter in dict(commands(cli))[name].params for one in parameter.opts}:
        assert found_in(by_command([*words, option, first, *needed]), leaf) == first


def test_commands_with_options_of_settings_are_all_of_them() -> None:
    keys = {leaf.key for leaf in SETTINGS if "commands" in leaf.read_by}
    assert keys == {key for key, _ in COMMANDS.values()}
    options = {f"--{key.replace('_', '-')}" for key in keys}
    having = {n for n, c in commands(cli) if options & {one for parameter in c.params for one in parameter.opts}}
    # The demo starts a ledger of its own; the collector has a section.
    assert having - {"demo", "collector"} == set(COMMANDS) - {"doctor"}


# --- read once, where a program starts


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were read, in a folder without settings."""
    from aicost._settings import precedence

    read, done = precedence._read, []

    def counted(model: Any, *places: Any) -> Any:
        done.append(model.__name__)
        return read(model, *places)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precedence, "_read", counted)
    return done


def test_a_process_reads_its_settings_once(reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICOST_ID_KEY", "the first key")
    aicost.init(exporter="none", ledger="costs.sqlite", instrument=["openai", "anthropic"])
    try:
        digest = opaque("user", "ann@example.com")
        monkeypatch.setenv("AICOST_ID_KEY", "another key")
        monkeypatch.setenv("AICOST_EXPORTER", "no such")
        with aicost.run_scope("nightly", tenant_id="bob@example.com"):
            aicost.instrument("anthropic")
            aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1})
        assert opaque("user", "ann@example.com") == digest
    finally:
        aicost.shutdown()
    assert reads == ["Settings"]


@pytest.mark.parametrize(
    "words", [["doctor"], ["rates", "list", "--json"], ["collector", "--config", "c.yaml", "--print-config"]], ids=str
)
def test_a_command_reads_its_settings_once(words: list[str], reads: list[str]) -> None:
    Path("c.yaml").write_text("receivers: {http: {listen: ':0'}}\nexporters: [{type: file, path: '-'}]\n")
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert reads == ["Settings"]


# --- what the collector shares with processes

SHARED = {
    "ledger": "collector.ledger",
    "rate_card": "collector.rate_card.path",
    "cost_profiles": "collector.pricing.profiles",
    "metric_attributes": "collector.cost_metrics.attributes",
}


@pytest.mark.parametrize("key", SHARED)
def test_a_collector_shares_what_its_section_does_not_say(
    key: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_key = {leaf.key: leaf for leaf in SETTINGS}
    shared, own = by_key[key], by_key[SHARED[key]]
    first, second = two_values(shared)
    (place / "aicost.toml").write_text(as_toml(NEEDED))
    monkeypatch.setenv(str(shared.variable), as_variable(shared, first))
    assert found_in(by_command(["collector"]), own) == first
    (place / "aicost.toml").write_text(as_toml(NEEDED | {own.key: second}))
    assert found_in(by_command(["collector"]), own) == second


def test_a_collector_can_have_no_ledger_where_processes_have_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "aicost.toml").write_text(as_toml(NEEDED | {"collector.ledger": False}))
    monkeypatch.setenv("AICOST_LEDGER", "costs.sqlite")
    assert by_command(["collector"]).collector.ledger is None


# --- the places of others


def test_folders_are_where_the_user_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says its specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    around = load().surroundings
    assert around.ledger == tmp_path / "state" / "aicost" / "ledger.sqlite"
    assert around.data_folder == tmp_path / "home" / ".local" / "share" / "aicost"


@pytest.mark.parametrize(
    "leaf", [pytest.param(leaf, id=leaf.key) for leaf in SETTINGS if Path in kinds(leaf.field.annotation)]
)
def test_a_path_may_be_in_the_users_home(leaf: Leaf, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    (place / "aicost.toml").write_text(as_toml(NEEDED | {leaf.key: "~/it"}))
    assert found_in(by_command(["collector"]), leaf) == "/home/ann/it"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(ConfigError, match="set HOME or XDG_STATE_HOME"):
        _ = Surroundings().ledger


@pytest.mark.parametrize(
    ("variables", "endpoint", "protocols"),
    [
        ({}, None, ("http/protobuf", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None, ("http/protobuf", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m"}, "http://m", ("http/protobuf", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None, ("grpc", "grpc")),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, None, ("grpc", "http/protobuf")),
    ],
)
def test_where_otlp_goes_is_what_opentelemetry_is_told(
    variables: dict[str, str], endpoint: str | None, protocols: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    around = load().surroundings
    assert around.otlp_endpoint == endpoint
    assert (around.otlp_protocol("traces"), around.otlp_protocol("metrics")) == protocols


def test_settings_survive_the_way_into_another_process() -> None:
    import pickle

    settings = load(service_name="shop", id_key="a-key", collector={"receivers": {"http": {"listen": ":1"}}})
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert again.surroundings == settings.surroundings
    assert again.secret_id_key == "a-key"


def test_choices_are_those_that_there_are() -> None:
    assert set(get_args(Profile)) == {profile.value for profile in CostProfile}
