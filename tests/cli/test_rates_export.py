"""`aicost rates export`: what stock collectors would compute from it is what we charge for plain calls."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import aicost
from aicost.cli import cli

USAGE = {"input": 5000, "output": 50, "cache_read": 500, "cache_write": 0}


def export(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["rates", "export", *arguments])
    assert done.exit_code == 0, done.output
    return yaml.safe_load(done.output)


def truth(provider: str, model: str) -> float:
    usage = {"prompt_tokens": 5000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 500}}
    return float(aicost.price(provider=provider, model=model, usage=usage, api="chat").amount or 0)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "o3"])
def test_a_lookup_table_has_the_price_per_token(model: str) -> None:
    prices = export("--format", "otel-lookup", "--provider", "openai")[f"openai/{model}"]
    plain = USAGE["input"] - USAGE["cache_read"]
    cost = plain * prices["input"] + USAGE["cache_read"] * prices["cache_read"] + USAGE["output"] * prices["output"]
    assert cost == pytest.approx(truth("openai", model), rel=1e-9)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "o3"])
def test_an_ottl_statement_computes_the_cost(model: str) -> None:
    processor = export("--format", "ottl", "--provider", "openai")["transform/aicost"]
    (group,) = processor["trace_statements"]
    (statement,) = [one for one in group["statements"] if f'cache["model"] == "{model}"' in one]
    formula = re.fullmatch(r'set\(attributes\["gen_ai.usage.cost"\], (.*)\) where .*', statement)
    assert formula is not None
    terms = {**USAGE, "plain": USAGE["input"] - USAGE["cache_read"]}
    worth = 0.0
    for term in formula.group(1).split(" + "):
        count = re.fullmatch(r'cache\["(\w+)"\] \* ([0-9.]+)', term)
        assert count is not None
        worth += terms[count.group(1)] * float(count.group(2))
    assert worth == pytest.approx(truth("openai", model), rel=1e-6)


def test_it_says_what_it_cannot_do() -> None:
    output = CliRunner().invoke(cli, ["rates", "export", "--format", "ottl", "--provider", "openai"]).output
    for word in ("service tiers", "no cost and no reason", "count twice"):
        assert word in output
