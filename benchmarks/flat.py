"""An endless site, ten new URLs on every page and a hundred hosts: does the crawl stay as fast?

    make bench-flat

The real command crawls until a million URLs are known, and the table says how fast it was, and
how much memory it had, on the way. Machines are noisy, and a minute lies between the first row and
the last; so the crawl's file is kept at ten thousand and at a million URLs known, and copies of
the two are gone on with in turns, in windows of a few seconds; the ratio is the median of those of
neighbours, of speed and of CPU time per page.
Each host is an address of loopback; the server and every crawl are processes of their own.
"""

import asyncio
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int64
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

import uvloop

HOSTS, LINKS = 100, 10
FEW, MANY = 10_000, 1_000_000  # URLs known
SHOWN = (10_000, 30_000, 100_000, 300_000, 1_000_000)
TURNS, WARM, WINDOW = 7, 2.0, 4.0  # seconds
PATIENCE = 60.0  # seconds until a first page
# What is asked for: of the speed at first, and of memory (MB).
ALLOWED, MEMORY = 0.8, 300.0

SPIDER = """
from crawler import Item, Spider


HOSTS = [f"127.1.0.{{number + 1}}" for number in range({hosts})]


class Page(Item):
    url: str
    title: str
    h1: str


class Endless(Spider):
    name = "endless"
    start_urls = ["http://{start}/0"]
    allowed_domains = HOSTS
    settings = {{"allow_private": HOSTS, "concurrency": 64}}

    def parse(self, response):
        yield Page(
            url=response.url,
            title=response.css("title::text").get(),
            h1=response.css("h1::text").get(),
        )
        yield from response.follow_all("a")
"""


def address(number: int) -> str:
    """Return the host of that number."""
    return f"127.1.0.{number + 1}"


# ── the server, in a process of its own ─────────────────────────────────────────────────────

_TEXT = "<p>" + "Nothing in particular is said here, and it goes on for a while. " * 14 + "</p>"


class Site(asyncio.Protocol):
    """Page n leads to the pages 10n+1 to 10n+10, so that no page is linked twice."""

    port = 0
    served: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer the request: heads are small, and none is sent before the last is answered."""
        path = data.split(b" ", 2)[1]
        if path == b"/robots.txt":
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        first = int(path[1:]) * LINKS + 1
        links = "".join(
            f'<li><a href="http://{address(n % HOSTS)}:{self.port}/{n}">page {n}</a></li>'
            for n in range(first, first + LINKS)
        )
        name = f"Page {path[1:].decode()}"
        body = (
            f"<!doctype html><html><head><title>{name}</title></head>"
            f"<body><h1>{name}</h1>{_TEXT}<ul>{links}</ul></body></html>"
        ).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        self.served.value += 1


def serve(pipe: Connection, served: Any) -> None:
    """Serve all hosts until killed; sends the port, and counts the pages."""

    async def run() -> None:
        Site.served = served
        loop = asyncio.get_running_loop()
        for number in range(HOSTS):
            listening = socket.create_server((address(number), Site.port), backlog=64)
            Site.port = listening.getsockname()[1]
            await loop.create_server(Site, sock=listening)
        pipe.send(Site.port)
        await asyncio.Event().wait()

    uvloop.run(run())


# ── the crawls ──────────────────────────────────────────────────────────────────────────────


class Row(NamedTuple):
    """How it was when so many URLs were known."""

    known: int
    rate: float  # pages per second, over the seconds before
    resident: float  # MB
    peak: float  # MB
    log: float  # MB of write-ahead log


class Resumed(NamedTuple):
    """What a window of a crawl that goes on came to."""

    rate: float  # pages per second
    cpu: float  # microseconds of a core per page
    opening: float  # seconds until the first page
    peak: float  # MB


class Bench:
    """A folder with a spider, the count of pages served, and the crawls that are made of them."""

    def __init__(self, folder: Path, port: int, served: Any) -> None:
        self.folder = folder
        self.most = 0.0  # MB, of all crawls
        self._served = served
        self._spider = folder / "endless.py"
        self._spider.write_text(SPIDER.format(start=f"{address(0)}:{port}", hosts=HOSTS))

    @contextmanager
    def crawl(self, db: Path, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the command while this is entered; then stop it in good order."""
        command = [sys.executable, "-m", "crawler", "run", str(self._spider), "--db", str(db)]
        for setting in settings:
            command += ["--set", setting]
        # With byte code kept, as anybody has it who did not switch that off.
        process = subprocess.Popen(
            [*command, "--json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait()

    def wait_for_first(self) -> float:
        """Wait until a page was served, and return how long it took."""
        began, before = time.perf_counter(), self._served.value
        while self._served.value == before:
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError("the crawl fetches nothing")
            time.sleep(0.01)
        return time.perf_counter() - began

    def grow(self, db: Path) -> Iterator[Row]:
        """Crawl until `MANY` URLs are known; yields a row at each of `SHOWN`."""
        start, seen = self._served.value, [(time.perf_counter(), 0)]
        shown = iter(SHOWN)
        wanted = next(shown)
        with self.crawl(db, f"max_pages={MANY // LINKS}") as process:
            while process.poll() is None:  # to the end: the account of the run takes memory too
                time.sleep(0.1)
                resident, peak = memory_of(process.pid)
                self.most = max(self.most, peak)
                now, pages = time.perf_counter(), self._served.value - start
                seen.append((now, pages))
                if not wanted or pages * LINKS < wanted:
                    continue
                # Over the last seconds, but not over more than the last third of the pages.
                then, before = next(p for p in seen if now - p[0] < WINDOW and p[1] * 1.5 >= pages)
                rate = (pages - before) / max(now - then, 0.001)
                log = db.with_name(db.name + "-wal").stat().st_size / 1e6
                yield Row(wanted, rate, resident, peak, log)
                wanted = next(shown, 0)

    def resumed(self, kept: Path) -> Resumed:
        """Go on with a copy for a while."""
        copy = self.folder / "copy.db"
        shutil.copyfile(kept, copy)
        os.sync()
        with self.crawl(copy) as process:
            opening = self.wait_for_first()
            time.sleep(WARM)
            before, began, spent = self._served.value, time.perf_counter(), cpu_of(process.pid)
            time.sleep(WINDOW)
            pages, seconds = self._served.value - before, time.perf_counter() - began
            spent = cpu_of(process.pid) - spent
            _, peak = memory_of(process.pid)
            self.most = max(self.most, peak)
            process.kill()
        for left in self.folder.glob("copy.db*"):
            left.unlink()
        return Resumed(pages / seconds, spent / max(pages, 1) * 1e6, opening, peak)


def cpu_of(pid: int) -> float:
    """Return the seconds of a core that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> tuple[float, float]:
    """Return a process's resident memory now and at most, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = dict(line.split(":", 1) for line in status.splitlines())
    # A process that has just ended has none.
    now, most = (int(found.get(name, "0").split()[0]) for name in ("VmRSS", "VmHWM"))
    return now * 1024 / 1e6, most * 1024 / 1e6


def main() -> int:
    """Run everything and print the tables; 1 when it is not flat, or memory is not."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    served = spawn.Value(c_int64, 0, lock=False)
    server = spawn.Process(target=serve, args=(there, served), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measure(Bench(Path(folder), here.recv(), served))
    finally:
        server.terminate()


def measure(bench: Bench) -> int:
    """Print one crawl's way to a million, then the two files in turns."""
    few, many = bench.folder / "few.db", bench.folder / "many.db"
    print("| URLs known | pages/s | RSS, MB | at most | log, MB |\n|---:|---:|---:|---:|---:|")
    for row in bench.grow(many):
        print(
            f"| {row.known:,} | {row.rate:,.0f} | {row.resident:.0f} | {row.peak:.0f} "
            f"| {row.log:.0f} |",
            flush=True,
        )
    with bench.crawl(few, f"max_pages={FEW // LINKS}") as process:
        process.wait()
    speed, cost = [], []
    print("\n| turn | URLs known | pages/s | CPU µs/page | first page, s | MB at most |")
    print("|---:|---:|---:|---:|---:|---:|")
    for turn in range(TURNS):
        told = []
        for kept, known in ((few, FEW), (many, MANY)):
            told.append(one := bench.resumed(kept))
            print(
                f"| {turn + 1} | {known:,} | {one.rate:,.0f} | {one.cpu:,.0f} | {one.opening:.2f} "
                f"| {one.peak:.0f} |",
                flush=True,
            )
        speed.append(told[1].rate / told[0].rate)
        cost.append(told[1].cpu / told[0].cpu)
    ratio = statistics.median(speed)
    print(
        f"\nspeed with {MANY:,} known / with {FEW:,}: {ratio:.2f}, of single turns "
        f"{min(speed):.2f} to {max(speed):.2f} (at least {ALLOWED})"
    )
    print(f"CPU time per page, the same way: {statistics.median(cost):.2f}")
    print(f"memory at most: {bench.most:.0f} MB (at most {MEMORY:.0f})")
    return 0 if ratio >= ALLOWED and bench.most <= MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
