"""Nobody waits for ever for a host, in the whole crawler."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

import crawler
from crawler.middleware import Handler
from crawler.places import LARGE, LARGE_AT_ONCE, share_of
from crawler.request import Request
from crawler.response import Response
from tests.crawler.links_site import until
from tests.crawler.plain_fetches import moved, ok
from tests.crawler.pretended_crawl import HANGS
from tests.crawler.pretended_crawl import path as path
from tests.hostile.server import Connection, Hostile, answer
from tests.site import serve

OF_A_SITE = share_of(LARGE_AT_ONCE)


def web(says: Callable[[str], Awaitable[bytes]]) -> Hostile:
    """A server of what `says(path)` gives: a whole HTTP response."""

    async def play(connection: Connection) -> None:
        while True:
            asked = await connection.request()
            await connection.send(await says(asked.target))

    return Hostile(play)


async def test_redirects_to_a_busy_host_get_their_turn(path: Path) -> None:
    async def away(where: str) -> bytes:
        return moved(302, target.url + where)

    async with Hostile(answer("ok")) as target, web(away) as first, web(away) as second:

        class Moved(crawler.Spider):
            name = "moved"
            start_urls = [  # noqa: RUF012
                *(f"{server.url}/{n}" for n in range(6) for server in (first, second)),
                *(f"{target.url}/x{n}" for n in range(6)),
            ]
            allowed_domains = ["*"]  # noqa: RUF012

            def parse(self, response: Response) -> None:
                return None

        async with asyncio.timeout(HANGS):
            summary = await crawler.run(
                Moved, db=path, concurrency=2, concurrency_per_host=1, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 18)
    assert summary.reasons["done"]["alias"] == 6  # two redirects lead to each page


async def test_own_fetches_that_are_redirected_to_a_busy_host_do_not_block_it(path: Path) -> None:
    """They have every place to fetch, and the host's turn is that of a request without one."""
    answered = arrived = 0

    async def plain(_: str) -> bytes:
        nonlocal answered
        answered += 1
        return ok()

    async def away(where: str) -> bytes:
        nonlocal arrived
        if where == "/":
            return ok()
        arrived += 1
        gate = running._throttle.gate(target.host)
        while answered < 20 and (arrived < 2 or gate.opens_at(time.monotonic()) < float("inf")):
            await asyncio.sleep(0)
        return moved(302, target.url + where)

    async with web(plain) as target, web(away) as first:

        class Own(crawler.Spider):
            name = "own"
            start_urls = [  # noqa: RUF012
                f"{first.url}/",
                *(f"{target.url}/x{n}" for n in range(20)),
            ]

            async def parse(self, response: Response) -> None:
                if response.url == f"{first.url}/":
                    await asyncio.gather(
                        *(self.fetch(f"{first.url}/{n}") for n in range(2)),
                    )

        running = crawler.Crawl(
            Own,
            db=path,
            overrides={
                "concurrency": 2,
                "robots": False,
                "host": [{"match": target.host, "concurrency": 1}],
            },
        )
        async with asyncio.timeout(HANGS):
            summary = await running.run()
    assert (summary.finish, summary.done) == ("finished", 21)


async def test_callbacks_that_all_fetch_from_their_own_host_get_their_turn(path: Path) -> None:
    async with Hostile(answer("ok")) as server:
        everybody = asyncio.Event()

        class Fetching(crawler.Spider):
            name = "fetching"
            start_urls = [f"{server.url}/{n}" for n in range(12)]  # noqa: RUF012
            in_callback = 0

            async def parse(self, response: Response) -> None:
                self.in_callback += 1
                if self.in_callback == 3:  # as many as there are workers
                    everybody.set()
                await everybody.wait()
                await self.fetch(f"{server.url}/more")

        async with asyncio.timeout(HANGS):
            summary = await crawler.run(
                Fetching, db=path, concurrency=3, concurrency_per_host=1, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 12)


# ── bodies that wait for their place, and the slot that they keep meanwhile ─────────────────


def large(_: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b"x" * (LARGE + 1)


def packed(_: object) -> tuple[int, dict[str, str], bytes]:
    """How large it is shows only as it is read; it has a smaller place by then."""
    body = Random(1).randbytes(LARGE // 2 + 1).hex().encode()
    return 200, {"Content-Encoding": "gzip"}, gzip.compress(body)


@pytest.mark.parametrize("own", [False, True])
async def test_a_middleware_that_has_a_large_page_and_asks_again_waits_for_no_body(
    path: Path, own: bool
) -> None:
    """Every slot of the host is a body's that waits for the place of such a page."""

    async def again(request: Request, call_next: Handler) -> Response:
        await call_next(request)
        await until(lambda: sum(site.hits.values()) >= 2 * OF_A_SITE)
        return await call_next(Request(f"{site.url}more") if own else request)

    async with serve({"/more": "more"}) as site:
        site.pages.update({f"/{n}": large for n in range(8)})

        class Again(crawler.Spider):
            name = "again"
            start_urls = [f"{site.url}{n}" for n in range(8)]  # noqa: RUF012
            middleware = [again]  # noqa: RUF012

            def parse(self, response: Response) -> None:
                return None

        async with asyncio.timeout(2 * HANGS):
            summary = await crawler.run(
                Again, db=path, concurrency=8, concurrency_per_host=OF_A_SITE, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 8)


@pytest.mark.parametrize("page", [large, packed])
async def test_a_callback_that_large_pages_wait_for_waits_for_no_body(
    path: Path, page: Callable[[object], object]
) -> None:
    """It has what their callbacks want, and waits for a host that other bodies keep busy."""
    urls = [f"/{n}" for n in range(2 * OF_A_SITE)]

    class Sharing(crawler.Spider):
        name = "sharing"
        token = ""
        waiting = 0

        async def start(self) -> AsyncIterator[Request]:
            self.lock = asyncio.Lock()
            for url in ("/first", *urls):
                yield Request(site.url + url[1:])

        async def parse(self, response: Response) -> None:
            self.waiting += 1
            async with self.lock:
                if not self.token:
                    await until(lambda: self.waiting > OF_A_SITE and all_are_asked_for())
                    self.token = (await self.fetch(f"{site.url}token")).text

    def all_are_asked_for() -> bool:
        return all(site.hits[url] for url in urls)

    async with serve({"/first": "", "/token": "secret", **dict.fromkeys(urls, page)}) as site:
        async with asyncio.timeout(2 * HANGS):
            summary = await crawler.run(
                Sharing, db=path, concurrency=8, concurrency_per_host=OF_A_SITE, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 1 + 2 * OF_A_SITE)
