"""Pages that are tried again: which, how often, and when."""

import asyncio
import time
from email.utils import formatdate

import pytest

from crawler import Crawl
from tests.crawler.read_pages import STATES, TRIES, reader
from tests.site import serve

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_page_that_fails_by_accident_is_tried_again(status, crawl, rows):
    answers = iter([(status, {}, "no"), (200, {}, "yes")])
    async with serve({"/": lambda request: next(answers)}) as site:
        result = await crawl(reader(site.url))
        assert site.hits["/"] == 2
    assert rows(TRIES) == [("done", None, 2)]
    assert rows("SELECT text FROM seen") == ["yes"]
    assert result.items == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_page_that_fails_for_good_is_not_tried_again(status, crawl, rows):
    async with serve({"/": (status, {}, "no")}) as site:
        await crawl(reader(site.url))
        assert site.hits["/"] == 1
    assert rows(TRIES) == [("failed", f"http_{status}", 1)]


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_it_gives_up_after_so_many_retries(retries, crawl, rows):
    async with serve({"/": (500, {}, "no")}) as site:
        await crawl(reader(site.url), retries=retries)
        assert site.hits["/"] == retries + 1
    assert rows(TRIES) == [("failed", "http_500", retries + 1)]


async def test_a_server_that_hangs_up_is_asked_again(crawl, rows):
    answers = iter([None, "yes"])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url), robots=False)
    assert rows("SELECT text FROM seen") == ["yes"]
    assert rows(TRIES) == [("done", None, 2)]


async def test_a_server_that_always_hangs_up_is_asked_once_for_each_try(crawl, rows):
    async with serve({"/": None}) as site:
        await crawl(reader(site.url), robots=False, retries=2)
        assert site.hits["/"] == 3
    assert rows(TRIES) == [("failed", "connection", 3)]


async def test_a_status_that_is_handled_is_handed_over_after_the_last_try(crawl, rows):
    async with serve({"/": (503, {}, "closed")}) as site:
        await crawl(reader(site.url, handle_status=[503]), retries=1)
        assert site.hits["/"] == 2
    assert rows("SELECT text FROM seen") == ["closed"]
    assert rows(TRIES) == [("done", None, 2)]


async def test_retry_after_in_seconds_is_waited_for(crawl, rows):
    answers = iter([(503, {"Retry-After": "1"}, "no"), (200, {}, "yes")])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url))
        first, second = (moment for moment, path in site.arrivals if path == "/")
    assert second - first > 0.95
    assert rows(TRIES) == [("done", None, 2)]


async def test_retry_after_as_a_date_is_waited_for(db, rows):
    later = formatdate(time.time() + 1000, usegmt=True)
    async with serve({"/": (429, {"Retry-After": later}, "no")}) as site:
        await stopped_after(site, "/", db)
    ((state, reason, attempts, not_before),) = rows(
        "SELECT state, reason, attempts, not_before FROM crawl_request"
    )
    assert (state, reason, attempts) == ("queued", "http_429", 1)
    assert 900 < not_before - time.time() <= 1001


async def stopped_after(site, path: str, db) -> None:
    """Crawl until the answer for that path is committed, then stop."""
    crawl = Crawl(reader(site.url), db=db)
    running = asyncio.ensure_future(crawl.run())
    async with asyncio.timeout(5):
        while not (site.hits[path] and not site.in_flight and idle(crawl)):
            await asyncio.sleep(0.01)
    crawl.stop()
    await running


def idle(crawl: Crawl) -> bool:
    snapshot = crawl.snapshot()
    return snapshot is not None and snapshot.in_flight == 0


async def test_a_retry_waits_in_the_file_and_is_taken_up_by_the_next_process(db, rows):
    answers = iter([(500, {}, "no"), (200, {}, "yes")])
    async with serve({"/": lambda request: next(answers)}) as site:
        begun = time.time()
        crawl = Crawl(reader(site.url), db=db, overrides={"backoff": 1.0})
        running = asyncio.ensure_future(crawl.run())
        async with asyncio.timeout(5):
            while not (site.hits["/"] and idle(crawl)):
                await asyncio.sleep(0.01)
        crawl.stop()
        summary = await running
        assert (summary.finish, summary.queued) == ("stopped", 1)
        ((state, reason, attempts, not_before),) = rows(
            "SELECT state, reason, attempts, not_before FROM crawl_request"
        )
        assert (state, reason, attempts) == ("queued", "http_500", 1)
        assert begun + 0.5 <= not_before <= time.time() + 1
        summary = await Crawl(reader(site.url), db=db).run()
        first, second = (moment for moment, path in site.arrivals if path == "/")
    assert (summary.finish, summary.done) == ("finished", 1)
    assert second - first > 0.45  # half of the backoff is certain
    assert rows(TRIES) == [("done", None, 2)]


async def test_a_worker_is_free_while_a_retry_waits(crawl, rows):
    answers = iter([(500, {}, "no"), (200, {}, "yes")])
    async with serve({"/flaky": lambda request: next(answers), "/other": "other"}) as site:
        spider = reader(f"{site.url}flaky", f"{site.url}other")
        await crawl(spider, concurrency=1, backoff=0.5)
        order = [path for _, path in site.arrivals if path != "/robots.txt"]
    assert order == ["/flaky", "/other", "/flaky"]
    assert rows(STATES) == [("done", None), ("done", None)]


async def test_a_crowd_of_retries_still_ends_each_page_once(crawl, rows):
    failed: set[str] = set()

    def flaky(request):
        if request.target in failed:
            return "yes"
        failed.add(request.target)
        return (500, {}, "no")

    async with serve({"/": flaky}) as site:
        urls = [f"{site.url}?{number}" for number in range(100)]
        result = await crawl(reader(*urls))
        assert site.hits["/"] == 200
    assert (result.done, result.items, result.finish) == (100, 100, "finished")
