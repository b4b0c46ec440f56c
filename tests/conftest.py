"""What most tests of a whole crawl are given: a file, a way to run into it, a way to look at it.

And what every test is kept from: reaching anything but this machine.
"""

import signal
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import crawler
import crawler.guard
from tests.child.sitecustomize import is_here, look_up

# Before they are imported: so that their assertions say what was compared, as those of tests do.
pytest.register_assert_rewrite(
    *("tests.crawler.as_parsel", "tests.crawler.bad_page", "tests.crawler.cli.project"),
    *("tests.hostile.cookies", "tests.hostile.html", "tests.hostile.redirects"),
    "tests.hostile.traps",
)

# A script's `make test &` ignores it, and so would the processes that tests stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No fetch leaves this machine, and a test in which one tried to fails.

    (`tests.child` holds back every other socket, here and in the processes that tests start.)
    """
    strayed = []

    def open_socket(addr_info: Any) -> socket.socket:
        family, kind, protocol, _, place = addr_info
        if not is_here(place[0]):
            strayed.append(place)
            raise AssertionError(f"a test tried to connect to {place}")
        return socket.socket(family, kind, protocol)

    monkeypatch.setattr("crawler.guard.open_socket", open_socket)
    monkeypatch.setattr("socket.getaddrinfo", look_up)
    yield
    assert not strayed


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
