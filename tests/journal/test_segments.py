"""However a segment is cut or changed, what is read was written so, in order, and what is whole is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost.journal import MOST_BYTES, Damaged, Journal, read, release, waiting
from aicost.journal.segments import RECORD_HEADER

from .folders import EVERYTHING, after, contents, records, segments

KEPT = [b"first", b"", b"x" * 40, b"\0" * 30, b"last one"]


def written(folder: Path, kept: list[bytes] = KEPT) -> tuple[Path, list[int]]:
    """A segment of a writer that is gone, and where its records end."""
    journal = Journal(folder)
    for data in kept:
        journal.append(data)
    journal.close()
    ends = [record.end.offset for record in records(folder)]
    (file,) = segments(folder)
    return file, ends


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    numbers = [journal.append(data) for data in KEPT]
    found = records(tmp_path)
    assert [(one.number, one.data) for one in found] == list(zip(numbers, KEPT, strict=True))
    assert {one.writer for one in found} == {journal.writer}
    assert contents(tmp_path, after(found[:2])) == KEPT[2:]
    assert waiting(tmp_path, {}) == journal.size == sum(RECORD_HEADER.size + len(data) for data in KEPT)
    assert waiting(tmp_path, after(found)) == 0


def test_reading_ends_with_the_record_that_reaches_the_limit(tmp_path: Path) -> None:
    written(tmp_path, [b"x" * 10] * 5)
    assert [len(list(read(tmp_path, {}, limit_bytes=limit))) for limit in (1, 30, 31, 149, 500)] == [1, 1, 2, 5, 5]


def test_cut_at_any_byte_it_holds_the_records_before(tmp_path: Path) -> None:
    file, ends = written(tmp_path)
    raw = file.read_bytes()
    for cut in range(len(raw) + 1):
        file.write_bytes(raw[:cut])
        damaged = Damaged()
        assert [one.data for one in records(tmp_path, damaged=damaged)] == KEPT[: sum(end <= cut for end in ends)]
        assert damaged.bytes == 0, "a write that was cut short is no damage"


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_with_any_byte_changed_no_other_record_is_lost_and_none_is_wrong(tmp_path: Path, mask: int) -> None:
    file, ends = written(tmp_path)
    raw = file.read_bytes()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= mask
        file.write_bytes(changed)
        hit = sum(end <= at for end in ends)
        damaged = Damaged()
        assert [one.data for one in records(tmp_path, damaged=damaged)] == KEPT[:hit] + KEPT[hit + 1 :]
        length = ends[hit] - ([0, *ends][hit])
        # A length that is too large at the end cannot be told from a write that was cut short.
        assert damaged.bytes == length or (hit == len(KEPT) - 1 and damaged.bytes == 0)
        assert release(tmp_path, {}) == [], "not while there is something to read"


@settings(max_examples=200, deadline=None)
@given(
    kept=st.lists(st.binary(max_size=80), min_size=1, max_size=8),
    spoilt=st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=40)), max_size=3),
    cut=st.integers(0, 2000),
    start=st.integers(0, 8),
)
def test_whatever_is_written_over_it_what_is_read_was_appended(
    kept: list[bytes],
    spoilt: list[tuple[int, bytes]],
    cut: int,
    start: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    file, ends = written(folder, kept)
    place = [0, *ends][min(start, len(kept))]
    raw = bytearray(file.read_bytes())
    for at, data in spoilt:
        at %= len(raw)
        raw[at : at + len(data)] = data[: len(raw) - at]
    file.write_bytes(raw[: max(0, len(raw) - cut)] if cut % 2 else raw)
    found = records(folder, {file.name: place})
    before = sum(end <= place for end in ends)
    assert [kept[one.number - 1] for one in found] == [one.data for one in found]
    assert [one.number for one in found] == sorted({one.number for one in found})
    assert all(one.number > before for one in found)


def test_a_record_that_holds_a_piece_of_its_own_journal_yields_nothing_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for data in (b"one", b"two"):
        journal.append(data)
    (file,) = segments(tmp_path)
    raw = file.read_bytes()
    journal.append(b"copy: " + raw)
    journal.append(b"four")
    first = after(records(tmp_path)[:2])
    spoilt = bytearray(file.read_bytes())
    spoilt[len(raw)] ^= 0xFF
    file.write_bytes(spoilt)
    assert contents(tmp_path, first) == [], "its writer may be about to write it anew"
    journal.close()
    assert contents(tmp_path) == [b"one", b"two", b"four"]
    assert contents(tmp_path, first) == [b"four"], "nor for who comes back behind them"


def test_nor_does_one_that_holds_the_segment_before_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"one")
    journal.end_segment()
    journal.append(segments(tmp_path)[0].read_bytes())
    journal.append(b"three")
    journal.close()
    raw = bytearray(segments(tmp_path)[1].read_bytes())
    raw[0] ^= 0xFF
    segments(tmp_path)[1].write_bytes(raw)
    assert contents(tmp_path) == [b"one", b"three"]


def test_a_piece_of_another_segment_is_no_record(tmp_path: Path) -> None:
    file, _ = written(tmp_path / "a")
    other = tmp_path / "b" / f"{'0' * 16}-{'1' * 32}.segment"
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    damaged = Damaged()
    assert records(other.parent, damaged=damaged) == []
    assert damaged.bytes == other.stat().st_size


@pytest.mark.parametrize("length", [0xFFFFFFFF, MOST_BYTES + 1, MOST_BYTES, 2000])
def test_a_length_is_not_believed(tmp_path: Path, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    file, ends = written(tmp_path)
    raw = bytearray(file.read_bytes())
    raw[ends[0] + 8 : ends[0] + 12] = length.to_bytes(4, "little")
    file.write_bytes(raw)
    most: list[int] = []
    real = os.read
    monkeypatch.setattr(os, "read", lambda at, n: (most.append(n), real(at, n))[1])
    assert contents(tmp_path) == [KEPT[0], *KEPT[2:]]
    assert max(most) <= len(raw)


def test_reading_what_is_damaged_takes_time_by_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = written(tmp_path, [b"a" * 4 * 2**20, b"b"])
    raw = bytearray(file.read_bytes())
    raw[30] ^= 1
    file.write_bytes(raw)
    total: list[int] = []
    real = os.read
    monkeypatch.setattr(os, "read", lambda at, n: (total.append(n), real(at, n))[1])
    assert contents(tmp_path) == [b"b"]
    assert sum(total) < 3 * len(raw)


@pytest.mark.parametrize("links", [True, False], ids=["by a link", "by a copy"])
def test_a_damaged_segment_is_told_of_once_and_kept_for_a_person(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def link(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    file, ends = written(tmp_path)
    raw = bytearray(file.read_bytes())
    raw[ends[1] + 30] ^= 1
    file.write_bytes(raw)
    damaged = Damaged()
    for _ in range(3):
        found = records(tmp_path, damaged=damaged)
    assert damaged.bytes == ends[2] - ends[1]
    assert release(tmp_path, after(found), damaged=damaged) == [file.name]
    (told,) = [one.getMessage() for one in caplog.records]
    assert f"{file.name}.damaged" in told
    assert file.with_name(f"{file.name}.damaged").read_bytes() == raw
    assert contents(tmp_path) == []


@pytest.mark.parametrize("function", ["open", "read"])
def test_a_segment_that_cannot_be_read_is_left_for_the_next_time(
    tmp_path: Path, function: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = written(tmp_path, [b"a"])
    written(tmp_path / "other", [b"b"])
    second = segments(tmp_path / "other")[0]
    second.rename(tmp_path / second.name)
    inode, damaged = first.stat().st_ino, Damaged()
    real = getattr(os, function)

    def fails(what: object, *more: object) -> object:
        if what == first or (function == "read" and isinstance(what, int) and os.fstat(what).st_ino == inode):
            raise OSError(5, "Input/output error")
        return real(what, *more)

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fails)
        for expected in ([b"b"], []):
            found = records(tmp_path, damaged=damaged)
            assert [one.data for one in found] == expected
            assert release(tmp_path, after(found), damaged=damaged) == [one.end.segment for one in found]
    assert sum(first.name in one.getMessage() for one in caplog.records) == 1
    assert contents(tmp_path) == [b"a"]


def test_of_damaged_segments_the_newest_are_kept(tmp_path: Path) -> None:
    for number in range(20):
        journal = Journal(tmp_path)
        journal.append(b"%d" % number)
        journal.append(b"")
        journal.close()
        file = segments(tmp_path)[-1]
        raw = bytearray(file.read_bytes())
        raw[20] ^= 1
        file.write_bytes(raw)
        found = records(tmp_path)
        release(tmp_path, after(found))
    assert len(list(tmp_path.glob("*.damaged"))) == 16
    assert segments(tmp_path) == []


def test_room_that_was_never_written_to_is_no_damage(tmp_path: Path) -> None:
    file, ends = written(tmp_path)
    os.truncate(file, ends[-1] + 5000)
    damaged = Damaged()
    found = records(tmp_path, damaged=damaged)
    assert [one.data for one in found] == KEPT
    assert release(tmp_path, after(found), damaged=damaged) == [file.name]
    assert damaged.bytes == 0


def test_what_is_being_written_is_waited_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"whole")
    (file,) = segments(tmp_path)
    before = file.read_bytes()
    journal.append(b"half")
    raw = file.read_bytes()
    for cut in range(len(before), len(raw)):
        for tail in (b"", b"\xff" * (len(raw) - cut)):
            file.write_bytes(raw[:cut] + tail)
            damaged = Damaged()
            found = records(tmp_path, damaged=damaged)
            assert [one.data for one in found] == [b"whole"]
            assert damaged.bytes == 0
            assert release(tmp_path, after(found)) == []
    file.write_bytes(raw)
    assert contents(tmp_path, after(found)) == [b"half"]
    journal.close()


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    names = ["notes.txt", "x.segment", f"{'0' * 16}-{'1' * 32}.segment.damaged", f"{'0' * 16}-{'1' * 31}g.segment"]
    for name in names:
        (tmp_path / name).write_bytes(b"\0" * 100)
    assert records(tmp_path) == []
    assert release(tmp_path, {}) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(names)
    assert list(read(tmp_path / "none", {}, limit_bytes=EVERYTHING)) == []
