"""Commit paths that are wrong on purpose: the proof must find each of them out."""

import sqlite3
from collections.abc import Iterable, Sequence

from storage.commit import settle
from storage.frontier import discover
from storage.records import Committed, CookieRecord, HostRecord, Run, Visit
from storage.sqlite import SqliteStore
from storage.transaction import now_iso, transaction


class _Broken(SqliteStore):
    async def commit(
        self,
        run: Run,
        visits: Sequence[Visit],
        hosts: Iterable[HostRecord] = (),
        cookies: Sequence[CookieRecord] = (),
    ) -> Committed:
        def work(connection: sqlite3.Connection) -> Committed:
            committed = Committed()
            for step in self._steps(connection, run, visits, committed):
                step()
            return committed

        return await self._run(work)

    def _settle(self, connection: sqlite3.Connection, visits: Sequence[Visit]) -> None:
        with transaction(connection):
            for visit in visits:
                settle(connection, visit)

    def _store_items(
        self, connection: sqlite3.Connection, run: Run, visits: Sequence[Visit]
    ) -> None:
        with transaction(connection):
            for visit in visits:
                for table in {row.table for row in visit.items}:
                    self._tables.ensure(connection, table, run.spider)
                self._tables.insert(connection, run.id, now_iso(), visit.items)

    def _store_links(
        self,
        connection: sqlite3.Connection,
        run: Run,
        visits: Sequence[Visit],
        committed: Committed,
    ) -> None:
        with transaction(connection):
            for visit in visits:
                found = [(visit.id, request) for request in visit.requests]
                discover(connection, run.id, found, committed)


class DoneBeforeItems(_Broken):
    """Marks requests done, and stores their items in the next transaction: a kill loses them."""

    def _steps(self, connection, run, visits, committed):  # type: ignore[no-untyped-def]
        yield lambda: self._settle(connection, visits)
        yield lambda: self._store_items(connection, run, visits)
        yield lambda: self._store_links(connection, run, visits, committed)


class ItemsApart(_Broken):
    """Stores items in a transaction of their own, first: a kill has them stored twice."""

    def _steps(self, connection, run, visits, committed):  # type: ignore[no-untyped-def]
        yield lambda: self._store_items(connection, run, visits)
        yield lambda: self._store_links(connection, run, visits, committed)
        yield lambda: self._settle(connection, visits)


class LinksAfterDone(_Broken):
    """Marks requests done before their links are stored: a kill loses whole pages."""

    def _steps(self, connection, run, visits, committed):  # type: ignore[no-untyped-def]
        def items_and_done() -> None:
            with transaction(connection):
                for visit in visits:
                    for table in {row.table for row in visit.items}:
                        self._tables.ensure(connection, table, run.spider)
                    self._tables.insert(connection, run.id, now_iso(), visit.items)
                    settle(connection, visit)

        yield items_and_done
        yield lambda: self._store_links(connection, run, visits, committed)
