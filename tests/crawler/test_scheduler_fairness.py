"""The scheduler is fair to hosts, holds little in memory, and stops at its limits."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from crawler.request import Request
from crawler.response import Response
from storage.records import QueuedRequest, Visit
from tests.crawler.pretended_crawl import crawling, done, page, pages, totals
from tests.crawler.pretended_crawl import path as path

# ── fairness and memory ─────────────────────────────────────────────────────────────────────


async def test_a_host_with_thousands_of_requests_starves_nobody(path: Path) -> None:
    requests = [*pages("big", 5000), *pages("small", 5)]
    async with crawling(path, requests, outcome=done) as crawl:

        async def stop_after_the_small_one(row: QueuedRequest) -> Visit:
            if sum(one.host == "small" for one in crawl.handed) == 5:
                crawl.scheduler.stop()
            return await done(row)

        crawl.outcome = stop_after_the_small_one
        await crawl.go()
        places = [place for place, row in enumerate(crawl.handed) if row.host == "small"]
        assert len(places) == 5
        assert places[-1] < 60


async def test_hosts_take_turns(path: Path) -> None:
    requests = [*pages("a", 300), *pages("b", 300), *pages("c", 300)]
    async with crawling(path, requests, workers=4) as crawl:
        await crawl.go()
        for start in range(0, 600, 60):
            some = Counter(row.host for row in crawl.handed[start : start + 60])
            assert set(some) == {"a", "b", "c"}


async def test_of_a_host_with_twenty_thousand_requests_few_are_in_memory(path: Path) -> None:
    async def stop_at_three_thousand(row: QueuedRequest) -> Visit:
        lane = crawl.scheduler._lanes["a"]
        crawl.peak["held"] = max(crawl.peak["held"], len(lane.held))
        if len(crawl.handed) == 3000:
            crawl.scheduler.stop()
        return await done(row)

    async with crawling(path, pages("a", 20_000), outcome=stop_at_three_thousand) as crawl:
        await crawl.go()
        assert crawl.peak["buffered"] <= 256
        assert crawl.peak["held"] <= 256 + 8  # and those handed out, until their commit


async def test_of_two_thousand_hosts_few_requests_each_are_in_memory(path: Path) -> None:
    requests = [request for n in range(2000) for request in pages(f"h{n}", 6)]

    async def stop_at_three_thousand(row: QueuedRequest) -> Visit:
        if len(crawl.handed) == 3000:
            crawl.scheduler.stop()
        return await done(row)

    async with crawling(path, requests, outcome=stop_at_three_thousand) as crawl:
        await crawl.go()
        assert crawl.peak["lanes"] == 2000
        assert 2000 < crawl.peak["buffered"] <= 8192


async def test_a_host_whose_pages_take_long_holds_no_more_slots_than_the_others(path: Path) -> None:
    """Twenty hosts share eight slots; one of them answers only when the others are done."""
    others = asyncio.Event()
    held: list[int] = []  # by the slow one, whenever another page is done

    async def outcome(row: QueuedRequest) -> Visit:
        if row.host == "slow":
            await others.wait()
        else:
            held.append(crawl.throttle.gate("slow").in_flight)
            if len(held) == 19 * 30:
                others.set()
        return await done(row)

    requests = [one for n in range(19) for one in pages(f"h{n}", 30)]
    async with crawling(path, [*pages("slow", 30), *requests], outcome=outcome) as crawl:
        await crawl.go()
        assert max(held[: len(held) // 2]) == 1
        assert len(crawl.handed) == 20 * 30


async def test_a_site_of_a_thousand_hosts_that_never_answer_holds_up_no_other(path: Path) -> None:
    """Each page of the other is found on the one before: it has one at a time to ask for."""
    through = asyncio.Event()

    async def outcome(row: QueuedRequest) -> Visit:
        visit = await done(row)
        if row.host.endswith(".evil.example"):
            await through.wait()
        elif (number := int(row.url.rpartition("/")[2])) < 100:
            visit.requests = [page("good.example", number + 1)]
        else:
            through.set()
        return visit

    evil = [page(f"h{number}.evil.example", 0) for number in range(1000)]
    async with crawling(path, [*evil, page("good.example", 0)], outcome=outcome) as crawl:
        await crawl.go()
        good = [place for place, row in enumerate(crawl.handed) if row.host == "good.example"]
        assert len(good) == 101
        assert good[-1] < 101 + 8


async def test_robots_txt_that_are_never_answered_hold_up_no_other_site(path: Path) -> None:
    through = asyncio.Event()

    async def robots(request: Request) -> Response:
        if "evil" in request.url:
            await through.wait()
        return Response(request.url, status=404)

    async def outcome(row: QueuedRequest) -> Visit:
        if row.url == "http://good.example/99":
            through.set()
        return await done(row)

    evil = [page(f"h{number}.evil.example", 0) for number in range(100)]
    requests = [*evil, *pages("good.example", 100)]
    async with crawling(path, requests, outcome=outcome, robots=robots) as crawl:
        await crawl.go()
        assert crawl.urls()[99] == "http://good.example/99"


async def test_a_site_alone_has_all_slots(path: Path) -> None:
    inside = asyncio.Semaphore(8)

    async def outcome(row: QueuedRequest) -> Visit:
        async with inside:
            if inside.locked():
                all_of_them.set()
            await all_of_them.wait()
        return await done(row)

    all_of_them = asyncio.Event()
    hosts = [page(f"h{number}.one.example", 0) for number in range(20)]
    async with crawling(path, hosts, outcome=outcome) as crawl:
        await crawl.go()
        assert len(crawl.handed) == 20


async def test_of_the_hosts_that_were_crawled_only_the_latest_are_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def robots(request: Request) -> Response:
        return Response(request.url, body=b"User-agent: *\nDisallow: /7\n")

    async def next_host(row: QueuedRequest) -> Visit:
        crawl.peak["hosts"] = max(crawl.peak["hosts"], crawl.throttle.statistics()["hosts"])
        crawl.peak["rules"] = max(crawl.peak["rules"], len(crawl.rulebook._verdicts))
        crawl.peak["locks"] = max(crawl.peak["locks"], len(crawl.rulebook._asking))
        visit = await done(row)
        number = int(row.host[1:]) + 1
        if number < 100:
            visit.requests = [page(f"h{number}", 0)]
        elif number == 100:  # and back to the first, which is forgotten by now
            visit.requests = [page("h0", 7), page("h0", 8)]
        return visit

    monkeypatch.setattr("crawler.memory._IDLE_HOSTS", 5)
    async with crawling(path, [page("h0", 0)], outcome=next_host, robots=robots) as crawl:
        await crawl.go()
        assert len(crawl.handed) == 101
        assert crawl.urls()[-1] == "http://h0/8"
        assert crawl.peak["hosts"] <= 10
        assert crawl.peak["rules"] <= 10
        assert crawl.peak["locks"] <= 10
        assert len(crawl.robots_asked) == 100  # the store has kept what the first one said
        assert (await totals(crawl)).skipped == 1


async def test_a_host_that_was_given_up_is_asked_for_no_link_that_is_found_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outcome(row: QueuedRequest) -> Visit:
        visit = await done(row)
        if row.host == "dead":
            crawl.throttle.unreachable(crawl.throttle.gate("dead"))
            visit.state, visit.reason, visit.not_before = "queued", "connection", time.time()
        elif row.url == "http://a/0":
            while "dead" in crawl.scheduler._lanes or not crawl.scheduler._given_up:
                await asyncio.sleep(0)
            visit.requests = [page("dead", 100), page("a", 1)]
        return visit

    monkeypatch.setattr("crawler.memory._IDLE_HOSTS", 0)  # even its gate is forgotten
    requests = [page("a", 0), *pages("dead", 3)]
    async with crawling(path, requests, outcome=outcome, breaker=1, backoff=0.0) as crawl:
        await crawl.go()
        assert "http://dead/100" not in crawl.urls()
        assert crawl.urls()[-1] == "http://a/1"
        assert not crawl.scheduler.drained
        assert (await totals(crawl)).queued == 4


async def test_a_host_that_cools_down_does_so_though_it_was_forgotten_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outcome(row: QueuedRequest) -> Visit:
        visit = await done(row)
        if row.url == "http://a/0":
            gate = crawl.throttle.gate("a")
            gate.cool_down(0.3, time.monotonic())
            crawl.scheduler.changed(gate)
            visit.requests = [page(f"h{n}", 0) for n in range(10)]
        elif row.host == "h9":
            visit.requests = [page("a", 1)]
        return visit

    monkeypatch.setattr("crawler.memory._IDLE_HOSTS", 0)
    async with crawling(path, [page("a", 0)], outcome=outcome, workers=1) as crawl:
        await crawl.go()
        first, second = [moment for host, moment, _ in crawl.contacts if host == "a"]
        assert second - first >= 0.29


async def test_no_more_are_handed_out_than_are_committed_in_time(path: Path) -> None:
    """So a crash costs that many fetches at most, and a slow disk slows the fetching down."""
    async with crawling(path, pages("a", 500), workers=5, concurrency_per_host=50) as crawl:
        await crawl.go()
        assert crawl.peak["outstanding"] == 5


# ── limits ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("max_pages", "finished"), [(1, 0), (7, 0), (50, 0), (50, 45)])
async def test_no_page_more_than_max_pages_is_fetched(
    path: Path, max_pages: int, finished: int
) -> None:
    async with crawling(path, pages("a", 200), max_pages=max_pages) as crawl:
        await crawl.go(finished)
        assert len(crawl.handed) == max_pages - finished
        assert (await totals(crawl)).done == max_pages - finished


async def test_skipped_and_retried_pages_do_not_count_against_max_pages(path: Path) -> None:
    async def by_turns(row: QueuedRequest) -> Visit:
        number = int(row.url.rpartition("/")[2])
        if number % 3 == 0:
            return Visit(row.id, row.host, "skipped", "robots")
        if number % 3 == 1 and not row.attempts:
            return Visit(row.id, row.host, "queued", "timeout", None, 1, time.time())
        return Visit(row.id, row.host, "failed" if number % 2 else "done")

    async with crawling(path, pages("a", 100), outcome=by_turns, max_pages=20) as crawl:
        await crawl.go()
        after = await totals(crawl)
        assert after.done + after.failed == 20


async def test_fewer_pages_than_the_limit_end_the_run_too(path: Path) -> None:
    async with crawling(path, pages("a", 5), max_pages=50) as crawl:
        await crawl.go()
        assert len(crawl.handed) == 5
        assert not crawl.scheduler.reached_max_pages


async def test_a_lane_that_holds_more_than_its_part_is_not_filled_up(path):
    # While it waits to be, a thousand hosts come, and each may hold less. (To SQLite a negative
    # limit is none: the whole frontier of a host was read.)
    async def outcome(row):
        found = []
        if row.host == "b":
            found = [page("b", 1)]
        elif row.url.endswith("/150"):
            found = [page(f"host-{number}", 0) for number in range(1000)]
        return Visit(row.id, row.host, "done", requests=found)

    async with crawling(path, [*pages("a", 400), page("b", 0)], outcome=outcome) as crawl:
        limits, read = [], crawl.store.ready

        async def ready(run, wants):
            limits.extend(want.limit for want in wants)
            while "b" in {want.host for want in wants} and len(limits) > 2:
                if crawl.scheduler.statistics()["lanes"] > 500:
                    break
                await asyncio.sleep(0)
            return await read(run, wants)

        crawl.store.ready = ready
        await crawl.go()
        assert (await totals(crawl)).done == 1402
    assert min(limits) > 0
