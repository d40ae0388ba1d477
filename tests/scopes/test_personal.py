"""What is an id and stays, and what is personal or secret and is hashed, and how long telling them apart takes."""

from __future__ import annotations

import time

import pytest

from aicost.scopes.ids import opaque
from aicost.scopes.personal import looks_personal

IDS = [
    "t-42",
    "12345",
    "123456789",
    "1234567890",
    "123456789012345",
    "4915112345678",
    "0170123456",
    "4111-22",
    "12345-67890",
    "555-0123",
    "114-1234567-1234567",
    "2026-11-25-000123",
    "000-123456",
    "customer 12345",
    "2026-11-25",
    "20261125",
    "2026-11-25 10:30:00",
    "2026-11-25T10:30:00.123456+02:00",
    "2026-11-25 10:30 UTC +0200",
    "25.11.2026",
    "01-02-2026",
    "01/02/2026",
    "11/2026",
    "2026-W48",
    "1732540800.123456",
    "v1.2.3",
    "1.2.3+20261125001",
    "2026.11.25.1",
    "tool@1.2.3",
    "10.0.0.1",
    "192.168.100.200:8080",
    "2001:db8::1",
    "3f2a9c0e-5b7d-4e1f-a2b3-c4d5e6f70819",
    "12345678-1234-1234-1234-123456789012",
    "3f2a9c0e5b7d4e1fa2b3c4d5e6f70819",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "DE89 3704 0044 0532 0130 00",
    "978-3-16-148410-0",
    "0-306-40615-2",
    "urn:isbn:9783161484100",
    "skandinaviska-banken-ab",
    "sk-bratislava-west-01-customer",
    "sk-learn-pipeline-v2",
    "pkwy-north-district-office",
    "rkelly-records-international",
    "gho-mart-stores-and-more",
    "AKIA-furniture-stores",
    "Bearer Street",
    "basic plan customers",
    "@handle",
    "user@host",
    "100%40",
    "h:1234567890123456",
    "日本電気株式会社",
    "Zoë's shop",
    "😀",
    "",
]

PERSONAL = [
    "ann@example.com",
    "Ann Smith <ann@example.com>",
    "mailto:ann+tag@mail.example.co.uk",
    "team/ann@example.com/2026",
    '"ann smith"@example.com',
    "ann@[192.168.0.1]",
    "ann%40example.com",
    "ann\uff20example.com",
    "用户@例子.公司",
    "用户@例子。公司",
    "ünser@bücher.example",
    "ann@xn--bcher-kva.example",
    "ann\u200b@example.com",
    "https://ann:secret@db.example.com/x",
    "x" * 250 + "@example.com",
    "+49 170 1234567",
    "+491701234567",
    "+14155550123",
    "+1 (415) 555-0123",
    "+1-415-555-0123",
    "+44 (0)20 7946 0958",
    "+33 1 23 45 67 89",
    "\uff0b49 170 1234567",
    "\u202a+49 170 1234567\u202c",
    "+49\u00a0170\u00a01234567",
    "+49 170 1234567 (home)",
    "Ann +14155550123",
    "tel:+14155550123",
    "tel:4155550123",
    "(415) 555-0123",
    "(415)555-0123",
    "(030) 123456",
    "415-555-0123",
    "415\u2013555\u20130123",
    "415.555.0123",
    "415 555 0123",
    "1-800-555-0123",
    "call 415-555-0123 today",
    "415-555-0123 x12",
    "0170/1234567",
    "0170 1234567",
    "0170-1234567",
    "030 1234567",
    "020 7946 0958",
    "01.23.45.67.89",
    "01 23 45 67 89",
    "0049 170 1234567",
    "98765 43210",
    "\u0660\u0661\u0667\u0660 \u0661\u0662\u0663\u0664\u0665\u0666\u0667",
    "sk-proj-abcdefghijklmnop",
    "sk-abcdefghijklmnopqrstuvwx1234",
    "sk-ant-api03-AbCdEfGh_12-34",
    "sk_live_51HabcdefGHIJKL",
    "pk_test_TYooMQauvdEDq54NiTphI7jx",
    "key=sk-proj-abcdefghijklmnop",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghij_xyz",
    "glpat-abcdefghij1234567890",
    "xoxb-123456789012-abcdef",
    "hf_abcdefghijklmnopqrstuvwx",
    "gsk_abcdefghijklmnopqrstuvwx",
    "xai-abcdefghijklmnopqrstuvwx",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.abc",
    "Authorization: Bearer abcdef123456",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
]


@pytest.mark.parametrize("value", IDS)
def test_an_id_stays_what_it_is(value: str) -> None:
    assert opaque("tenant_id", value) == value


@pytest.mark.parametrize("value", PERSONAL)
def test_what_is_personal_or_secret_is_hashed(value: str) -> None:
    assert opaque("tenant_id", value).startswith("h:")


@pytest.mark.parametrize(
    "unit",
    [
        "@",
        "a@",
        "a@b",
        "a.",
        "@a.",
        "é@a.1",
        "1",
        "+1 ",
        "(1",
        "1-",
        "1 ",
        "0170/",
        "sk-",
        "eyJ-",
        "Bearer ",
        "\u0301\u0327",
        " ",
    ],
)
def test_the_work_for_a_value_grows_no_faster_than_its_length(unit: str) -> None:
    def taken(size: int) -> float:
        text, best = unit * (size // len(unit)), 1e9
        for _ in range(3):
            began = time.perf_counter()
            looks_personal(text)
            opaque("session_id", text)
            best = min(best, time.perf_counter() - began)
        return best

    # Each ten times as long: a hundred times as much work where it is quadratic. What is little is not compared.
    small, large = taken(32_000), taken(320_000)
    assert large < max(40 * small, 0.05)
