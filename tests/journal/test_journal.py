"""The writing end: what is acknowledged is in the folder, whatever happens to process or disk; the rest is counted."""

from __future__ import annotations

import errno
import gc
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from aicost import _later
from aicost.journal import Journal, JournalFullError, ingesting, read, release, waiting
from aicost.journal.segments import RECORD_HEADER

from .folders import EVERYTHING, after, contents, records, segments


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal")
    yield made
    made.close()


def in_child(do: Callable[[], None]) -> int:
    """Do it in a forked child; its status."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: int, *, when: Callable[..., bool]) -> list[Any]:
    """Have a function of `os` fail where `when` says so of its arguments; what it was asked then."""
    real, asked = getattr(os, name), []

    def function(*args: Any, **options: Any) -> Any:
        if when(*args):
            asked.append(args)
            raise OSError(error, os.strerror(error))
        return real(*args, **options)

    monkeypatch.setattr(os, name, function)
    return asked


# --- segments


def test_a_segment_has_its_size_and_the_next_one_sorts_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1000)
    kept = [b"%03d" % n + b"x" * 300 for n in range(20)]
    for data in kept:
        journal.append(data)
    files = segments(tmp_path)
    assert len(files) == 7
    assert max(file.stat().st_size for file in files) <= 1000
    found = records(tmp_path)
    assert [one.data for one in found] == kept
    assert [one.number for one in found] == list(range(1, 21))
    assert [one.segment for one in (record.end for record in found)] == sorted(record.end.segment for record in found)


def test_a_record_larger_than_a_segment_is_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1000)
    kept = [b"a", b"x" * 5000, b"b"]
    for data in kept:
        journal.append(data)
    assert contents(tmp_path) == kept


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [2_000_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    kept = []
    for step in (0, -(10**18), 5, -7, 0, -(10**15)):
        clock[0] += step
        journal = Journal(tmp_path, segment_bytes=100)
        for n in range(4):
            kept.append(b"%d %d" % (len(kept), n) + b"x" * 50)
            journal.append(kept[-1])
        journal.close()
    assert contents(tmp_path) == kept


def test_only_what_is_wholly_read_and_will_not_grow_is_released(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=200)
    for n in range(6):
        journal.append(b"%d" % n * 60)
    first, second, third = (file.name for file in segments(tmp_path))
    found = records(tmp_path)
    assert release(tmp_path, {}) == []
    assert release(tmp_path, after(found[:1])) == []
    assert release(tmp_path, after(found[:3])) == [first]
    assert release(tmp_path, after(found)) == [second], "the third is still written to"
    journal.end_segment()
    assert release(tmp_path, after(found)) == [third]
    journal.append(b"more")
    assert contents(tmp_path) == [b"more"]
    journal.close()
    assert release(tmp_path, after(records(tmp_path)))
    assert segments(tmp_path) == []


def test_a_segment_that_the_listing_of_a_folder_missed_is_not_read_behind_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicost.journal import consumer

    journal = Journal(tmp_path, segment_bytes=100)
    kept = [b"%d" % n * 60 for n in range(4)]
    for data in kept[:3]:
        journal.append(data)
    real, listed = consumer.found_in, []

    def found_in(folder: Path) -> list[Any]:
        listed.append(real(folder))
        if len(listed) > 1:
            return listed[-1]
        journal.append(kept[3])
        return listed[0][:1] + listed[0][2:]  # begun while it was read, as was the one after it

    monkeypatch.setattr(consumer, "found_in", found_in)
    assert contents(tmp_path) == kept[:3]
    assert contents(tmp_path) == kept


def test_closed_it_lets_go_and_a_later_record_is_kept_all_the_same(journal: Journal) -> None:
    journal.append(b"a")
    journal.close()
    journal.close()
    journal.append(b"b")
    assert contents(journal.folder) == [b"a", b"b"]


def test_it_stays_where_it_was_begun_whatever_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal(Path("journal"))
    journal.append(b"a")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    journal.append(b"b")
    assert contents(tmp_path / "journal") == [b"a", b"b"]
    assert len(segments(tmp_path / "journal")) == 1


def test_dropped_it_lets_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"a")
    del journal
    gc.collect()
    assert len(release(tmp_path, after(records(tmp_path)))) == 1


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(tmp_path / "a" / "b").append(b"x")
        with ingesting(tmp_path / "a" / "b") as alone:
            assert alone
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert len(modes) == 3
    assert set(modes.values()) == {0o700, 0o600}


# --- the bound


def test_what_does_not_fit_is_refused_and_counted_until_there_is_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=2000, segment_bytes=500)
    kept = 2000 // (100 + RECORD_HEADER.size)
    for _ in range(kept):
        journal.append(b"x" * 100)
    with pytest.raises(JournalFullError, match="2000"):
        journal.append(b"x" * 100)
    assert (journal.lost, journal.lost_bytes) == (1, 100)
    with pytest.raises(JournalFullError):
        journal.append(b"y" * 1990)
    assert (journal.lost, journal.lost_bytes) == (2, 2090)
    assert journal.size <= 2000
    release(tmp_path, after(records(tmp_path)))
    time.sleep(0.02)  # for so long a full journal is believed to be full
    journal.append(b"x" * 100)
    assert (journal.lost, journal.lost_bytes) == (2, 2090)


def test_the_bound_is_that_of_all_who_share_the_folder(tmp_path: Path) -> None:
    writers = [Journal(tmp_path, max_bytes=100_000, segment_bytes=10_000) for _ in range(8)]
    for _ in range(1000):
        for writer in writers:
            with suppress(JournalFullError):
                writer.append(b"x" * 80)
    assert 95_000 < writers[0].size <= 100_000
    assert len(contents(tmp_path)) == 8000 - sum(writer.lost for writer in writers)


def test_a_record_that_nobody_could_read_is_refused(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicost.journal.writer.MOST_BYTES", 1000)
    journal.append(b"a")
    with pytest.raises(JournalFullError, match="too large"):
        journal.append(bytes(1001))
    journal.append(bytes(1000))
    assert [len(data) for data in contents(journal.folder)] == [1, 1000]
    assert journal.lost == 1


# --- the disk


def test_a_disk_that_is_full_in_the_midst_of_a_record_keeps_none_of_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(b"before")
    real, left = os.write, [10]

    def write(file: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(file, data[: left[0]])
        left[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        for _ in range(3):
            with pytest.raises(JournalFullError, match="No space left"):
                journal.append(b"does not fit")
    assert journal.lost == 3
    assert contents(journal.folder) == [b"before"]
    journal.append(b"after")
    assert contents(journal.folder) == [b"before", b"after"]
    assert len(segments(journal.folder)) == 1


@pytest.mark.parametrize("kept", [b"in several parts", bytes(range(250)) * 400], ids=["short", "long"])
@pytest.mark.parametrize("fails", [False, True], ids=["to its end", "and then fails"])
def test_a_write_in_several_parts_is_one_record_or_none(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, kept: bytes, fails: bool
) -> None:
    real, parts = os.write, [len(kept) // 2, 12, 7]

    def write(file: int, data: bytes) -> int:
        if fails and not parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data[: parts.pop()] if parts else data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        patched.setattr(os, "writev", lambda file, buffers: write(file, b"".join(buffers)))
        with pytest.raises(JournalFullError) if fails else nullcontext():
            journal.append(kept)
    journal.append(b"after")
    assert contents(journal.folder) == ([b"after"] if fails else [kept, b"after"])


def test_where_half_a_record_cannot_be_cut_off_nothing_follows_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(b"before")
    real, parts = os.write, [5]

    def write(file: int, data: bytes) -> int:
        if not parts:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(file, data[: parts.pop()])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        failing(patched, "ftruncate", errno.EIO, when=lambda *_: True)
        with pytest.raises(JournalFullError):
            journal.append(b"cut")
    journal.append(b"after")
    assert contents(journal.folder) == [b"before", b"after"]


def test_at_the_size_a_process_may_write_it_keeps_what_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for _ in range(fits):
            journal.append(b"x" * 100)
        for _ in range(3):
            with pytest.raises(JournalFullError, match="too large"):
                journal.append(b"x" * 100)

    fits = 1000 // (100 + RECORD_HEADER.size)
    assert in_child(fill) == 0
    assert contents(tmp_path) == [b"x" * 100] * fits


def test_where_no_segment_can_be_begun_it_goes_on_in_the_one_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, segment_bytes=100)
    journal.append(b"a" * 60)
    with monkeypatch.context() as patched:
        asked = failing(patched, "open", errno.EMFILE, when=lambda path, *_: str(path).endswith(".segment"))
        journal.append(b"b" * 60)
        journal.append(b"c" * 60)
        assert asked
        kept = segments(tmp_path)
    assert len(kept) == 1
    assert contents(tmp_path) == [b"a" * 60, b"b" * 60, b"c" * 60]


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    with monkeypatch.context() as patched:  # whoever runs the tests may be allowed everything
        failing(patched, "open", errno.EROFS, when=lambda path, *_: str(path).startswith(str(tmp_path)))
        with pytest.raises(JournalFullError, match="Read-only file system"):
            journal.append(b"a")
        with ingesting(tmp_path) as alone:
            assert not alone
    assert journal.lost == 1
    journal.append(b"b")
    assert contents(tmp_path) == [b"b"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Journal(tmp_path / "file")


# --- somebody deletes it


@pytest.mark.parametrize(
    "delete",
    [
        pytest.param(lambda folder: segments(folder)[-1].unlink(), id="the segment"),
        pytest.param(lambda folder: [path.unlink() for path in folder.iterdir()], id="all files"),
        pytest.param(shutil.rmtree, id="the folder"),
        pytest.param(lambda folder: shutil.rmtree(folder.parent), id="the folder above"),
    ],
)
def test_deleted_under_a_running_process_it_is_begun_anew(
    tmp_path: Path, delete: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "above" / "journal"
    journal = Journal(folder)
    journal.append(b"before")
    for n in range(3):
        delete(folder)
        journal.append(b"after %d" % n)
        assert contents(folder) == [b"after %d" % n]
    journal.append(b"more")
    assert contents(folder) == [b"after 2", b"more"]
    assert journal.lost == 0
    assert [one.getMessage() for one in caplog.records if "begun anew" in one.getMessage()] == [
        f"{folder}: its files were deleted or moved away; it is begun anew"
    ]


def test_moved_away_it_is_begun_anew(tmp_path: Path) -> None:
    folder, moved = tmp_path / "journal", tmp_path / "moved"
    journal = Journal(folder)
    journal.append(b"before")
    folder.rename(moved)
    journal.append(b"after")
    assert contents(folder) == [b"after"]
    assert contents(moved) == [b"before", b"after"], "it is looked at afterwards"


def test_an_empty_segment_that_a_reader_deletes_or_looks_at_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from aicost.journal import held

    real, times = held._lock, [2]

    def lock(file: int, *, shared: bool) -> None:
        if not shared and times[0]:
            times[0] -= 1
            if times[0]:
                segments(tmp_path)[-1].unlink()
            else:
                raise BlockingIOError
        real(file, shared=shared)

    monkeypatch.setattr(held, "_lock", lock)
    journal = Journal(tmp_path)
    journal.append(b"a")
    assert contents(tmp_path) == [b"a"]
    assert caplog.records == [], "nobody has deleted anything that was kept"
    monkeypatch.setattr(held, "_lock", real)
    assert release(tmp_path, after(records(tmp_path))) != [journal.segment]


# --- threads, handlers, finalizers


def test_threads_share_a_writer(journal: Journal) -> None:
    def append(thread: int) -> None:
        for turn in range(500):
            journal.append(b"%d %d" % (thread, turn))

    threads = [threading.Thread(target=append, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = records(journal.folder)
    for n in range(8):
        mine = [one.data for one in found if one.data.split()[0] == b"%d" % n]
        assert mine == [b"%d %d" % (n, turn) for turn in range(500)]
    assert len({(one.writer, one.number) for one in found}) == len(found)


def test_in_the_midst_of_an_append_a_handler_and_a_finalizer_append(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicost.journal import segments as format_

    depth = [0]
    real = format_.Segment.header

    def header(self: format_.Segment, number: int, data: bytes) -> bytes:
        if depth[0] < 3:
            depth[0] += 1
            journal.append(b"inner %d" % depth[0])
        return real(self, number, data)

    monkeypatch.setattr(format_.Segment, "header", header)
    journal.append(b"outer")
    journal.append(b"after")
    found = records(journal.folder)
    assert Counter(one.data for one in found) == Counter([b"outer", b"after", b"inner 1", b"inner 2", b"inner 3"])
    assert [one.data for one in found if one.writer == journal.writer] == [b"outer", b"after"]


def test_signals_in_the_midst_of_appends_lose_and_double_nothing(journal: Journal) -> None:
    count = [0]

    def handler(*_: object) -> None:
        count[0] += 1
        journal.append(b"signal %d" % count[0])

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for n in range(20_000):
            journal.append(b"%d" % n)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = contents(journal.folder)
    assert [data for data in found if not data.startswith(b"signal")] == [b"%d" % n for n in range(20_000)]
    assert count[0] > 5
    assert Counter(data for data in found if data.startswith(b"signal")) == Counter(
        b"signal %d" % n for n in range(1, count[0] + 1)
    )


def test_a_thread_that_never_lets_go_keeps_no_other_from_appending(journal: Journal) -> None:
    journal.append(b"before")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with journal._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    journal.append(b"beside")
    done.set()
    thread.join()
    assert contents(journal.folder) == [b"before", b"beside"]


def test_in_the_garbage_collector_nothing_is_logged(
    journal: Journal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(b"before")
    shutil.rmtree(journal.folder)
    with monkeypatch.context() as patched:
        patched.setattr("aicost.journal.writer.in_collector", lambda: True)
        patched.setattr("aicost.journal.writer.later", lambda finish: said.append(finish))
        said: list[Callable[[], object]] = []
        journal.append(b"after")
    assert caplog.records == []
    assert len(said) == 1
    assert _later.in_collector() is False


def test_greenlets_share_a_writer(tmp_path: Path) -> None:
    program = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, sys
from pathlib import Path
from aicost.journal import Journal
journal = Journal(Path(sys.argv[1]), segment_bytes=1000, durability="power")
def append(who):
    for turn in range(20):
        journal.append(b"%d %d" % (who, turn))
        gevent.sleep(0)
gevent.joinall([gevent.spawn(append, who) for who in range(10)], raise_error=True)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
    assert Counter(contents(tmp_path)) == Counter(b"%d %d" % (who, turn) for who in range(10) for turn in range(20))
    assert len({one.writer for one in records(tmp_path)}) == 1


# --- processes


def test_a_forked_child_has_a_writer_of_its_own(journal: Journal) -> None:
    journal.append(b"parent 1")
    first = journal.writer

    def child() -> None:
        assert journal.writer != first
        journal.append(b"child 1")
        assert in_child(lambda: journal.append(b"grandchild") and None) == 0
        journal.append(b"child 2")
        journal.close()

    assert in_child(child) == 0
    journal.append(b"parent 2")
    assert journal.writer == first
    found: dict[str, list[bytes]] = {}
    for record in records(journal.folder):
        found.setdefault(record.writer, []).append(record.data)
    assert found.pop(first) == [b"parent 1", b"parent 2"]
    assert sorted(found.values()) == [[b"child 1", b"child 2"], [b"grandchild"]]


def test_a_child_that_lives_on_does_not_hold_what_its_parent_held(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    lives, ready = os.pipe()

    def parent() -> None:
        journal = Journal(tmp_path)
        journal.append(b"parent")
        with ingesting(tmp_path) as alone:
            assert alone
            if os.fork() == 0:
                os.close(write_end)
                os.write(ready, b"!")
                os.read(read_end, 1)  # until the test ends
                os._exit(0)
        os._exit(0)

    assert in_child(parent) == 0
    os.read(lives, 1)
    try:
        with ingesting(tmp_path) as alone:
            assert alone
            assert len(release(tmp_path, after(records(tmp_path)))) == 1
    finally:
        for end in (write_end, read_end, lives, ready):
            os.close(end)


def test_forked_in_the_midst_of_an_append_it_is_the_parents(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    from aicost.journal import segments as format_

    real, children = format_.Segment.header, []
    parent = os.getpid()

    def header(self: format_.Segment, number: int, data: bytes) -> bytes:
        if not children:
            children.append(os.fork())
        return real(self, number, data)

    journal.append(b"before")
    with monkeypatch.context() as patched:
        patched.setattr(format_.Segment, "header", header)
        journal.append(b"in the midst")
    if os.getpid() != parent:
        journal.append(b"child")
        os._exit(0)
    assert os.waitpid(children[0], 0)[1] == 0
    assert Counter(contents(journal.folder)) == Counter([b"before", b"in the midst", b"child"])


def test_eight_processes_append_and_two_take_in(tmp_path: Path) -> None:
    turns = 2000

    def write() -> None:
        journal = Journal(tmp_path, segment_bytes=20_000)
        for turn in range(turns):
            journal.append(b"%d %d" % (os.getpid(), turn))

    writers = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            write()
            os._exit(0)
        writers.append(child)
    places: dict[str, int] = {}  # as a database would have them
    found: list[bytes] = []
    alone_at_once = []
    busy = [0]

    def ingest() -> None:
        while True:
            done = all(one in gone for one in writers)
            with ingesting(tmp_path) as alone:
                if not alone:
                    continue
                busy[0] += 1
                alone_at_once.append(busy[0])
                batch = list(read(tmp_path, places, limit_bytes=10_000))
                found.extend(record.data for record in batch)
                places.update(after(batch))
                release(tmp_path, places)
                busy[0] -= 1
            if done and not batch and not waiting(tmp_path, places):
                return

    gone: set[int] = set()
    threads = [threading.Thread(target=ingest) for _ in range(2)]
    for thread in threads:
        thread.start()
    for child in writers:
        assert os.waitpid(child, 0)[1] == 0
        gone.add(child)
    for thread in threads:
        thread.join()
    assert set(alone_at_once) == {1}
    for child in writers:
        assert [d for d in found if d.split()[0] == b"%d" % child] == [b"%d %d" % (child, n) for n in range(turns)]
    assert len(found) == 8 * turns
    assert segments(tmp_path) == []


def test_a_second_ingester_waits_as_long_as_it_likes(tmp_path: Path) -> None:
    with ingesting(tmp_path) as first:
        assert first
        with ingesting(tmp_path) as second:
            assert not second
        began = time.monotonic()
        with ingesting(tmp_path, wait_s=0.05) as third:
            assert not third
        assert time.monotonic() - began >= 0.05
    with ingesting(tmp_path) as fourth:
        assert fourth
    with ingesting(tmp_path / "none") as nowhere:
        assert not nowhere


def test_a_lock_that_was_deleted_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aicost.journal import held

    real = held._lock

    def lock(file: int, *, shared: bool) -> None:
        (tmp_path / "ingest.lock").unlink()
        real(file, shared=shared)

    with monkeypatch.context() as patched:
        patched.setattr(held, "_lock", lock)
        with ingesting(tmp_path) as alone:
            assert not alone, "another may have made the file again"
    with ingesting(tmp_path) as alone:
        assert alone


# --- power


def test_a_child_forked_in_the_midst_of_a_flush_does_not_hold_the_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_end, write_end = os.pipe()
    lives, ready = os.pipe()

    def sync(_: int) -> None:
        if os.fork() == 0:
            os.close(write_end)
            os.write(ready, b"!")
            os.read(read_end, 1)  # until the test ends
        os._exit(0)

    monkeypatch.setattr("aicost.journal.writer._sync", sync)
    assert in_child(lambda: Journal(tmp_path, durability="power").append(b"a") and None) == 0
    os.read(lives, 1)
    try:
        assert len(release(tmp_path, after(records(tmp_path)))) == 1
    finally:
        for end in (write_end, read_end, lives, ready):
            os.close(end)


def test_a_handler_that_raises_in_the_midst_of_a_flush_has_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, durability="power")
    numbers = [journal.write(b"%d" % n) for n in range(2)]
    with monkeypatch.context() as patched:

        def interrupted(_: int) -> None:
            raise KeyboardInterrupt

        patched.setattr("aicost.journal.writer._sync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.make_safe(numbers[1])
    with pytest.raises(JournalFullError):
        journal.make_safe(numbers[0])
    journal.append(b"2")
    assert contents(tmp_path) == [b"0", b"1", b"2"]


def test_flushes_are_shared_and_cover_segments_gone_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr("aicost.journal.writer._sync", lambda file: (flushed.append(os.fstat(file).st_ino), real(file)))
    journal = Journal(tmp_path, durability="power", segment_bytes=100)
    numbers = [journal.write(b"x" * 60) for _ in range(3)]
    inodes = [file.stat().st_ino for file in segments(tmp_path)]
    journal.make_safe(numbers[-1])
    journal.make_safe(numbers[0])
    assert flushed == inodes
    journal.append(b"y")
    assert flushed[3:] == [file.stat().st_ino for file in segments(tmp_path)[2:]]
    assert contents(tmp_path)[-1] == b"y"


def test_what_could_not_be_flushed_is_not_acknowledged_by_the_next_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, durability="power")
    journal.append(b"safe")
    number = journal.write(b"waits")
    with monkeypatch.context() as patched:

        def fail(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patched.setattr("aicost.journal.writer._sync", fail)
        with pytest.raises(JournalFullError, match="flushed"):
            journal.append(b"unsafe")
    with pytest.raises(JournalFullError, match="flushed"):
        journal.make_safe(number)
    journal.append(b"safe again")
    assert contents(tmp_path)[-1] == b"safe again"
    assert len(segments(tmp_path)) == 2
    assert list(read(tmp_path, {}, limit_bytes=EVERYTHING))
