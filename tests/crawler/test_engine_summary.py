"""What a crawl says of itself when it has ended."""

import asyncio
from collections import Counter

import pytest

from crawler import Crawl, FetchError, Request
from tests.crawler.links_site import STATES, Crowd, Links, linking, links, tree, until
from tests.site import serve

ALL_STATES = {"done", "failed", "skipped"}


async def test_the_summary_tells_what_came_of_the_run(crawl, db):
    pages = {"/": linking("/a", "/missing", "http://other.example/"), "/a": "four"}
    async with serve(pages) as site:
        result = await crawl(links(site.url))
    assert (result.spider, result.run, result.finish, result.resumed) == (
        "links", 1, "finished", False
    )  # fmt: skip
    assert (result.done, result.failed, result.skipped, result.queued) == (2, 1, 1, 0)
    assert result.reasons == {
        "done": {"": 2},
        "failed": {"http_404": 1},
        "skipped": {"offsite": 1},
    }
    assert (result.items, result.db, result.all_starts_failed) == (2, db, False)
    assert result.bytes >= len(pages["/"]) + 4
    ((name, count, coverage),) = result.tables
    assert (name, count, coverage) == ("page", 2, {"path": 2})
    assert result.seconds > 0
    assert result.pages_per_second > 0


async def test_the_summary_as_json_has_what_scripts_rely_on(crawl, db):
    async with serve(tree(3)) as site:
        found = (await crawl(links(site.url))).as_json()
    expected = {"spider": "links", "run": 1, "finish": "finished", "done": 3, "failed": 0}
    expected |= {"skipped": 0, "queued": 0, "items": 3, "db": str(db)}
    assert expected.items() <= found.items()
    assert isinstance(found["seconds"], float)


async def test_a_snapshot_shows_the_crawl_while_it_runs(db):
    async with serve({**tree(4), "/3": Crowd(2)}) as site:
        crawl = Crawl(links(site.url), db=db, overrides={"grace": 0})
        assert crawl.snapshot() is None
        running = asyncio.ensure_future(crawl.run())
        await until(lambda: (shown := crawl.snapshot()) and shown.done == 3)
        shown = crawl.snapshot()
        assert (shown.done, shown.queued, shown.in_flight, shown.items) == (3, 1, 1, 3)
        crawl.stop()
        await running


async def test_a_page_that_is_taken_up_after_all_is_shown_as_skipped_no_more(db, rows):
    async def late(request):
        await until(lambda: rows("SELECT 1 FROM crawl_request WHERE reason = 'max_depth'"))
        return linking("/deep")

    pages = {"/": linking("/a"), "/a": linking("/deep"), "/late": late, "/deep": ""}
    async with serve(pages) as site:
        crawl = Crawl(links(site.url, f"{site.url}late"), db=db, max_depth=1)
        result = await crawl.run()
    shown = crawl.snapshot()
    assert (
        (shown.done, shown.skipped, shown.queued) == (result.done, result.skipped, 0) == (4, 0, 0)
    )


async def test_a_spider_that_breaks_the_run_itself_leaves_it_failed_and_resumable(crawl, rows):
    class Broken(Links):
        broken = True

        async def start(self):
            for url in self.start_urls:
                yield Request(url)
            if self.broken:
                raise FetchError("nothing", "in start")

    async with serve(tree(5)) as site:
        with pytest.raises(FetchError, match="in start"):
            await crawl(links(site.url, of=Broken))
        assert rows("SELECT finish FROM crawl_run") == ["failed"]
        result = await crawl(links(site.url, of=Broken, broken=False))
    assert (result.finish, result.resumed, result.done) == ("finished", True, 5)


async def test_pages_are_counted_by_state_as_the_tables_have_them(crawl, rows):
    async with serve({**tree(20), "/7": (404, {}, ""), "/8": (500, {}, "")}) as site:
        result = await crawl(links(site.url), retries=1)
    counted = Counter(state for _, state, _ in rows(STATES))
    assert counted == {"done": result.done, "failed": result.failed} == {"done": 18, "failed": 2}
    assert set(counted) <= ALL_STATES
