"""Nobody waits for ever for a host, in the whole crawler."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import crawler
from crawler.response import Response
from tests.crawler.plain_fetches import moved, ok
from tests.crawler.pretended_crawl import HANGS
from tests.crawler.pretended_crawl import path as path
from tests.hostile.server import Connection, Hostile, answer


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
