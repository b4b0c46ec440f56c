# ruff: noqa: RUF012 - spiders are written here as their users write them
"""Hosts without work in the frontier, met on the way: they are asked as politely as any other."""

import asyncio
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from itertools import pairwise

import pytest

from crawler import Crawl, Request
from tests.crawler.links_site import Links, links, until
from tests.site import serve

pytestmark = pytest.mark.alone


def to(url: str):
    return 302, {"Location": url}, ""


class Fetching(Links):
    """Follows nothing, and fetches one page itself."""

    other = ""

    async def parse(self, response):
        await self.fetch(self.other)


# ── what the file knows of them ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["redirect", "callback"])
async def test_a_host_rests_as_long_as_it_told_an_earlier_process(by, crawl, db, rows):
    async with serve({"/": "", "/late": ""}) as rests, serve({"/": ""}) as site:
        await crawl(links(site.url))
        with closing(sqlite3.connect(db)) as file:
            until_then = time.time() + 1000
            host = f"127.0.0.1:{rests.port}"
            file.execute("INSERT INTO crawl_host (host, next_at) VALUES (?, ?)", (host, until_then))
            file.commit()
        site.pages["/go"] = to(f"{rests.url}late") if by == "redirect" else ""
        how = Links if by == "redirect" else Fetching
        spider = links(f"{site.url}go", of=how, other=f"{rests.url}late", allowed_domains=["*"])
        running = Crawl(spider, db=db, overrides={"allow_private": ["*"], "grace": 0.01})
        crawling = asyncio.ensure_future(running.run())
        await until(
            lambda: rests.arrivals or running._throttle.gate(host).next_at > time.monotonic() + 900
        )
        running.stop()
        await crawling
        assert not rests.arrivals
    (kept,) = rows("SELECT next_at FROM crawl_host WHERE host = ?", host)
    assert kept == pytest.approx(until_then, abs=1.0)


async def test_a_host_that_was_forgotten_is_asked_as_slowly_as_before(crawl, monkeypatch):
    monkeypatch.setattr("crawler.memory._IDLE_HOSTS", 1)
    async with AsyncExitStack() as sites:
        slow = await sites.enter_async_context(
            serve({"/": "", "/own": "", "/robots.txt": "User-agent: *\nCrawl-delay: 0.5"})
        )
        others = [await sites.enter_async_context(serve({"/": ""})) for _ in range(6)]

        class Forgetful(Links):
            async def parse(self, response):
                if response.url == slow.url:
                    yield Request(others[0].url)
                    return
                for other in others[1:]:
                    await self.fetch(other.url)
                for number in range(3):
                    await self.fetch(f"{slow.url}own?{number}")

        spider = links(slow.url, of=Forgetful, allowed_domains=["*"])
        await crawl(spider, concurrency=1, allow_private=["*"])
        moments = [moment for moment, _ in slow.arrivals]
    assert len(moments) == 5
    assert all(later - earlier > 0.45 for earlier, later in pairwise(moments))


async def test_a_slow_host_that_many_redirects_lead_to_does_not_hold_up_the_others(db, rows):
    async with serve({}) as slow, serve({}) as moved, serve({}) as other:
        for number in range(40):
            slow.pages[f"/{number}"] = other.pages[f"/{number}"] = ""
            moved.pages[f"/{number}"] = to(f"{slow.url}{number}")
        urls = [f"{site.url}{number}" for number in range(40) for site in (moved, other)]
        overrides = {
            "allow_private": ["*"],
            "robots": False,
            "concurrency": 8,
            "grace": 0.01,
            "host": [{"match": f"127.0.0.1:{slow.port}", "delay": 4}],
        }
        running = Crawl(links(*urls, allowed_domains=["*"]), db=db, overrides=overrides)
        crawling = asyncio.ensure_future(running.run())
        await until(lambda: sum(other.hits.values()) == 40)
        await until(lambda: "host_busy" in rows("SELECT reason FROM crawl_request"))
        running.stop()
        await crawling
        assert len(slow.arrivals) < 5
    waits = "SELECT attempts, state FROM crawl_request WHERE reason = 'host_busy'"
    assert set(rows(waits)) == {(0, "queued")}


# ── a robots.txt that is elsewhere ──────────────────────────────────────────────────────────


async def test_where_many_robots_txt_redirect_to_they_come_one_after_the_other(crawl):
    async def rules(_):
        await asyncio.sleep(0)
        return "User-agent: *\nDisallow: /private"

    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(serve({"/": "", "/rules": rules}))
        moved = {"/robots.txt": to(f"{hub.url}rules"), "/": "", "/private": ""}
        sites = [await stack.enter_async_context(serve(moved)) for _ in range(12)]
        urls = [f"{site.url}{path}" for site in sites for path in ("", "private")]
        result = await crawl(
            links(hub.url, *urls), concurrency_per_host=1, concurrency=16, delay=0.1
        )
        moments = [moment for moment, _ in hub.arrivals]
        assert hub.hits["/rules"] == 12
        assert hub.max_in_flight == 1
        assert not any(site.hits["/private"] for site in sites)
    assert (result.done, result.reasons["skipped"]) == (13, {"robots": 12})
    # The first has a connection to wait for: it arrives later than it was sent.
    assert all(later - earlier > 0.05 for earlier, later in pairwise(moments))


@pytest.mark.parametrize("concurrency", [1, 2, 8])
async def test_robots_txt_that_redirect_to_each_other_wait_for_nobody_for_ever(concurrency, crawl):
    async with AsyncExitStack() as stack:
        sites = [await stack.enter_async_context(serve({"/": ""})) for _ in range(8)]
        for site, other in zip(sites, [*sites[1:], sites[0]], strict=True):
            site.pages["/robots.txt"] = to(f"{other.url}rules")
            site.pages["/rules"] = to(f"{other.url}last")
            site.pages["/last"] = "User-agent: *\nAllow: /"
            site.pages["/go"] = to(f"{other.url}gone")
            site.pages["/gone"] = ""
        urls = [f"{site.url}{path}" for path in ("", "go") for site in sites]
        async with asyncio.timeout(20):
            result = await crawl(
                links(*urls), concurrency=concurrency, concurrency_per_host=1, delay=0.005
            )
        assert all(site.max_in_flight == 1 for site in sites)
        assert all(site.hits["/robots.txt"] == 1 for site in sites)
    assert (result.finish, result.done) == ("finished", 16)


# ── a middleware that fetches beside its request ────────────────────────────────────────────


@pytest.mark.parametrize("allowed", [1, 2])
async def test_what_a_middleware_fetches_beside_its_request_counts(allowed, crawl):
    class Beside(Links):
        async def beside(self, request, call_next):
            if "own" in request.url:
                return await call_next(request)
            own = self.fetch(f"{request.url}?own")
            page, _ = await asyncio.gather(call_next(request), own)
            return page

        middleware = ["beside"]

    async def slow(_):
        await asyncio.sleep(0.01)
        return ""

    async with serve({f"/{number}": slow for number in range(12)}) as site:
        urls = [f"{site.url}{number}" for number in range(12)]
        async with asyncio.timeout(20):
            result = await crawl(links(*urls, of=Beside), concurrency_per_host=allowed)
        assert site.max_in_flight == allowed
    assert (result.done, result.failed) == (12, 0)
