"""The URL of a ledger on a server: what has a password in it, and is never shown with it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from ._errors import LedgerError

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_HOST = r"(?:\[[0-9a-f:.%]+\]|[^\s\[\]@:/?#,]*)(?::\d*)?"
_PAIR = r"[^\s=&?#]+=[^\s&#]*"
_URL = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]+)://(?:(?P<user>[^\s@:/?#]*)(?::(?P<password>[^\s@/?#]*))?@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?P<path>/[^\s@?#]*)?(?:\?(?P<query>(?:{_PAIR}(?:&{_PAIR})*)?))?",
    re.IGNORECASE,
)
_SECRET_NAMES = ("pass", "pwd", "secret", "token", "credential")
"""What the name of a parameter has in it whose value must not be shown."""


def is_url(where: object) -> bool:
    """Whether a ledger is on a server.

    >>> is_url("postgresql://db/costs"), is_url("costs.sqlite"), is_url(r"C:\\costs.sqlite")
    (True, False, False)
    """
    return isinstance(where, str) and _SCHEME.match(where) is not None


def without_password(url: str) -> str:
    """A URL as it may be shown, and as two that differ only in their password are the same. Of what cannot be read as
    one only the beginning is left: anything in it may be a part of the password.

    >>> without_password("postgresql://aicost:s3cret@db:5432/costs?sslmode=require&password=x")
    'postgresql://aicost@db:5432/costs?sslmode=require'
    """
    found = _URL.fullmatch(url)
    if found is None:
        scheme = _SCHEME.match(url)
        return "..." if scheme is None else f"{scheme[0]}..."
    user, path, query = found["user"], found["path"] or "", found["query"] or ""
    kept = [pair for pair in query.split("&") if pair and not _is_secret(pair)]
    return (
        f"{found['scheme']}://{'' if user is None else f'{user}@'}{found['hosts']}{path}"
        f"{'?' if kept else ''}{'&'.join(kept)}"
    )


class LedgerUrl:
    """Where a ledger on a server is. As text it is without its password, wherever it is shown; `secret` is all of it.

    Raises `LedgerError` for what is no such URL.
    """

    __slots__ = ("secret",)

    def __init__(self, secret: str) -> None:
        if _URL.fullmatch(secret) is None:
            scheme = _SCHEME.match(secret)
            way_out = "write it as SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for @ : / ? # in a password"
            raise LedgerError(f"the ledger's URL ({scheme[0] if scheme else ''}...) cannot be read; {way_out}")
        self.secret = secret

    def __str__(self) -> str:
        return without_password(self.secret)

    def __repr__(self) -> str:
        return f"LedgerUrl({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LedgerUrl) and self.secret == other.secret

    def __hash__(self) -> int:
        return hash(self.secret)

    def hidden_in(self, text: str) -> str:
        """A text of somebody else's, an error of a server or its client, without the password."""
        found = _URL.fullmatch(self.secret)
        assert found is not None  # noqa: S101 - it was read before
        values = [pair.partition("=")[2] for pair in (found["query"] or "").split("&") if _is_secret(pair)]
        text = text.replace(self.secret, str(self))
        for value in filter(None, (found["password"], *values)):
            for form in (value, unquote(value)):
                # A short one is in many a word; clients say it in quotes, if at all.
                if len(form) >= _LONG:
                    text = text.replace(form, "***")
                text = text.replace(f'"{form}"', '"***"').replace(f"'{form}'", "'***'")
        return text


_LONG = 6


def _is_secret(pair: str) -> bool:
    name = unquote(pair.partition("=")[0]).lower()
    return any(part in name for part in _SECRET_NAMES)
