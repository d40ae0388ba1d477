"""A catalogue on disk: a card's folder, the same bytes for the same lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aicost import _owner_only
from aicost.pricing.card_format import HEADER, SCHEMA

from .listing import PriceList
from .merge import Catalogue


def write(catalogue: Catalogue, folder: Path, *, card_id: str, version: str) -> None:
    """Write the catalogue as a card into `folder`; files of providers it has no more are removed."""
    _owner_only.make_folder(folder)
    header = {"schema": SCHEMA, "id": card_id, "version": version, "currency": "USD"}
    wanted = {HEADER: json.dumps(header, indent=1) + "\n"}
    wanted |= {f"{name}.json": _provider_text(entry) for name, entry in catalogue.providers.items()}
    for file in folder.glob("*.json"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        _owner_only.write_bytes(folder / name, text.encode())


def report(catalogue: Catalogue, lists: list[PriceList]) -> dict[str, Any]:
    """What a reader should know of how the catalogue came about, as JSON data."""
    return {
        "lists": [one.name for one in lists],
        "models": sum(len(entry["models"]) for entry in catalogue.providers.values()),
        "rates": sum(len(m.get("rates", ())) for entry in catalogue.providers.values() for m in entry["models"]),
        "conflicts": [asdict(conflict) for conflict in catalogue.conflicts],
        "dropped_names": catalogue.dropped,
        "implausible": catalogue.implausible,
        "not_sold": catalogue.not_sold,
        "left_out": {one.name: one.left_out for one in lists},
    }


def _provider_text(entry: Mapping[str, Any]) -> str:
    """One model a line, so that a change of a price is a change of a line."""
    head = "".join(f" {json.dumps(key)}: {_compact(value)},\n" for key, value in entry.items() if key != "models")
    models = ",\n".join(f"  {_compact(model)}" for model in entry["models"])
    return f'{{\n{head} "models": [\n{models}\n ]\n}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
