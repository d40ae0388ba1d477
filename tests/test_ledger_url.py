"""A ledger's URL is never shown with its password, whatever shape it has."""

from __future__ import annotations

import copy
import pickle

import pytest

from aicost import LedgerError
from aicost._ledger_url import LedgerUrl, is_url, without_password

SHOWN = {
    "postgresql://me:secret@db:5432/costs": "postgresql://me@db:5432/costs",
    "postgresql://db/costs?user=me&password=secret": "postgresql://db/costs?user=me",
    "postgresql://db/costs?user=a%40b&PassWord=secret&sslmode=require": "postgresql://db/costs?user=a%40b&sslmode=require",
    "postgresql://db/costs?p%61ssword=secret": "postgresql://db/costs",
    "postgresql://me:@db/costs": "postgresql://me@db/costs",
    "postgresql://:secret@db/costs": "postgresql://@db/costs",
    "postgresql://me:secret@[::1]:5432/costs": "postgresql://me@[::1]:5432/costs",
    "postgresql://me:secret@a:1,b:2/costs": "postgresql://me@a:1,b:2/costs",
    "postgresql:///costs": "postgresql:///costs",
    "clickhouse://me:secret@db:8123/costs?access_token=secret": "clickhouse://me@db:8123/costs",
}
NO_URLS = (
    "postgresql://me:sec/ret@db/costs",
    "postgresql://me:se?cret@db/costs",
    "postgresql://me:se@cret@db/costs",
    "postgresql://me:se#cret@db/costs",
    "postgresql://me:se cret@db/costs",
    "postgresql://me:secret@db:port/costs",
    "postgresql://db/costs?secret",
    "clickhouse://me:secret@db:8123/costs#secret",
)


@pytest.mark.parametrize(("url", "expected"), SHOWN.items())
def test_a_url_is_shown_without_its_password(url: str, expected: str) -> None:
    where = LedgerUrl(url)
    assert where.secret == url
    for shown in (
        without_password(url),
        str(where),
        f"{where}",
        repr(where),
        where.hidden_in(f"x {url}"),
    ):
        assert expected in shown
        assert "secret" not in shown
    assert pickle.loads(pickle.dumps(where)) == copy.deepcopy(where) == where
    assert without_password(expected) == expected


@pytest.mark.parametrize("url", NO_URLS)
def test_of_what_cannot_be_read_only_the_scheme_is_shown(url: str) -> None:
    assert is_url(url)
    assert without_password(url) == f"{url.partition('://')[0]}://..."
    with pytest.raises(LedgerError, match="cannot be read") as raised:
        LedgerUrl(url)
    assert "cret" not in str(raised.value)


def test_two_databases_are_never_shown_alike() -> None:
    urls = [f"postgresql://h{host}:1/d{name}?user={user}" for host in "ab" for name in "ab" for user in "ab"]
    assert len({without_password(url) for url in urls}) == len(urls)
