"""The option that names a ledger, by itself, for commands that start without what the others need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from aicost._ledger_url import LedgerUrl, is_url


class LedgerParam(click.ParamType[Path | LedgerUrl]):
    """A path, or the URL of a server: which is kept apart, so that its password is in no message."""

    name = "path|url"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - the signature is click's
        ctx: click.Context | None,  # noqa: ARG002
    ) -> Path | LedgerUrl:
        """Raises `LedgerError` for a URL that cannot be read: click's own error would show it."""
        if isinstance(value, (Path, LedgerUrl)):
            return value
        return LedgerUrl(value) if is_url(value) else Path(value)


ledger_option: Callable[[Any], Any] = click.option(
    "--ledger",
    type=LedgerParam(),
    help="The ledger, a file or a server's URL. Default: AICOST_LEDGER, else the file in your state directory.",
)
