"""A disk that is slow: fetching slows down with it, and memory stays where it is."""

import asyncio
import sqlite3
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, Item, Request, Response, Spider
from storage.records import Committed, CookieRecord, HostRecord, Run, Visit
from storage.sqlite import SqliteStore
from tests.crawler.links_site import linking
from tests.site import serve

CONCURRENCY = 4
PAGES = 60
PATHS = [f"/{n}" for n in range(PAGES)]


class Big(Item):
    """What each page gives: much more than the page itself."""

    path: str
    text: str


class Walker(Spider):
    """Follows every link, and keeps something large of each page."""

    name = "walker"
    url = ""
    size = 10

    async def start(self) -> Any:
        yield Request(self.url)

    def parse(self, response: Response) -> Any:
        yield Big(path=response.url, text="x" * self.size)
        yield from response.follow_all("a")


class SlowStore(SqliteStore):
    """Takes its time over each commit, on the database thread; counts what came through it."""

    seconds = 0.01

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.committed = 0
        self.largest = 0

    async def commit(
        self,
        run: Run,
        visits: Sequence[Visit],
        hosts: Iterable[HostRecord] = (),
        cookies: Sequence[CookieRecord] = (),
    ) -> Committed:
        def dawdle(_: sqlite3.Connection) -> None:
            time.sleep(self.seconds)

        await self._run(dawdle)
        committed = await super().commit(run, visits, hosts, cookies)
        self.committed += len(visits)
        self.largest = max(self.largest, len(visits))
        return committed


def crawl_into(
    store: Callable[[Path], SqliteStore], db: Path, url: str, of: type[Spider] = Walker
) -> Crawl:
    """A crawl of the site at `url` that is kept by that store."""
    settings = {"concurrency": CONCURRENCY, "robots": False}
    return Crawl(of, db=db, arguments={"url": url}, overrides=settings, store=store)


async def test_fetching_is_never_further_ahead_of_a_slow_disk_than_concurrency(db: Path) -> None:
    stores: list[SlowStore] = []
    ahead: list[int] = []

    def opened(path: Path) -> SlowStore:
        stores.append(SlowStore(path))
        return stores[0]

    async def answer(_: Any) -> str:
        ahead.append(sum(site.hits.values()) - stores[0].committed)
        return linking(*PATHS)

    pages = dict.fromkeys(["/", *PATHS], answer)
    async with serve(pages) as site, asyncio.timeout(30):
        summary = await crawl_into(opened, db, site.url).run()
    assert summary.done == PAGES + 1 == stores[0].committed
    assert max(ahead) == CONCURRENCY  # it is reached, and never passed
    assert stores[0].largest <= CONCURRENCY


class Stuck(SqliteStore):
    """Comes to a halt at its third commit, until it is let go."""

    def __init__(self, path: Path, halted: asyncio.Event, go: asyncio.Event) -> None:
        super().__init__(path)
        self._halted, self._go = halted, go
        self._commits = 0

    async def commit(
        self,
        run: Run,
        visits: Sequence[Visit],
        hosts: Iterable[HostRecord] = (),
        cookies: Sequence[CookieRecord] = (),
    ) -> Committed:
        self._commits += 1
        if self._commits == 3:
            self._halted.set()
            await self._go.wait()
        return await super().commit(run, visits, hosts, cookies)


async def test_when_the_disk_halts_so_does_the_fetching(db: Path) -> None:
    halted, go = asyncio.Event(), asyncio.Event()
    pages = dict.fromkeys(["/", *PATHS], linking(*PATHS))
    async with serve(pages) as site, asyncio.timeout(30):
        crawl = crawl_into(lambda path: Stuck(path, halted, go), db, site.url)
        running = asyncio.create_task(crawl.run())
        await halted.wait()
        snapshot = crawl.snapshot()
        assert snapshot is not None
        committed = snapshot.done
        for _ in range(200):  # time enough to fetch all there is
            await asyncio.sleep(0.001)
        assert sum(site.hits.values()) <= committed + CONCURRENCY
        go.set()
        assert (await running).done == PAGES + 1


@pytest.mark.parametrize("pages", [20, PAGES])
async def test_memory_holds_as_many_pages_as_are_in_flight_however_many_there_are(
    pages: int, db: Path
) -> None:
    size = 400_000
    paths = PATHS[:pages]
    front = linking(*paths)
    async with serve({"/": front, **dict.fromkeys(paths, "<p>x")}) as site, asyncio.timeout(60):

        class Heavy(Walker):
            pass

        Heavy.size = size
        crawl = crawl_into(SlowStore, db, site.url, of=Heavy)
        tracemalloc.start()
        try:
            summary = await crawl.run()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert summary.items == pages + 1
    # Each page is there as its text and as the parameters of its statement.
    assert peak < 3 * CONCURRENCY * size + 2_000_000 < 20 * size
