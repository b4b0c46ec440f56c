"""Models of items, and a file to store them in."""

import sqlite3
from collections.abc import Iterator
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from crawler.item import Item
from storage.columns import row_of
from storage.tables import REGISTRY_SQL, ItemTables

AT = "2026-01-02T03:04:05.000Z"
URL = "http://site.example/"


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Mixed(Enum):
    A = 1
    B = "b"


class Book(Item):
    title: str
    price: float | None = None


def new_file(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "CREATE TABLE crawl_run (id INTEGER PRIMARY KEY, spider TEXT NOT NULL);" + REGISTRY_SQL
    )
    return connection


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = new_file(tmp_path / "crawl.db")
    connection.executemany("INSERT INTO crawl_run VALUES (?, 'books')", [(1,), (2,)])
    yield connection
    connection.close()


def store(
    connection: sqlite3.Connection,
    *items: BaseModel | dict[str, Any],
    run: int = 1,
    tables: ItemTables | None = None,
    spider: str = "books",
) -> None:
    tables = tables or ItemTables()
    rows = [row_of(item, URL) for item in items]
    for row in rows:
        tables.ensure(connection, row.table, spider)
    tables.insert(connection, run, AT, rows)
