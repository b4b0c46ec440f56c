"""A file of the SQLite store, what is put into it, and how it is read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage.reader import open_reader
from storage.records import Column, ItemRow, NewRequest, Run, Table
from storage.sqlite import SqliteStore

THING = Table("thing", (Column("number", "integer", "INTEGER"),))


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
