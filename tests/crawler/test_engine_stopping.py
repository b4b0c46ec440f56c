# ruff: noqa: RUF012 - spiders are written here as their users write them
"""How a crawl is stopped, and taken up again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler import Crawl, Item, Spider, Summary
from storage import RunMismatch, StoreError
from tests.crawler.links_site import Crowd, Links, linking, links, tree, until
from tests.site import serve


class Stopping(Links):
    """Stops its crawl after so many pages."""

    crawl: Crawl
    after = 0

    def parse(self, response):
        type(self).after -= 1
        if type(self).after == 0:
            type(self).crawl.stop()
        yield from super().parse(response)


async def stopped(spider: type[Spider], db: Path, after: int, **overrides: Any) -> Summary:
    spider = type("S", (Stopping,), {"start_urls": spider.start_urls, "after": after})
    spider.crawl = Crawl(spider, db=db, overrides={"backoff": 0.01, **overrides})
    return await spider.crawl.run()


async def test_a_stopped_crawl_goes_on_where_it_was(crawl, db, rows):
    async with serve(tree(40)) as site:
        first = await stopped(links(site.url), db, after=10)
        assert first.finish == "stopped"
        assert 10 <= first.done < 40
        assert rows("SELECT finish FROM crawl_run") == ["stopped"]
        last = await crawl(links(site.url))
        assert set(site.hits.values()) == {1}
    assert (last.finish, last.resumed, last.run, last.done) == ("finished", True, first.run, 40)
    assert rows("SELECT id, finish FROM crawl_run") == [(1, "finished")]
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(40, 40)]


async def test_a_stopped_crawl_that_is_given_less_than_it_has_had_ends_at_once(crawl, db):
    async with serve(tree(40)) as site:
        first = await stopped(links(site.url), db, after=10)
        async with asyncio.timeout(20):
            second = await crawl(links(site.url), max_pages=5)
        assert (second.finish, second.done) == ("limit", first.done)
        assert (await crawl(links(site.url))).finish == "finished"


async def test_a_crawl_may_be_stopped_from_outside_before_it_begins(db):
    async with serve(tree(4)) as site:
        crawl = Crawl(links(site.url), db=db)
        crawl.stop()
        assert (await crawl.run()).finish == "stopped"
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.done) == ("finished", 4)


async def test_a_crawl_that_was_stopped_goes_on_when_it_is_run_again(db):
    async with serve(tree(4)) as site:
        crawl = Crawl(links(site.url), db=db)
        crawl.stop()
        assert (await crawl.run()).finish == "stopped"
        running = asyncio.create_task(crawl.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        result = await crawl.run()
    assert (result.finish, result.resumed, result.done) == ("finished", True, 4)


async def test_a_run_is_stopped_also_when_another_was_refused_meanwhile(db):
    async with serve({"/": Crowd(2)}) as site:
        crawl = Crawl(links(site.url), db=db, overrides={"grace": 0.05})
        running = asyncio.create_task(crawl.run())
        await until(lambda: site.hits["/"])
        with pytest.raises(StoreError, match="in use by another run"):
            await crawl.run()
        crawl.stop()
        assert (await running).finish == "stopped"


async def test_nobody_waits_for_the_beginning_of_a_run_that_has_failed(db):
    async with serve(tree(4)) as site:
        crawl, late = Crawl(links(site.url), db=db), Crawl(links(site.url), db=db)
        running = asyncio.create_task(crawl.run())
        await crawl.begun.wait()
        refused = asyncio.create_task(late.run())
        async with asyncio.timeout(20):
            await late.begun.wait()
        assert late.snapshot() is None
        with pytest.raises(StoreError, match="in use by another run"):
            await refused
        await running
        assert (await late.run()).finish == "finished"  # it has had none yet


async def test_what_is_in_flight_when_a_crawl_stops_is_committed(db, rows):
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(request):
        asked.set()
        await answer.wait()
        return linking("/found")

    async with serve({"/": slow}) as site:
        crawl = Crawl(links(site.url), db=db)
        running = asyncio.ensure_future(crawl.run())
        await asyncio.wait_for(asked.wait(), 20)
        crawl.stop()
        answer.set()
        result = await running
    assert (result.finish, result.done, result.queued) == ("stopped", 1, 1)


async def test_what_takes_longer_than_its_grace_is_left_for_the_next_process(db, rows):
    asked = asyncio.Event()

    async def never(request):
        asked.set()
        await asyncio.Event().wait()

    async with serve({"/": never}) as site:
        crawl = Crawl(links(site.url), db=db, overrides={"grace": 0.05})
        running = asyncio.ensure_future(crawl.run())
        await asyncio.wait_for(asked.wait(), 20)
        crawl.stop()
        result = await running
        assert (result.finish, result.queued) == ("stopped", 1)
        site.pages["/"] = ""
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.done) == ("finished", 1)


async def test_a_finished_crawl_starts_a_new_run_and_keeps_the_old_rows(crawl, rows):
    async with serve(tree(5)) as site:
        first = await crawl(links(site.url))
        site.pages["/4"] = (404, {}, "")
        second = await crawl(links(site.url))
    assert (first.run, second.run, second.resumed) == (1, 2, False)
    assert rows("SELECT id, spider, finish FROM crawl_run") == [
        (1, "links", "finished"),
        (2, "links", "finished"),
    ]
    assert rows("SELECT _run, count(*) FROM page GROUP BY 1") == [(1, 5), (2, 4)]
    assert rows("SELECT DISTINCT _run FROM latest_page") == [2]
    assert rows("SELECT run, count(*) FROM crawl_request GROUP BY 1") == [(1, 5), (2, 5)]


async def test_the_latest_view_is_empty_when_the_last_run_found_nothing(crawl, rows):
    async with serve(tree(3)) as site:
        await crawl(links(site.url))
        site.pages["/"] = (404, {}, "")
        await crawl(links(site.url))
    assert rows("SELECT count(*) FROM page") == [3]
    assert rows("SELECT count(*) FROM latest_page") == [0]


async def test_fresh_abandons_what_is_queued_and_starts_a_new_run(crawl, rows):
    async with serve(tree(10)) as site:
        await crawl(links(site.url), max_pages=3)
        result = await crawl(links(site.url), fresh=True)
    assert (result.run, result.resumed, result.done, result.finish) == (2, False, 10, "finished")
    assert rows("SELECT id, finish FROM crawl_run") == [(1, "limit"), (2, "finished")]
    assert rows("SELECT count(*) FROM latest_page") == [10]


async def test_other_arguments_do_not_go_on_with_an_unfinished_run(crawl, rows):
    async with serve(tree(10)) as site:
        await crawl(links(site.url), max_pages=3, arguments={"category": "a"})
        hits = site.hits.copy()
        with pytest.raises(RunMismatch, match="-a category=a"):
            await crawl(links(site.url), arguments={"category": "b"})
        assert site.hits == hits
        result = await crawl(links(site.url), arguments={"category": "a"})
    assert (result.done, result.finish) == (10, "finished")


async def test_an_unfinished_run_goes_on_with_the_arguments_it_was_begun_with(crawl):
    seen: set[str] = set()

    class Categories(Links):
        category = ""

        def parse(self, response):
            seen.add(self.category)
            yield from super().parse(response)

    async with serve(tree(10)) as site:
        spider = links(site.url, of=Categories)
        await crawl(spider, max_pages=3, arguments={"category": "a"})
        await crawl(spider)
    assert seen == {"a"}


async def test_two_spiders_may_share_a_file(crawl, rows):
    async with serve(tree(5)) as site:
        await crawl(links(site.url))
        other = await crawl(links(site.url, name="others"))
        again = await crawl(links(site.url))
    assert (other.run, other.resumed, again.run) == (2, False, 3)
    assert rows("SELECT spider FROM crawl_run ORDER BY id") == ["links", "others", "links"]
    assert rows("SELECT DISTINCT _run FROM latest_page") == [3]


async def test_a_field_whose_type_changed_is_an_error_before_anything_is_fetched(crawl, rows):
    class Other(Item):
        __table__ = "page"
        path: int

    class Changed(Spider):
        name = "links"
        items = [Other]

        def parse(self, response):
            yield Other(path=1)

    Changed.__module__ = "nowhere"
    async with serve(tree(3)) as site:
        await crawl(links(site.url))
        hits = site.hits.copy()
        with pytest.raises(RunMismatch, match="'path' is integer now and text in this file"):
            await crawl(links(site.url, of=Changed, __module__="nowhere"))
        assert site.hits == hits
    assert rows("SELECT count(*) FROM crawl_run") == [1]


async def test_a_field_that_a_model_gained_is_a_new_column(crawl, rows):
    class Other(Item):
        __table__ = "page"
        path: str
        size: int | None = None

    class Gained(Spider):
        name = "links"
        items = [Other]

        def parse(self, response):
            yield Other(path="x", size=len(response.body))

    Gained.__module__ = "nowhere"
    async with serve({"/": "abc"}) as site:
        await crawl(links(site.url))
        await crawl(links(site.url, of=Gained, __module__="nowhere"))
    assert rows("SELECT path, size FROM page ORDER BY _id") == [("", None), ("x", 3)]
