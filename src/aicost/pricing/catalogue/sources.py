"""Where the price lists come from: the packages that are installed, files, or bytes that somebody fetched."""

from __future__ import annotations

import importlib
import importlib.util
import json
from datetime import date, time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aicost._errors import RateCardError

from . import genai_prices, litellm
from .listing import PriceList

GENAI_PRICES = "genai-prices"
LITELLM = "litellm"
_LITELLM_FILE = "model_prices_and_context_window_backup.json"

TRUSTED = {"aws.bedrock": LITELLM, "azure.ai.openai": LITELLM, "deepseek": LITELLM}
"""Providers for which LiteLLM's map is believed first, by name of the list.

genai-prices has one price per Bedrock and Azure model where the map has one per inference profile and region, and its
DeepSeek prices are those of before September 2025.
"""


def genai_prices_list(data: bytes | None = None, said: str | None = None) -> PriceList:
    """The list of genai-prices: its JSON if given, else what the installed package has.

    Raises `RateCardError` if it is not installed, or the data is of another form.
    """
    if data is not None:
        providers = _namespaces(_json(data, GENAI_PRICES))
        return _read(lambda: genai_prices.read(providers, f"{GENAI_PRICES} {said or 'file'}"), GENAI_PRICES)
    try:
        package = importlib.import_module("genai_prices.data")
    except ImportError as error:
        raise _not_installed(GENAI_PRICES, error) from None
    return _read(lambda: genai_prices.read(package.providers, f"{GENAI_PRICES} {_version(GENAI_PRICES)}"), GENAI_PRICES)


def litellm_list(data: bytes | None = None, said: str | None = None) -> PriceList:
    """The list of LiteLLM: its JSON if given, else the file in the installed package, which is not imported.

    Raises `RateCardError` if it is not installed, or the data is of another form.
    """
    if data is None:
        try:
            spec = importlib.util.find_spec("litellm")
        except (ImportError, ValueError) as error:
            raise _not_installed(LITELLM, error) from None
        if spec is None or spec.origin is None:
            raise _not_installed(LITELLM, "no such package")
        data, said = (Path(spec.origin).parent / _LITELLM_FILE).read_bytes(), _version(LITELLM)
    found = _json(data, LITELLM)
    return _read(lambda: litellm.read(found, f"{LITELLM} {said or 'file'}"), LITELLM)


def _read(make: Any, name: str) -> PriceList:
    try:
        made: PriceList = make()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RateCardError(f"the price list of {name} is of a form this version does not know: {error!r}") from error
    if not made.listings:
        raise RateCardError(f"the price list of {name} has no models; is it the right file?")
    return made


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RateCardError(f"the price list of {name} is not valid JSON: {error}") from error


def _namespaces(data: Any) -> Any:
    """JSON data as objects with attributes, as the package has them."""
    if isinstance(data, list):
        return [_namespaces(item) for item in data]
    if not isinstance(data, dict):
        return data
    made = SimpleNamespace()
    for name, value in data.items():
        if name in {"or", "and"}:
            made.__dict__[f"{name}_"] = _namespaces(value)
        elif name in {"start_date", "prices_checked"}:
            made.__dict__[name] = date.fromisoformat(value)
        elif name in {"start_time", "end_time"}:
            made.__dict__[name] = time.fromisoformat(value.replace("Z", "+00:00"))
        elif name == "when":
            made.__dict__[name] = value
        else:
            made.__dict__[name] = _namespaces(value)
    return made


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _not_installed(name: str, error: object) -> RateCardError:
    return RateCardError(f"{name} is not installed ({error}); `pip install {name}`, or give its file with --{name}")
