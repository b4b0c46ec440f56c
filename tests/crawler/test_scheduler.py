"""The scheduler between a real store and a real committer, with workers that only pretend."""

import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crawler
from crawler.committer import Committer
from crawler.contact import Contact, Courtesy
from crawler.errors import DropRequest, RetryLater
from crawler.lanes import FetchJob, Job, RobotsJob
from crawler.links import Discovery
from crawler.request import Request
from crawler.response import Response
from crawler.rulebook import Rulebook
from crawler.scheduler import Scheduler
from crawler.settings import Settings
from crawler.throttle import HostGate, Throttle
from crawler.url import Scope, fingerprint, host_of
from storage.records import (
    Committed,
    HostRecord,
    NewRequest,
    QueuedRequest,
    Run,
    Totals,
    Visit,
    Want,
)
from storage.sqlite import SqliteStore

# A test that waits for longer hangs: nothing here takes a second.
HANGS = 5.0

Outcome = Callable[[QueuedRequest], Awaitable[Visit]]


def page(host: str, number: int, **fields: Any) -> NewRequest:
    url = f"http://{host}/{number}"
    return NewRequest(fingerprint("GET", url), url, host, **fields)


def pages(host: str, how_many: int, **fields: Any) -> list[NewRequest]:
    return [page(host, number, **fields) for number in range(how_many)]


async def done(row: QueuedRequest) -> Visit:
    return Visit(row.id, row.host, "done", attempts=row.attempts + 1)


class Crawl:
    """A run without spider and network: `outcome` says what comes of each request."""

    def __init__(
        self,
        store: SqliteStore,
        run: Run,
        *,
        workers: int = 8,
        queue: int = 8,
        outcome: Outcome = done,
        robots: Callable[[Request], Awaitable[Response]] | None = None,
        max_pages: int | None = None,
        **given_settings: Any,
    ) -> None:
        self.settings = Settings(**{"robots": robots is not None, **given_settings})
        self.store, self.run = store, run
        self.throttle = Throttle(self.settings)
        self.jobs: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=queue)
        self.outcome = outcome
        self.robots_asked: list[str] = []
        self.contacts: list[tuple[str, float, int]] = []  # host, when, how many inside with it
        self.handed: list[QueuedRequest] = []  # in the order that workers took them
        self.inside: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()  # of the scheduler's statistics
        self.committed: list[Visit] = []

        async def fetch(request: Request, **limits: Any) -> Response:
            self.robots_asked.append(request.url)
            assert robots is not None
            return await robots(request)

        self.rulebook = Rulebook(fetch, "crawler", retries=2, backoff=0.0)
        self.scheduler = Scheduler(
            store,
            run,
            self.jobs,
            self.throttle,
            self.rulebook,
            concurrency=workers,
            max_pages=max_pages,
        )
        self.committer = Committer(
            store, run, self._heard, self.scheduler.memory.take_news, list, size=workers
        )
        self.workers = workers
        self.house = self.courtesy()
        self._watch_contacts()

    def _heard(self, visits: Sequence[Visit], committed: Committed) -> None:
        self.committed += visits
        self.scheduler.committed(visits, committed)
        if self.scheduler.reached_max_pages:
            self.scheduler.stop()

    async def go(self, finished: int = 0) -> None:
        """Run until the scheduler has nothing more to hand out and all is committed."""
        async with asyncio.timeout(HANGS), asyncio.TaskGroup() as group:
            group.create_task(self.committer.run())
            workers = [group.create_task(self._work()) for _ in range(self.workers)]
            await self.scheduler.run(self.committer.queue, finished)
            for _ in workers:
                await self.jobs.put(None)
            await asyncio.wait(workers)
            await self.committer.queue.put(None)

    async def _work(self) -> None:
        while (job := await self.jobs.get()) is not None:
            for name, count in self.scheduler.statistics().items():
                self.peak[name] = max(self.peak[name], count)
            if isinstance(job, RobotsJob):
                await self._ask_robots(job)
            else:
                await self.committer.queue.put(await self._visit(job))

    async def _ask_robots(self, job: RobotsJob) -> None:
        with Contact(self.house, job.lane.gate) as contact:
            await contact.begin(f"{job.origin}/robots.txt")
            verdict = await self.rulebook.learn(job.origin)
        self.scheduler.robots_learned(job.lane, self.rulebook.delay(verdict))

    async def _visit(self, job: FetchJob) -> Visit:
        self.handed.append(job.row)
        with Contact(self.house, job.gate) as contact:
            await contact.begin(job.row.url)
            return await self.outcome(job.row)

    def _watch_contacts(self) -> None:
        """Note every contact that is begun, just before the gate hears of it."""
        begun, left = self.scheduler.begun, self.scheduler.left

        def note_begun(gate: HostGate) -> None:
            self.inside[gate.host] += 1
            self.contacts.append((gate.host, time.monotonic(), self.inside[gate.host]))
            begun(gate)

        def note_left(gate: HostGate) -> None:
            self.inside[gate.host] -= 1
            left(gate)

        self.scheduler.begun = note_begun  # type: ignore[method-assign]
        self.scheduler.left = note_left  # type: ignore[method-assign]

    def urls(self) -> list[str]:
        return [row.url for row in self.handed]

    def courtesy(self) -> Courtesy:
        discovery = Discovery(Settings())
        discovery.scope = Scope(["*"])
        return Courtesy(self.scheduler, self.throttle, self.rulebook, discovery)


@asynccontextmanager
async def crawling(
    path: Path, requests: Iterable[NewRequest], *, fresh: bool = False, **options: Any
) -> AsyncIterator[Crawl]:
    async with SqliteStore(path) as store:
        run = await store.begin_run("test", {}, fresh=fresh, tables=[])
        await store.seed(run, list(requests), last=True)
        yield Crawl(store, replace(run, seeded=True), **options)


async def totals(crawl: Crawl) -> Totals:
    return await crawl.store.totals(crawl.run)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crawl.db"


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
    async with crawling(path, requests, workers=1, queue=1, concurrency_per_host=1) as crawl:
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
    async with crawling(path, requests, workers=4, queue=4) as crawl:
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
@given(_HOSTS, st.integers(1, 6), st.integers(1, 6))
def test_no_host_is_contacted_more_often_than_it_admits(
    hosts: list[tuple[int, int, float]], workers: int, queue: int
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
                path, requests, workers=workers, queue=queue, outcome=some_work, host=tables
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

    async with crawling(path, pages("a", 2), outcome=push_back, workers=1, queue=1) as crawl:
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
    async with crawling(path, requests, robots=robots, workers=2, queue=2) as crawl:
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
            await contact.begin("http://a/own")
            order.append("own")

    async def outcome(row: QueuedRequest) -> Visit:
        order.append("frontier")
        if len(order) == 3:
            waiting.append(asyncio.create_task(wait_for_turn()))
            while not crawl.throttle.gate("a").waiting:
                await asyncio.sleep(0)
        return await done(row)

    async with crawling(
        path, pages("a", 50), outcome=outcome, workers=2, queue=2, concurrency_per_host=1
    ) as crawl:
        await crawl.go()
        await waiting[0]
    assert order.index("own") == 3
    assert order.count("frontier") == 50


async def test_the_frontier_goes_on_when_someone_who_waited_gives_up(path: Path) -> None:
    async def wait_for_turn() -> None:
        with Contact(crawl.house) as contact:
            await contact.begin("http://a/own")

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


async def test_a_hop_off_limits_is_dropped(path: Path) -> None:
    async with crawling(path, []) as crawl:
        crawl.house.discovery.scope = Scope(["a"])
        with Contact(crawl.house) as contact:
            await contact.begin("http://a/")
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
            await contact.begin("http://a/yes")
            await contact.hop("http://a/yes", "http://b/yes")
            with pytest.raises(DropRequest, match="robots"):
                await contact.hop("http://b/yes", "http://b/no")
            with pytest.raises(RetryLater, match="robots_unavailable"):
                await contact.hop("http://b/yes", "http://down/")
        assert crawl.throttle.statistics()["in_flight"] == 0


# ── no deadlock, in the whole crawler ───────────────────────────────────────────────────────


@asynccontextmanager
async def web(answer: Callable[[str], Awaitable[bytes]]) -> AsyncIterator[str]:
    """Serve `answer(path)`, a whole HTTP response, and give the host and port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(await answer(head.split(b" ", 2)[1].decode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"


async def test_redirects_to_a_busy_host_get_their_turn(path: Path) -> None:
    async def plain(_: str) -> bytes:
        return OK

    async def moved(where: str) -> bytes:
        location = f"Location: http://{target}{where}"
        return f"HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode()

    async with web(plain) as target, web(moved) as first, web(moved) as second:

        class Moved(crawler.Spider):
            name = "moved"
            start_urls = [  # noqa: RUF012
                *(f"http://{host}/{n}" for n in range(6) for host in (first, second)),
                *(f"http://{target}/x{n}" for n in range(6)),
            ]
            allowed_domains = ["*"]  # noqa: RUF012

            def parse(self, response: Response) -> None:
                return None

        async with asyncio.timeout(HANGS):
            summary = await crawler.run(
                Moved, db=path, concurrency=2, concurrency_per_host=1, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 18)
    assert summary.reasons["done"]["alias"] == 6  # two redirects lead to each page


async def test_own_fetches_that_are_redirected_to_a_busy_host_do_not_block_it(path: Path) -> None:
    """They have every place to fetch, and the host's turn is that of a request without one."""
    answered = arrived = 0

    async def plain(_: str) -> bytes:
        nonlocal answered
        answered += 1
        return OK

    async def moved(where: str) -> bytes:
        nonlocal arrived
        if where == "/":
            return OK
        arrived += 1
        gate = running._throttle.gate(target)
        while answered < 20 and (arrived < 2 or gate.opens_at(time.monotonic()) < float("inf")):
            await asyncio.sleep(0)
        location = f"Location: http://{target}{where}"
        return f"HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode()

    async with web(plain) as target, web(moved) as first:

        class Own(crawler.Spider):
            name = "own"
            start_urls = [  # noqa: RUF012
                f"http://{first}/",
                *(f"http://{target}/x{n}" for n in range(20)),
            ]

            async def parse(self, response: Response) -> None:
                if response.url == f"http://{first}/":
                    await asyncio.gather(
                        *(self.fetch(f"http://{first}/{n}") for n in range(2)),
                    )

        running = crawler.Crawl(
            Own,
            db=path,
            overrides={
                "concurrency": 2,
                "robots": False,
                "host": [{"match": target, "concurrency": 1}],
            },
        )
        async with asyncio.timeout(HANGS):
            summary = await running.run()
    assert (summary.finish, summary.done) == ("finished", 21)


async def test_callbacks_that_all_fetch_from_their_own_host_get_their_turn(path: Path) -> None:
    async def plain(_: str) -> bytes:
        return OK

    async with web(plain) as host:
        everybody = asyncio.Event()

        class Fetching(crawler.Spider):
            name = "fetching"
            start_urls = [f"http://{host}/{n}" for n in range(12)]  # noqa: RUF012
            in_callback = 0

            async def parse(self, response: Response) -> None:
                self.in_callback += 1
                if self.in_callback == 3:  # as many as there are workers
                    everybody.set()
                await everybody.wait()
                await self.fetch(f"http://{host}/more")

        async with asyncio.timeout(HANGS):
            summary = await crawler.run(
                Fetching, db=path, concurrency=3, concurrency_per_host=1, robots=False
            )
    assert (summary.finish, summary.done) == ("finished", 12)
