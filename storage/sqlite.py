"""The embedded store: a crawl as one SQLite file."""

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiosqlite

from storage import cookies as jars
from storage import frontier, runs
from storage.commit import commit
from storage.errors import RunMismatch, StoreError
from storage.health import check_filesystem, check_whole, damaged
from storage.lock import FileLock
from storage.rarities import UNKNOWN, Rarities
from storage.records import (
    Committed,
    CookieRecord,
    Finish,
    HostRecord,
    HostWork,
    NewRequest,
    Report,
    Run,
    Table,
    Totals,
    Visit,
    Want,
)
from storage.report import report
from storage.schema import prepare
from storage.tables import ItemTables
from storage.transaction import transaction
from storage.wal import WriteAheadLog, check_log

T = TypeVar("T")

# Seconds between two looks at the files: these are four calls that give up the interpreter's lock,
# for which the event loop is then asked.
_LOOK_EVERY = 0.25
# KiB of cache from a run's last account on.
_CACHE_AT_THE_END = 8192


class DatabaseThread(aiosqlite.Connection):
    """aiosqlite's connection, plus whole functions on its thread.

    A transaction is one function and never a chain of awaits: cancelling an await does not
    cancel the SQL that is queued behind it, and would strand the transaction half way.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, iter_chunk_size=64)
        # A program that closes its loop and leaves the crawl there ends all the same: the file is
        # whole, as after a crash.
        self._thread.daemon = True

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `function(connection)` returns, run on the database thread.

        When the caller is cancelled the function still runs to its end.
        """
        todo = [function]

        def once(connection: sqlite3.Connection) -> T:
            return todo.pop()(connection)

        # The thread holds on to what it was given until there is more to do: that is not to be
        # the function, with all that it was made for.
        result: T = await self._execute(once, self._conn)  # type: ignore[no-untyped-call]
        return result


class SqliteStore:
    """Owns one crawl file while it is entered: one writer, guarded by a lock.

    Every method is one transaction. Raises `StoreError` when the file cannot be used; what was
    committed before stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A spider may change the working directory; and to SQLite some names are no files.
        try:
            self._place = path.absolute()
        except FileNotFoundError as error:
            raise StoreError(
                f"the current directory, which {path} would be in, is gone: change to another, or "
                "give the whole path"
            ) from error
        self._lock = FileLock(path)
        self._tables = ItemTables()
        self._rarities: dict[int, Rarities] = {}
        self._thread: DatabaseThread | None = None
        self._inode = 0
        self._log = WriteAheadLog(path, self._place)
        self._looks_at = 0.0  # when it has a look at its files again, monotonic

    async def __aenter__(self) -> Self:
        try:
            if self.path.exists() and not self.path.is_file():
                raise RunMismatch(f"{self.path} is not a file: choose another --db")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_filesystem(self.path)
            self._lock.acquire()
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            check_log(self.path)
            await _to_the_end(self._open())
        except BaseException as error:
            explained = self._explain(error) if isinstance(error, sqlite3.Error) else None
            await _to_the_end(self._close())
            if explained is not None:
                raise explained from error
            if isinstance(error, OSError):  # of the note in the lock file that the file is whole
                raise self._unwritable(error) from error
            raise
        return self

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(f"cannot write beside {self.path}: {error.strerror}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A transaction may be under way on the thread: it ends before the file is let go.
        await _to_the_end(self._close())

    async def _open(self) -> None:
        self._thread = DatabaseThread(self._connect)
        await self._thread
        await self._run(self._prepare)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._place, isolation_level=None, timeout=10.0, cached_statements=512
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        prepare(connection, str(self.path))
        check_whole(connection, self.path, is_vouched=self._lock.is_vouched)
        self._lock.vouch()
        self._inode = self._place.stat().st_ino

    def _check_still_ours(self) -> None:
        """Raise `StoreError` when the file is not under its name any more: nobody would see it.

        Or when the lock was removed, and another run has taken it.
        """
        try:
            there = self._place.stat().st_ino == self._inode
        except FileNotFoundError:
            there = False
        except OSError:
            return  # if it matters, SQLite will say so
        if not there:
            raise StoreError(
                f"{self.path} was removed or replaced while the crawl ran, and what it found is "
                "lost: run again, and leave the file where it is"
            )
        try:
            self._lock.keep()
        except OSError as error:
            raise self._unwritable(error) from error

    async def _close(self) -> None:
        thread, self._thread = self._thread, None
        try:
            if thread is not None and thread._connection is not None:
                await thread.close()
        finally:
            self._lock.release()

    async def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None:
            raise StoreError(f"{self.path} is closed")
        try:
            return await self._thread.run(function)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> StoreError:
        text = str(error)
        if "not a database" in text:
            return RunMismatch(f"{self.path} is not an SQLite file: choose another --db")
        if "unable to open" in text and _out_of_files():
            return StoreError(
                f"{self.path} cannot be opened, for this process has as many files open as it may: "
                "raise the limit (ulimit -n), or run fewer crawls at once"
            )
        if "unable to open" in text or "readonly" in text:
            return StoreError(f"{self.path} cannot be written: check its directory's permissions")
        if "disk is full" in text:
            return StoreError(f"the disk of {self.path} is full: make room, then run again")
        if "malformed" in text:
            return StoreError(damaged(self.path, text))
        if "locked" in text:
            return StoreError(f"{self.path} is locked by another program: close it, then run again")
        return StoreError(
            f"{self.path} cannot be used ({text}): see to its disk, then run again; "
            "what was committed is safe"
        )

    # ── runs ────────────────────────────────────────────────────────────────────────────

    async def begin_run(
        self,
        spider: str,
        arguments: dict[str, str],
        *,
        fresh: bool,
        tables: Iterable[Table],
        make: Iterable[Table] = (),
    ) -> Run:
        """Return the spider's unfinished run, or a new one (always, when `fresh`).

        The tables in `make` are made, if they are not there yet; others come with their first
        item.

        Raises `RunMismatch` when the unfinished run had other arguments, or when a field of
        one of `tables` has changed its type since the file was written.
        """

        def begin(connection: sqlite3.Connection) -> Run:
            self._tables.check(connection, tables)
            self._tables.forget()  # what was made for a run that failed to begin is not there
            with transaction(connection):
                run = runs.begin_run(connection, spider, arguments, fresh)
                for table in make:
                    self._tables.ensure(connection, table, spider)
            if run.resumed:
                runs.forget_absurd_waits(connection, run.id)
            else:
                self._rarities[run.id] = Rarities(new=True)
            return run

        return await self._run(begin)

    async def finish_run(self, run: Run, finish: Finish) -> None:
        """Write down how the run ended."""

        def end(connection: sqlite3.Connection) -> None:
            self._check_still_ours()
            # The log is written back before the last word and not after it: a crash in between
            # has the same command go on with this run, instead of beginning another.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            runs.finish_run(connection, run.id, finish)

        await self._run(end)

    async def totals(self, run: Run) -> Totals:
        """Return the run's requests by state and its items, counted from the tables."""
        return await self._run(partial(runs.count, run=run.id))

    async def report(self, run: Run) -> Report:
        """Return the whole account of the run."""

        def account(connection: sqlite3.Connection) -> Report:
            # SQLite sorts in as much memory as the cache may take, and beside it: a million rows
            # in 30 MB. At the end of a run nobody needs a large cache any more.
            connection.execute(f"PRAGMA cache_size = -{_CACHE_AT_THE_END}")
            return report(connection, run.id)

        return await self._run(account)

    async def cookies(self, run: Run) -> list[CookieRecord]:
        """Return the cookies that the run has."""
        return await self._run(partial(jars.load, run=run.id))

    # ── the frontier ────────────────────────────────────────────────────────────────────

    async def seed(
        self,
        run: Run,
        requests: Sequence[NewRequest],
        *,
        last: bool,
        cookies: Sequence[CookieRecord] = (),
        admits: Callable[[str], bool] | None = None,
    ) -> Committed:
        """Add start requests, each once however often it is given; `last`: no more will come.

        `cookies` are those that changed before. With `admits`, which says of a host whether it is
        within the scope, links that were skipped as `offsite` and are so no more are queued, too.
        """
        return await self._run(
            partial(
                frontier.seed,
                run=run.id,
                requests=requests,
                last=last,
                cookies=cookies,
                admits=admits,
                rarities=self._rarities.get(run.id, UNKNOWN),
            ),
        )

    async def start_hosts(self, run: Run) -> set[str]:
        """Return the hosts that the run's start requests named."""
        return await self._run(partial(frontier.start_hosts, run=run.id))

    async def host_pages(self, run: Run) -> dict[str, int]:
        """Return how many pages of each host were fetched: a walk of the whole run."""
        return await self._run(partial(runs.host_pages, run=run.id))

    async def queued_hosts(self, run: Run) -> list[str]:
        """Return the hosts that have queued requests."""
        return await self._run(partial(frontier.queued_hosts, run=run.id))

    async def ready(self, run: Run, wants: Sequence[Want]) -> list[HostWork]:
        """Return the next requests of each wanted host, best first."""
        return await self._run(partial(frontier.ready, run=run.id, wants=wants))

    async def stands(self, run: Run, fingerprint: int, other_than: int) -> bool:
        """Say whether another request than `other_than` (its id) stands for a page."""
        return await self._run(
            partial(frontier.stands, run=run.id, fingerprint=fingerprint, other_than=other_than)
        )

    async def commit(
        self,
        run: Run,
        visits: Sequence[Visit],
        hosts: Iterable[HostRecord] = (),
        cookies: Sequence[CookieRecord] = (),
    ) -> Committed:
        """Commit visits, and what changed about hosts and cookies, in one transaction."""

        def work(connection: sqlite3.Connection) -> Committed:
            if (now := time.monotonic()) >= self._looks_at:
                self._looks_at = now + _LOOK_EVERY
                self._check_still_ours()
                self._log.look(connection)
            rarities = self._rarities.get(run.id, UNKNOWN)
            return commit(connection, self._tables, run, visits, hosts, cookies, rarities)

        return await self._run(work)

    def statistics(self) -> dict[str, Any]:
        """Return what a debugger wants to know: the file, and whether it is open."""
        return {"path": str(self.path), "open": self._thread is not None}


def _out_of_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, however often the caller is cancelled; then be cancelled.

    A connection that is given up half open, or half closed, would leak, and keep the lock.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as again:
            cancelled = again
    task.result()
    if cancelled is not None:
        raise cancelled
