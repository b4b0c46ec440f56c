"""A copy of a crawl file: whole, consistent, and never in the place of another."""

import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

import crawler
from crawler import Item, Request, Spider
from storage import RunMismatch, StoreError
from storage.backup import backup
from storage.sqlite import SqliteStore
from tests.site import serve
from tests.storage.store_file import begin, query, requests
from tests.storage.store_file import path as path


class Page(Item):
    n: int


class Chain(Spider):
    name = "chain"
    url = ""

    async def start(self):
        yield Request(self.url)

    def parse(self, response):
        n = int(response.css("p::text").get())
        yield Page(n=n)
        yield from response.follow_all("a")


def pages(number: int) -> dict[str, str]:
    chain = {f"/{n}": f"<p>{n}</p><a href=/{n + 1}>next</a>" for n in range(1, number)}
    return {"/": "<p>0</p><a href=/1>next</a>", **chain, f"/{number}": f"<p>{number}</p>"}


def values(path: Path, sql: str) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(sql)]


async def test_a_copy_made_while_the_crawl_runs_holds_whole_pages_and_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    database, copies = tmp_path / "chain.db", []

    async def copying(request, call_next):
        if request.url.endswith("/20"):
            thread = threading.Thread(target=backup, args=(database, tmp_path / "copy.db"))
            thread.start()
            thread.join()
            copies.append(values(tmp_path / "copy.db", "SELECT n FROM page ORDER BY n"))
        return await call_next(request)

    async with serve(pages(40)) as site:
        spider = type("S", (Chain,), {"middleware": [copying], "name": "chain"})
        await crawler.run(spider, db=database, arguments={"url": site.url})
        assert values(database, "SELECT count(*) FROM page") == [41]
        (seen,) = copies
        assert seen == list(range(20))
        done = "SELECT count(*) FROM crawl_request WHERE state = 'done'"
        assert values(tmp_path / "copy.db", done) == [20]
        again = await crawler.run(Chain, db=tmp_path / "copy.db")
    assert (again.resumed, again.finish, again.items) == (True, "finished", 41)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "there.db"
    target.write_text("mine")
    with pytest.raises(RunMismatch, match="there already"):
        backup(tmp_path / "any.db", target)
    assert target.read_text() == "mine"


async def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    async with serve(pages(1)) as site:
        await crawler.run(Chain, db=tmp_path / "chain.db", arguments={"url": site.url})
    with pytest.raises(RunMismatch, match="no such directory"):
        backup(tmp_path / "chain.db", tmp_path / "nowhere" / "copy.db")
    (tmp_path / "text.db").write_text("this is not SQLite, and long enough to say so " * 30)
    with pytest.raises(RunMismatch, match="not an SQLite file"):
        backup(tmp_path / "text.db", tmp_path / "copy.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chain.db", "text.db"]


async def test_what_is_in_the_way_of_a_copy_is_told_of_the_copy(tmp_path: Path) -> None:
    async with serve(pages(1)) as site:
        await crawler.run(Chain, db=tmp_path / "chain.db", arguments={"url": site.url})
    # A name that is just not too long; that of the file beside it, while it is made, is.
    for target, said in (
        (tmp_path / f"{'x' * 250}.db", "File name too long"),
        (tmp_path / f"{'x' * 300}.db", "File name too long"),
        (Path("/proc/copy.db"), "No such file or directory"),
    ):
        with pytest.raises(StoreError) as caught:
            backup(tmp_path / "chain.db", target)
        assert str(caught.value) == f"cannot write {target}: {said}"


async def test_a_disk_that_takes_no_more_is_that_of_the_copy(tmp_path: Path) -> None:
    async with serve(pages(1)) as site:
        await crawler.run(Chain, db=tmp_path / "chain.db", arguments={"url": site.url})

    def bounded() -> None:
        # What SQLite needs to read the file, which is larger, and less than the copy needs.
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = subprocess.run(
        [sys.executable, "-m", "crawler", "backup", "chain.db", "copy.db"],
        cwd=tmp_path,
        preexec_fn=bounded,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.startswith("crawler: error: cannot write copy.db: ")
    assert done.returncode == 75
    assert [path.name for path in tmp_path.iterdir()] == ["chain.db"]


async def test_a_copy_in_the_place_of_a_crashed_crawl_s_file_is_not_read_with_its_log(
    path: Path, tmp_path: Path
) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 20), last=True)
        backup(path, tmp_path / "copy.db")
        await store.seed(run, requests(21, 2000), last=True)
        log = (tmp_path / "crawl.db-wal").read_bytes()
    copy = (tmp_path / "copy.db").read_bytes()
    path.write_bytes(copy)
    (tmp_path / "crawl.db-wal").write_bytes(log)
    for opened in range(2):  # nobody has changed anything for the second time
        with pytest.raises(
            StoreError, match=r"^crawl\.db-wal, beside .*: remove it, and crawl\.db-shm"
        ):
            query(path, "SELECT * FROM crawl_request")
        with pytest.raises(StoreError, match=r"^crawl\.db-wal, beside"):
            async with SqliteStore(path):
                pass
        assert path.read_bytes() == copy, opened
    (tmp_path / "crawl.db-wal").unlink()
    async with SqliteStore(path) as store:
        assert (await store.totals(await begin(store))).queued == 20
