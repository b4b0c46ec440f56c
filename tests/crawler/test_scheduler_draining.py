"""The scheduler hands out all that there is, once, and again what has to be tried again."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from storage.records import QueuedRequest, Visit
from tests.crawler.pretended_crawl import crawling, done, page, pages, totals
from tests.crawler.pretended_crawl import path as path

# ── draining ────────────────────────────────────────────────────────────────────────────────


async def test_every_request_is_handed_out_once_and_then_it_is_over(path: Path) -> None:
    requests = [*pages("a", 700), *pages("b", 30), *pages("c", 1)]
    async with crawling(path, requests) as crawl:
        await crawl.go()
        assert sorted(crawl.urls()) == sorted(request.url for request in requests)
        assert (await totals(crawl)).done == len(requests)
        assert crawl.scheduler.drained


async def test_nothing_to_do_is_over_at_once(path: Path) -> None:
    async with crawling(path, []) as crawl:
        await crawl.go()
        assert crawl.handed == []


async def test_links_that_are_found_on_the_way_are_followed_to_the_end(path: Path) -> None:
    """A binary tree over three hosts, each page known only once its parent is committed."""

    async def two_more(row: QueuedRequest) -> Visit:
        visit = await done(row)
        number = int(row.url.rpartition("/")[2])
        visit.requests = [
            page(f"h{child % 3}", child)
            for child in (2 * number + 1, 2 * number + 2)
            if child < 300
        ]
        return visit

    async with crawling(path, [page("h0", 0)], outcome=two_more) as crawl:
        await crawl.go()
        assert sorted(int(url.rpartition("/")[2]) for url in crawl.urls()) == [*range(300)]


async def test_it_waits_for_seeds_that_are_still_to_come(path: Path) -> None:
    async with crawling(path, [page("a", 0)]) as crawl:
        crawl.scheduler._seeded = False
        running = asyncio.create_task(crawl.go())
        while not crawl.committed:
            await asyncio.sleep(0)
        assert not crawl.scheduler.drained
        late = await crawl.store.seed(crawl.run, [page("b", 0)], last=True)
        crawl.scheduler.added(late.hosts)
        crawl.scheduler.seeded()
        await running
        assert crawl.urls() == ["http://a/0", "http://b/0"]


async def test_the_best_of_a_host_goes_first(path: Path) -> None:
    requests = [page("a", number, priority=number % 3) for number in range(60)]
    async with crawling(path, requests, workers=1, concurrency_per_host=1) as crawl:
        await crawl.go()
        assert [row.priority for row in crawl.handed] == [2] * 20 + [1] * 20 + [0] * 20


async def test_a_lane_is_dropped_when_its_host_has_nothing_left(path: Path) -> None:
    requests = [request for n in range(50) for request in pages(f"h{n}", 3)]
    async with crawling(path, requests) as crawl:
        await crawl.go()
        assert crawl.peak["lanes"] > 40
        assert crawl.scheduler.statistics() == {"lanes": 0, "buffered": 0, "outstanding": 0}


async def test_stopping_hands_out_nothing_more_and_loses_nothing(path: Path) -> None:
    async def stop_at_twenty(row: QueuedRequest) -> Visit:
        if len(crawl.handed) == 20:
            crawl.scheduler.stop()
        return await done(row)

    async with crawling(path, pages("a", 500), outcome=stop_at_twenty) as crawl:
        await crawl.go()
        assert 20 <= len(crawl.handed) <= 20 + 8  # those that were handed out already
        after = await totals(crawl)
        assert (after.done, after.queued) == (len(crawl.handed), 500 - len(crawl.handed))
    async with crawling(path, []) as later:
        await later.go()
        assert (await totals(later)).done == 500
        assert not set(later.urls()) & set(crawl.urls())


# ── retries ─────────────────────────────────────────────────────────────────────────────────


async def test_a_retry_comes_back_when_its_time_has_come(path: Path) -> None:
    promised: dict[int, float] = {}

    async def fail_twice(row: QueuedRequest) -> Visit:
        assert time.time() >= promised.get(row.id, 0.0)
        if row.attempts == 2:
            return await done(row)
        promised[row.id] = time.time() + 0.02
        return Visit(
            row.id, row.host, "queued", "timeout", None, row.attempts + 1, promised[row.id]
        )

    async with crawling(path, [*pages("a", 3), *pages("b", 3)], outcome=fail_twice) as crawl:
        await crawl.go()
        assert Counter(crawl.urls()).most_common()[-1][1] == 3
        assert (await totals(crawl)).done == 6


async def test_a_retry_that_waits_keeps_nobody_else_waiting(path: Path) -> None:
    async def first_fails(row: QueuedRequest) -> Visit:
        if row.url == "http://a/0" and not row.attempts:
            return Visit(row.id, row.host, "queued", "timeout", None, 1, time.time() + 0.1)
        return await done(row)

    async with crawling(path, pages("a", 40), outcome=first_fails) as crawl:
        await crawl.go()
        assert crawl.urls()[-1] == "http://a/0"
        assert len(crawl.handed) == 41


async def test_a_retry_of_an_earlier_process_is_taken_up(path: Path) -> None:
    async with crawling(path, pages("a", 1)) as crawl:
        await crawl.store.commit(
            crawl.run, [Visit(1, "a", "queued", "timeout", None, 1, time.time() + 0.05)]
        )
    async with crawling(path, []) as later:
        await later.go()
        assert [row.attempts for row in later.handed] == [1]
