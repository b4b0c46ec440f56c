"""A case of hostility: what the server plays, and what must become of the crawl."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any, NamedTuple

import crawler
from tests.hostile.server import Asked, Hostile, Play, answer

# A hang is a failure of the test, and not of the whole suite.
_PATIENCE = 60.0
_THERE = answer("<title>there</title>")


class Row(NamedTuple):
    """What the file says of one request."""

    ends: str  # "done", "failed timeout", "skipped offsite", ...
    status: int | None
    attempts: int
    final_url: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A crawl of a case, for its `check` to look at. Urls have `{here}` and `{there}` in them."""

    summary: crawler.Summary
    rows: Mapping[str, Row]
    items: tuple[dict[str, Any], ...]
    asked: tuple[Asked, ...]  # of the first server
    asked_there: tuple[Asked, ...]
    longest_block: float  # seconds that the event loop stood still


@dataclass(frozen=True, slots=True)
class Case:
    """One row. `ends` is the state of the start URL and its reason, if it has one."""

    name: str
    play: Play
    ends: str
    tries: int = 1  # there is one retry, so what is worth it has two
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: str = "/"
    there: Play = _THERE  # another origin, reachable unless the settings say otherwise
    tls: Callable[[], SSLContext] | None = None
    # In place of the server: gives the start URL.
    listen: Callable[[], AbstractAsyncContextManager[str]] | None = None
    spider: type[crawler.Spider] | None = None  # without start_urls; `Reader` otherwise
    others: Mapping[str, str] = field(default_factory=dict)  # url -> how it ends
    check: Callable[[Outcome], None] | None = None
    heavy: bool = False  # takes much memory or time: not for the run that meets all at once


class Reader(crawler.Spider):
    """Keeps what a page is, and follows its links."""

    name = "reader"
    allowed_domains = ("*",)

    def parse(self, response: crawler.Response) -> Any:
        yield {
            "url": response.url,
            "status": response.status,
            "size": len(response.body),
            "title": response.css("title::text").get(),
            "text": response.text[:200],
        }
        yield from response.follow_all("a")


async def stage(case: Case, stack: AsyncExitStack) -> tuple[str, Hostile, Hostile]:
    """Start the case's servers; return the address of the start page, and both of them."""
    tls = case.tls() if case.tls else None
    here = await stack.enter_async_context(Hostile(case.play, tls=tls))
    there = await stack.enter_async_context(Hostile(case.there, host="127.0.0.2"))
    here.there, there.there = there.url, here.url
    if case.listen is not None:
        return await stack.enter_async_context(case.listen()), here, there
    return here.url, here, there


async def play_out(case: Case, folder: Path) -> Outcome:
    """Crawl the case's server and return what came of it."""
    async with AsyncExitStack() as stack:
        url, here, there = await stage(case, stack)
        spider = type("S", (case.spider or Reader,), {"start_urls": [url + case.path]})
        settings = {
            "robots": False,
            "retries": 1,
            "backoff": 0.01,
            "timeout": 10.0,
            "allow_private": [there.host],
            **case.settings,
        }
        heart = await stack.enter_async_context(_Heartbeat())
        async with asyncio.timeout(_PATIENCE):
            summary = await crawler.run(spider, db=folder / "crawl.db", **settings)
        names = {url: "{here}", there.url: "{there}"}
        return Outcome(
            summary,
            _rows(folder / "crawl.db", names),
            _items(folder / "crawl.db"),
            tuple(here.asked),
            tuple(there.asked),
            heart.longest,
        )


def _rows(db: Path, names: Mapping[str, str]) -> dict[str, Row]:
    with closing(sqlite3.connect(db)) as connection:
        found = connection.execute(
            "SELECT url, state, reason, status, attempts, final_url FROM crawl_request"
        ).fetchall()
    return {
        _named(url, names): Row(
            f"{state} {reason}" if reason else state,
            status,
            attempts,
            None if final_url is None else _named(final_url, names),
        )
        for url, state, reason, status, attempts, final_url in found
    }


def _named(url: str, names: Mapping[str, str]) -> str:
    for address, name in names.items():
        if url.startswith(address + "/"):
            return name + url.removeprefix(address)
    return url


def _items(db: Path) -> tuple[dict[str, Any], ...]:
    with closing(sqlite3.connect(db)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'item'").fetchall()
        rows = connection.execute("SELECT data FROM item").fetchall() if tables else []
    return tuple(json.loads(data) for (data,) in rows)


class _Heartbeat:
    """Notes the longest time that the event loop stood still."""

    _EVERY = 0.02

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> "_Heartbeat":
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(self._EVERY)
            now = loop.time()
            self.longest = max(self.longest, now - before - self._EVERY)
            before = now
