"""Loading rate cards from disk: checked, with the cards they lie over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aicost._errors import RateCardError

from .card import HEADER, RateCard
from .validate import check_document, check_provider

_MAX_LAYERS = 8


def load(path: Path, above: int = 0) -> RateCard:
    """Read and check the card at `path`, a file or a folder, and those it extends."""
    if above >= _MAX_LAYERS:
        raise RateCardError(f"rate card {path}: more than {_MAX_LAYERS} cards extend each other; is there a circle?")
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
    return RateCard(document, base=_base(document, path, above), folder=folder)


def _base(document: dict[str, Any], path: Path, above: int) -> RateCard | None:
    extends = document.get("extends")
    if extends is None:
        return None
    return RateCard.bundled() if extends == "bundled" else load(path.parent / extends, above + 1)


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
