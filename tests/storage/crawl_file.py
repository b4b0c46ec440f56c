"""A crawl file for the frontier's statements, and requests, visits and items to put into it."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage import frontier, runs
from storage.commit import commit
from storage.records import (
    Column,
    Committed,
    HostRecord,
    HostWork,
    ItemRow,
    NewRequest,
    State,
    Table,
    Visit,
    Want,
)
from storage.schema import prepare
from storage.tables import ItemTables

THING = Table("thing", (Column("number", "integer", "INTEGER"),))
TOO_LARGE = 2**70  # no INTEGER of SQLite's


class Crawl:
    """A crawl file and its one run, spoken to as the database thread does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.tables = ItemTables()
        self.run = runs.begin_run(connection, "books", {}, fresh=False)

    def seed(
        self,
        *requests: NewRequest,
        last: bool = True,
        admits: Callable[[str], bool] | None = None,
    ) -> Committed:
        return frontier.seed(self.connection, self.run.id, requests, last, admits=admits)

    def commit(self, *visits: Visit, hosts: Sequence[HostRecord] = ()) -> Committed:
        return commit(self.connection, self.tables, self.run, visits, hosts)

    def ready(
        self, host: str = "a", limit: int = 100, held: Sequence[int] = (), first: bool = False
    ) -> HostWork:
        wants = [Want(host, limit, frozenset(held), first)]
        (work,) = frontier.ready(self.connection, self.run.id, wants)
        return work

    def ready_ids(self, **wanted: Any) -> list[int]:
        return [row.id for row in self.ready(**wanted).requests]

    def rows(self, columns: str = "id, state, reason") -> list[tuple[Any, ...]]:
        return self.connection.execute(
            f"SELECT {columns} FROM crawl_request WHERE run = ? ORDER BY id", (self.run.id,)
        ).fetchall()

    def numbers(self) -> list[int]:
        """The items that were kept."""
        if not self.connection.execute("SELECT count(*) FROM crawl_table").fetchone()[0]:
            return []
        query = "SELECT number FROM thing WHERE _run = ? ORDER BY _id"
        return [number for (number,) in self.connection.execute(query, (self.run.id,))]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "crawl.db"
    opened = sqlite3.connect(path, isolation_level=None)
    prepare(opened, str(path))
    yield opened
    opened.close()


@pytest.fixture
def crawl(connection: sqlite3.Connection) -> Crawl:
    return Crawl(connection)


def request(number: int, host: str = "a", **fields: Any) -> NewRequest:
    return NewRequest(number, f"http://{host}/{number}", host, **fields)


def requests(*numbers: int, host: str = "a") -> list[NewRequest]:
    return [request(number, host) for number in numbers]


def item(number: Any) -> ItemRow:
    return ItemRow(THING, (number,), "http://a/")


def visit(id_: int, state: State = "done", **fields: Any) -> Visit:
    return Visit(id_, fields.pop("host", "a"), state, **{"attempts": 1, **fields})


def statements(connection: sqlite3.Connection) -> list[str]:
    """A list that grows with every statement SQLite runs from now on."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    return seen
