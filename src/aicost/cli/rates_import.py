"""`aicost rates import` and `refresh`: a rate card from public price lists."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click

from aicost import _owner_only
from aicost._errors import RateCardError
from aicost._settings import Surroundings
from aicost.pricing.card import RateCard
from aicost.pricing.catalogue.folder import report, write
from aicost.pricing.catalogue.listing import PriceList
from aicost.pricing.catalogue.merge import merge
from aicost.pricing.catalogue.sources import GENAI_PRICES, LITELLM, TRUSTED, genai_prices_list, litellm_list

from ._options import json_option, print_json

GENAI_PRICES_URL = "https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/new_data/v2/data.json"
LITELLM_URL = "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
MAX_BYTES = 64 * 2**20
TIMEOUT_S = 30

_today = datetime.now(timezone.utc).date().isoformat


@click.command("import")
@click.option(
    "--genai-prices", "genai", type=click.Path(path_type=Path, exists=True), help="Its JSON; default: installed."
)
@click.option("--litellm", "lite", type=click.Path(path_type=Path, exists=True), help="Its JSON; default: installed.")
@click.option("--as-of", default=_today, help="The date of the lists; default: today.")
@click.option("--id", "card_id", default="catalogue", help="The card's id.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The folder of the card to write.")
@click.option("--conflicts", type=click.Path(path_type=Path), help="Where to write the whole report as JSON.")
@json_option
def import_lists(
    genai: Path | None,
    lite: Path | None,
    as_of: str,
    card_id: str,
    output: Path,
    conflicts: Path | None,
    as_json: bool,
) -> None:
    """Make a rate card of the price lists of genai-prices and LiteLLM.

    Takes the data of the installed packages, or of files. Where the lists disagree the card says so, and the report
    lists every case. Nothing is fetched.
    """
    lists = [
        genai_prices_list(genai.read_bytes() if genai else None, genai.name if genai else None),
        litellm_list(lite.read_bytes() if lite else None, lite.name if lite else None),
    ]
    _make(lists, as_of, card_id, output, conflicts, as_json)


@click.command("refresh")
@click.option("--genai-prices-url", default=GENAI_PRICES_URL, show_default=True)
@click.option("--litellm-url", default=LITELLM_URL, show_default=True)
@click.option(
    "--output", type=click.Path(path_type=Path), help="The folder of the card; default: the user's data folder."
)
@click.option("--conflicts", type=click.Path(path_type=Path), help="Where to write the whole report as JSON.")
@json_option
def refresh(
    genai_prices_url: str, litellm_url: str, output: Path | None, conflicts: Path | None, as_json: bool
) -> None:
    """Fetch today's public price lists and make a rate card of them.

    This is the one command that asks the network for prices, and it does so only when you run it. What it made is used
    once you name it: `AICOST_RATE_CARD=FOLDER`, or `rate_card` in aicost.toml.
    """
    today = _today()
    lists = [
        genai_prices_list(_fetch(genai_prices_url), f"of {today}"),
        litellm_list(_fetch(litellm_url), f"of {today}"),
    ]
    folder = output or Surroundings().data_folder / "rate-card"
    _make(lists, today, "refreshed", folder, conflicts, as_json)
    if not as_json:
        click.echo(f"to use it: AICOST_RATE_CARD={folder}")


def _make(
    lists: list[PriceList], as_of: str, card_id: str, output: Path, conflicts: Path | None, as_json: bool
) -> None:
    names = {GENAI_PRICES: lists[0].name, LITELLM: lists[1].name}
    catalogue = merge(lists, as_of=as_of, trust={provider: names[name] for provider, name in TRUSTED.items()})
    write(catalogue, output, card_id=card_id, version=as_of)
    RateCard.load(output)
    said = report(catalogue, lists)
    if conflicts is not None:
        _owner_only.write_bytes(conflicts, (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode())
    if as_json:
        print_json({**said, "output": str(output)})
        return
    click.echo(f"{output}: {said['models']} models and {said['rates']} rates of {len(catalogue.providers)} providers")
    disagree = len(catalogue.conflicts)
    click.echo(f"the lists disagree on {disagree} prices{f'; see {conflicts}' if conflicts else ''}")


def _fetch(url: str) -> bytes:
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise RateCardError(f"cannot fetch {url}: only https addresses are fetched")
    try:
        with urlopen(Request(url, headers={"User-Agent": "aicost"}), timeout=TIMEOUT_S) as answer:  # noqa: S310
            data: bytes = answer.read(MAX_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        raise RateCardError(f"cannot fetch {url}: {error}; `aicost rates import` works without a network") from error
    if len(data) > MAX_BYTES:
        raise RateCardError(f"cannot use {url}: more than {MAX_BYTES // 2**20} MiB")
    return data
