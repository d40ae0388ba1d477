"""Reading rate cards from disk: checked, with the cards they lie over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aicost._errors import RateCardError

from .card_format import HEADER
from .validate import check_document, check_provider

_MAX_LAYERS = 8


CardFile = tuple[dict[str, Any], "Path | None"]
"""A card's document, and the folder that its providers are in, if it is one."""


def read_layers(path: Path) -> tuple[list[CardFile], bool]:
    """Read and check the card at `path`, a file or a folder, and those it extends, which follow it.

    Also whether the last of them lies over the bundled card. Raises `RateCardError`.
    """
    layers: list[CardFile] = []
    while len(layers) < _MAX_LAYERS:
        document, folder = _read_layer(path)
        layers.append((document, folder))
        extends = document.get("extends")
        if extends is None or extends == "bundled":
            return layers, extends is not None
        path = path.parent / extends
    raise RateCardError(f"rate card {path}: more than {_MAX_LAYERS} cards extend each other; is there a circle?")


def _read_layer(path: Path) -> CardFile:
    folder = path if path.is_dir() else None
    header = path / HEADER if folder else path
    document, text = _read(header)
    check_document(document, text, str(header))
    for file in sorted(folder.glob("*.json")) if folder else ():
        if file.name != HEADER:
            entry, text = _read(file)
            check_provider(entry, text, str(file), document["currency"])
            if entry["provider"] != file.stem:
                raise RateCardError(
                    f"{file}: holds provider {entry['provider']!r}; name the file {entry['provider']}.json"
                )
    return document, folder


def _read(file: Path) -> tuple[Any, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RateCardError(f"cannot read rate card {file}: {reason}") from error
    try:
        return json.loads(text), text
    except (ValueError, RecursionError) as error:
        raise RateCardError(f"rate card {file} is not valid JSON: {error}") from error
