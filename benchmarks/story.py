"""The story the project started from, measured: ten URLs that each take a second.

    make bench-story

One table from one run: `requests` with three threads, bare asyncio, and the crawler at
concurrency 3 and 10. Then 1,000 URLs at concurrency 10, where the server itself counts how many
requests are in flight. Everything happens on loopback.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
from aiohttp import web

import crawler
from crawler import Item, Request, Response, Spider

SLOW_URLS, SLOW_SECONDS = 10, 1.0
MANY_URLS, MANY_SECONDS = 1000, 0.02


# ── the server, in a process of its own ─────────────────────────────────────────────────────


def serve(pipe: Connection) -> None:
    """Serve until killed; sends its port, and answers `/count` with the most in flight."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    counts = {"now": 0, "most": 0, "served": 0}

    async def page(request: web.Request) -> web.Response:
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        try:
            await asyncio.sleep(float(request.match_info["seconds"]))
        finally:
            counts["now"] -= 1
        counts["served"] += 1
        return web.Response(
            text=f"<title>Page {request.match_info['n']}</title>", content_type="text/html"
        )

    async def count(_: web.Request) -> web.Response:
        answer = dict(counts)
        counts.update(most=0, served=0)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/count", count)
    app.router.add_get("/{seconds}/{n}", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send(runner.addresses[0][1])
    await asyncio.Event().wait()


# ── the contestants ─────────────────────────────────────────────────────────────────────────


def threads(urls: list[str]) -> int:
    """Fetch with `requests`, three threads."""
    import requests

    with ThreadPoolExecutor(3) as pool:
        return sum(pool.map(lambda url: requests.get(url, timeout=30).ok, urls))


def bare(urls: list[str]) -> int:
    """Fetch with aiohttp and nothing else, all at once."""

    async def fetch_all() -> int:
        async def fetch(url: str) -> bool:
            async with session.get(url) as response:
                await response.read()
                return response.ok

        async with aiohttp.ClientSession() as session:
            return sum(await asyncio.gather(*map(fetch, urls)))

    return asyncio.run(fetch_all())


class Page(Item):
    """What the crawler stores of each page."""

    title: str


class Slow(Spider):
    """Fetches the URLs it is given."""

    name = "slow"
    urls: ClassVar[list[str]] = []

    async def start(self) -> AsyncIterator[Request]:
        """Yield every URL."""
        for url in self.urls:
            yield Request(url)

    def parse(self, response: Response) -> Any:
        """Store the title."""
        yield Page(title=response.css("title::text").get() or "")


def crawling(concurrency: int) -> Callable[[list[str]], int]:
    """Return a contestant: the whole crawler, with everything on, at that concurrency."""

    def crawl(urls: list[str]) -> int:
        Slow.urls = urls
        with tempfile.TemporaryDirectory() as folder:
            summary = asyncio.run(
                crawler.run(
                    Slow,
                    db=Path(folder) / "slow.db",
                    concurrency=concurrency,
                    concurrency_per_host=concurrency,
                )
            )
        assert summary.items == summary.done
        return summary.done

    return crawl


# ── the table ───────────────────────────────────────────────────────────────────────────────


def main() -> int:
    """Run everything once and print the table; 1 when a page was missed or a bound broken."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{here.recv()}"
    try:
        slow_ok = _ten_slow_urls(base)
        many_ok = _many_urls(base)
    finally:
        server.terminate()
    return 0 if slow_ok and many_ok else 1


def _ten_slow_urls(base: str) -> bool:
    urls = [f"{base}/{SLOW_SECONDS}/{n}" for n in range(SLOW_URLS)]
    contestants = {
        "requests, 3 threads": threads,
        "bare asyncio": bare,
        "crawler, concurrency 3": crawling(3),
        "crawler, concurrency 10": crawling(10),
    }
    print(f"{SLOW_URLS} URLs of {SLOW_SECONDS:g} s each\n")
    print(f"| {'':24} | pages | seconds |\n|{'-' * 26}|------:|--------:|")
    complete = True
    for name, fetch in contestants.items():
        started = time.perf_counter()
        pages = fetch(urls)
        print(f"| {name:24} | {pages:5} | {time.perf_counter() - started:7.2f} |", flush=True)
        complete &= pages == SLOW_URLS
    return complete


def _many_urls(base: str) -> bool:
    asyncio.run(_count(base))  # forget what was counted so far
    started = time.perf_counter()
    pages = crawling(10)([f"{base}/{MANY_SECONDS}/{n}" for n in range(MANY_URLS)])
    seconds = time.perf_counter() - started
    counts = asyncio.run(_count(base))
    print(
        f"\n{MANY_URLS:,} URLs at concurrency 10: {pages} pages in {seconds:.2f} s; "
        f"the server saw at most {counts['most']} requests in flight"
    )
    return pages == MANY_URLS and counts["most"] == 10


async def _count(base: str) -> dict[str, int]:
    async with aiohttp.ClientSession() as session, session.get(f"{base}/count") as response:
        counts: dict[str, int] = await response.json()
        return counts


if __name__ == "__main__":
    sys.exit(main())
