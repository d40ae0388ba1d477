#!/usr/bin/env python3
"""Everything a developer runs, on a machine with nothing but Python.

    python3 tasks.py demo     install into .venv, then run the demo
    python3 tasks.py test     install, then pass every test; clients, frameworks and databases, oldest and newest
    python3 tasks.py clients  only those of the clients; a name chooses: `clients cohere`
    python3 tasks.py frameworks  only those of agent frameworks, likewise
    python3 tasks.py stores   only those of vector databases, likewise
    python3 tasks.py canary   all of them at whatever version the registry has today
    python3 tasks.py lock     write their constraints again
    python3 tasks.py check    lint, types, layers and generated files
    python3 tasks.py bench    measure and print the performance table
    python3 tasks.py bench-reports    measure questions to a ledger of 2,000,000 charges
    python3 tasks.py soak     memory over 100,000 abandoned streams
    python3 tasks.py peers    the same calls through other instrumentations, in a throw-away environment
    python3 tasks.py price-peers  the same prices from other libraries, in a throw-away environment
    python3 tasks.py catalogue    make the bundled catalogue again, from public price lists
    python3 tasks.py crash    the kill tests at full size
    python3 tasks.py collector    how fast the collector is, in memory and as a service
    python3 tasks.py collector-crash  200 kills of a collector under load, and a backend that is away for five minutes
    python3 tasks.py focus-validator  an export through FOCUS's own validator, in a throw-away environment (571 MB)
    python3 tasks.py build    the wheel and the source archive, in dist/

Arguments after the task are passed on: `python3 tasks.py test -k stream`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"


def environment(name: str, constraints: str, extra: str = "test,compare") -> Path:
    """The interpreter of a virtual environment that has the project in it; made or brought up to date if need be."""
    home = ROOT / name
    python = home / BIN / "python"
    wanted = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", ROOT / "constraints" / constraints):
        wanted.update(path.read_bytes())
    stamp = home / f"installed-{wanted.hexdigest()[:16]}"
    if stamp.exists():
        return python
    print(f"setting up {name} (once; this takes a minute) ...", file=sys.stderr, flush=True)
    venv.create(home, with_pip=True, clear=home.exists())
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, "--constraint", f"constraints/{constraints}", "--editable", f".[{extra}]"])
    stamp.touch()
    return python


def run(command: list[object], **variables: str) -> None:
    """Run a command in the project's folder; leave with its status if it fails."""
    status = subprocess.call([str(part) for part in command], cwd=ROOT, env={**os.environ, **variables})
    if status:
        sys.exit(status)


def demo(arguments: list[str]) -> None:
    """Run the demo."""
    run([environment(".venv", "newest.txt"), "-m", "aicost", "demo", *arguments])


def test(arguments: list[str]) -> None:
    """The whole suite, then each client in environments of its own."""
    python = environment(".venv", "newest.txt")
    if arguments:
        run([python, "-m", "pytest", *arguments])
        return
    coverage = [python, "-m", "coverage"]
    run([*coverage, "erase"])
    _side_by_side([*_core([*coverage, "run", "-m", "pytest", "--quiet"]), *_session_jobs(SESSIONS, [])])
    run([*coverage, "combine", "--quiet"])
    run([*coverage, "report", "--skip-covered", "--fail-under=90"])


SESSIONS = ("clients", "frameworks", "stores")
"""Kinds of environments that have folders of tests of their own."""
PARTS = (("ledger",), ("collector", "contrib", "journal", "service"))
"""The longest folders of the other tests; the third part is all the rest."""

Job = tuple[str, list[object]]


def _core(pytest: list[object]) -> list[Job]:
    named = [f"tests/{folder}" for part in PARTS for folder in part]
    jobs: list[Job] = [(", ".join(part), [*pytest, *(f"tests/{folder}" for folder in part)]) for part in PARTS]
    left_out = [f"--ignore={folder}" for folder in (*named, *(f"tests/{kind}" for kind in SESSIONS))]
    return [*jobs, ("all other tests", [*pytest, *left_out])]


def clients(arguments: list[str]) -> None:
    """Each client with its oldest and newest version, as many at a time as there are processors."""
    _sessions(("clients",), arguments)


def frameworks(arguments: list[str]) -> None:
    """Each agent framework with its oldest and newest version."""
    _sessions(("frameworks",), arguments)


def stores(arguments: list[str]) -> None:
    """Each vector database with its oldest and newest version."""
    _sessions(("stores",), arguments)


def canary(arguments: list[str]) -> None:
    """Each of them at the registry's newest version."""
    _sessions(("canary",), arguments)


def lock(arguments: list[str]) -> None:
    """The constraints of all sessions again."""
    run([environment(".venv", "newest.txt"), "-m", "nox", "-s", "lock", "--", *arguments], **_on_path())


def _sessions(kinds: tuple[str, ...], chosen: list[str]) -> None:
    _side_by_side(_session_jobs(kinds, chosen))


def _session_jobs(kinds: tuple[str, ...], chosen: list[str]) -> list[Job]:
    nox: list[object] = [environment(".venv", "newest.txt"), "-m", "nox"]
    listed = subprocess.run(
        [*map(str, nox), "--list", "--json", "-s", *kinds], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [s["session"] for s in json.loads(listed.stdout)]
    return [(n, [*nox, "-s", n]) for n in names if not chosen or any(f"'{package}'" in n for package in chosen)]


def _side_by_side(jobs: list[Job]) -> None:
    """Do all, as many at a time as there are processors; leave with an error if one fails."""

    def one(job: Job) -> tuple[str, int, str, float]:
        began = time.monotonic()
        done = subprocess.run(
            [str(part) for part in job[1]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, **_on_path()},
            check=False,
            errors="replace",
        )
        return job[0], done.returncode, done.stdout + done.stderr, time.monotonic() - began

    failed = 0
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 2)) as pool:
        print(f"{len(jobs)} parts of the tests ...", flush=True)
        for done in as_completed([pool.submit(one, job) for job in jobs]):
            name, status, said, seconds = done.result()
            summary = [line for line in said.splitlines() if " passed" in line or " failed" in line][-1:]
            print(f"{name}: {'failed' if status else 'ok'} in {seconds:.0f} s {''.join(summary)}", flush=True)
            if status:
                failed += 1
                print(said, file=sys.stderr, flush=True)
    if failed:
        sys.exit(f"{failed} of {len(jobs)} failed")


def _on_path() -> dict[str, str]:
    """nox finds uv beside itself."""
    return {"PATH": f"{ROOT / '.venv' / BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def check(arguments: list[str]) -> None:
    """Lint, types, layers, generated files."""
    del arguments
    python = environment(".venv", "newest.txt")
    run([python, "-m", "ruff", "format", "--check", "."])
    run([python, "-m", "ruff", "check", "."])
    run([python, "-m", "mypy"])
    run([python, "-m", "mypy", "--strict", "tests/typing"])
    run([python.parent / "lint-imports"])
    run([python, "semconv/generate.py", "--check"])


def bench(arguments: list[str]) -> None:
    """The performance table."""
    run([environment(".venv", "newest.txt"), "benchmarks/run.py", *arguments])


def bench_reports(arguments: list[str]) -> None:
    """How fast questions about 2,000,000 charges are answered, beside DuckDB."""
    run([environment(".venv", "newest.txt"), "benchmarks/reports.py", *arguments])


def soak(arguments: list[str]) -> None:
    """Memory over 100,000 abandoned streams."""
    run([environment(".venv", "newest.txt"), "benchmarks/run.py", "--soak", *arguments])


def peers(arguments: list[str]) -> None:
    """The same calls through other instrumentations."""
    python = environment(".venv-peers", "peers.txt", extra="openai")
    run([python, "-m", "pip", "install", "--quiet", "--requirement", "benchmarks/peers-requirements.txt"])
    run([python, "benchmarks/peers.py", *arguments])


def price_peers(arguments: list[str]) -> None:
    """Pricing beside other libraries."""
    python = environment(".venv-price-peers", "newest.txt", extra="openai")
    run([python, "-m", "pip", "install", "--quiet", "--requirement", "benchmarks/price-peers-requirements.txt"])
    run([python, "benchmarks/price_peers.py", *arguments])


def catalogue(arguments: list[str]) -> None:
    """The bundled catalogue again, from public price lists."""
    python = environment(".venv-price-peers", "newest.txt", extra="openai")
    run([python, "-m", "pip", "install", "--quiet", "genai-prices==0.2.3"])
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", "litellm==1.109.1"])
    folder, said = "src/aicost/pricing/data/catalogue", "docs/catalogue-report.json"
    run(
        [
            python,
            "-m",
            "aicost",
            "rates",
            "import",
            "--id",
            "bundled",
            "--output",
            folder,
            "--conflicts",
            said,
            *arguments,
        ]
    )


def crash(arguments: list[str]) -> None:
    """The kill tests at full size."""
    python = environment(".venv", "newest.txt")
    run(
        [
            python,
            "-m",
            "pytest",
            "tests/ledger/test_crash.py",
            "tests/ledger/test_kill.py",
            "tests/journal/test_crash.py",
            *arguments,
        ],
        AICOST_TEST_KILLS="1000",
    )


def collector(arguments: list[str]) -> None:
    """How fast the collector is."""
    run([environment(".venv", "newest.txt"), "benchmarks/collector.py", *arguments])


def collector_crash(arguments: list[str]) -> None:
    """The fault table of the collector at full size."""
    python = environment(".venv", "newest.txt")
    tests = ["tests/collector/test_delivery.py", "-k", "killed or away"]
    run(
        [python, "-m", "pytest", "--timeout=1200", *tests, *arguments],
        AICOST_COLLECTOR_KILLS="200",
        AICOST_COLLECTOR_AWAY="300",
    )


def focus_validator(arguments: list[str]) -> None:
    """An export of FOCUS 1.2 through the FinOps Foundation's validator, whose pins fit nobody else's."""
    found = shutil.which("python3.12")  # older ones it does not take; for later ones its numpy has no wheel
    if found is None:
        sys.exit("focus-validator 2.2.1 needs python3.12 on the path")
    home = ROOT / ".venv-focus-validator"
    if not (home / BIN / "focus-validator").exists():
        run([found, "-m", "venv", "--clear", home])
        pins = ["focus-validator==2.2.1", "numpy<2", "pyarrow<22"]  # with a later pyarrow it does not start
        run([home / BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins])
    python = environment(".venv", "newest.txt")
    run([python, "-m", "tests.tools.focus_validator", home / BIN / "focus-validator", *arguments])


def build(arguments: list[str]) -> None:
    """The wheel and the source archive."""
    python = environment(".venv", "newest.txt")
    run([python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".", *arguments])


EVERY = (
    demo,
    test,
    clients,
    frameworks,
    stores,
    canary,
    lock,
    check,
    bench,
    bench_reports,
    soak,
    peers,
    price_peers,
    catalogue,
    crash,
    collector,
    collector_crash,
    focus_validator,
    build,
)
TASKS = {task.__name__.replace("_", "-"): task for task in EVERY}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TASKS:
        print(__doc__)
        sys.exit(0 if {"-h", "--help"} & set(sys.argv[1:]) else 2)
    TASKS[sys.argv[1]](sys.argv[2:])
