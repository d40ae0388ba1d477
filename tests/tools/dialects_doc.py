"""Writes docs/dialects.md from what the tests know of each recording: `python -m tests.tools.dialects_doc`."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = """\
# What instrumentations tell

Each row is an instrumentation that was really run, against an emulator that kept the true bill, and what a collector
can know of that bill from its spans. `exact` calls are priced to the last digit. `estimated` ones are priced with an
assumption that the span names (`aicost.usage.flags`). The rest is said to be `unpriced`, or no span tells of it at
all; a call that failed is not on a bill. `tests/tools/record.py` makes the recordings.

"""


_PLUMBING = ("opentelemetry-sdk", "opentelemetry-exporter", "@opentelemetry/sdk", "@opentelemetry/exporter", "node ")


def page() -> str:
    folder = ROOT / "tests" / "collector"
    expected = json.loads((folder / "expected.json").read_text())
    rows = ["| recording | versions | calls billed | exact | estimated | not told | |", "|---|---|---|---|---|---|---|"]
    for name, known in sorted(expected.items()):
        recorded = json.loads((folder / "recordings" / f"{name}.json").read_text())
        packages = [f"{package} {version}" for package, version in sorted(recorded["packages"].items())]
        told = [one for one in packages if not one.startswith(_PLUMBING)]
        cells = (name, ", ".join(told), known["billed"], known["exact"], known["estimated"], known["not told"])
        rows.append("| " + " | ".join(map(str, (*cells, known.get("why", "")))) + " |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "dialects.md").write_text(page())
