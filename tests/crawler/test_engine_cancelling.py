"""Crawls that are cancelled, and many of them at once."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

import crawler
from crawler import Request, Summary
from storage import StoreError
from tests.crawler.links_site import Crowd, Links, links, tree, until
from tests.site import serve


def threads() -> set[threading.Thread]:
    """What runs besides; the loop's own pool for looking up names does not count."""
    return {t for t in threading.enumerate() if not t.name.startswith("asyncio_")}


async def test_a_cancelled_crawl_leaves_a_file_that_can_be_resumed_and_nothing_else(
    crawl, rows, db
):
    tasks, before = asyncio.all_tasks(), threads()
    slow = asyncio.Event()

    async def wait(request):
        await slow.wait()
        return ""

    async with serve({**tree(30), "/20": wait}) as site:
        servers = asyncio.all_tasks()
        running = asyncio.ensure_future(crawl(links(site.url)))
        await until(lambda: site.hits["/20"])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        ours = {task for task in asyncio.all_tasks() - servers if "_converse" not in repr(task)}
        assert not ours
        assert rows("SELECT finish FROM crawl_run") == ["stopped"]
        assert not list(db.parent.glob("*.lock"))
        slow.set()
        result = await crawl(links(site.url))
        assert (result.finish, result.resumed, result.done) == ("finished", True, 30)
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(30, 30)]
    await until(lambda: threads() == before)
    assert asyncio.all_tasks() == tasks


async def test_a_crawl_may_be_cancelled_at_any_moment(db, rows):
    before = threads()
    async with serve(tree(25)) as site:
        for turns in (1, 2, 3, 5, 8, 13, 30, 60, 100, 150, 200, 300, 500, 800, 1300):
            task = asyncio.ensure_future(crawler.run(links(site.url), db=db))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.done) == ("finished", 25)
    assert rows("SELECT count(*) FROM latest_page") == [25]
    await until(lambda: threads() == before)


async def test_a_crawl_goes_on_whose_arguments_json_holds_as_something_else(db):
    class Some(Links):
        async def start(self):
            for path in self.paths:
                yield Request(site.url + path)

    arguments = {"paths": ("1", "2")}
    async with serve({"/1": "", "/2": Crowd(2)}) as site:
        task = asyncio.ensure_future(crawler.run(Some, db=db, arguments=arguments))
        await until(lambda: site.hits["/2"])
        task.cancel()
        await asyncio.wait([task])
        site.pages["/2"] = ""
        result = await crawler.run(Some, db=db, arguments=arguments)
    assert (result.finish, result.resumed, result.done) == ("finished", True, 2)


async def test_a_crawl_that_is_cancelled_again_while_it_ends_still_lets_the_file_go(db):
    async with serve({**tree(25), "/9": Crowd(2)}) as site:
        task = asyncio.ensure_future(crawler.run(links(site.url), db=db))
        await until(lambda: site.hits["/9"])
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        site.pages["/9"] = ""
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.resumed, result.done) == ("finished", True, 25)


async def test_two_crawls_run_at_once_in_one_loop(tmp_path):
    async with serve(tree(30)) as one, serve(tree(20)) as two:
        first, second = await asyncio.gather(
            crawler.run(links(one.url), db=tmp_path / "one.db"),
            crawler.run(links(two.url), db=tmp_path / "two.db"),
        )
    assert (first.done, second.done) == (30, 20)
    assert (first.finish, second.finish) == ("finished", "finished")


async def test_a_file_has_one_writer_and_the_other_is_told_its_pid(crawl):
    async with serve({"/": Crowd(2)}) as site:
        running = asyncio.ensure_future(crawl(links(site.url)))
        await until(lambda: site.hits["/"])
        with pytest.raises(StoreError, match=rf"process {os.getpid()}\b"):
            await crawl(links(site.url))
        running.cancel()
        await asyncio.wait([running])


async def test_many_crawls_run_one_after_the_other_in_one_process(tmp_path):
    before = threads()
    async with serve(tree(5)) as site:
        for number in range(10):
            result = await crawler.run(links(site.url), db=tmp_path / f"{number}.db")
            assert (result.finish, result.done) == ("finished", 5)
    await until(lambda: threads() == before)


def test_a_crawl_runs_in_a_loop_of_its_own_as_well(tmp_path):
    async def everything() -> Summary:
        async with serve(tree(5)) as site:
            return await crawler.run(links(site.url), db=tmp_path / "x.db")

    assert asyncio.run(everything()).done == asyncio.run(everything()).done == 5


async def test_the_default_file_is_data_and_the_name_of_the_spider(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with serve(tree(2)) as site:
        result = await crawler.run(links(site.url))
    assert result.db == Path("data/links.db")
    assert (tmp_path / "data" / "links.db").is_file()


async def test_a_current_directory_that_is_gone_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    async with serve(tree(2)) as site:
        with pytest.raises(StoreError, match=r"the current directory, which x\.db would be in, is"):
            await crawler.run(links(site.url), db="x.db")
        assert (await crawler.run(links(site.url), db=tmp_path / "x.db")).done == 2


async def test_a_file_that_is_no_crawls_is_left_alone(crawl, db):
    db.write_text("a letter to somebody, longer than the header of a database would be\n" * 20)
    before = db.read_bytes()
    with pytest.raises(StoreError, match="not an SQLite file"):
        await crawl(links("http://127.0.0.1:9/"))
    assert db.read_bytes() == before
