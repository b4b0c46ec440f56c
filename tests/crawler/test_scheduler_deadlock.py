"""Nobody waits for ever for a host, in the whole crawler."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import crawler
from crawler.response import Response
from tests.crawler.pretended_crawl import HANGS
from tests.crawler.pretended_crawl import path as path


@asynccontextmanager
async def web(answer: Callable[[str], Awaitable[bytes]]) -> AsyncIterator[str]:
    """Serve `answer(path)`, a whole HTTP response, and give the host and port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(await answer(head.split(b" ", 2)[1].decode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"


async def test_redirects_to_a_busy_host_get_their_turn(path: Path) -> None:
    async def plain(_: str) -> bytes:
        return OK

    async def moved(where: str) -> bytes:
        location = f"Location: http://{target}{where}"
        return f"HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode()

    async with web(plain) as target, web(moved) as first, web(moved) as second:

        class Moved(crawler.Spider):
            name = "moved"
            start_urls = [  # noqa: RUF012
                *(f"http://{host}/{n}" for n in range(6) for host in (first, second)),
                *(f"http://{target}/x{n}" for n in range(6)),
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
        return OK

    async def moved(where: str) -> bytes:
        nonlocal arrived
        if where == "/":
            return OK
        arrived += 1
        gate = running._throttle.gate(target)
        while answered < 20 and (arrived < 2 or gate.opens_at(time.monotonic()) < float("inf")):
            await asyncio.sleep(0)
        location = f"Location: http://{target}{where}"
        return f"HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode()

    async with web(plain) as target, web(moved) as first:

        class Own(crawler.Spider):
            name = "own"
            start_urls = [  # noqa: RUF012
                f"http://{first}/",
                *(f"http://{target}/x{n}" for n in range(20)),
            ]

            async def parse(self, response: Response) -> None:
                if response.url == f"http://{first}/":
                    await asyncio.gather(
                        *(self.fetch(f"http://{first}/{n}") for n in range(2)),
                    )

        running = crawler.Crawl(
            Own,
            db=path,
            overrides={
                "concurrency": 2,
                "robots": False,
                "host": [{"match": target, "concurrency": 1}],
            },
        )
        async with asyncio.timeout(HANGS):
            summary = await running.run()
    assert (summary.finish, summary.done) == ("finished", 21)


async def test_callbacks_that_all_fetch_from_their_own_host_get_their_turn(path: Path) -> None:
    async def plain(_: str) -> bytes:
        return OK

    async with web(plain) as host:
        everybody = asyncio.Event()

        class Fetching(crawler.Spider):
            name = "fetching"
            start_urls = [f"http://{host}/{n}" for n in range(12)]  # noqa: RUF012
            in_callback = 0

            async def parse(self, response: Response) -> None:
                self.in_callback += 1
                if self.in_callback == 3:  # as many as there are workers
                    everybody.set()
                await everybody.wait()
                await self.fetch(f"http://{host}/more")

        async with asyncio.timeout(HANGS):
            summary = await crawler.run(
                Fetching, db=path, concurrency=3, concurrency_per_host=1, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 12)
