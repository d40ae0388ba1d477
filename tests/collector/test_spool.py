"""The spool: what was kept is read, in order, by every reader, however often it is opened and wherever it is cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost._errors import ConfigError
from aicost.collector.spool import SIGNALS, Spool, SpooledRequest
from aicost.journal import Journal, JournalFullError

from .older import write_older_spool


def opened(folder: Path, *readers: str, max_size: int = 2**30) -> Spool:
    return Spool(folder, readers or ("one",), max_size=max_size)


def rest(spool: Spool, reader: str = "one") -> list[SpooledRequest]:
    found = []
    while (record := spool.readers[reader].read()) is not None:
        found.append(record)
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(SIGNALS), st.binary(max_size=60)),
        st.tuples(st.just("read"), st.sampled_from(["one", "two"]), st.just(b"")),
        st.tuples(st.just("deliver"), st.sampled_from(["one", "two"]), st.integers(0, 5).map(lambda n: bytes([n]))),
        st.tuples(st.just("reopen"), st.just(""), st.just(b"")),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_every_reader_gets_everything_in_order_and_again_only_what_it_has_not_delivered(
    steps: list[tuple[str, str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = opened(folder, "one", "two", max_size=1600)
    kept: list[tuple[str, bytes]] = []
    at = {"one": 0, "two": 0}
    under_way: dict[str, list[tuple[int, SpooledRequest]]] = {"one": [], "two": []}
    done: dict[str, set[int]] = {"one": set(), "two": set()}
    for what, name, data in steps:
        if what == "append":
            try:
                spool.append(name, data)
            except JournalFullError:
                continue
            kept.append((name, data))
        elif what == "read":
            record = spool.readers[name].read()
            if record is None:
                assert at[name] == len(kept)
                continue
            assert (record.signal, record.data) == kept[at[name]]
            under_way[name].append((at[name], record))
            at[name] += 1
        elif what == "deliver" and under_way[name]:
            number, record = under_way[name].pop(data[0] % len(under_way[name]))
            spool.readers[name].delivered(record)
            done[name].add(number)
        elif what == "reopen":
            spool.close()
            spool = opened(folder, "one", "two", max_size=1600)
            for reader in at:
                first = 0
                while first in done[reader]:
                    first += 1
                at[reader] = first
                done[reader] = {number for number in done[reader] if number < first}
                under_way[reader] = []
    for reader in at:
        assert [(one.signal, one.data) for one in rest(spool, reader)] == kept[at[reader] :]
    spool.close()


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, 400), flip=st.integers(0, 10_000), damage=st.sampled_from(["cut", "flip"]))
def test_a_damaged_tail_costs_what_is_damaged_and_nothing_after_it(
    cut: int, flip: int, damage: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = opened(folder)
    kept = [bytes([number]) * 30 for number in range(8)]
    for data in kept:
        spool.append("traces", data)
    spool.close()
    (file,) = segments(folder)
    raw = bytearray(file.read_bytes())
    if damage == "cut":
        raw = raw[: max(0, len(raw) - cut)]
    else:
        raw[flip % len(raw)] ^= 0xFF
    file.write_bytes(raw)
    spool = opened(folder)
    spool.append("traces", b"after")
    found = [one.data for one in rest(spool)]
    assert found[-1] == b"after"
    if damage == "flip":
        hit = (flip % len(raw)) // (len(raw) // 8)
        assert found[:-1] == kept[:hit] + kept[hit + 1 :]
        assert spool.lost_bytes == len(raw) // 8
    else:
        assert found[:-1] == kept[: len(raw) // (21 + 30)]
        assert spool.lost_bytes == len(raw) % (21 + 30)
    spool.close()


def test_what_every_reader_has_delivered_is_deleted(tmp_path: Path) -> None:
    spool = opened(tmp_path, "one", "two", max_size=8 * 1000)
    for _ in range(5):
        spool.append("traces", b"x" * 900)
    assert len(segments(tmp_path)) == 5
    for record in rest(spool, "one"):
        spool.readers["one"].delivered(record)
    assert len(segments(tmp_path)) == 5
    for record in rest(spool, "two"):
        spool.readers["two"].delivered(record)
    assert len(segments(tmp_path)) == 1
    spool.close()


def test_a_full_spool_says_so_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_size=2000)
    for _ in range(9):
        spool.append("logs", b"x" * 200)
    with pytest.raises(JournalFullError, match="2000"):
        spool.append("logs", b"x" * 200)
    for record in rest(spool):
        spool.readers["one"].delivered(record)
    spool.append("logs", b"x" * 200)
    spool.close()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(ConfigError, match="in use"):
        opened(tmp_path)
    spool.close()
    opened(tmp_path).close()


def test_a_place_that_was_half_written_begins_at_the_oldest(tmp_path: Path) -> None:
    spool = opened(tmp_path, "one", "two")  # as the other one waits for it, it is still there
    spool.append("traces", b"a")
    for record in rest(spool):
        spool.readers["one"].delivered(record)
    spool.close()
    (tmp_path / "one.place").write_bytes(b"\x01" * 11)
    spool = opened(tmp_path, "one", "two")
    assert [one.data for one in rest(spool)] == [b"a"]
    spool.close()


def test_make_safe_flushes_what_was_appended_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (flushed.append(file), real(file))[1])
    spool = opened(tmp_path)
    numbers = [spool.append("traces", b"a") for _ in range(3)]
    spool.make_safe(numbers[-1])
    spool.make_safe(numbers[0])
    assert len(flushed) == 1
    spool.close()


def test_make_safe_flushes_segments_gone_by_where_power_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    monkeypatch.setattr(os, "fdatasync", lambda file: flushed.add(os.fstat(file).st_ino))
    spool = Spool(tmp_path, ["one"], max_size=1600, durability="power")
    numbers = [spool.append("traces", b"x" * 150) for _ in range(5)]
    assert not flushed
    spool.make_safe(numbers[-1])
    assert flushed == {file.stat().st_ino for file in segments(tmp_path)}
    assert len(flushed) == 5
    spool.close()


def test_a_segment_that_was_delivered_makes_room_for_a_large_request(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_size=1000)
    for _ in range(10):
        spool.append("traces", b"x" * 600)
        for record in rest(spool):
            spool.readers["one"].delivered(record)
    assert not spool.fits(1000)
    spool.close()


def test_deleted_files_do_not_hide_what_comes_after(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for _ in range(3):
        spool.append("traces", b"a")
    for record in rest(spool):
        spool.readers["one"].delivered(record)
    spool.close()
    for file in segments(tmp_path):
        file.unlink()
    spool = opened(tmp_path)
    spool.append("traces", b"b")
    assert [one.data for one in rest(spool)] == [b"b"]
    spool.close()


def test_nor_with_the_clock_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    spool.append("traces", b"a")
    for record in rest(spool):
        spool.readers["one"].delivered(record)
    spool.close()
    monkeypatch.setattr("time.time_ns", lambda: 10**18)
    for delivered in (False, True):
        spool = opened(tmp_path)
        spool.append("traces", b"b")
        found = rest(spool)
        assert [one.data for one in found] == [b"b"]
        if delivered:
            spool.readers["one"].delivered(found[0])
        spool.close()
        for file in segments(tmp_path):
            file.unlink()


def test_files_deleted_under_a_running_spool_cost_what_was_in_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path, max_size=800)
    for data in (b"a", b"b", b"c"):
        spool.append("traces", data * 60)
    assert len(segments(tmp_path)) == 3
    for file in segments(tmp_path)[:2]:
        file.unlink()
    assert [one.data[:1] for one in rest(spool)] == [b"c"]
    assert spool.lost_bytes == 2 * 81
    assert sum("was deleted" in one.getMessage() for one in caplog.records) == 2
    for file in segments(tmp_path):
        file.unlink()
    spool.append("traces", b"d")
    assert [one.data for one in rest(spool)] == [b"d"]
    spool.close()


def test_a_reader_has_a_cut_tail_behind_it_once_it_has_what_came_before(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for data in (b"a" * 30, b"b" * 30):
        spool.append("traces", data)
    (file,) = segments(tmp_path)
    spool.close()
    file.write_bytes(file.read_bytes()[:-5])
    spool = opened(tmp_path)
    (found,) = rest(spool)
    assert spool.waiting
    spool.readers["one"].delivered(found)
    assert not spool.waiting
    spool.close()
    assert segments(tmp_path) == []


def test_what_an_older_version_kept_is_read_from_where_each_reader_was_and_before_what_comes(tmp_path: Path) -> None:
    kept = [[("traces", b"a"), ("logs", b"b" * 50)], [("metrics", b"c"), ("traces", b"d")], [("logs", b"cut")]]
    write_older_spool(tmp_path, kept, {"one": (1, 1), "two": (2, 1)}, cut=2)
    for turn in range(2):
        spool = opened(tmp_path, "one", "two", "new")
        spool.append("traces", b"now %d" % turn)
        found = {name: [one.data for one in rest(spool, name)] for name in spool.readers}
        now = [b"now %d" % n for n in range(turn + 1)]
        assert found["one"] == [b"b" * 50, b"c", b"d", *now]
        assert found["two"] == [b"d", *now]
        assert found["new"] == [b"a", *found["one"]]
        assert spool.lost_bytes == 9 + 1
        spool.close()
    spool = opened(tmp_path, "one", "two", "new")
    for name, reader in spool.readers.items():
        for record in rest(spool, name):
            reader.delivered(record)
    assert list(tmp_path.glob("*.seg")) == []
    spool.close()
    assert segments(tmp_path) == []


def test_a_request_of_a_signal_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for data in (b"\x07newer", b"", b"\0older"):
        journal.append(data)
    journal.close()
    spool = opened(tmp_path)
    assert [one.data for one in rest(spool)] == [b"older"]
    assert spool.lost_bytes == 6
    spool.close()
