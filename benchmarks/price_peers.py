"""Pricing beside other libraries in one run: `python3 tasks.py price-peers`.

Each runs alone in a process of its own: import time and memory, the first price, then microseconds per price of the
same usage, from counts as far as the library takes them and from the provider's usage object where it has a reader.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

GPT = {
    "prompt_tokens": 1200,
    "completion_tokens": 364,
    "total_tokens": 1564,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
SONNET = {
    "input_tokens": 500,
    "cache_read_input_tokens": 10_000,
    "cache_creation_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
    "output_tokens": 800,
}
GPT_COST, SONNET_COST = "0.00536", "0.025125"
"""What the providers' price pages say these cost: gpt-4o, and claude-sonnet-4-5."""

Work = Callable[[], object]


def aicost_work() -> dict[str, Work]:
    import aicost
    from aicost.pricing.kernel import Inquiry, Kernel
    from aicost.usage.readers import read_usage

    kernel = Kernel(aicost.RateCard.bundled())
    now = time.time_ns()
    gpt = Inquiry("openai", "gpt-4o", read_usage(GPT, api="chat").usage, now)
    sonnet = Inquiry("anthropic", "claude-sonnet-4-5", read_usage(SONNET, api="messages").usage, now)
    return {
        "gpt": lambda: kernel.price(gpt).atto,
        "sonnet": lambda: kernel.price(sonnet).atto,
        "raw gpt": lambda: aicost.price(provider="openai", model="gpt-4o", usage=GPT, api="chat").atto,
        "raw sonnet": lambda: (
            aicost.price(provider="anthropic", model="claude-sonnet-4-5", usage=SONNET, api="messages").atto
        ),
        "answer": lambda: (kernel.price(gpt).amount, kernel.price(sonnet).amount),
    }


def genai_prices_work() -> dict[str, Work]:
    from genai_prices import Usage, calc_price, extract_usage

    at = datetime.now(timezone.utc)
    gpt = Usage(input_tokens=1200, cache_read_tokens=1024, output_tokens=364)
    sonnet = Usage(
        input_tokens=12_500,
        cache_read_tokens=10_000,
        cache_write_tokens=2000,
        cache_write_1h_tokens=500,
        output_tokens=800,
    )

    def price(usage: Usage, model: str, provider: str) -> object:
        return calc_price(usage, model, provider_id=provider, genai_request_timestamp=at).total_price

    def raw(usage: dict[str, object], model: str, provider: str, flavor: str) -> object:
        found = extract_usage({"model": model, "usage": usage}, provider_id=provider, api_flavor=flavor)
        return price(found.usage, model, provider)

    return {
        "gpt": lambda: price(gpt, "gpt-4o", "openai"),
        "sonnet": lambda: price(sonnet, "claude-sonnet-4-5", "anthropic"),
        "raw gpt": lambda: raw(GPT, "gpt-4o", "openai", "chat"),
        "raw sonnet": lambda: raw(SONNET, "claude-sonnet-4-5", "anthropic", "default"),
        "answer": lambda: (price(gpt, "gpt-4o", "openai"), price(sonnet, "claude-sonnet-4-5", "anthropic")),
    }


def litellm_work() -> dict[str, Work]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    from litellm import cost_per_token
    from litellm.types.utils import CacheCreationTokenDetails, PromptTokensDetailsWrapper, Usage

    gpt = Usage(
        prompt_tokens=1200, completion_tokens=364, prompt_tokens_details=PromptTokensDetailsWrapper(cached_tokens=1024)
    )
    written = CacheCreationTokenDetails(ephemeral_5m_input_tokens=1500, ephemeral_1h_input_tokens=500)
    sonnet = Usage(
        prompt_tokens=12_500,
        completion_tokens=800,
        cache_read_input_tokens=10_000,
        cache_creation_input_tokens=2000,
        prompt_tokens_details=PromptTokensDetailsWrapper(
            cached_tokens=10_000, cache_creation_tokens=2000, cache_creation_token_details=written
        ),
    )

    def price(usage: Usage, model: str, provider: str) -> float:
        return sum(cost_per_token(model=model, custom_llm_provider=provider, usage_object=usage))

    return {
        "gpt": lambda: price(gpt, "gpt-4o", "openai"),
        "sonnet": lambda: price(sonnet, "claude-sonnet-4-5", "anthropic"),
        "answer": lambda: (price(gpt, "gpt-4o", "openai"), price(sonnet, "claude-sonnet-4-5", "anthropic")),
    }


def tokencost_work() -> dict[str, Work]:
    from tokencost.costs import calculate_cost_by_tokens

    def gpt() -> object:
        kinds = (("input", 176), ("cached", 1024), ("output", 364))
        return sum(calculate_cost_by_tokens(count, "gpt-4o", kind) for kind, count in kinds)

    return {"gpt": gpt, "answer": lambda: (gpt(), None)}


LIBRARIES = {
    "aicost": aicost_work,
    "genai-prices": genai_prices_work,
    "litellm": litellm_work,
    "tokencost": tokencost_work,
}
COLUMNS = ("gpt", "sonnet", "raw gpt", "raw sonnet")


def measure(name: str) -> None:
    """Print one row of the table."""
    from timing import microseconds

    before, began = _peak_mib(), time.perf_counter()
    work = LIBRARIES[name]()
    answer = work.pop("answer")()
    first_ms, grown = (time.perf_counter() - began) * 1e3, _peak_mib() - before
    taken = microseconds(work, rounds=9, calls=2000)
    cells = [f"{taken[column]:.1f}" if column in taken else "-" for column in COLUMNS]
    said = [_verdict(given, cost) for given, cost in zip(answer, (GPT_COST, SONNET_COST), strict=True)]
    print(f"| {name} | {version(name)} | {' | '.join(cells)} | {first_ms:.0f} | {grown:.0f} | {' | '.join(said)} |")


def main() -> None:
    columns = ["", "version", "gpt-4o, µs", "sonnet, µs", "gpt-4o raw, µs", "sonnet raw, µs"]
    columns += ["import and first price, ms", "memory, MiB", "gpt-4o exact", "sonnet exact"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in LIBRARIES:
        done = subprocess.run([sys.executable, __file__, name], check=False, capture_output=True, text=True)
        print(done.stdout.strip() or f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} |", flush=True)


def _verdict(given: object, cost: str) -> str:
    if given is None:
        return "-"
    return "yes" if Decimal(str(given)) == Decimal(cost) else str(given)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
