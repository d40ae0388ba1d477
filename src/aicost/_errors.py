"""The errors a caller may meet. Everything the product raises on purpose is an `AicostError`."""

from __future__ import annotations


class AicostError(Exception):
    """Base of every error raised by aicost. Its message names the thing, the value and the way out."""


class UsageError(AicostError):
    """A usage object cannot be read at all: not an object, or of an API nobody here knows."""


class LedgerError(AicostError):
    """A ledger cannot be opened or read: no such file, not a ledger, a newer schema."""


class ConfigError(AicostError):
    """A setting has a value that cannot be used."""


class RateCardError(ConfigError):
    """A rate card cannot be used: bad syntax, overlapping rates, a missing currency."""


class CallRefused(AicostError):  # noqa: N818 - it is an answer, not a fault
    """The user's own policy does not let this call be made. Nothing of it has left the process."""
