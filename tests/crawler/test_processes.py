"""Callbacks in child processes: the same crawl as in one process, whatever becomes of a child."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler import Crawl, Spider
from crawler.places import LARGE, MEDIUM
from crawler.selftest import killing
from crawler.selftest.victim import Victim
from storage.records import Committed, Run, Visit
from storage.sqlite import SqliteStore
from tests.child import sitecustomize
from tests.crawler.elsewhere import (
    Asking,
    Cancelling,
    Detailed,
    Late,
    Mortal,
    Patient,
    Sociable,
    Talkative,
    Unsent,
    Various,
    Walker,
    Weigher,
)
from tests.crawler.links_site import until
from tests.site import SiteServer, SiteSpec, serve

pytestmark = pytest.mark.alone

Rows = Callable[..., list[Any]]

# How deep a page is found is chance.
REQUESTS = """SELECT replace(url, site, ''), state, reason, status, priority, attempts, callback,
    replace(final_url, site, ''), replace(canonical_url, site, ''), content, method
    FROM crawl_request, (SELECT ? AS site) ORDER BY url, method, content"""
PATIENCE = 60


@pytest.fixture(autouse=True)
def _children_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes reach nothing but this machine either."""
    monkeypatch.setenv("PYTHONPATH", str(Path(sitecustomize.__file__).parent))


def link(*paths: str) -> str:
    return "".join(f'<a href="{path}">x</a>' for path in paths)


def children() -> list[int]:
    """The processes that this one has started, zombies too."""
    return [one.pid for one in killing.processes() if one.parent == os.getpid()]


async def run(spider: type[Spider], url: str, db: Path, **settings: Any) -> crawler.Summary:
    settings = {"processes": 2, "backoff": 0.01, "hang_timeout": 0.4, **settings}
    arguments = {"url": url, **settings.pop("arguments", {})}
    async with asyncio.timeout(PATIENCE):
        return await crawler.run(spider, db=db, arguments=arguments, **settings)


# ── the same crawl ──────────────────────────────────────────────────────────────────────────


async def test_the_finished_file_is_the_same_as_that_of_one_process(db: Path, rows: Rows) -> None:
    found = []
    spec = SiteSpec(seed=3, pages=150)
    for processes in (1, 3):
        async with SiteServer(spec) as site:
            await run(Victim, site.url, db, processes=processes, robots=False)
        found.append((rows(REQUESTS, site.url), rows("SELECT key, hash FROM found ORDER BY key")))
        db.unlink()
    assert found[0] == found[1]
    assert found[0][1] == spec.expected().items


async def test_requests_errbacks_errors_and_items_come_through_unchanged(
    db: Path, rows: Rows
) -> None:
    pages = {
        "/": link("/1", "/2", "http://offsite.example/x"),
        "/1": "one",
        "/2": "two",
        "/raises": "r",
        "/sys-exit": "s",
        "/moved": (302, {"Location": "/1"}, ""),
        "/canonical": '<head><link rel="canonical" href="/1"></head>c',
        "/same": "same",
        "/endless": "e",
        "/post": lambda request: request.body.decode(),
    }
    found = []
    async with serve(pages) as site:
        for processes in (1, 2):
            summary = await run(
                Various,
                site.url,
                db,
                processes=processes,
                max_results=1000,
                arguments={"category": "c"},
                robots=False,
            )
            found.append(
                (
                    rows(REQUESTS, site.url),
                    rows("SELECT what FROM got ORDER BY what"),
                    rows("SELECT data FROM item"),
                    summary.done,
                    rows("SELECT reason, error IS NULL FROM crawl_request ORDER BY url"),
                )
            )
            db.unlink()
    # Whether /moved or /1 comes first is chance; which of them has the items is not told here.
    one, two = (parts[1:4] for parts in found)
    assert one == two
    reasons = [Counter(row[2] for row in parts[0]) for parts in found]
    assert reasons[0] == reasons[1]
    assert {"spider_error": 2, "too_many_results": 1, "http_404": 1}.items() <= reasons[1].items()
    assert [row[0] for row in found[0][0]] == [row[0] for row in found[1][0]]


async def test_all_children_take_part_and_this_process_parses_nothing(
    db: Path, rows: Rows, tmp_path: Path
) -> None:
    (tmp_path / "room").mkdir()
    paths = [f"/{n}" for n in range(100)]
    async with serve({"/": link(*paths)} | dict.fromkeys(paths, "x")) as site:
        arguments = {"room": str(tmp_path / "room")}
        await run(Sociable, site.url, db, robots=False, arguments=arguments)
    processes = rows("SELECT DISTINCT process FROM page")
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert not children()


async def test_a_run_that_was_stopped_goes_on_with_any_number_of_processes(
    db: Path, rows: Rows
) -> None:
    paths = [f"/{n}" for n in range(40)]
    async with serve({"/": link(*paths)} | dict.fromkeys(paths, "x")) as site:
        for processes in (2, 1, 3):
            await run(Walker, site.url, db, processes=processes, max_pages=15)
    assert sorted(rows("SELECT path FROM page")) == sorted(["/", *paths])


async def test_large_pages_come_whole_and_do_not_hold_up_the_others(db: Path, rows: Rows) -> None:
    large = {f"/{n}": os.urandom(4_000_000 + n) for n in range(4)}
    small = {f"/s{n}": b"%d" % n for n in range(20)}
    async with serve({"/": link(*large, *small)} | large | small) as site:
        await run(Weigher, site.url, db, robots=False)
    for path, body in (large | small).items():
        assert rows("SELECT what FROM got WHERE what LIKE ?", f"{path} %") == [
            f"{path} {len(body)} {sum(body[::9973])}"
        ]


async def test_what_a_middleware_leaves_that_cannot_be_sent_costs_its_page(
    db: Path, rows: Rows
) -> None:
    async with serve({"/": link("/1", "/2"), "/1": "x", "/2": "x"}) as site:
        await run(Unsent, site.url, db, robots=False)
    assert rows("SELECT path FROM page ORDER BY path") == ["/", "/2"]
    assert rows("SELECT reason FROM crawl_request WHERE state = 'failed'") == ["middleware_error"]


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_link_of_a_page_that_is_being_parsed_when_its_site_is_named_is_followed(
    processes: int, db: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asyncio.Event()

    async def wait(_: object) -> str:
        found.set()
        await until(lambda: rows("SELECT 1 FROM crawl_run WHERE seeded"))
        return ""

    monkeypatch.setattr(Late, "before_the_last", lambda _: found.wait())
    pages = {f"/{n}": "" for n in range(10)}
    async with serve({"/": "", "/in": ""}) as other, serve({**pages, "/wait": wait}) as site:
        site.pages["/0"] = link(f"{other.url}in")
        await run(Late, site.url, db, processes=processes, arguments={"other": other.url})
        assert other.hits["/in"] == 1
    assert rows("SELECT DISTINCT state FROM crawl_request") == ["done"]


class Counting(SqliteStore):
    """A store that counts the requests that pages send to it."""

    sent = 0

    async def commit(self, run: Run, visits: Sequence[Visit], *rest: Any) -> Committed:
        Counting.sent += sum(len(visit.requests) for visit in visits)
        return await super().commit(run, visits, *rest)


async def test_links_that_every_page_has_go_to_the_store_once(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counting, "sent", 0)
    paths = [f"/{n}" for n in range(40)]
    async with serve({"/": link(*paths)} | dict.fromkeys(paths, link(*paths))) as site:
        # One page at a time: its child knows by then what the ones before it have brought.
        settings = {"processes": 2, "concurrency": 1, "robots": False}
        await Crawl(
            Walker, db=db, arguments={"url": site.url}, overrides=settings, store=Counting
        ).run()
    assert Counting.sent == len(paths)


# ── callbacks that fetch ────────────────────────────────────────────────────────────────────


async def test_a_callback_fetches_through_the_same_door(db: Path, rows: Rows) -> None:
    asked: list[str | None] = []

    def more(request: Any) -> str:
        asked.append(request.headers.get("X-From"))
        return "more"

    pages: dict[str, Any] = {
        "/": "x",
        "/more": more,
        "/cut": (200, {"Content-Length": "9"}, "x"),
        "/robots.txt": "User-agent: *\nDisallow: /forbidden",
    }
    async with serve(pages) as site:
        await run(Asking, site.url, db, retries=1)
    assert sorted(rows("SELECT what FROM got")) == [
        "cut FetchError truncated",
        f"forbidden DropRequest robots: {site.url}forbidden",
        "missing 404 <h1>Not found</h1> True text/html; charset=utf-8",
        "more 200 more True text/html; charset=utf-8",
    ]
    assert asked == ["callback"]
    assert site.hits["/cut"] == 2
    assert site.hits["/forbidden"] == 0


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize("size", [MEDIUM + 1, LARGE + 1])
async def test_a_callback_of_a_large_page_waits_for_no_body_that_waits_for_its_place(
    db: Path, rows: Rows, size: int, kind: str, processes: int
) -> None:
    """Nor for one of another host, when all are asked for as much as each allows."""

    async def large(_: object) -> tuple[int, dict[str, str], bytes]:
        await asyncio.sleep(0.02)
        return 200, {"Content-Type": kind}, b"x" * size

    paths = [f"/{n}" for n in range(25)]
    async with serve({}) as site, serve({}) as other, asyncio.timeout(PATIENCE):
        for one in (site, other):
            one.pages.update({"/details": "more", **dict.fromkeys(paths, large)})
        site.pages["/"] = link(*paths, *(f"{other.url}{path[1:]}" for path in paths))
        summary = await run(
            Detailed, site.url, db, robots=False, processes=processes, allow_private=["*"]
        )
    assert (summary.finish, summary.failed) == ("finished", 0)
    assert rows("SELECT what, count(*) FROM got") == [(f"{size} more", 2 * len(paths))]


async def test_to_wait_in_a_callback_is_not_to_hang_and_its_fetch_is_cancelled_with_it(
    db: Path, rows: Rows
) -> None:
    left = asyncio.Event()

    async def never(_: Any) -> str:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            left.set()
        return ""

    async with serve({"/": "x", "/never": never}) as site:
        await run(Patient, site.url, db, robots=False, hang_timeout=0.3)
    assert left.is_set()
    assert rows("SELECT what FROM got") == ["waited"]


async def test_a_host_sees_no_more_at_once_and_no_sooner_than_it_should(db: Path) -> None:
    paths = [f"/{n}" for n in range(12)]

    async def slowly(_: Any) -> str:
        await asyncio.sleep(0.02)
        return "x"

    async with serve({"/": link(*paths)} | dict.fromkeys(paths, slowly)) as site:
        await run(Walker, site.url, db, processes=3, robots=False, concurrency_per_host=2)
        assert site.max_in_flight == 2
    async with serve({"/": link(*paths[:5])} | dict.fromkeys(paths, "x")) as site:
        await run(Walker, site.url, db, processes=3, fresh=True, robots=False, delay=0.1)
        moments = [moment for moment, _ in site.arrivals]
    assert len(moments) == 6
    assert all(b - a > 0.05 for a, b in pairwise(moments))


# ── children that die ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["kill", "exit", "stop", "loop", "sleep"])
async def test_a_child_that_dies_is_replaced_and_nothing_is_lost_or_twice(
    db: Path, rows: Rows, tmp_path: Path, way: str
) -> None:
    paths = [f"/{n}" for n in range(30)]
    bad = f"/die/{way}"
    pages = {"/": link(*paths[:15], bad, *paths[15:])} | dict.fromkeys([*paths, bad], "x")
    async with serve(pages) as site:
        summary = await run(
            Mortal, site.url, db, robots=False, arguments={"marker": str(tmp_path / "died")}
        )
    assert (tmp_path / "died").exists()
    assert summary.finish == "finished"
    assert sorted(rows("SELECT path FROM page")) == sorted(["/", bad, *paths])
    assert max(site.hits.values()) == 1  # the pages were here: nothing is fetched again
    assert rows("SELECT DISTINCT state FROM crawl_request") == ["done"]
    assert not children()


@pytest.mark.parametrize(("way", "reason", "tries"), [("kill", "crashed", 3), ("loop", "hung", 1)])
async def test_a_page_that_always_ends_its_child_fails_alone(
    db: Path, rows: Rows, way: str, reason: str, tries: int
) -> None:
    paths = [f"/{n}" for n in range(30)]
    bad = f"/die/{way}"
    pages = {"/": link(*paths[:5], bad, *paths[5:])} | dict.fromkeys([*paths, bad], "x")
    async with serve(pages) as site:
        summary = await run(Mortal, site.url, db, robots=False, retries=2)
    assert summary.finish == "finished"
    assert sorted(rows("SELECT path FROM page")) == sorted(["/", *paths])
    failed = "SELECT reason, attempts FROM crawl_request WHERE state != 'done'"
    assert rows(failed) == [(reason, tries)]
    assert site.hits[bad] == tries
    assert all(site.hits[path] == 1 for path in paths)
    assert not children()


async def test_a_callback_that_cancels_the_task_it_runs_in_costs_its_page(
    db: Path, rows: Rows
) -> None:
    pages = {"/": link("/1", "/bad", "/2")} | dict.fromkeys(["/1", "/bad", "/2"], "x")
    async with serve(pages) as site, asyncio.timeout(60):
        summary = await run(Cancelling, site.url, db, robots=False)
    assert summary.finish == "finished"
    assert sorted(rows("SELECT path FROM page")) == ["/", "/1", "/2"]
    assert rows("SELECT reason FROM crawl_request WHERE state != 'done'") == ["spider_error"]


async def test_children_that_are_killed_from_outside_cost_no_page(db: Path, rows: Rows) -> None:
    paths = [f"/{n}" for n in range(100)]
    killed = 0

    def kill_all(request: Any) -> str:
        nonlocal killed
        if site.hits[request.path] == 1:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return "x"

    pages: dict[str, Any] = {"/": link(*paths)} | dict.fromkeys(paths, "x")
    pages |= dict.fromkeys(paths[20:100:20], kill_all)
    async with serve(pages) as site:
        await run(Walker, site.url, db, robots=False, retries=10)
    assert killed > 1
    assert sorted(rows("SELECT path FROM page")) == sorted(["/", *paths])
    assert rows("SELECT DISTINCT state FROM crawl_request") == ["done"]
    assert site.hits.total() <= 101 + killed  # one page at most is alone with a child


# ── logs ────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_child_logs_is_logged_here(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serve({"/": "x"}) as site:
        await run(Talkative, site.url, db, robots=False)
    said = [(record.name, record.getMessage()) for record in caplog.records]
    assert ("somebody", "plain words") in said
    assert any(name == "crawler.spider" and "path=/" in text for name, text in said)
    assert not any("never heard" in text for _, text in said)
