"""Every database statement of a small crawl fails once, and is a kill once: nothing is lost.

For N = 1, 2, 3 ... the N-th statement goes wrong, then the crawl is resumed without the fault;
so on until a crawl comes to its end before there is an N-th statement.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from crawler.engine import Crawl
from crawler.selftest.proof import Terms, _begin, _has_ended, _is_finished, _served
from crawler.selftest.server import Reply, Request
from crawler.selftest.site import SiteServer
from crawler.selftest.spec import Kind, SiteSpec
from crawler.selftest.verdict import Verdict, judge
from crawler.selftest.victim import Failpoint, Victim, killing
from crawler.summary import Summary
from storage import StoreError
from storage.sqlite import SqliteStore

pytestmark = pytest.mark.alone

CONCURRENCY = 2
AT_ONCE = 8  # crawls side by side: most of a small one's time is waiting for the disk
LOST_FETCHES = 2 * CONCURRENCY  # what a crash may cost: a redirected page is fetched in two
QUICK = {"backoff": 0.001, "retries": 20, "concurrency": CONCURRENCY}
# Six pages, some with items; one redirects and one is not to be had at the first try.
SITE = SiteSpec(seed=0, pages=6, fails_once=0.15, moved=0.15, cut_once=0, slow=0, missing=0.1)


def test_the_site_has_what_can_go_wrong() -> None:
    assert {SITE.kind(i) for i in range(6)} >= {Kind.FAILS_ONCE, Kind.MOVED, Kind.MISSING}


@dataclass(slots=True)
class Fault:
    """The `nth` statement that begins with `prefix` raises: before it is run, or `after`."""

    nth: int
    prefix: str | tuple[str, ...] = ""
    text: str = "disk I/O error"
    after: bool = False
    rolls_back: bool = False  # as SQLite may by itself, when the disk is full
    lasting: bool = False  # every such statement from then on
    seen: int = 0
    fired: bool = False

    def meets(self, statement: str) -> bool:
        """Count a statement; True when it is the one that fails."""
        if not statement.lstrip().upper().startswith(self.prefix):
            return False
        self.seen += 1
        meets = self.seen >= self.nth if self.lasting else self.seen == self.nth
        self.fired |= meets
        return meets


class FaultyConnection(sqlite3.Connection):
    """Fails as its `fault` says; a script, and each row of a batch, is a statement at a time."""

    fault: Fault

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if not self.fault.meets(statement):
            return super().execute(statement, *arguments)
        if self.fault.after:
            super().execute(statement, *arguments).fetchall()
        if self.fault.rolls_back and self.in_transaction:
            super().execute("ROLLBACK")
        raise sqlite3.OperationalError(self.fault.text)

    def executemany(self, statement: str, rows: Iterable[Any]) -> None:  # type: ignore[override]
        for row in rows:
            self.execute(statement, row)

    def executescript(self, script: str) -> None:  # type: ignore[override]
        statement = ""
        for piece in script.split(";"):
            statement += piece + ";"
            if sqlite3.complete_statement(statement) and statement.strip(" \n;"):
                self.execute(statement)
                statement = ""


def failing(fault: Fault) -> Callable[[Path], SqliteStore]:
    """A factory of stores whose connection fails so."""

    class Failing(SqliteStore):
        def _connect(self) -> sqlite3.Connection:
            connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=10.0, factory=FaultyConnection
            )
            connection.fault = fault
            return connection

    return Failing


async def crawl_of(
    site: SiteServer, database: Path, store: Callable[[Path], SqliteStore] = SqliteStore
) -> Summary:
    """Run or resume the crawl of the site; one that hangs fails the test."""
    crawl = Crawl(Victim, db=database, arguments={"url": site.url}, overrides=QUICK, store=store)
    async with asyncio.timeout(30):
        return await crawl.run()


class MembersOnly(SiteServer):
    """Every page gives a new ticket for the next, and only the first is to be had without one."""

    async def answer(self, request: Request) -> Reply:
        reply = await super().answer(request)
        ticket = request.headers.get("cookie", "").removeprefix("ticket=")
        if request.path != "/p/0" and not ticket.isdecimal():
            return Reply(403, (), b"")
        cookie = f"ticket={sum(self.hits.values())}; Path=/"
        return Reply(reply.status, (*reply.headers, ("Set-Cookie", cookie)), reply.body)


async def faulted_and_resumed(
    folder: Path, fault: Fault, served: type[SiteServer] = SiteServer
) -> tuple[Verdict, StoreError | None]:
    """What is left of a crawl with a fault, after another went on with it."""
    database = folder / f"{fault.nth}.db"
    error = None
    async with served(SITE) as site:
        try:
            await crawl_of(site, database, failing(fault))
        except StoreError as raised:
            error = raised
        assert not database.with_name(f"{database.name}.lock").exists()
        # With the last word written, the run is finished: only the account of it was lost.
        if error is not None and not _is_finished(database):
            assert (await crawl_of(site, database)).finish == "finished"
        verdict = judge(
            database,
            SITE,
            site.hits,
            [moment for moment, _ in site.arrivals],
            kills=int(error is not None),
            concurrency=LOST_FETCHES,
            delay=0.0,
        )
    return verdict, error


async def exhaust(
    folder: Path, make: Callable[[int], Fault], served: type[SiteServer] = SiteServer
) -> int:
    """Fail at one statement after the other until there are no more; return how many there are."""
    first = 1
    while True:
        faults = [make(nth) for nth in range(first, first + AT_ONCE)]
        results = await asyncio.gather(
            *(faulted_and_resumed(folder, fault, served) for fault in faults)
        )
        for fault, (verdict, error) in zip(faults, results, strict=True):
            assert verdict.right, (fault, verdict, error)
            assert fault.fired == (error is not None), (fault, error)
            assert "\n" not in str(error)
        if not faults[-1].fired:
            return sum(fault.fired for fault in faults) + first - 1
        first += AT_ONCE


async def test_an_error_at_any_statement_loses_nothing(tmp_path: Path) -> None:
    assert await exhaust(tmp_path, Fault) > 100


async def test_an_error_at_any_statement_loses_no_login(tmp_path: Path) -> None:
    assert await exhaust(tmp_path, Fault, MembersOnly) > 110  # those of the cookies are among them


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_error_at_any_commit_loses_nothing(tmp_path: Path, after: bool) -> None:
    """Before: nothing of the group is in the file. After: all of it is, and nobody was told."""
    commits = await exhaust(tmp_path, lambda nth: Fault(nth, "COMMIT", after=after))
    assert commits > 5


async def test_an_error_at_any_begin_loses_nothing(tmp_path: Path) -> None:
    assert await exhaust(tmp_path, lambda nth: Fault(nth, "BEGIN")) > 5


@pytest.mark.parametrize("rolls_back", [False, True], ids=["left_to_us", "rolled_back_already"])
async def test_a_full_disk_at_any_insert_loses_nothing(tmp_path: Path, rolls_back: bool) -> None:
    full = "database or disk is full"
    inserts = await exhaust(
        tmp_path, lambda nth: Fault(nth, "INSERT", full, rolls_back=rolls_back, lasting=True)
    )
    assert inserts > 10


async def test_an_error_at_the_rollback_itself_loses_nothing(tmp_path: Path) -> None:
    """The transaction is still open when the connection is closed."""
    for nth in (2, 4, 6):
        fault = Fault(nth, ("COMMIT", "ROLLBACK"), lasting=True)
        verdict, error = await faulted_and_resumed(tmp_path, fault)
        assert (verdict.right, fault.fired) == (True, True), (verdict, error)
        assert fault.seen > nth  # the rollback was tried, and failed


class NthStatement(Failpoint):
    """Dies before the n-th statement, whatever it is; scripts and batches count each of theirs."""

    def trace(self, statement: str) -> None:
        self.reach("statement")


def crawled(url: str, database: Path, store: Callable[[Path], SqliteStore]) -> bool:
    """Whether a crawl, in a process of its own, came to its end."""
    terms = Terms()
    _, status = os.waitpid(_begin(url, database, terms, store), 0)
    return _has_ended(status, url, terms)


def killed_and_resumed(nth: int) -> tuple[Verdict, bool]:
    """What is left of a crawl that was killed at a statement, and whether it was."""
    with TemporaryDirectory(prefix="crawler-faults-") as folder, _served(SITE) as site:
        database = Path(folder) / "killed.db"
        dying = killing(SqliteStore, NthStatement("statement", nth))
        alive = crawled(site.url, database, dying)
        if not (alive or _is_finished(database)):
            assert crawled(site.url, database, SqliteStore)
        hits, arrivals = site.counts()
        verdict = judge(
            database, SITE, hits, arrivals, kills=int(not alive), concurrency=2 * 16, delay=0.0
        )
    return verdict, not alive


def test_a_kill_at_any_statement_loses_nothing() -> None:
    first, killed = 1, True
    # In processes of their own, so that two can fork at once without threads.
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        while killed:
            for nth, outcome in enumerate(
                pool.map(killed_and_resumed, range(first, first + 3 * AT_ONCE)), first
            ):
                verdict, killed = outcome
                assert verdict.right, (nth, verdict)
            first += 3 * AT_ONCE
    assert first > 100
