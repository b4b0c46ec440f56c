"""A thousand hosts, one of which has a million pages and one of which takes ten seconds for each.

    make bench-fairness

How long the other 998 take, alone, and beside these two. Each host is an address of loopback
with a socket of its own; the server and every crawl are processes of their own. Then what it
costs to choose the next request, by the number of hosts, and how much memory a crawl takes.
"""

import asyncio
import itertools
import multiprocessing
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import crawler
from crawler import Response, Spider
from crawler.lanes import Lane, Rota
from crawler.throttle import HostGate
from crawler.url import fingerprint
from storage import open_store
from storage.records import NewRequest

HOSTS, PAGES = 998, 10  # the ordinary ones, and how many pages each has
SECONDS = 0.05  # that a page of theirs takes
HUGE = 1_000_000  # pages of the one
SLOW_PAGES, SLOW_SECONDS = 1000, 10.0  # and of the other
CONCURRENCY = 32
ALLOWED = 0.9  # of the speed that the others have alone


def address(number: int) -> str:
    """Return the host of that number: 0 is huge, 1 is slow."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


# ── the server, in a process of its own ─────────────────────────────────────────────────────


def serve(pipe: Connection) -> None:
    """Serve all hosts until killed; sends the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slow = writer.get_extra_info("sockname")[0] == address(1)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"/robots.txt" not in head:
                    await asyncio.sleep(SLOW_SECONDS if slow else SECONDS)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        port = 0
        for number in range(HOSTS + 2):
            listening = socket.create_server((address(number), port), backlog=64)
            port = listening.getsockname()[1]
            await asyncio.start_server(answer, sock=listening)
        pipe.send(port)
        await asyncio.Event().wait()

    asyncio.run(run())


# ── the crawls ──────────────────────────────────────────────────────────────────────────────


class Pages(Spider):
    """Fetches what is in the frontier, and keeps nothing."""

    name = "pages"

    def parse(self, response: Response) -> Any:
        """Find nothing."""
        return ()


class Told(NamedTuple):
    """What a crawl came to, until the ordinary hosts were done."""

    opening: float  # seconds until the first page, of opening and checking the file
    seconds: float  # from there on
    huge: int  # pages of the huge host by then
    slow: int  # slots that the slow one held, at most
    megabytes: float  # resident, at most


def fill(path: Path, port: int, huge: int, slow: int) -> None:
    """Put the requests into the frontier."""

    def requests() -> Iterator[NewRequest]:
        for number, pages in enumerate((huge, slow, *[PAGES] * HOSTS)):
            host = f"{address(number)}:{port}"
            for page in range(pages):
                url = f"http://{host}/{page}"
                yield NewRequest(fingerprint("GET", url), url, host)

    async def seed() -> None:
        async with open_store(path) as store:
            run = await store.begin_run(Pages.name, {}, fresh=False, tables=())
            every = requests()
            while batch := list(itertools.islice(every, 20_000)):
                await store.seed(run, batch, last=False)
            await store.seed(run, (), last=True)

    asyncio.run(seed())


def crawl(pipe: Connection, path: Path, port: int) -> None:
    """Crawl until the ordinary hosts are done; sends a `Told`."""
    special = {f"{address(number)}:{port}": number for number in (0, 1)}

    async def run() -> Told:
        done, most, opened = [0, 0, 0], 0, time.perf_counter()
        began = seconds = 0.0

        class Counted(Pages):
            def parse(self, response: Response) -> Any:
                nonlocal began, most, seconds
                began = began or time.perf_counter()
                host = response.url.split("/", 3)[2]
                done[special.get(host, 2)] += 1
                if done[2] < HOSTS * PAGES * 0.9:  # while all of them have work
                    most = max(most, slow.in_flight)
                if done[2] == HOSTS * PAGES and not seconds:
                    seconds = time.perf_counter() - began
                    running.stop()
                return ()

        overrides = {"concurrency": CONCURRENCY, "grace": 0.0}
        running = crawler.Crawl(Counted, db=path, overrides=overrides)
        slow = running._throttle.gate(f"{address(1)}:{port}")
        await running.run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Told(began - opened, seconds, done[0], most, peak)

    pipe.send(asyncio.run(run()))


def measured(port: int, huge: int, slow: int) -> Told:
    """Return what a crawl in a process of its own came to."""
    spawn = multiprocessing.get_context("spawn")
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.db"
        for target, arguments in (
            (fill, (path, port, huge, slow)),
            (crawl, (there, path, port)),
        ):
            process = spawn.Process(target=target, args=arguments)
            process.start()
            process.join()
    told: Told = here.recv()
    return told


def choosing(hosts: int) -> float:
    """Return the microseconds of a choice among so many hosts: half wait, half are ready."""
    rota = Rota()
    for number in range(hosts):
        rota.arm(Lane(HostGate(str(number), 8)), float(number % 2))
    rota.take(0.5)
    choices = 100_000
    began = time.perf_counter()
    for number in range(choices):
        lane = rota.take(0.5)
        assert lane is not None
        rota.arm(lane, number / choices / 2)
    return (time.perf_counter() - began) / choices * 1e6


def main() -> int:
    """Run everything and print the tables; 1 when the others are held up."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    print(f"{HOSTS} hosts of {PAGES} pages of {SECONDS:g} s each, concurrency {CONCURRENCY}\n")
    print(
        "| beside them | opening | seconds | pages/s | slots of the slow | of the huge | RSS, MB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    seconds = {}
    try:
        for name, huge, slow in (
            ("nobody", 0, 0),
            (f"one with {HUGE:,} pages", HUGE, 0),
            (f"one that takes {SLOW_SECONDS:g} s a page", 0, SLOW_PAGES),
            ("both", HUGE, SLOW_PAGES),
        ):
            told = measured(port, huge, slow)
            seconds[name] = told.seconds
            rate = HOSTS * PAGES / told.seconds
            print(
                f"| {name} | {told.opening:.1f} | {told.seconds:.1f} | {rate:,.0f} | {told.slow} | "
                f"{told.huge:,} | {told.megabytes:.0f} |",
                flush=True,
            )
    finally:
        server.terminate()
    speed = seconds["nobody"] / seconds["both"]
    print(f"\nspeed beside both / alone: {speed:.2f} (at least {ALLOWED})\n")
    print("| hosts | microseconds to choose the next |\n|---:|---:|")
    for hosts in (100, 1000, 10_000, 100_000):
        print(f"| {hosts:,} | {choosing(hosts):.2f} |")
    return 0 if speed >= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
