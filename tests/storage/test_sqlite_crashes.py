"""The SQLite store when it is killed, and what it does for large files."""

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from storage.health import check_whole
from storage.records import Column, Finish, ItemRow, Table, Visit
from storage.sqlite import SqliteStore
from tests.storage.store_file import begin, query, requests
from tests.storage.store_file import path as path

TEXT = Table("text", (Column("text", "text", "TEXT"),))
ROOT = Path(__file__).parents[2]


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
            items = [ItemRow(TEXT, ("x" * 2_000_000,), "http://a/")]
            await store.commit(run, [Visit(number, "a", "done", items=items)])
            assert log.stat().st_size < 150_000_000
        assert log.stat().st_size > 40_000_000  # nor is it written back all the time
    assert not log.exists()
    assert path.stat().st_size > 200_000_000
    assert query(path, "SELECT count(*) FROM text") == [(100,)]


async def test_the_log_of_a_small_file_is_no_more_than_a_few_times_as_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.sqlite._LOOK_EVERY", 0.0)
    log, written, longest = path.with_name(path.name + "-wal"), 0, 0
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        for number in range(300):  # each changes all pages of the same 40 KB
            before = log.read_bytes() if log.exists() else b""
            later = Visit(1, "a", "queued", reason=str(number), error=f"{number:4}" * 10_000)
            await store.commit(run, [later])
            longest = max(longest, log.stat().st_size)
            written += before != log.read_bytes()
    assert written == 300
    assert 1_500_000 < longest < 3_000_000  # 300 times 45 KB would be 13 MB
    assert path.stat().st_size < 400_000
