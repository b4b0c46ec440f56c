"""A site whose pages take long to parse, with the spider's callbacks in one process and in several.

    make bench-processes

Each page has a table; the callback selects in every row and yields an item for it. The server and
every crawl are processes of their own, and the runs alternate. What the files hold is compared.
"""

import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from crawler import Item, Request, Response, Spider

PAGES = int(os.environ.get("PAGES", "1500"))
ROWS = 180  # of each table
ROUNDS = int(os.environ.get("ROUNDS", "3"))
PROCESSES = (1, 2, 3)
WANTED = 1.6  # times the speed of one process, with as many processes as cores


class Part(Item):
    """A row of a table."""

    page: str
    number: int
    name: str
    maker: str
    price: float
    stock: int | None
    link: str


class Tables(Spider):
    """An item for every row, and every link."""

    name = "tables"
    url = ""

    async def start(self) -> Any:
        """Begin at the first page."""
        yield Request(self.url)

    def parse(self, response: Response) -> Any:
        """Read the table."""
        title = response.css("h1::text").get("")
        for row in response.css("table.parts tr.part"):
            yield Part(
                page=title,
                number=int(row.attrib["data-number"]),
                name=row.css("td.name a::text").get(""),
                maker=row.css("td.maker::text").get(""),
                price=float(row.css("td.price span::text").get("0")[1:]),
                stock=row.css("td.stock::attr(data-stock)").get(),
                link=row.css("td.name a::attr(href)").get(""),
            )
        yield from response.follow_all("nav a")


# ── the site, in a process of its own ───────────────────────────────────────────────────────


def page(number: int) -> bytes:
    """Return a page of about 70 KB that links to four more."""
    dice = random.Random(number)
    words = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet")

    def row(n: int) -> str:
        name, maker = dice.choice(words), dice.choice(words)
        filler = " ".join(dice.choices(words, k=24))
        return (
            f'<tr class="part row-{n % 2}" data-number="{n}"><td class="name"><a class="item" '
            f'href="/part/{number}/{n}#{name}">{name} {n}</a></td><td class="maker">{maker}</td>'
            f'<td class="price"><span>€{dice.random() * 100:.2f}</span></td>'
            f'<td class="stock" data-stock="{dice.randrange(99)}">in stock</td>'
            f'<td class="about"><p>{filler}</p></td></tr>'
        )

    children = range(number * 4 + 1, min(number * 4 + 5, PAGES))
    links = "".join(f'<a href="/{child}">{child}</a>' for child in ("", *children))
    return (
        f"<!doctype html><html><head><title>{number}</title></head><body><h1>Parts {number}</h1>"
        f'<nav>{links}</nav><table class="parts">{"".join(map(row, range(ROWS)))}</table></body>'
    ).encode()


def serve(pipe: Connection) -> None:
    """Serve the site until killed; sends the port."""
    pages = [page(number) for number in range(PAGES)]
    kind = b"Content-Type: text/html; charset=utf-8\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1][1:]
                if path and not path.isdigit():
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                body = pages[int(path or 0)]
                start = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (kind, len(body))
                writer.write(start + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())


# ── the crawls ──────────────────────────────────────────────────────────────────────────────


class Told(NamedTuple):
    """What one crawl took, and what it left."""

    seconds: float  # by its own clock, from opening the file
    whole: float  # of the whole command
    cpu: float  # of all its processes
    rows: str  # a digest of what the file holds


def crawl(port: int, processes: int) -> Told:
    """Return what a crawl with so many processes came to."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "tables.db"
        spider = f"{Path(__file__).resolve()}:Tables"
        command = [sys.executable, "-m", "crawler", "run", spider, "--db", str(db), "--json"]
        command += ["-a", f"url=http://127.0.0.1:{port}/", "--processes", str(processes)]
        command += ["--set", "concurrency_per_host=32", "--log-level", "warning"]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        whole = time.perf_counter() - began
        summary = json.loads(out.splitlines()[-1])
        assert (status, summary["done"], summary["failed"]) == (0, PAGES, 0), summary
        cpu = usage.ru_utime + usage.ru_stime
        return Told(summary["seconds"], whole, cpu, digest(db))


def digest(db: Path) -> str:
    """Return a digest of requests and items, in an order of their own."""
    found = hashlib.sha256()
    with closing(sqlite3.connect(db)) as connection:
        for sql in (
            "SELECT url, state, reason, status, content FROM crawl_request ORDER BY url",
            "SELECT page, number, name, maker, price, stock, link, _url FROM part "
            "ORDER BY page, number",
        ):
            for row in connection.execute(sql):
                found.update(repr(row).encode())
    return found.hexdigest()


def main() -> int:
    """Run all of them in turn, and print medians and ratios."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    told: dict[int, list[Told]] = {processes: [] for processes in PROCESSES}
    for _ in range(ROUNDS):
        for processes in PROCESSES:
            told[processes].append(crawl(port, processes))
    server.kill()
    size = len(page(1)) // 1000
    print(f"{PAGES} pages of {size} KB, {ROWS} items each; {os.cpu_count()} cores")
    print(f"{'processes':>9} {'pages/s':>8} {'ratio':>6} {'command s':>9} {'CPU s':>6}")
    speeds = {n: PAGES / statistics.median(t.seconds for t in told[n]) for n in PROCESSES}
    for n in PROCESSES:
        whole = statistics.median(t.whole for t in told[n])
        cpu = statistics.median(t.cpu for t in told[n])
        print(f"{n:>9} {speeds[n]:>8.0f} {speeds[n] / speeds[1]:>6.2f} {whole:>9.2f} {cpu:>6.2f}")
    same = len({t.rows for runs in told.values() for t in runs}) == 1
    print("the files hold the same" if same else "THE FILES DIFFER")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
