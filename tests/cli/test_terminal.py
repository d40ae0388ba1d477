"""What is printed can be read in a real terminal of any width, and nothing that came over the wire is obeyed by it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pyte
import pytest
from rich.cells import cell_len
from tests.cli.test_cli import aicost
from tests.ledger.charges import event, priced, unpriced

from aicost._money import to_text
from aicost.ledger import Ledger
from aicost.reports.amounts import readable
from aicost.usage.meters import Quantity

NAMES = [
    "acme",
    "日本電気株式会社の長い名前の会社",
    "very-long-tenant-name-that-does-not-fit-anywhere-at-all-and-goes-on",
    "e\u0301toile-du-nord",
    "😀 gmbh",
    "two words and some more of them to fold",
]
HOSTILE = ["a\x1b[2Jb", "\x1b]0;title\x07", "c\r\nd", "\u202egnp.exe", "x\x9b31m", "[red]y[/red]", "z\\", "\u2028"]
AMOUNTS = [10**18 * 98_765_432_1 + 10**15, 10**18 * 1_234_567, 5 * 10**13, 123_456_789, 10**18 * 999 + 10**14, 10**17]
HEADINGS = ["cost", "share", "calls", "attempts", "input", "cached", "output", "wasted", "not known"]
SGR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("terminal") / "ledger.sqlite"
    made = Ledger.open(path)
    usage: dict[str, Quantity] = {"input": 123_456_789_012, "output": 98_765_432}
    for n, (name, atto) in enumerate(zip(NAMES, AMOUNTS, strict=True)):
        made.record([(event(f"known-{n}", attribution={"tenant_id": name}, model=name, usage=usage), priced(atto))])
    for n, name in enumerate(HOSTILE):
        odd = event(f"odd-{n}", attribution={"tenant_id": name}, model=name, workflow=name, run_id=f"hostile-run-{n}")
        made.record([(odd, unpriced(f"unknown_model:{name}"))])
        made.start_run(f"hostile-run-{n}", workflow=name, started_ns=1)
    made.close()
    return path


def in_terminal(width: int, *arguments: str) -> tuple[str, list[str]]:
    """What the command writes to a terminal of that width, and what is on its screen then."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 900, width, 0, 0))
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AICOST_", "COLUMNS", "LINES", "NO_COLOR"))}
        code = "from aicost.cli import main; main()"
        os.execve(sys.executable, [sys.executable, "-c", code, *arguments], {**env, "TERM": "xterm-256color"})
    written = b""
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            more = b""
        if not more:
            break
        written += more
    os.close(terminal)
    os.waitpid(child, 0)
    screen = pyte.Screen(width, 900)
    text = written.decode()
    pyte.Stream(screen).feed(text)
    return text, [line.rstrip() for line in screen.display if line.strip()]


def squeezed(lines: Sequence[str]) -> str:
    """The first column of a table, its folded lines joined."""
    return "".join(line.split("│")[1].replace(" ", "") for line in lines if line.startswith("│"))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_report_is_read_at_any_width(ledger: Path, width: int) -> None:
    text, screen = in_terminal(width, "report", "--by", "tenant", "--ledger", str(ledger))
    for line in SGR.sub("", text).splitlines():
        assert cell_len(line) <= width, "no line is broken by the terminal"
    rows = [line for line in screen if line.startswith("│")]
    for atto in AMOUNTS:
        assert sum(readable(atto, "USD") in re.split(r"[│ ]+", row) for row in rows) == 1, "each amount is whole"
    keys = squeezed(screen)
    for name in NAMES:
        assert name.replace(" ", "").replace("e\u0301", "é") in keys.replace("e\u0301", "é")
    header = next(line for line in screen if "tenant" in line and "cost" in line)
    shown = [heading for heading in HEADINGS if heading in header]
    missing = [heading for heading in HEADINGS if heading not in header]
    assert shown[0] == "cost"
    told = " ".join(screen)
    assert ("no room for:" in told) is bool(missing)
    assert all(heading in told.partition("no room for:")[2] for heading in missing)
    assert (missing == []) is (width == 200)


def test_everything_is_there_when_asked_for_or_where_there_is_no_terminal(ledger: Path) -> None:
    wide = in_terminal(80, "report", "--by", "tenant", "--wide", "--ledger", str(ledger))[0]
    piped = aicost("report", "--by", "tenant", "--ledger", str(ledger)).stdout
    for text in (SGR.sub("", wide), piped):
        (header,) = [line for line in text.splitlines() if "tenant" in line and "cost" in line]
        assert [heading for heading in HEADINGS if heading in header] == HEADINGS
        assert all(any(name in line for line in text.splitlines()) for name in NAMES), "nothing is folded"
    assert "\x1b" not in piped


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize(
    "arguments",
    [
        ("rates", "show", "openai", "gpt-5"),
        ("rates", "list", "--provider", "mistral"),
        ("report", "--by", "model", "--by", "meter"),
        ("doctor",),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_other_tables_fit_too(ledger: Path, arguments: tuple[str, ...], width: int) -> None:
    more = ("--ledger", str(ledger)) if arguments[0] == "report" else ()
    text, screen = in_terminal(width, *arguments, *more)
    drawn = [line for line in SGR.sub("", text).splitlines() if line[:1] in tuple("│┃┏┡└")]
    assert screen
    assert all(cell_len(line) <= width for line in drawn)
    assert "…" not in text
    if arguments[1:2] == ("show",):
        assert all(
            any(f"│ {price} " in f"{re.sub(' +', ' ', line)} " for line in drawn) for price in ("1.25 USD", "0.125 USD")
        )


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_an_explanation_has_every_number_whole(ledger: Path, width: int) -> None:
    text = SGR.sub("", in_terminal(width, "explain", "known-0", "--ledger", str(ledger))[0])
    words = text.split()
    assert {to_text(AMOUNTS[0]), "known-0"} <= set(words)


def test_nothing_from_the_wire_is_obeyed(ledger: Path) -> None:
    commands = [("report", "--by", "tenant", "--by", "model", "--by", "workflow")]
    commands += [("explain", f"hostile-run-{n}") for n in range(len(HOSTILE))]
    for command in commands:
        piped = aicost(*command, "--ledger", str(ledger))
        assert piped.returncode == 0, piped.stderr
        wide = in_terminal(80, *command, "--wide", "--ledger", str(ledger))[0]
        for text in (piped.stdout, SGR.sub("", wide).replace("\r\n", "\n")):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", text)
    shown = aicost(*commands[0], "--ledger", str(ledger)).stdout
    for said in (r"a\x1b[2Jb", r"c\r\nd", r"\u202egnp.exe", "[red]y[/red]", "z\\"):
        assert said in shown


def test_what_is_asked_may_be_any_bytes(ledger: Path) -> None:
    for arguments in (
        ("report", "--tenant", "\udcff"),
        ("explain", "\udcff" * 8),
        ("rates", "show", "openai", "\udcff\x1b[2J"),
    ):
        more = () if arguments[0] == "rates" else ("--ledger", str(ledger))
        done = aicost(*arguments, *more)
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stderr
    plain = aicost("report", "--ledger", str(ledger), PYTHONIOENCODING="ascii")
    assert (plain.returncode, "acme" in aicost("report", "--by", "tenant", "--ledger", str(ledger)).stdout) == (0, True)
