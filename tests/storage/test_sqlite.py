"""The SQLite store: opening, refusing, cancelling, reading beside the writer, and being killed."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage import StoreError, open_store
from storage.errors import RunMismatch
from storage.health import check_whole
from storage.reader import open_reader
from storage.records import Column, Finish, ItemRow, NewRequest, Run, Table, Visit, Want
from storage.schema import APPLICATION_ID, SCHEMA_VERSION
from storage.sqlite import DatabaseThread, SqliteStore

THING = Table("thing", (Column("number", "integer", "INTEGER"),))
TEXT = Table("text", (Column("text", "text", "TEXT"),))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crawl.db"


async def begin(store: SqliteStore, *, fresh: bool = False) -> Run:
    return await store.begin_run("books", {}, fresh=fresh, tables=[THING])


def requests(first: int, last: int) -> list[NewRequest]:
    return [NewRequest(n, f"http://a/{n}", "a") for n in range(first, last + 1)]


def item(number: int) -> ItemRow:
    return ItemRow(THING, (number,), "http://a/")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_reader(path)) as connection:
        yield connection


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with reading(path) as connection:
        return connection.execute(statement).fetchall()


# ── opening ─────────────────────────────────────────────────────────────────────────────────


async def test_a_new_file_says_that_it_is_a_crawl(path: Path) -> None:
    async with SqliteStore(path):
        pass
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


async def test_missing_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "crawl.db"
    async with SqliteStore(path):
        assert path.is_file()


async def test_nothing_but_the_file_is_left_behind(path: Path) -> None:
    async with SqliteStore(path) as store:
        await begin(store)
    assert list(path.parent.iterdir()) == [path]


async def test_what_was_committed_is_there_when_the_file_is_opened_again(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 2), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)])])
    async with SqliteStore(path) as store:
        again = await begin(store)
        assert (again.id, again.resumed, again.seeded) == (run.id, True, True)
        assert await store.queued_hosts(again) == ["a"]
        (work,) = await store.ready(again, [Want("a", 9, frozenset(), True)])
        assert [row.id for row in work.requests] == [2]
        assert (await store.totals(again)).items == 1
        assert await store.start_hosts(again) == {"a"}
        await store.finish_run(again, "stopped")
        assert (await store.report(again)).finish == "stopped"


@pytest.mark.parametrize("form", ["{}", "sqlite://{}"])
async def test_a_store_is_opened_by_its_path_or_address(path: Path, form: str) -> None:
    async with open_store(form.format(path)) as store:
        assert isinstance(store, SqliteStore)
    assert path.is_file()


def test_a_kind_of_store_that_there_is_not_is_refused() -> None:
    with pytest.raises(StoreError, match="no store for mysql://"):
        open_store("mysql://somewhere/crawl")


async def test_the_writer_syncs_every_commit_and_trusts_no_schema(path: Path) -> None:
    async with SqliteStore(path) as store:
        thread = store._thread
        assert thread is not None
        for pragma, value in (("synchronous", 2), ("trusted_schema", 0)):
            found = await thread.run(lambda c, p=pragma: c.execute(f"PRAGMA {p}").fetchone())  # type: ignore[misc]
            assert found == (value,)


async def test_an_empty_file_becomes_a_crawl(path: Path) -> None:
    path.touch()
    async with SqliteStore(path) as store:
        assert (await begin(store)).id == 1


async def test_statistics_tell_whether_the_file_is_open(path: Path) -> None:
    store = SqliteStore(path)
    assert store.statistics() == {"path": str(path), "open": False}
    async with store:
        assert store.statistics()["open"] is True


# ── refusing ────────────────────────────────────────────────────────────────────────────────


async def _refused(path: Path, match: str) -> None:
    """Entering the store fails with one line, changes nothing, and lets the file go."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=match) as caught:
        async with SqliteStore(path):
            pass
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [beside.name for beside in path.parent.iterdir() if beside != path] == []


@pytest.mark.parametrize(
    "content", [b"hello\n", b"not a database\n" * 1000, b"SQLite format 4\0" * 99]
)
async def test_a_file_that_is_not_sqlite_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    await _refused(path, r"not an SQLite file: choose another --db")


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_a_database_of_another_program_is_left_as_it_is(path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE notes (text)")
    await _refused(path, "another program: choose another --db")


async def test_a_database_with_another_application_id_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 252006675")
    await _refused(path, "another program")


async def test_a_file_of_a_newer_crawler_is_left_as_it_is(path: Path) -> None:
    async with SqliteStore(path) as store:
        await begin(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    await _refused(path, rf"newer crawler \(schema {SCHEMA_VERSION + 1}.*upgrade")


async def test_a_file_of_an_older_crawler_is_brought_up_to_date_and_gone_on_with(
    path: Path,
) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        older.executescript(
            "DROP INDEX crawl_request_content; DROP TABLE crawl_cookie; "
            "ALTER TABLE crawl_request DROP COLUMN content; "
            "ALTER TABLE crawl_request DROP COLUMN canonical_url; "
            "ALTER TABLE crawl_host DROP COLUMN resting; PRAGMA user_version = 1"
        )
    async with SqliteStore(path) as store:
        resumed = await begin(store)
        assert resumed.resumed
        assert (await store.totals(resumed)).queued == 1
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "SELECT canonical_url, content FROM crawl_request") == [(None, None)]
    assert query(path, "SELECT count(*) FROM crawl_cookie") == [(0,)]
    assert query(path, "SELECT resting FROM crawl_host") == []


async def test_a_directory_is_no_crawl(path: Path) -> None:
    path.mkdir()
    await _refused(path, "crawl.db")


async def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write beside"):
        async with SqliteStore(tmp_path / "file" / "crawl.db"):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot write beside"):
            async with SqliteStore(tmp_path / "crawl.db"):
                pass
    finally:
        tmp_path.chmod(0o700)


async def test_a_file_in_use_names_the_process_that_uses_it(path: Path) -> None:
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match=rf"in use by another run \(process {os.getpid()}\)"):
            async with SqliteStore(path):
                pass
        await begin(store)  # the one that had it still has it


async def test_a_store_that_was_refused_can_be_entered_later(path: Path) -> None:
    waiting = SqliteStore(path)
    async with SqliteStore(path):
        with pytest.raises(StoreError):
            await waiting.__aenter__()
    async with waiting as store:
        await begin(store)


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path)
    async with store:
        run = await begin(store)
    with pytest.raises(StoreError, match="is closed"):
        await store.totals(run)


async def test_a_field_that_changed_its_type_is_refused_before_a_run_begins(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)])])
        other = Table("thing", (Column("number", "text", "TEXT"),))
        with pytest.raises(RunMismatch, match="'number' is text now and integer"):
            await store.begin_run("books", {}, fresh=True, tables=[other])
    assert query(path, "SELECT count(*) FROM crawl_run") == [(1,)]


async def test_damage_is_told_in_one_line(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 3000), last=True)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * len(content[8192:])
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        async with SqliteStore(path) as store:
            await store.totals(run)
    assert "\n" not in str(caught.value)


# ── what the seam relies on ─────────────────────────────────────────────────────────────────


class _Brake:
    """A function for the database thread that holds it until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.begun.set()
        assert self.go.wait(10)


@pytest.fixture
async def thread(path: Path) -> "Iterator[DatabaseThread]":  # type: ignore[misc]
    opened = DatabaseThread(lambda: sqlite3.connect(path, isolation_level=None), 64)
    await opened
    yield opened
    await opened.close()


async def test_functions_run_in_order_on_one_thread(thread: DatabaseThread) -> None:
    seen: list[tuple[int, int]] = []
    calls = [
        thread.run(lambda _, n=number: seen.append((n, threading.get_ident())))  # type: ignore[misc]
        for number in range(50)
    ]
    await asyncio.gather(*calls)
    assert [number for number, _ in seen] == list(range(50))
    assert len({ident for _, ident in seen}) == 1
    assert seen[0][1] != threading.get_ident()


async def test_a_function_that_is_cancelled_in_the_queue_still_runs(thread: DatabaseThread) -> None:
    brake, ran = _Brake(), threading.Event()
    braking = asyncio.create_task(thread.run(brake))
    await asyncio.to_thread(brake.begun.wait)
    cancelled = asyncio.create_task(thread.run(lambda _: ran.set()))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert not ran.is_set()
    brake.go.set()
    await braking
    await thread.run(lambda _: None)
    assert ran.is_set()


async def test_a_transaction_that_is_cancelled_half_way_is_committed_whole(
    thread: DatabaseThread,
) -> None:
    brake = _Brake()

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        brake(connection)
        connection.execute("INSERT INTO t VALUES (2)")
        connection.execute("COMMIT")

    running = asyncio.create_task(thread.run(work))
    await asyncio.to_thread(brake.begun.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    brake.go.set()
    found = await thread.run(lambda c: c.execute("SELECT x FROM t").fetchall())
    assert found == [(1,), (2,)]


async def test_an_error_reaches_the_caller_and_stops_nobody_else(thread: DatabaseThread) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await thread.run(fail)
    assert await thread.run(lambda _: 1) == 1


async def test_a_cancelled_commit_is_whole(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 2), last=True)
        brake = _Brake()
        assert store._thread is not None
        braking = asyncio.create_task(store._thread.run(brake))
        commit = asyncio.create_task(
            store.commit(run, [Visit(1, "a", "done", items=[item(1)]), Visit(2, "a", "done")])
        )
        await asyncio.to_thread(brake.begun.wait)
        commit.cancel()
        brake.go.set()
        await braking
        with pytest.raises(asyncio.CancelledError):
            await commit
        totals = await store.totals(run)
    assert (totals.done, totals.items) == (2, 1)


async def test_closing_waits_for_the_transaction_under_way(path: Path) -> None:
    store = SqliteStore(path)
    brake = _Brake()

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO crawl_host (host) VALUES ('a')")
        brake(connection)
        connection.execute("COMMIT")

    await store.__aenter__()
    assert store._thread is not None
    running = asyncio.create_task(store._thread.run(work))
    await asyncio.to_thread(brake.begun.wait)
    closing_ = asyncio.create_task(store.__aexit__(None, None, None))
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="in use"):
        await SqliteStore(path).__aenter__()
    brake.go.set()
    await asyncio.gather(running, closing_)
    assert query(path, "SELECT host FROM crawl_host") == [("a",)]


async def test_closing_goes_on_when_it_is_cancelled(path: Path) -> None:
    store = SqliteStore(path)
    await store.__aenter__()
    brake = _Brake()
    assert store._thread is not None
    running = asyncio.create_task(store._thread.run(brake))
    await asyncio.to_thread(brake.begun.wait)
    closing_ = asyncio.create_task(store.__aexit__(None, None, None))
    await asyncio.sleep(0)
    closing_.cancel()
    await asyncio.sleep(0)
    closing_.cancel()  # nor does it give up the second time
    brake.go.set()
    with pytest.raises(asyncio.CancelledError):
        await closing_
    await running
    assert not path.with_name("crawl.db.lock").exists()
    async with SqliteStore(path) as again:
        await begin(again)


# ── reading beside the writer ───────────────────────────────────────────────────────────────


async def test_a_reader_sees_whole_groups_while_the_writer_commits(path: Path) -> None:
    """Every finished page has three items, at every moment that a reader looks."""
    done = threading.Event()

    def look() -> list[tuple[int, int]]:
        seen = []
        with reading(path) as connection:
            while not done.is_set():
                seen.append(
                    connection.execute(
                        "SELECT (SELECT count(*) FROM crawl_request WHERE state = 'done'), "
                        "(SELECT count(*) FROM thing)"
                    ).fetchone()
                )
        return seen

    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 400), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)] * 3)])
        looking = asyncio.create_task(asyncio.to_thread(look))
        for first in range(2, 400, 4):
            visits = [
                Visit(id_, "a", "done", items=[item(id_)] * 3) for id_ in range(first, first + 4)
            ]
            await store.commit(run, visits)
        done.set()
        seen = await looking
    assert len({pages for pages, _ in seen}) > 1
    assert all(items == 3 * pages for pages, items in seen)
    assert all(pages % 4 == 1 or pages == 400 for pages, _ in seen)


async def test_a_reader_cannot_change_the_file(path: Path) -> None:
    async with SqliteStore(path) as store:
        await begin(store)
        with reading(path) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM crawl_run")


async def test_a_reader_that_takes_its_time_does_not_hold_up_the_writer(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        with reading(path) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM crawl_request").fetchone()
            await store.seed(run, requests(1, 10), last=True)
            before = connection.execute("SELECT count(*) FROM crawl_request").fetchone()
            connection.execute("COMMIT")
            after = connection.execute("SELECT count(*) FROM crawl_request").fetchone()
    assert (before, after) == ((0,), (10,))


# ── being killed ────────────────────────────────────────────────────────────────────────────

_WRITE = """
import asyncio, sys
from pathlib import Path
from storage.records import Column, ItemRow, NewRequest, Table, Visit, Want
from storage.sqlite import SqliteStore

THING = Table("thing", (Column("number", "integer", "INTEGER"),))

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store:
        run = await store.begin_run("books", {}, fresh=False, tables=[THING])
        await store.seed(run, [NewRequest(n, f"http://a/{n}", "a") for n in range(4)], last=True)
        while True:
            (work,) = await store.ready(run, [Want("a", 4, frozenset(), False)])
            visits = [
                Visit(
                    row.id, "a", "done",
                    items=[ItemRow(THING, (row.fingerprint,), row.url)] * 3,
                    requests=[
                        NewRequest(row.fingerprint * 2 + n, f"http://a/{n}", "a") for n in (8, 9)
                    ],
                )
                for row in work.requests
            ]
            await store.commit(run, visits)
            print(*(visit.id for visit in visits), flush=True)

asyncio.run(main())
"""


def _write_until_killed(path: Path, groups: int) -> list[int]:
    """Return the pages that a process said were committed before it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITE, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(groups)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    return [int(id_) for line in said if line.endswith("\n") for id_ in line.split()]


async def test_kill_9_in_a_loop_of_commits_leaves_whole_groups_only(path: Path) -> None:
    choose = random.Random(7)
    said: set[int] = set()
    for _ in range(10):
        said.update(_write_until_killed(path, choose.randrange(1, 12)))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            done = {
                id_
                for (id_,) in connection.execute(
                    "SELECT id FROM crawl_request WHERE state = 'done'"
                )
            }
            assert said <= done  # what was said to be committed is
            assert len(done) % 4 == 0
            per_page = connection.execute(
                "SELECT r.id, count(t._id), (SELECT count(*) FROM crawl_request c "
                "WHERE c.parent = r.id) FROM crawl_request r "
                "LEFT JOIN thing t ON t.number = r.fingerprint GROUP BY r.id"
            ).fetchall()
            for id_, items, children in per_page:
                assert (items, children) == ((3, 2) if id_ in done else (0, 0))
            assert connection.execute("SELECT count(*) FROM crawl_run").fetchone() == (1,)
    assert len(said) >= 40


# ── large files ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("size", "finish", "is_vouched", "is_checked"),
    [
        ("small", "finished", True, True),
        ("large", None, False, True),
        ("large", None, True, False),
        ("large", "stopped", False, False),
    ],
)
async def test_a_large_file_is_checked_only_after_a_crash_that_may_have_harmed_it(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: str,
    finish: Finish | None,
    is_vouched: bool,
    is_checked: bool,
) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        if finish is not None:
            await store.finish_run(run, finish)
    if size == "large":
        monkeypatch.setattr("storage.health._SMALL", -1)
    with closing(sqlite3.connect(path)) as connection:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        check_whole(connection, path, is_vouched=is_vouched)
    assert any("quick_check" in statement for statement in seen) == is_checked


async def test_the_last_account_of_a_run_gives_the_cache_back(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        assert store._thread is not None

        def cache(connection: sqlite3.Connection) -> int:
            (size,) = connection.execute("PRAGMA cache_size").fetchone()
            return int(size)

        before = await store._thread.run(cache)
        await store.report(run)
        # Less memory is a number nearer to zero: negative ones are in KiB.
        assert before * 4 < await store._thread.run(cache) < 0


async def test_the_log_is_bounded_however_much_is_committed(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 100), last=True)
        for number in range(1, 101):
            items = [ItemRow(TEXT, ("x" * 1_000_000,), "http://a/")]
            await store.commit(run, [Visit(number, "a", "done", items=items)])
            assert log.stat().st_size < 80_000_000
        assert log.stat().st_size > 20_000_000  # nor is it written back all the time
    assert not log.exists()
    assert path.stat().st_size > 100_000_000
    assert query(path, "SELECT count(*) FROM text") == [(100,)]
