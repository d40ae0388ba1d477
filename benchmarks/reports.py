"""How fast a ledger of 2,000,000 charges answers: `python3 tasks.py bench-reports`.

Each question is asked three times, warm, in this process, and the best time counts: of the clock, and of the processor,
which on a shared machine says more. Beside it the same sums by DuckDB over the same rows, from a columnar file of its
own, without contexts, bounds or what failed since: a yardstick for what reading so many rows takes.
`--entries` makes the ledger smaller or larger; `--ledger` asks one that is there, a path or a URL; `--write` puts the
table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.tools.big_ledger import START_NS, make_file

from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader

ROOT = Path(__file__).resolve().parents[1]
DAY_NS = 86_400 * 10**9
FIRST_NS = -(-START_NS // DAY_NS) * DAY_NS
NOW = Filter(since_ns=FIRST_NS + 30 * DAY_NS, until_ns=FIRST_NS + 60 * DAY_NS)
BEFORE = Filter(since_ns=FIRST_NS, until_ns=FIRST_NS + 30 * DAY_NS)
VOLUMES = ("provider", "model", "status")

QUESTIONS: dict[str, tuple[float, list[Query | str]]] = {
    "total, with waste": (1, [Query()]),
    "by tenant": (1, [Query(("tenant",))]),
    "by tenant x feature": (1, [Query(("tenant", "feature"))]),
    "by day x model": (1, [Query(("model",), bucket="day")]),
    "by run, the 20 dearest": (1, [Query(("run",), top=20)]),
    "by workflow, with completed runs": (1, [Query(("workflow",), measures=("runs",))]),
    "what is not known": (1, ["gaps"]),
    "a month by tenant, compared with the one before, and why": (
        1,
        [Query(("tenant",), NOW), Query(("tenant",), BEFORE), Query(VOLUMES, NOW), Query(VOLUMES, BEFORE)],
    ),
    "median and p95 of the cost of a run": (3, [Query(measures=("cost_each",), unit="run")]),
    "median and p95 of the cost of a call": (3, [Query(measures=("cost_each",))]),
    "median and p95 of latency": (3, [Query(measures=("latency",))]),
}
"""What is asked, in how many seconds it is to be answered, and by which queries."""

AMOUNT = "sum(n), sum(units), sum(nano), sum(atto), sum(q0), sum(q1), sum(q2), sum(q3)"
YARDSTICK = {
    "total, with waste": f"SELECT {AMOUNT} FROM rows",
    "by tenant": f"SELECT tenant_id, {AMOUNT} FROM rows GROUP BY 1",
    "by tenant x feature": f"SELECT tenant_id, feature_id, {AMOUNT} FROM rows GROUP BY 1, 2",
    "by day x model": f"SELECT day, model, {AMOUNT} FROM rows GROUP BY 1, 2",
    "by run, the 20 dearest": f"SELECT run_id, {AMOUNT} FROM rows GROUP BY 1 ORDER BY 3 DESC, 4 DESC LIMIT 20",
    "by workflow, with completed runs": f"SELECT workflow, count(DISTINCT run_id), {AMOUNT} FROM rows GROUP BY 1",
    "what is not known": "SELECT model, charge_status, sum(n) FROM rows GROUP BY 1, 2",
    "median and p95 of the cost of a run": (
        "SELECT quantile_disc(cost, [0.5, 0.95]) FROM (SELECT sum(nano + units * 1000000000) AS cost FROM rows "
        "GROUP BY run_id)"
    ),
    "median and p95 of the cost of a call": (
        "SELECT quantile_disc(nano + units * 1000000000, [0.5, 0.95]) FROM rows WHERE n = 1"
    ),
    "median and p95 of latency": "SELECT quantile_disc(charge_ns, [0.5, 0.95]) FROM rows WHERE n = 1",
}


def best_of(times: int, ask: Callable[[], Any]) -> tuple[float, float]:
    """The shortest time in seconds: of the clock, and of the processor."""
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def duckdb_of(path: Path) -> Any:
    """DuckDB with the rows of a ledger in a table of its own; None where it is not installed."""
    try:
        import duckdb
    except ImportError:
        return None
    asked = (
        "SELECT e.n, e.amount_units AS units, e.amount_nano AS nano, e.amount_atto AS atto, e.q0, e.q1, e.q2, e.q3, "
        "e.charge_ns, e.charge_start / 86400000000000 AS day, lower(hex(e.run_id)) AS run_id, c.tenant_id, "
        "c.feature_id, c.model, c.workflow, c.charge_status FROM entries e JOIN contexts c ON c.id = e.context"
    )
    made = duckdb.connect()
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file, sqlite3.connect(path) as db:
        cursor = db.execute(asked)
        names = [column[0] for column in cursor.description]
        file.write(",".join(names) + "\n")
        for row in cursor:
            file.write(",".join("" if one is None else str(one) for one in row) + "\n")
        file.flush()
        made.execute(f"CREATE TABLE rows AS SELECT * FROM read_csv('{file.name}', header = true)")
    return made


def measured(location: str, *, times: int) -> list[str]:
    """The rows of the table."""
    beside = duckdb_of(Path(location)) if Path(location).is_file() else None
    table = ["| question | limit, s | clock, s | processor, s | DuckDB, s |", "|---|---|---|---|---|"]
    with LedgerReader(location) as reader:
        for name, (limit, queries) in QUESTIONS.items():

            def ask(queries: list[Query | str] = queries) -> None:
                for query in queries:
                    reader.gaps() if isinstance(query, str) else reader.answer(query)

            ask()  # warm
            wall, cpu = best_of(times, ask)
            duck = ""
            if beside is not None and name in YARDSTICK:
                duck = f"{best_of(times, lambda name=name: beside.execute(YARDSTICK[name]).fetchall())[0]:.2f}"
            table.append(f"| {name} | {limit:g} | {wall:.2f} | {cpu:.2f} | {duck} |")
            print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=2_000_000)
    parser.add_argument("--ledger")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aicost-bench-") as folder:
        location = chosen.ledger or str(make_file(Path(folder) / "l.sqlite", chosen.entries))
        table = measured(location, times=chosen.times)
    print("\n".join(table))
    if chosen.write:
        write(table)


def write(table: list[str]) -> None:
    path = ROOT / "docs" / "performance.md"
    where = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores"
    block = "\n".join(["<!-- reports -->", "", f"Measured on {where}, {time.strftime('%Y-%m-%d')}.", "", *table, ""])
    text = path.read_text(encoding="utf-8")
    pattern = r"<!-- reports -->.*<!-- /reports -->"
    path.write_text(re.sub(pattern, lambda _: block + "\n<!-- /reports -->", text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
