"""The SQLite store's thread, cancellations, and readers beside the writer."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import StoreError
from storage.records import Visit
from storage.sqlite import DatabaseThread, SqliteStore
from tests.storage.store_file import begin, item, query, reading, requests
from tests.storage.store_file import path as path

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
    opened = DatabaseThread(lambda: sqlite3.connect(path, isolation_level=None))
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
