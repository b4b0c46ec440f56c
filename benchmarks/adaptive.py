"""What adaptive throttling is worth, and what it costs, on loopback.

    make bench-adaptive

Three tables from one run. The crawl of a server that degrades past 6 requests in parallel: every
fixed concurrency from 1 to 16, and the crawler left to itself with a ceiling of 16. The requests
a second that a server sees when it begins to answer 429. And a fast server, where there is
nothing to adapt to: the crawl with `adaptive` on against off.

The servers run in a process of their own.
"""

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

import crawler
from crawler import Request, Response, Spider

CAPACITY, LATENCY = 6, 0.03  # requests in parallel without degrading, and seconds of each
SEARCH_PAGES, PAGES = 300, 2000
CEILING = 16
ALLOWED = 0.85  # of the best fixed concurrency's rate

BUSY_AFTER, BUSY_FOR = 2.0, 6.0  # seconds until the server answers 429, and how long it does
FAST_PAGES, FAST_ROUNDS, FAST_CONCURRENCY = 4000, 7, 64


# ── the servers, in a process of their own ──────────────────────────────────────────────────


class Site:
    """Serves `/degrading/N`, `/busy/N`, `/fast/N`, and `/arrivals`: when each `/busy` came."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.began: float | None = None
        self.arrivals: list[float] = []

    async def answer(self, path: str) -> bytes:
        """Return a whole response."""
        kind = path.split("/")[1]
        if kind == "degrading":
            await self._work()
        elif kind.startswith("busy"):
            await asyncio.sleep(LATENCY)
            return self._refuse_a_while(kind.partition("-")[2])
        elif kind == "arrivals":
            moments, self.arrivals, self.began = self.arrivals, [], None
            return _response(" ".join(f"{moment:.3f}" for moment in moments))
        elif kind == "robots.txt":
            return _response("", status="404 Not Found")
        return _response(f"<title>{path}</title><p>{'x' * 2000}")

    async def _work(self) -> None:
        """Take as long as a machine does that has too much to do: the more, the less gets done."""
        self.in_flight += 1
        try:
            for _ in range(5):
                strain = max(1.0, self.in_flight / CAPACITY) ** 2
                await asyncio.sleep(LATENCY / 5 * strain)
        finally:
            self.in_flight -= 1

    def _refuse_a_while(self, retry_after: str) -> bytes:
        now = time.monotonic()
        self.began = self.began if self.began is not None else now
        self.arrivals.append(now - self.began)
        if BUSY_AFTER <= now - self.began < BUSY_AFTER + BUSY_FOR:
            header = f"Retry-After: {retry_after}\r\n" if retry_after else ""
            return _response("slow down", status="429 Too Many Requests", header=header)
        return _response("<p>here you are")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection for as long as it is kept alive."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self.answer(head.split(b" ", 2)[1].decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _response(text: str, status: str = "200 OK", header: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{header}"
        f"Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()


def serve(pipe: Connection) -> None:
    """Serve until killed; sends the port."""

    async def run() -> None:
        server = await asyncio.start_server(Site().serve, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


# ── the crawls ──────────────────────────────────────────────────────────────────────────────


class Pages(Spider):
    """Fetches the URLs it is given, and keeps nothing."""

    name = "pages"
    urls: ClassVar[list[str]] = []

    async def start(self) -> AsyncIterator[Request]:
        """Yield every URL."""
        for url in self.urls:
            yield Request(url)

    def parse(self, response: Response) -> Any:
        """Find nothing."""
        return ()


def crawl(base: str, kind: str, pages: int, **settings: Any) -> float:
    """Return the seconds that a crawl of so many pages takes."""
    Pages.urls = [f"{base}/{kind}/{number}" for number in range(pages)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        summary = asyncio.run(crawler.run(Pages, db=Path(folder) / "pages.db", **settings))
        seconds = time.perf_counter() - began
    assert summary.failed == 0, summary
    return seconds


def degrading(base: str) -> bool:
    """Compare every fixed concurrency with the adaptive one; False if that is too slow."""
    print(f"A server that degrades past {CAPACITY} requests in parallel, {LATENCY:g} s each\n")
    print("| concurrency | pages | pages/s |\n|---|---:|---:|")
    rates = {}
    for fixed in range(1, CEILING + 1):
        seconds = crawl(base, "degrading", SEARCH_PAGES, concurrency_per_host=fixed, adaptive=False)
        rates[fixed] = SEARCH_PAGES / seconds
        print(f"| {fixed} | {SEARCH_PAGES:,} | {rates[fixed]:.1f} |", flush=True)
    best = max(rates, key=lambda fixed: rates[fixed])
    fixed_rate = PAGES / crawl(base, "degrading", PAGES, concurrency_per_host=best, adaptive=False)
    print(f"| {best}, the best | {PAGES:,} | {fixed_rate:.1f} |", flush=True)
    rate = PAGES / crawl(base, "degrading", PAGES, concurrency_per_host=CEILING)
    print(f"| adaptive, up to {CEILING} | {PAGES:,} | {rate:.1f} |")
    print(f"\nadaptive / best fixed: {rate / fixed_rate:.2f} (at least {ALLOWED})\n")
    return rate >= ALLOWED * fixed_rate


def refusing(base: str) -> bool:
    """Show how the rate of requests falls when a server answers 429; False if it does not."""
    print(
        f"A server that answers 429 after {BUSY_AFTER:g} s, for {BUSY_FOR:g} s: requests a second\n"
    )
    spans = range(int(BUSY_AFTER + BUSY_FOR) + 4)
    print(f"| | {' | '.join(map(str, spans))} |\n|---|{'---:|' * len(spans)}")
    calm = True
    for kind, told in (("busy", "no Retry-After"), ("busy-3", "Retry-After: 3")):
        crawl(
            base,
            kind,
            10_000,
            concurrency_per_host=CEILING,
            robots=False,
            max_seconds=len(spans),
        )
        moments = [float(moment) for moment in asyncio.run(_get(f"{base}/arrivals")).split()]
        counts = [sum(span <= moment < span + 1 for moment in moments) for span in spans]
        print(f"| {told} | {' | '.join(map(str, counts))} |", flush=True)
        refused = counts[int(BUSY_AFTER) + 1 : int(BUSY_AFTER + BUSY_FOR)]
        calm &= max(refused) * 10 < counts[1]
    print()
    return calm


def fast(base: str) -> None:
    """Show what adaptation costs where there is nothing to adapt to."""
    print(
        f"A fast server, concurrency_per_host {FAST_CONCURRENCY}, {FAST_PAGES:,} pages: pages/s\n"
    )
    rates: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(FAST_ROUNDS):
        for adaptive in (True, False):
            began = time.process_time()
            seconds = crawl(
                base,
                "fast",
                FAST_PAGES,
                concurrency=FAST_CONCURRENCY,
                concurrency_per_host=FAST_CONCURRENCY,
                adaptive=adaptive,
            )
            spent = time.process_time() - began
            rates[adaptive].append((FAST_PAGES / seconds, FAST_PAGES / spent))
    print("| adaptive | pages/s, median | pages per second of CPU, median |\n|---|---:|---:|")
    medians = {}
    for adaptive, seen in rates.items():
        wall, cpu = (statistics.median(column) for column in zip(*seen, strict=True))
        medians[adaptive] = wall, cpu
        print(f"| {'on' if adaptive else 'off'} | {wall:,.0f} | {cpu:,.0f} |")
    of_wall, of_cpu = (on / off for on, off in zip(medians[True], medians[False], strict=True))
    print(f"\non / off: {of_wall:.2f}; by CPU time, which no neighbour disturbs: {of_cpu:.2f}")


async def _get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


def main() -> int:
    """Run everything and print the tables; 1 when a bound is broken."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{here.recv()}"
    wanted = set(sys.argv[1:]) or {"degrading", "refusing", "fast"}
    try:
        quick = degrading(base) if "degrading" in wanted else True
        calm = refusing(base) if "refusing" in wanted else True
        if "fast" in wanted:
            fast(base)
    finally:
        server.terminate()
    return 0 if quick and calm else 1


if __name__ == "__main__":
    sys.exit(main())
