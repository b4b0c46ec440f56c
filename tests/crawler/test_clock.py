"""Clocks that leap a year either way: retries neither wait for them nor come early."""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, Request, Spider
from crawler.response import Response
from crawler.robots import MAX_AGE
from crawler.rulebook import Rulebook
from storage.clock import steady_time
from storage.records import NewRequest, Visit, Want
from storage.sqlite import SqliteStore
from tests.site import serve

YEAR = 365 * 86_400.0
LEAPS = [YEAR, -YEAR, 1800.0, -1800.0]
ORIGIN = "http://a.example"


class Clock:
    """The time of day, with what somebody set it forward by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that can be set."""
    return Clock(monkeypatch)


class Walker(Spider):
    """Follows every link."""

    name = "walker"
    url = ""

    async def start(self) -> Any:
        yield Request(self.url)

    def parse(self, response: Response) -> Any:
        yield from response.follow_all("a")


# ── while the crawl runs ────────────────────────────────────────────────────────────────────

PATHS = [f"/{n}" for n in range(30)]
BACKOFF = 0.3


@pytest.mark.parametrize("leaps", [[leap] for leap in LEAPS] + [[YEAR, -YEAR], [-YEAR, YEAR]])
async def test_a_clock_that_leaps_neither_stalls_nor_hastens_a_retry(
    leaps: list[float], clock: Clock, db: Path
) -> None:
    """Every page fails at first; the clock leaps when some retries wait and others do not yet."""
    failed: Counter[str] = Counter()
    failed_at: dict[str, float] = {}
    waits: list[float] = []

    async def once(request: Any) -> Any:
        failed[request.path] += 1
        if failed[request.path] == 1:
            if len(failed) % 10 == 0 and leaps:
                clock.ahead += leaps.pop(0)
            failed_at[request.path] = time.monotonic()
            return 500, {}, "not yet"
        waits.append(time.monotonic() - failed_at[request.path])
        return "now"

    front = "".join(f"<a href={path}>x</a>" for path in PATHS)
    async with serve({"/": front, **dict.fromkeys(PATHS, once)}) as site, asyncio.timeout(20):
        crawl = Crawl(
            Walker,
            db=db,
            arguments={"url": site.url},
            overrides={"backoff": BACKOFF, "concurrency": 4, "adaptive": False},
        )
        summary = await crawl.run()
    assert (summary.finish, summary.done) == ("finished", 31)
    assert site.hits == Counter({"/robots.txt": 1, "/": 1} | dict.fromkeys(PATHS, 2))
    assert min(waits) >= BACKOFF / 2 - 0.05


@pytest.mark.parametrize("leap", LEAPS)
async def test_the_store_tells_retries_by_the_time_that_passed(
    leap: float, clock: Clock, tmp_path: Path
) -> None:
    wants = [Want("a", 9, frozenset(), False)]
    async with SqliteStore(tmp_path / "c.db") as store:
        run = await store.begin_run("books", {}, fresh=False, tables=[])
        requests = [NewRequest(n, f"http://a/{n}", "a") for n in range(3)]
        await store.seed(run, requests, last=True)
        await store.commit(run, [Visit(1, "a", "queued", not_before=steady_time() - 1)])
        await store.commit(run, [Visit(2, "a", "queued", not_before=steady_time() + 100)])
        soon = steady_time() + 50  # on its way to the file when the clock leaps
        clock.ahead += leap
        await store.commit(run, [Visit(3, "a", "queued", not_before=soon)])
        (work,) = await store.ready(run, wants)
        assert [row.id for row in work.requests] == [1]
        assert work.next_due == pytest.approx(steady_time() + 50, abs=5)
        await store.commit(run, [Visit(3, "a", "done")])
        (work,) = await store.ready(run, wants)
        assert work.next_due == pytest.approx(steady_time() + 100, abs=5)


class Answers:
    """Answers each request for a robots.txt, and counts them."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, request: Request, **limits: Any) -> Response:
        self.asked += 1
        return Response(request.url, body=b"User-agent: *\nDisallow: /x\n")


@pytest.mark.parametrize("leap", LEAPS)
async def test_rules_expire_by_the_time_that_passed(
    leap: float, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Rulebook(ask := Answers(), "crawler", retries=0, backoff=0.0)
    await book.learn(ORIGIN)
    clock.ahead += leap
    await book.learn(ORIGIN)
    assert ask.asked == 1
    later = time.monotonic() + MAX_AGE + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert book.known(ORIGIN) is None


# ── between two processes ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("leap", [YEAR, -YEAR])
async def test_a_crawl_goes_on_after_a_restart_with_another_time(
    leap: float, clock: Clock, db: Path
) -> None:
    """Retries, cool-downs and robots.txt that the file knows are all of that other time."""
    ready = False

    async def answer(_: Any) -> Any:
        return "<p>now" if ready else (500, {}, "not yet")

    settings = {"backoff": 0.01, "delay": 0.01}
    async with serve({"/": "<a href=/1>x</a>", "/1": answer}) as site, asyncio.timeout(20):
        first = Crawl(Walker, db=db, arguments={"url": site.url}, overrides={**settings})
        clock.ahead = leap
        waiting = asyncio.create_task(_until_retried(db))
        running = asyncio.create_task(first.run())
        await waiting
        first.stop()
        await running
        ready = True
        clock.ahead = 0.0
        again = Crawl(Walker, db=db, arguments={"url": site.url}, overrides={**settings})
        summary = await again.run()
    assert (summary.finish, summary.done) == ("finished", 2)


async def _until_retried(db: Path) -> None:
    """Wait until a retry is in the file."""
    while True:
        await asyncio.sleep(0.01)
        try:
            with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
                if connection.execute(
                    "SELECT 1 FROM crawl_request WHERE attempts > 0 AND state = 'queued'"
                ).fetchone():
                    return
        except sqlite3.OperationalError:
            continue  # it is being made just now


def test_robots_of_another_time_are_kept_for_a_day_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = Rulebook(Answers(), "crawler", retries=0, backoff=0.0)
    entry = {"until": time.time() + YEAR, "text": "User-agent: *\nDisallow: /x\n"}
    book.remember(json.dumps({ORIGIN: entry}))
    assert book.known(ORIGIN) is not None
    later = time.monotonic() + MAX_AGE + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert book.known(ORIGIN) is None


async def test_a_wait_of_less_than_a_day_is_kept_through_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    wants = [Want("a", 9, frozenset(), False)]
    soon, absurd = time.time() + 7200, time.time() + YEAR
    async with SqliteStore(path) as store:
        run = await store.begin_run("books", {}, fresh=False, tables=[])
        requests = [NewRequest(n, f"http://a/{n}", "a") for n in range(2)]
        await store.seed(run, requests, last=True)
        await store.commit(run, [Visit(1, "a", "queued", attempts=1, not_before=soon)])
        await store.commit(run, [Visit(2, "a", "queued", attempts=2, not_before=absurd)])
    async with SqliteStore(path) as store:
        run = await store.begin_run("books", {}, fresh=False, tables=[])
        (work,) = await store.ready(run, wants)
    assert [(row.id, row.attempts) for row in work.requests] == [(2, 2)]
    assert work.next_due == soon
