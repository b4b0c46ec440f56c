"""The scheduler asks no host more often than it may, whoever it is that asks."""

import asyncio
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.contact import Contact
from crawler.errors import DropRequest, RetryLater
from crawler.request import Request
from crawler.response import Response
from crawler.url import Scope, host_of
from storage.records import HostRecord, QueuedRequest, Visit, Want
from tests.crawler.pretended_crawl import crawling, done, page, pages, totals
from tests.crawler.pretended_crawl import path as path

pytestmark = pytest.mark.alone

# ── politeness ──────────────────────────────────────────────────────────────────────────────

_HOSTS = st.lists(
    st.tuples(
        st.integers(1, 6),  # requests
        st.integers(1, 3),  # concurrency
        st.sampled_from([0.0, 0.0, 0.001, 0.004]),  # delay
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(_HOSTS, st.integers(1, 6))
def test_no_host_is_contacted_more_often_than_it_admits(
    hosts: list[tuple[int, int, float]], workers: int
) -> None:
    async def some_work(row: QueuedRequest) -> Visit:
        for _ in range(row.id % 4):
            await asyncio.sleep(0)
        return await done(row)

    async def check() -> None:
        tables = [
            {"match": f"h{n}", "concurrency": concurrency, "delay": delay}
            for n, (_, concurrency, delay) in enumerate(hosts)
        ]
        requests = [one for n, (count, _, _) in enumerate(hosts) for one in pages(f"h{n}", count)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "crawl.db"
            async with crawling(
                path, requests, workers=workers, outcome=some_work, host=tables
            ) as crawl:
                await crawl.go()
        assert len(crawl.handed) == len(requests)
        last: dict[str, float] = defaultdict(lambda: float("-inf"))
        for host, moment, inside in crawl.contacts:
            _, concurrency, delay = hosts[int(host[1:])]
            assert inside <= concurrency
            assert moment - last[host] >= delay
            last[host] = moment

    asyncio.run(check())


async def test_a_cool_down_of_an_earlier_process_is_kept(path: Path) -> None:
    until = time.time() + 0.1
    async with crawling(path, pages("a", 2)) as crawl:
        await crawl.store.commit(crawl.run, [], [HostRecord("a", until)])
    async with crawling(path, []) as later:
        await later.go()
        assert len(later.handed) == 2
        assert time.time() >= until


async def test_a_cool_down_is_written_down_for_the_next_process(path: Path) -> None:
    async def push_back(row: QueuedRequest) -> Visit:
        gate = crawl.throttle.gate("a")
        gate.cool_down(1000.0, time.monotonic())
        crawl.scheduler.changed(gate)
        crawl.scheduler.stop()
        return await done(row)

    async with crawling(path, pages("a", 2), outcome=push_back, workers=1) as crawl:
        await crawl.go()
        (work,) = await crawl.store.ready(crawl.run, [Want("a", 1, frozenset(), True)])
    assert work.remembered is not None
    assert work.remembered.next_at is not None
    assert 900 < work.remembered.next_at - time.time() < 1000


# ── robots.txt ──────────────────────────────────────────────────────────────────────────────


async def test_robots_is_asked_before_anything_else_of_a_host(path: Path) -> None:
    async def robots(request: Request) -> Response:
        assert not any(row.host == host_of(request.url) for row in crawl.handed)
        return Response(request.url, body=b"User-agent: *\nDisallow: /1\n")

    async with crawling(path, [*pages("a", 12), *pages("b", 2)], robots=robots) as crawl:
        await crawl.go()
        assert sorted(crawl.robots_asked) == ["http://a/robots.txt", "http://b/robots.txt"]
        after = await totals(crawl)
        assert (after.done, after.skipped) == (10, 4)  # /1, /10, /11 and the /1 of b
        skipped = [visit for visit in crawl.committed if visit.state == "skipped"]
        assert {visit.reason for visit in skipped} == {"robots"}


async def test_a_robots_txt_that_does_not_come_blocks_only_its_host(path: Path) -> None:
    answer = asyncio.Event()

    async def robots(request: Request) -> Response:
        if host_of(request.url) == "slow":
            await answer.wait()
        return Response(request.url, status=404)

    requests = [*pages("slow", 20), *pages("quick", 20)]
    async with crawling(path, requests, robots=robots, workers=2) as crawl:
        running = asyncio.create_task(crawl.go())
        while len(crawl.committed) < 20:
            await asyncio.sleep(0)
        assert {row.host for row in crawl.handed} == {"quick"}
        answer.set()
        await running
        assert len(crawl.handed) == 40


async def test_the_pages_of_a_host_without_rules_fail_with_the_reason(path: Path) -> None:
    async def robots(request: Request) -> Response:
        return Response(request.url, status=503)

    async with crawling(path, pages("a", 5), robots=robots) as crawl:
        await crawl.go()
        assert len(crawl.robots_asked) == 3  # and two retries
        assert crawl.handed == []
        assert (await totals(crawl)).failed == 5
        assert {visit.reason for visit in crawl.committed} == {"robots_unavailable"}


async def test_a_crawl_delay_is_kept_from_the_robots_txt_on(path: Path) -> None:
    async def robots(request: Request) -> Response:
        return Response(request.url, body=b"User-agent: *\nCrawl-delay: 0.05\n")

    async with crawling(path, pages("a", 3), robots=robots) as crawl:
        await crawl.go()
    moments = [moment for _, moment, _ in crawl.contacts]
    assert len(moments) == 4
    assert all(b - a >= 0.05 for a, b in pairwise(moments))


async def test_what_robots_said_is_there_for_the_next_process(path: Path) -> None:
    async def robots(request: Request) -> Response:
        return Response(request.url, body=b"User-agent: *\nDisallow: /private\n")

    async with crawling(path, pages("a", 1), robots=robots) as crawl:
        await crawl.go()
        await crawl.store.finish_run(crawl.run, "finished")
    async with crawling(path, [page("a", 2)], robots=robots) as later:
        await later.go()
        assert later.robots_asked == []
        assert later.urls() == ["http://a/2"]


# ── those who wait for a host besides the frontier ──────────────────────────────────────────


async def test_who_waits_for_a_host_goes_before_the_frontier(path: Path) -> None:
    """A redirect that leads to a busy host, or a spider's own fetch."""
    order: list[str] = []
    waiting: list[asyncio.Task[None]] = []

    async def wait_for_turn() -> None:
        with Contact(crawl.house) as contact:
            await contact.enter("http://a/own")
            order.append("own")

    async def outcome(row: QueuedRequest) -> Visit:
        order.append("frontier")
        if len(order) == 3:
            waiting.append(asyncio.create_task(wait_for_turn()))
            while not crawl.throttle.gate("a").waiting:
                await asyncio.sleep(0)
        return await done(row)

    async with crawling(
        path, pages("a", 50), outcome=outcome, workers=2, concurrency_per_host=1
    ) as crawl:
        await crawl.go()
        await waiting[0]
    assert order.index("own") == 3
    assert order.count("frontier") == 50


async def test_the_frontier_goes_on_when_someone_who_waited_gives_up(path: Path) -> None:
    async def wait_for_turn() -> None:
        with Contact(crawl.house) as contact:
            await contact.enter("http://a/own")

    async def outcome(row: QueuedRequest) -> Visit:
        if row.host == "b":
            gate = crawl.throttle.gate("a")
            gate.cool_down(0.2, time.monotonic())
            waiter = asyncio.create_task(wait_for_turn())
            while not gate.waiting:
                await asyncio.sleep(0)
            late = await crawl.store.seed(crawl.run, pages("a", 2), last=True)
            crawl.scheduler.added(late.hosts)
            while not crawl.scheduler.statistics()["buffered"]:
                await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter])
        return await done(row)

    async with crawling(path, [page("b", 0)], outcome=outcome) as crawl:
        await crawl.go()
        assert crawl.urls() == ["http://b/0", "http://a/0", "http://a/1"]


async def test_the_frontier_goes_on_beside_someone_who_waited_and_got_in(path: Path) -> None:
    """His page may take long, and the host have room for more."""

    async def wait_for_turn() -> None:
        with Contact(crawl.house) as contact:
            await contact.enter("http://a/own")
            contact.begin()
            while len(crawl.committed) < 3:
                await asyncio.sleep(0)

    async def outcome(row: QueuedRequest) -> Visit:
        if row.host == "b":
            gate = crawl.throttle.gate("a")
            gate.cool_down(0.2, time.monotonic())
            waiting.append(asyncio.create_task(wait_for_turn()))
            while not gate.waiting:
                await asyncio.sleep(0)
            late = await crawl.store.seed(crawl.run, pages("a", 2), last=True)
            crawl.scheduler.added(late.hosts)
            while not crawl.scheduler.statistics()["buffered"]:
                await asyncio.sleep(0)
        return await done(row)

    waiting: list[asyncio.Task[None]] = []
    async with crawling(path, [page("b", 0)], outcome=outcome) as crawl:
        await crawl.go()
        await waiting[0]
        assert crawl.urls() == ["http://b/0", "http://a/0", "http://a/1"]


async def test_a_hop_off_limits_is_dropped(path: Path) -> None:
    async with crawling(path, []) as crawl:
        crawl.house.discovery.scope = Scope(["a"])
        with Contact(crawl.house) as contact:
            await contact.enter("http://a/")
            await contact.hop("http://a/", "http://a/x")
            with pytest.raises(DropRequest, match="offsite"):
                await contact.hop("http://a/x", "http://b/")
        assert crawl.throttle.statistics()["in_flight"] == 0


async def test_a_hop_obeys_the_robots_txt_of_where_it_leads(path: Path) -> None:
    async def robots(request: Request) -> Response:
        if host_of(request.url) == "down":
            return Response(request.url, status=503)
        return Response(request.url, body=b"User-agent: *\nDisallow: /no\n")

    async with crawling(path, [], robots=robots) as crawl:
        with Contact(crawl.house) as contact:
            await contact.enter("http://a/yes")
            await contact.hop("http://a/yes", "http://b/yes")
            with pytest.raises(DropRequest, match="robots"):
                await contact.hop("http://b/yes", "http://b/no")
            with pytest.raises(RetryLater, match="robots_unavailable"):
                await contact.hop("http://b/yes", "http://down/")
        assert crawl.throttle.statistics()["in_flight"] == 0
