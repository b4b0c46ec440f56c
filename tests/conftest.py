"""What most tests of a whole crawl are given: a file, a way to run into it, a way to look at it."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import crawler


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Where the crawl goes."""
    return tmp_path / "crawl.db"


@pytest.fixture
def rows(db: Path) -> Callable[..., list[Any]]:
    """What a query finds in the crawl's file: tuples, or plain values for a single column."""

    def query(sql: str, *parameters: object) -> list[Any]:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            found = connection.execute(sql, parameters).fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    return query


@pytest.fixture
def crawl(db: Path) -> Callable[..., Awaitable[crawler.Summary]]:
    """`crawler.run` into that file, with short waits before retries."""

    def run(spider: type[crawler.Spider], **settings: Any) -> Awaitable[crawler.Summary]:
        return crawler.run(spider, **{"db": db, "backoff": 0.01, **settings})

    return run
