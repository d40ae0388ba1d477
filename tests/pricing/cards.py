"""Small rate cards for tests."""

from __future__ import annotations

from typing import Any

from aicost.pricing.card import RateCard


def document(*rates: dict[str, Any], modifiers: tuple[dict[str, Any], ...] = (), **model: Any) -> dict[str, Any]:
    """A card with one model `m` of provider `p`."""
    entry = {"model": "m", "rates": list(rates), "modifiers": list(modifiers), **model}
    provider = {"provider": "p", "source": "the price list", "checked": "2026-11-01", "models": [entry]}
    return {"schema": "aicost.rate-card/1", "id": "t", "version": "1", "currency": "USD", "providers": [provider]}


def card(*rates: dict[str, Any], modifiers: tuple[dict[str, Any], ...] = (), **model: Any) -> RateCard:
    """The same as a loaded card."""
    return RateCard(document(*rates, modifiers=modifiers, **model))


def rate(meter: str, price: str, per: int = 1_000_000, **more: Any) -> dict[str, Any]:
    """A rate as the file has it."""
    return {"meter": meter, "price": price, "per": per, **more}
