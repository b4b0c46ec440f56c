"""One writer per file: the lock names its holder, and no crash leaves it behind."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.errors import StoreError
from storage.lock import FileLock
from storage.lock import holder as holder_of
from storage.reader import open_reader
from storage.records import Run, Visit
from storage.sqlite import SqliteStore
from tests.storage.store_file import begin, requests

_HOLD = """
import sys
from pathlib import Path
from typing import Any
from storage.lock import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "crawl.db"


@pytest.fixture
def holder(database: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_that_another_process_holds_names_that_process(
    database: Path, holder: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(StoreError, match=rf"crawl\.db is in use .*process {holder.pid}\b.*--db"):
        FileLock(database).acquire()


def test_the_lock_of_a_killed_process_stops_nobody(
    database: Path, holder: "subprocess.Popen[str]"
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert database.with_name("crawl.db.lock").exists()
    lock = FileLock(database)
    lock.acquire()
    assert database.with_name("crawl.db.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_two_stores_of_one_process_exclude_each_other_too(database: Path) -> None:
    first, second = FileLock(database), FileLock(database)
    first.acquire()
    with pytest.raises(StoreError, match=str(os.getpid())):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_letting_go_removes_the_lock_file(database: Path) -> None:
    lock = FileLock(database)
    lock.acquire()
    lock.release()
    assert list(database.parent.iterdir()) == []


def test_letting_go_of_what_is_not_held_does_nothing(database: Path) -> None:
    held, other = FileLock(database), FileLock(database)
    held.acquire()
    other.release()
    with pytest.raises(StoreError):
        other.acquire()
    held.release()


def test_taking_a_lock_twice_takes_it_once(database: Path) -> None:
    lock = FileLock(database)
    lock.acquire()
    lock.acquire()
    lock.release()
    FileLock(database).acquire()


def test_a_refused_lock_does_not_change_the_name_of_the_holder(database: Path) -> None:
    held = FileLock(database)
    held.acquire()
    for _ in range(3):
        with pytest.raises(StoreError, match=rf"process {os.getpid()}\)"):
            FileLock(database).acquire()
    held.release()


def test_a_lock_file_of_a_longer_pid_is_overwritten_whole(database: Path) -> None:
    database.with_name("crawl.db.lock").write_text("99999999999999\n")
    lock = FileLock(database)
    lock.acquire()
    assert database.with_name("crawl.db.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


# ── who holds it ────────────────────────────────────────────────────────────────────────────


def test_another_process_that_has_the_number_of_a_killed_one_holds_nothing(database: Path) -> None:
    database.with_name("crawl.db.lock").write_text(f"{os.getpid()}\n")
    assert holder_of(database) is None


def test_a_holder_whose_number_is_unknown_here_holds_the_lock_all_the_same(database: Path) -> None:
    """As one in a container is seen from outside."""
    lock = FileLock(database)
    lock.acquire()
    database.with_name("crawl.db.lock").write_text("99999999\n")
    assert holder_of(database) == 99999999
    lock.release()
    assert holder_of(database) is None


def test_who_looks_for_the_holder_keeps_no_run_from_its_beginning(database: Path) -> None:
    file = database.with_name("crawl.db.lock").open("w+")
    fcntl.flock(file, fcntl.LOCK_SH)
    looked = threading.Timer(0.02, file.close)
    looked.start()
    lock = FileLock(database)
    lock.acquire()
    looked.join()
    assert holder_of(database) == os.getpid()
    lock.release()


# ── whether the file must be checked after a crash ──────────────────────────────────────────


def _crash(database: Path, *, vouching: bool) -> str:
    """Hold the lock and die with it; returns what the lock file says after that."""
    code = "FileLock(Path(sys.argv[1])).acquire()"
    if vouching:
        code = "lock = FileLock(Path(sys.argv[1])); lock.acquire(); lock.vouch()"
    code = f"import os, sys\nfrom pathlib import Path\nfrom storage.lock import FileLock\n{code}\n"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", f"{code}os._exit(9)", str(database)], cwd=root)
    return database.with_name("crawl.db.lock").read_text()


def _is_vouched(database: Path) -> bool:
    lock = FileLock(database)
    lock.acquire()
    try:
        return lock.is_vouched
    finally:
        lock.release()


def test_a_file_that_a_killed_process_had_checked_is_vouched_for(database: Path) -> None:
    database.write_bytes(b"a crawl")
    _crash(database, vouching=True)
    assert _is_vouched(database)
    assert not _is_vouched(database)  # that one let go, and left nothing


def test_nobody_vouches_for_a_file_that_was_not_checked(database: Path) -> None:
    database.write_bytes(b"a crawl")
    assert not _is_vouched(database)
    _crash(database, vouching=False)
    assert not _is_vouched(database)


def test_after_a_restart_of_the_machine_nobody_vouches(database: Path) -> None:
    database.write_bytes(b"a crawl")
    pid, mark = _crash(database, vouching=True).splitlines()
    boot, rest = mark.split(" ", 1)
    other = boot.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    database.with_name("crawl.db.lock").write_text(f"{pid}\n{other} {rest}\n")
    assert not _is_vouched(database)


def test_nobody_vouches_for_a_copy_in_the_file_s_place(database: Path) -> None:
    database.write_bytes(b"a crawl")
    _crash(database, vouching=True)
    copy = database.with_name("copy.db")
    copy.write_bytes(b"a crawl")
    copy.replace(database)
    assert not _is_vouched(database)


def test_the_holder_is_named_though_it_vouches(database: Path) -> None:
    database.write_bytes(b"a crawl")
    lock = FileLock(database)
    lock.acquire()
    lock.vouch()
    assert holder_of(database) == os.getpid()
    with pytest.raises(StoreError, match=rf"\(process {os.getpid()}\)"):
        FileLock(database).acquire()
    lock.release()


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_a_disk_that_takes_no_note_is_a_fault_of_the_store(
    database: Path, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of who holds the file, or that it is whole."""
    write, calls = os.pwrite, 0

    def failing(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.EIO, "Input/output error")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(StoreError, match=r"^cannot write beside .*: Input/output error$"):
        async with SqliteStore(database):
            pass
    assert holder_of(database) is None
    async with SqliteStore(database):
        assert holder_of(database) == os.getpid()


# ── a lock that is taken away ───────────────────────────────────────────────────────────────


async def _commit_first(store: SqliteStore, run: Run) -> None:
    await store.commit(run, [Visit(1, "a", "done")])


async def test_a_lock_file_that_is_removed_is_made_again_with_the_next_commit(
    database: Path,
) -> None:
    async with SqliteStore(database) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        database.with_name("crawl.db.lock").unlink()
        await _commit_first(store, run)
        with pytest.raises(StoreError, match=rf"crawl\.db is in use .*process {os.getpid()}\b"):
            FileLock(database).acquire()
    assert not database.with_name("crawl.db.lock").exists()


async def test_nothing_is_written_beside_another_that_has_taken_the_lock(database: Path) -> None:
    async with SqliteStore(database) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        database.with_name("crawl.db.lock").unlink()
        other = FileLock(database)
        other.acquire()
        with pytest.raises(StoreError, match=r"crawl\.db is in use by another run"):
            await _commit_first(store, run)
    assert holder_of(database) == os.getpid()  # of the other, still
    other.release()
    with closing(open_reader(database)) as connection:
        assert connection.execute("SELECT state FROM crawl_request").fetchall() == [("queued",)]


async def test_a_lock_that_cannot_be_made_again_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStore(database) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        database.with_name("crawl.db.lock").unlink()

        def full(*arguments: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(StoreError, match=r"cannot write beside .*: No space left"):
                await _commit_first(store, run)
    async with SqliteStore(database) as store:
        await _commit_first(store, await begin(store))
