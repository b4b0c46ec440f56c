"""A crawl file to export from, and what exports hold."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from crawler.item import Item
from storage.columns import row_of
from storage.tables import REGISTRY_SQL, ItemTables

AT = "2026-01-02T03:04:05.000Z"
URL = "http://site.example/"


class Book(Item):
    title: str
    price: float | None = None
    sold: bool = False
    tags: list[str] = Field(default_factory=list)
    cover: bytes | None = None


def store(path: Path, *items: BaseModel | dict[str, Any], run: int = 1) -> None:
    with closing(sqlite3.connect(path)) as connection:
        tables = ItemTables()
        rows = [row_of(item, URL) for item in items]
        for row in rows:
            tables.ensure(connection, row.table, "books")
        tables.insert(connection, run, AT, rows)
        connection.commit()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A crawl file of two runs without items."""
    path = tmp_path / "crawl.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            "CREATE TABLE crawl_run (id INTEGER PRIMARY KEY, spider TEXT NOT NULL);"
            f"INSERT INTO crawl_run VALUES (1, 'books'), (2, 'books'); {REGISTRY_SQL}"
        )
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty directory to export to."""
    path = tmp_path / "out"
    path.mkdir()
    return path


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def json_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [json.loads(line) for line in stream]


def titles(path: Path) -> list[str]:
    return [row["title"] for row in json_rows(path)]
