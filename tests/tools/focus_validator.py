"""The demo's ledger as FOCUS 1.2 through the FinOps Foundation's validator; `tasks.py focus-validator` runs it.

`python -m tests.tools.focus_validator EXE`, where EXE is `focus-validator` 2.2.1 in an environment of its own. Its
habits, as read and seen there: it exits with 0 whatever it found, so its report is read; it looks for a list of
currencies in the folder it is run in; it has the rules of FOCUS 1.2.0.1 and fetches all others.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from aicost.cli import cli
from aicost.demo.runner import run_emulated

RULES = "1.2.0.1"
APPLIES = (
    "UNIT_PRICING_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "REGION_SUPPORTED",
    "TAGGING_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
)
"""What we claim. Not PUBLIC_PRICE_LIST_SUPPORTED, with which it asks for prices in a virtual currency, nor
USAGE_MEASUREMENT_SUPPORTED, with which it asks for the column CommitmentDiscountStatus: neither is anything we have."""

NO_FAULT = {"InvoiceId-C-005-C": "it wants an invoice of each charge, where InvoiceId-C-004-C wants none"}


def failed(report: Path) -> Iterator[tuple[str, str]]:
    """The rules that a report (JUnit's XML) says are broken, and how. Raises `ValueError` for a report of no rule."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    passed = [case for case in cases if not list(case)]
    if not passed:
        raise ValueError(f"{report} says of no rule that it holds: {len(cases)} rules")
    for case in cases:
        for found in case:
            if found.tag in {"failure", "error"}:
                rule = str(case.get("name")).split(" ")[0]
                if rule not in NO_FAULT:
                    yield rule, found.get("message") or found.text or ""


def main(validator: str) -> int:
    """Export, validate, and print each broken rule."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run_emulated(home / "demo.sqlite", lambda _: None)
        exported = home / "focus.csv"
        arguments = ["export", "focus", "--focus-version", "1.2", "--ledger", str(home / "demo.sqlite")]
        cli.main([*arguments, "--output", str(exported)], standalone_mode=False)
        (installed,) = Path(validator).resolve().parents[1].glob("lib/python*/site-packages/focus_validator/rules")
        (home / "focus_validator" / "rules").mkdir(parents=True)
        shutil.copy(installed / "currency_codes.csv", home / "focus_validator" / "rules")
        asked = ["--data-file", str(exported), "--validate-version", RULES, "--block-download"]
        asked += ["--applicability-criteria", ",".join(APPLIES)]
        asked += ["--output-type", "unittest", "--output-destination", "report.xml"]
        done = subprocess.run([validator, *asked], cwd=home, capture_output=True, text=True, check=False)
        if not (home / "report.xml").is_file():
            print(done.stdout, done.stderr)
            return 1
        broken = list(failed(home / "report.xml"))
    for rule, why in broken:
        print(f"{rule}: {why}")
    print(f"FOCUS {RULES}: {len(broken)} rules broken" if broken else f"FOCUS {RULES}: every rule that applies holds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
