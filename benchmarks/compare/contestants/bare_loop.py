"""The yardstick: a crawl as a loop, with no features at all, and as fast as we can write it.

    python bare_loop.py START_URL OUTPUT.db [PAGE_SIZE]

It has no frontier that outlives it, no robots.txt, no retry, no limit and no error handling; a
crash loses everything. With PAGE_SIZE, bodies of at least so many bytes are parsed in a thread.
"""

import asyncio
import json
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import ada_url
import uvloop
import yarl
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from selectolax.lexbor import LexborHTMLParser, LexborNode

CONCURRENCY = 64
BATCH = 500  # items to a transaction


async def crawl(start: str, path: str, large: float) -> None:
    """Follow every link of the site, and store what its pages hold."""
    origin = "/".join(start.split("/", 3)[:3]) + "/"
    todo: asyncio.Queue[str] = asyncio.Queue()
    todo.put_nowait(start)
    seen = {start}
    joined: dict[str, set[str]] = {}  # what was joined already, by the folder of the page
    items: list[tuple[str, str | None, str | None]] = []
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE page (url TEXT, title TEXT, h1 TEXT)")
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(2)

    def write() -> None:
        db.execute("BEGIN")
        db.executemany("INSERT INTO page VALUES (?, ?, ?)", items)
        db.execute("COMMIT")
        items.clear()

    def harvest(url: str, tree: LexborHTMLParser) -> None:
        items.append((url, text_of(tree.css_first("title")), text_of(tree.css_first("h1"))))
        if len(items) >= BATCH:
            write()
        known = joined.setdefault(url[: url.rindex("/")], set())
        for node in tree.tags("a"):
            href = node.attrs.sget("href")
            if not href or (href := href.partition("#")[0]) in known or not href:
                continue
            try:
                link = ada_url.join_url(url, href)
            except ValueError:
                continue
            if href[0] != "?":  # which depends on more than the folder
                known.add(href)
            if link not in seen and link.startswith(origin):
                seen.add(link)
                todo.put_nowait(link)

    async def work() -> None:
        while True:
            url = await todo.get()
            async with session.get(yarl.URL(url, encoded=True)) as response:
                body = await response.read()
            if response.status == 200 and response.content_type == "text/html":
                if len(body) < large:
                    tree = LexborHTMLParser(body)
                else:
                    tree = await loop.run_in_executor(pool, LexborHTMLParser, body)
                harvest(str(response.url) if response.history else url, tree)
            todo.task_done()

    async with ClientSession(
        connector=TCPConnector(limit=CONCURRENCY),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=None),
        read_bufsize=1 << 18,
    ) as session:
        workers = [asyncio.create_task(work()) for _ in range(CONCURRENCY)]
        await todo.join()
        for worker in workers:
            worker.cancel()
    write()
    db.close()


def text_of(node: LexborNode | None) -> str | None:
    """Return the text right within an element."""
    return None if node is None else node.text(deep=False)


if __name__ == "__main__":
    began = time.perf_counter()
    size = float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
    uvloop.run(crawl(sys.argv[1], sys.argv[2], size))
    print(json.dumps({"seconds": time.perf_counter() - began}))
