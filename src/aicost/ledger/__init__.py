"""The durable record of every charge, and the questions asked of it."""

from .recording import Ledger, RateSource

__all__ = ["Ledger", "RateSource"]
