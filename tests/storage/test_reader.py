"""A crawl file that is read: without a trace, and also where nothing can be written beside it."""

import asyncio
import io
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import RunMismatch, StoreError
from storage.export import export
from storage.reader import open_reader
from storage.records import Visit
from storage.schema import SCHEMA_VERSION
from storage.sqlite import SqliteStore
from tests.storage.export_file import Book, store, titles
from tests.storage.export_file import database as database
from tests.storage.export_file import out as out
from tests.storage.store_file import begin, item, query, reading, requests
from tests.storage.store_file import path as path

_ITEMS = "SELECT number FROM thing ORDER BY number"


async def write(path: Path, first: int, last: int) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(first, last), last=True)
        numbers = range(first, last + 1)
        await store.commit(run, [Visit(n, "a", "done", items=[item(n)]) for n in numbers])


def cut_short(path: Path) -> None:
    """Make a crawl that commits two items and dies, so that they are in its log."""
    program = (
        "import asyncio, os, pathlib, sys; from tests.storage import test_reader as t\n"
        "t.SqliteStore.__aexit__ = lambda *_: os._exit(0)\n"
        "asyncio.run(t.write(pathlib.Path(sys.argv[1]), 1, 2))"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
    assert _log(path).stat().st_size > 0


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


# ── without a trace ─────────────────────────────────────────────────────────────────────────


async def test_reading_leaves_nothing_beside_the_file_and_the_file_as_it_was(path: Path) -> None:
    await write(path, 1, 2)
    before = path.read_bytes()
    assert query(path, _ITEMS) == [(1,), (2,)]
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


async def test_a_file_of_a_newer_crawler_is_not_read_as_if_it_were_of_this_one(path: Path) -> None:
    await write(path, 1, 2)
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(RunMismatch, match=rf"newer crawler \(schema {SCHEMA_VERSION + 1}.*upgrade"):
        open_reader(path)
    assert path.read_bytes() == before


async def test_a_log_that_others_use_stays(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        assert query(path, "SELECT count(*) FROM crawl_run") == [(1,)]
        await store.seed(run, requests(1, 1), last=True)
        assert query(path, "SELECT count(*) FROM crawl_request") == [(1,)]
        assert _log(path).is_file()


def test_the_log_of_a_crawl_that_was_cut_short_stays_for_the_one_that_goes_on(path: Path) -> None:
    cut_short(path)
    before, log = path.read_bytes(), _log(path).read_bytes()
    assert query(path, _ITEMS) == [(1,), (2,)]
    assert (path.read_bytes(), _log(path).read_bytes()) == (before, log)


async def test_readers_that_come_and_go_while_a_crawl_writes_cost_neither_anything(
    path: Path,
) -> None:
    await write(path, 1, 1)
    program = (
        "import pathlib, sys; from tests.storage import test_reader as t\n"
        "while sys.stdin.readline() == 'go on\\n':\n"
        "    t.query(pathlib.Path(sys.argv[1]), t._ITEMS)\n"
        "    print('read', flush=True)"
    )
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    async with asyncio.timeout(60):
        for number in range(2, 32):
            reader.stdin.write(b"go on\n")
            await write(path, number, number)
            assert query(path, _ITEMS) == [(n,) for n in range(1, number + 1)]
            assert await reader.stdout.readline() == b"read\n"
        reader.stdin.close()
        assert await reader.wait() == 0
    assert list(path.parent.iterdir()) == [path]


async def test_a_reader_that_stays_and_has_the_log_grow_is_told_of(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("storage.wal._HELD_UP", 1 << 18)
    monkeypatch.setattr("storage.sqlite._LOOK_EVERY", 0.0)
    groups = 10
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, groups), last=True)
        with reading(path) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM crawl_run").fetchall()
            for number in range(1, groups + 1):
                found = requests(number * 2000, number * 2000 + 1999)
                await store.commit(run, [Visit(number, "a", "done", requests=found)])
    told = [record for record in caplog.records if record.message == "log_held_up"]
    assert 2 <= len(told) < groups  # again when it is twice as long
    assert {record.levelname for record in told} == {"WARNING"}


# ── where nothing can be written ────────────────────────────────────────────────────────────


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A directory that everybody can read; who is not its owner, or root, cannot write there."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        directory.chmod(0o755)


def read_only(path: Path, do: str, target: Path = Path()) -> str:
    """What a program says that may not write beside the file, nor the file itself.

    It does the same with another file before: later it may not enter the folder of its
    interpreter either, where that is root's, to load what is loaded as it is needed.
    """
    program = f"""
import asyncio, os, sys, tempfile
from pathlib import Path
from storage.backup import backup
from storage.errors import StoreError
from storage.export import export
from tests.storage.test_reader import _ITEMS, query, write
def do(path, target):
    return {do}
with tempfile.TemporaryDirectory() as folder:
    asyncio.run(write(Path(folder, "crawl.db"), 1, 1))
    do(Path(folder, "crawl.db"), Path(folder, "copy.csv"))
path = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
else:
    path.parent.chmod(0o555)
try:
    print(do(path, Path(sys.argv[2])))
except StoreError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, path, target],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


async def test_a_file_in_a_directory_that_cannot_be_written_can_be_read(unwritable: Path) -> None:
    path = unwritable / "crawl?.db"
    await write(path, 1, 2)
    assert read_only(path, "query(path, _ITEMS)") == "[(1,), (2,)]"
    with tempfile.TemporaryDirectory() as elsewhere:
        Path(elsewhere).chmod(0o777)
        for do in ("export(path, target)", "backup(path, target)"):
            target = Path(elsewhere, "copy.csv")
            assert read_only(path, do, target).isdecimal()
            target.unlink()
    assert list(unwritable.iterdir()) == [path]


async def test_it_can_be_read_there_while_the_crawl_runs(unwritable: Path) -> None:
    path = unwritable / "crawl.db"
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)])])
        assert read_only(path, "query(path, _ITEMS)") == "[(1,)]"


def test_a_log_that_cannot_be_read_there_is_not_passed_over(unwritable: Path) -> None:
    path = unwritable / "crawl.db"
    cut_short(path)
    path.with_name("crawl.db-shm").unlink()
    said = read_only(path, "query(path, _ITEMS)")
    assert said.startswith(f"{path} cannot be read where it is: the last of it is in crawl.db-wal")


def test_a_file_that_nobody_else_may_read_is_told(unwritable: Path) -> None:
    path = unwritable / "crawl.db"
    path.touch()
    path.chmod(0)
    said = read_only(path, "query(path, _ITEMS)")
    assert said.startswith(f"{path} cannot be read (unable to open database file): check its perm")


def test_a_file_there_that_is_no_crawls_is_told(unwritable: Path) -> None:
    path = unwritable / "crawl.db"
    path.write_text("this is not SQLite, and long enough to say so " * 30)
    assert f"{path} is not an SQLite file" in read_only(path, "query(path, _ITEMS)")


def test_the_process_that_tests_this_is_held_back(unwritable: Path) -> None:
    assert read_only(unwritable / "crawl.db", "os.access(path.parent, os.W_OK)") == "False"


# ── reading ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a?mode=rw.db", "a#b.db", "100%25.db", "sp ace é.db"])
def test_a_file_is_found_whatever_it_is_called(database: Path, out: Path, name: str) -> None:
    store(database, Book(title="a"), run=2)
    with closing(open_reader(database.rename(out / name))) as reader:
        assert reader.execute("SELECT title FROM latest_book").fetchall() == [("a",)]
        reader.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM book")


def test_a_reader_cannot_be_talked_into_writing(database: Path, tmp_path: Path) -> None:
    with closing(open_reader(database)) as reader:
        assert reader.execute("PRAGMA query_only").fetchone() == (1,)
        assert reader.execute("PRAGMA trusted_schema").fetchone() == (0,)
        reader.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("CREATE TABLE other.x (a)")


def test_a_reader_and_the_writer_do_not_wait_for_each_other(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE book SET title = 'uncommitted'")
        export(database, out / "books.jsonl")
        writer.execute("COMMIT")
    assert titles(out / "books.jsonl") == ["a"]


def test_a_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(RunMismatch, match=r"missing\.db does not exist: run the spider first"):
        open_reader(missing)
    with pytest.raises(RunMismatch, match="is not a file"):
        open_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("hello\n" * 200)
    with pytest.raises(RunMismatch, match=r"text\.db is not an SQLite file"):
        open_reader(text)


@pytest.mark.parametrize("schema", ["", "CREATE TABLE book (title TEXT)"])
def test_a_database_of_another_program_is_refused(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema)
    path.touch()
    with pytest.raises(RunMismatch, match="but not a crawl's"):
        open_reader(path)


def test_a_damaged_file_is_one_clear_line(database: Path, out: Path) -> None:
    store(database, *(Book(title="x" * 1000) for _ in range(100)), run=2)
    with database.open("r+b") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(8 * 4096)
        stream.write(b"\xff" * (size - 8 * 4096))
    with pytest.raises(StoreError, match=r"^[^\n]*crawl\.db (is damaged|cannot be read)[^\n]*$"):
        export(database, out / "books.jsonl")
    assert list(out.iterdir()) == []
