"""The clients, each in an environment of its own: many of their packages pin each other's versions.

    nox -s "clients(client='cohere', age='oldest')"     one client, at the oldest version that is supported
    nox -s clients                                      all of them, oldest and newest (`tasks.py test` runs these)
    nox -s canary                                       all of them, at whatever the registry has today
    nox -s lock                                         write constraints/clients/ again

Environments are made by uv and kept in `.nox`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["clients"]

HERE = Path(__file__).parent
CONSTRAINTS = HERE / "constraints" / "clients"
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

EXTRAS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google-genai": "google",
    "boto3": "bedrock",
    "mistralai": "mistral",
    "cohere": "cohere",
    "groq": "groq",
    "together": "together",
    "ollama": "ollama",
    "voyageai": "voyage",
    "huggingface_hub": "huggingface",
    "litellm": "litellm",
}
"""The extra of each client."""

OLDEST = {"openai": "httpx<0.28", "anthropic": "httpx<0.28", "groq": "httpx<0.28", "ollama": "httpx<0.28"}
"""What early versions of a client need and do not say."""


BESIDE = {"anthropic": ["boto3>=1.35", "google-auth[requests]>=2.30"], "huggingface_hub": ["numpy>=1.26"]}
"""What more of a client can be tested with: the clouds that Anthropic's client signs for, vectors."""


def _install(session: nox.Session, client: str, age: str) -> None:
    locked = str(CONSTRAINTS / f"{client}-{age}.txt")
    session.install(
        "--constraint", locked, "--editable", f".[{EXTRAS[client]},client-tests]", *BESIDE.get(client, []), env=UV
    )


def _test(session: nox.Session, client: str, *, measured: bool) -> None:
    run = ["coverage", "run", "-m", "pytest"] if measured else ["pytest"]
    session.run(
        "python", "-m", *run, "--quiet", "-p", "no:cacheprovider", "tests/integrations", *session.posargs,
        env={"AICOST_TEST_CLIENTS": client, **UV},
    )  # fmt: skip


@nox.session
@nox.parametrize("age", ["oldest", "newest"])
@nox.parametrize("client", list(EXTRAS))
def clients(session: nox.Session, client: str, age: str) -> None:
    """One client against the emulator."""
    _install(session, client, age)
    _test(session, client, measured=age == "newest")


@nox.session
@nox.parametrize("client", list(EXTRAS))
def canary(session: nox.Session, client: str) -> None:
    """One client at whatever version the registry has today, without the upper bound."""
    session.install("--editable", ".[client-tests]", env=UV)
    session.install("--upgrade", client, *BESIDE.get(client, []), env=UV)
    session.env["AICOST_TEST_CANARY"] = "1"
    _test(session, client, measured=False)


@nox.session
@nox.parametrize("client", list(EXTRAS))
def bench(session: nox.Session, client: str) -> None:
    """What aicost adds to a call through one client."""
    _install(session, client, "newest")
    session.run("python", "benchmarks/clients.py", env={"AICOST_TEST_CLIENTS": client, **UV})


@nox.session
def lock(session: nox.Session) -> None:
    """Write the constraints of every client again: the lowest and the highest versions that are declared."""
    session.install("uv", env=UV)
    CONSTRAINTS.mkdir(exist_ok=True)
    for client, extra in EXTRAS.items():
        if session.posargs and client not in session.posargs:
            continue
        for age, resolution in (("oldest", "lowest-direct"), ("newest", "highest")):
            wanted = session.create_tmp() + f"/{client}.in"
            more = [*BESIDE.get(client, []), *([OLDEST[client]] if age == "oldest" and client in OLDEST else [])]
            Path(wanted).write_text("\n".join(more) + "\n")
            target = CONSTRAINTS / f"{client}-{age}.txt"
            session.run(
                "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--no-header",
                "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--resolution", resolution,
                "--extra", extra, "--extra", "client-tests", "pyproject.toml", wanted, "--output-file", str(target),
                env=UV,
            )  # fmt: skip
            target.write_text(re.sub(r"^-e .*\n", "", target.read_text(), flags=re.MULTILINE))
