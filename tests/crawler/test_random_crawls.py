"""Crawls of webs that are made up at random: none stands still, loses a page, or has one twice.

Hosts, redirects, robots.txt, large bodies, what the spider's own code fetches, settings, and what
cuts a crawl short all hold each other up in ways that nobody has thought of. What counts as large,
and what is kept of hosts, is little here, so that it happens often. Each number is one web; to try
many of them (some 3 a second), and to begin elsewhere:

    WEBS=2000 FIRST_WEB=1000 pytest tests/crawler/test_random_crawls.py

The order of events is not part of the number: a web that failed may pass the next time.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, Summary
from tests.child import sitecustomize
from tests.crawler.random_web import LARGE, MEDIUM, Name, Wanderer, Web
from tests.site import serve

pytestmark = pytest.mark.alone

FIRST, WEBS = int(os.environ.get("FIRST_WEB", "60")), int(os.environ.get("WEBS", "35"))
# That had no end: a page redirects to a host whose robots.txt is not to be had, and which is
# forgotten before the next try.
WITHOUT_END = (1658, 1952)
PATIENCE = 30.0  # for a crawl that takes a second or two (seconds)
_IN_PROCESSES = 20  # one of so many has its callbacks in child processes

Rows = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def _little_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "places.MEDIUM": MEDIUM,
        "places.LARGE": LARGE,
        "places.MEDIUM_AT_ONCE": 2,
        "places.LARGE_AT_ONCE": 1,
        "parsing._LARGE_PAGE": MEDIUM,
        "parsing._AHEAD": MEDIUM // 2,
        "memory._IDLE_HOSTS": 1,
        "refill._LANE_MIN": 1,
        "refill._LANE_MAX": 2,
    }.items():
        monkeypatch.setattr(f"crawler.{name}", value)
    monkeypatch.setenv("PYTHONPATH", str(Path(sitecustomize.__file__).parent))  # of children


@pytest.mark.parametrize("seed", [*range(FIRST, FIRST + WEBS), *WITHOUT_END])
async def test_a_random_crawl_ends_as_it_must(seed: int, db: Path, rows: Rows) -> None:
    web = Web(seed)
    async with AsyncExitStack() as servers:
        sites = [await servers.enter_async_context(serve({})) for _ in range(web.hosts)]
        web.bases = [site.url for site in sites]
        for host, site in enumerate(sites):
            site.pages.update(web.site(host))
        settings = {**web.settings, "processes": 1 + (seed % _IN_PROCESSES == _IN_PROCESSES - 1)}
        summary = await to_the_end(web, db, settings)
        if web.is_calm:
            assert web.most_inside <= settings["concurrency"]
            assert max(site.max_in_flight for site in sites) <= settings["concurrency_per_host"]
            for site in sites:
                assert_not_sooner([moment for moment, _ in site.arrivals], settings["delay"])
    assert summary.finish == "finished"
    assert_complete(web, rows)
    assert_asked_for_no_more(web, rows)


async def to_the_end(web: Web, db: Path, settings: dict[str, Any]) -> Summary:
    """Run a crawl until it is finished, cut short in between as the web says."""
    for stop in web.stops:
        limit = {"max_pages": stop} if web.limited else {}
        summary = await run(web, db, {**settings, **limit}, None if web.limited else stop)
        if summary.finish == "finished":
            return summary
    return await run(web, db, settings)


async def run(web: Web, db: Path, settings: dict[str, Any], stop: int | None = None) -> Summary:
    """Run it once; when it stands still, fail and say what everybody waits for."""
    arguments = {"seed": str(web.seed), "bases": " ".join(web.bases)}
    crawl = Crawl(Wanderer, db=db, arguments=arguments, overrides=settings)
    running = asyncio.create_task(crawl.run())
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not running.done() and asyncio.get_running_loop().time() < deadline:
        await asyncio.wait({running}, timeout=0.002 if stop else PATIENCE)
        if stop and (now := crawl.snapshot()) and now.done + now.failed >= stop:
            crawl.stop()
    if not running.done():
        waiting = "\n".join(sorted(map(where, asyncio.all_tasks())))
        running.cancel()
        pytest.fail(f"it stands still:\n{waiting}\n{crawl._throttle._gates}")
    summary = await running
    if summary.finish == "finished":
        for gate in crawl._throttle._gates.values():
            assert (gate.in_flight, gate.waiting, gate.awaited) == (0, 0, False)
    return summary


def where(task: "asyncio.Task[Any]") -> str:
    """A task, and the lines at which it waits, from the outermost in."""
    lines, frame = [task.get_name()], task.get_coro()
    while (code := getattr(frame, "cr_frame", None)) is not None:
        lines.append(f"{Path(code.f_code.co_filename).name}:{code.f_lineno}")
        frame = getattr(frame, "cr_await", None)
    return " ".join(lines)


def assert_not_sooner(moments: list[float], delay: float) -> None:
    """A single one may be late on its way, but hardly so five in a row."""
    for first, last in zip(moments, moments[5:], strict=False):
        assert last - first > 5 * delay - 0.05


def assert_complete(web: Web, rows: Rows) -> None:
    """Each page that was found has its state, and each that is done all that it gives, once."""
    names = {web.url(name): name for name in web.names}
    requests = rows("SELECT url, state, reason, coalesce(final_url, url) FROM crawl_request")
    there = set(rows("SELECT name FROM sqlite_master"))
    items = Counter(rows("SELECT key FROM got") if "got" in there else ())
    assert set(items.values()) <= {1}
    found = {names[url] for url, *_ in requests}
    led_to = {page.to for page in web.pages.values()}
    assert found >= set(web.starts)
    for url, state, reason, final in requests:
        fates = web.fates(names[url]) | ({"done"} if names[url] in led_to else set())  # as an alias
        assert state in fates, (names[url], web.pages[names[url]], reason)
        if state == "done" and reason != "alias":
            page = web.pages[names[final]]
            assert found >= set(page.links)
            assert all(
                any(key == f"{names[final]} {n}" for key in items) for n in range(page.items)
            )


def assert_asked_for_no_more(web: Web, rows: Rows) -> None:
    """A page that nobody asks for but the frontier is asked for as often as that has tried."""
    others: set[Name] = set(web.starts[:1])  # by errbacks
    for page in web.pages.values():
        others.update(page.fetches, [] if page.to is None else [page.to])
    for name, page in web.pages.items():
        if name in others or page.layer or page.to or web.stops:
            continue
        attempts = rows(
            "SELECT coalesce(sum(attempts), 0) FROM crawl_request WHERE url = ?", web.url(name)
        )[0]
        assert web.asked[name] == attempts
