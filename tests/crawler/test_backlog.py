"""What pages bring before it is in the file: little of it at once, however much each has."""

import asyncio
import gc
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import Crawl, Request, Response, Spider
from crawler.backlog import Backlog
from storage.records import Committed, CookieRecord, HostRecord, Run, Visit
from storage.sqlite import SqliteStore
from tests.site import serve

PAGES = 12
SETTINGS = {"robots": False, "concurrency": PAGES, "concurrency_per_host": PAGES, "max_depth": 0}
LARGE = "<p>much</p>" * 10_000  # a page that may bring much


class Pages(Spider):
    """Asks for all the pages there are."""

    name = "pages"
    url = ""

    async def start(self) -> Any:
        for number in range(PAGES):
            yield Request(f"{self.url}{number}")


class Halting(SqliteStore):
    """Comes to a halt before it writes a page with many links, until it is let go."""

    go: asyncio.Event

    async def commit(
        self,
        run: Run,
        visits: Sequence[Visit],
        hosts: Iterable[HostRecord] = (),
        cookies: Sequence[CookieRecord] = (),
    ) -> Committed:
        if any(len(visit.requests) > 1000 for visit in visits):
            await self.go.wait()
        return await super().commit(run, visits, hosts, cookies)


async def test_while_the_disk_is_busy_few_pages_bring_more(db: Path) -> None:
    brought: list[str] = []

    class Bringing(Pages):
        def parse(self, response: Response) -> Any:
            for number in range(6000):
                yield Request(f"{response.url}/{'x' * 1000}{number}")
            brought.append(response.url)

    Halting.go = asyncio.Event()
    async with serve({f"/{n}": LARGE + str(n) for n in range(PAGES)}) as site, asyncio.timeout(60):
        crawl = Crawl(
            Bringing, db=db, arguments={"url": site.url}, overrides=SETTINGS, store=Halting
        )
        running = asyncio.create_task(crawl.run())
        while not brought or sum(site.hits.values()) < PAGES:
            await asyncio.sleep(0.01)
        for _ in range(200):  # time enough for all of them
            await asyncio.sleep(0.01)
        assert len(brought) <= 3
        Halting.go.set()
        assert (await running).done == PAGES
    assert len(brought) == PAGES


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("<p>{}", id="parsed at once"),
        pytest.param("<p>{}" + "<p>a paragraph of some text</p>" * 9_000, id="parsed aside"),
        pytest.param("<p>{}" * 80_000, id="tried and parsed aside"),
    ],
)
async def test_few_callbacks_that_take_long_are_under_way_at_once(db: Path, page: str) -> None:
    under_way = most = 0

    class Slow(Pages):
        def parse(self, response: Response) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(4):
                time.sleep(0.02)
                yield {"url": response.url}
            under_way -= 1

    pages = {f"/{n}": page.format(*[n] * page.count("{}")) for n in range(PAGES)}
    async with serve(pages) as site, asyncio.timeout(60):
        crawl = Crawl(Slow, db=db, arguments={"url": site.url}, overrides=SETTINGS)
        assert (await crawl.run()).done == PAGES
    assert most <= 3


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a callback that is slow waited for as long as it takes."""
    monkeypatch.setattr("crawler.backlog._SLOW_FOR", 3600.0)


@pytest.mark.usefixtures("patient")
async def test_who_waits_for_slow_callbacks_is_called_when_it_is_his_turn() -> None:
    looks = 0

    class Watched(Backlog):
        @property
        def is_busy(self) -> bool:
            nonlocal looks
            looks += 1
            return super().is_busy

    backlog, order = Watched(), []

    async def callback(number: int) -> None:
        await backlog.start()
        order.append(number)
        bringing = backlog.page()
        bringing.slow()
        await bringing.turn()
        bringing.over()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(callback(number))
    assert order == list(range(50))
    assert looks < 5 * 50  # it was 1,300, when all were called each time


@pytest.mark.usefixtures("patient")
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=3, max_size=12))
async def test_nobody_waits_in_vain_whoever_gives_up(callbacks: list[tuple[bool, int]]) -> None:
    backlog, done = Backlog(), set()

    async def callback(number: int, *, is_slow: bool) -> None:
        await backlog.start()
        bringing = backlog.page()
        if is_slow:
            bringing.slow()
        await asyncio.sleep(0)
        bringing.over()
        done.add(number)

    tasks = []
    for number, (is_slow, _) in enumerate(callbacks):
        tasks.append(asyncio.create_task(callback(number, is_slow=is_slow)))
    for turn in range(7):
        for task, (_, gives_up) in zip(tasks, callbacks, strict=True):
            if gives_up == turn:
                task.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert done == {n for n, task in enumerate(tasks) if not task.cancelled()}


async def test_callbacks_that_wait_for_something_wait_for_no_other(db: Path) -> None:
    all_here = asyncio.Barrier(PAGES)

    class Waiting(Pages):
        async def parse(self, response: Response) -> Any:
            time.sleep(0.02)
            yield {"url": response.url}
            await all_here.wait()

    async with serve({f"/{n}": f"<p>{n}" for n in range(PAGES)}) as site, asyncio.timeout(60):
        crawl = Crawl(Waiting, db=db, arguments={"url": site.url}, overrides=SETTINGS)
        assert (await crawl.run()).done == PAGES


async def test_a_callback_that_never_ends_holds_up_the_others_for_a_moment_only(db: Path) -> None:
    others = 0

    class Endless(Pages):
        def parse(self, response: Response) -> Any:
            nonlocal others
            if int(response.url.rpartition("/")[2]) >= 4:
                others += 1
                return
            while others < PAGES - 4:
                time.sleep(0.001)
                yield None

    async with serve({f"/{n}": f"<p>{n}" for n in range(PAGES)}) as site, asyncio.timeout(60):
        crawl = Crawl(Endless, db=db, arguments={"url": site.url}, overrides=SETTINGS)
        assert (await crawl.run()).done == PAGES


async def test_what_is_in_the_file_is_in_memory_no_more_however_long_nothing_comes(
    db: Path,
) -> None:
    may_end = asyncio.Event()

    class Waiting(Pages):
        async def parse(self, response: Response) -> Any:
            if response.url.endswith("/0"):
                await may_end.wait()
            yield {"url": response.url}

    def in_memory() -> int:
        return sum(type(one) is Visit for one in gc.get_objects())

    async with serve({f"/{n}": f"<p>{n}" for n in range(PAGES)}) as site, asyncio.timeout(60):
        crawl = Crawl(Waiting, db=db, arguments={"url": site.url}, overrides=SETTINGS)
        running = asyncio.create_task(crawl.run())
        while (snapshot := crawl.snapshot()) is None or snapshot.done < PAGES - 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # whoever heard of the commit has had their turn
        assert in_memory() == 1  # of the page that waits
        may_end.set()
        assert (await running).done == PAGES
