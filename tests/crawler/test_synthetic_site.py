"""A site whose complete crawl is known beforehand: what comes out is exactly that.

Pages fail once, are cut off, move, take their time or are missing; see tests/site/spec.py.
"""

import asyncio
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler import Crawl, Item, Spider
from tests.site import Expected, SiteServer, SiteSpec, content_hash

PAGES = 120


class Entry(Item):
    key: str
    digest: str


class Link(Item):
    """One link as the spider saw it, from the request's path to the link's."""

    origin: str
    target: str


class Mirror(Spider):
    """Keeps every item and every link, and stops its crawl after so many pages."""

    name = "mirror"
    crawl: Crawl
    pages_left = -1

    def parse(self, response):
        for entry in response.css("li.item"):
            digest = content_hash(entry.attrib["data-key"], entry.css("::text").get())
            yield Entry(key=entry.attrib["data-key"], digest=digest)
        origin = urlsplit(response.request.url).path
        for request in response.follow_all("a"):
            yield Link(origin=origin, target=urlsplit(request.url).path)
            yield request
        type(self).pages_left -= 1
        if type(self).pages_left == 0:
            type(self).crawl.stop()


async def mirror(site: SiteServer, db: Path, *, pages: int = -1, **overrides: Any) -> str:
    """Crawl the site, for so many pages at most; return how the run ended."""
    spider = type("M", (Mirror,), {"start_urls": [f"{site.url}p/0"], "pages_left": pages})
    overrides = {"backoff": 0.01, "robots": False, **overrides}
    spider.crawl = Crawl(spider, db=db, overrides=overrides)
    return (await spider.crawl.run()).finish


def assert_complete(db: Path, expected: Expected) -> None:
    """The file has what the whole site has, each once."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:

        def query(sql: str) -> list[Any]:
            return connection.execute(sql).fetchall()

        assert query("SELECT finish FROM crawl_run") == [("finished",)]
        requests = query("SELECT url, state, reason FROM crawl_request")
        assert {urlsplit(url).path: state for url, state, _ in requests} == expected.states
        assert len(requests) == len(expected.states)
        reasons = {urlsplit(url).path: reason for url, _, reason in requests if reason}
        assert reasons == expected.reasons
        # A table is made for its first row, and a small site may have none.
        tables = {name for (name,) in query("SELECT name FROM sqlite_schema")}
        entries = query("SELECT key, digest FROM entry") if "entry" in tables else []
        assert sorted(entries) == expected.items
        links: dict[str, set[str]] = {path: set() for path in expected.links}
        found = query("SELECT origin, target FROM link") if "link" in tables else []
        for origin, target in found:
            links[origin].add(target)
        assert links == expected.links


@pytest.mark.parametrize("seed", range(4))
async def test_a_crawl_ends_with_exactly_what_the_site_has(seed, db):
    spec = SiteSpec(seed=seed, pages=PAGES)
    async with SiteServer(spec) as site:
        assert await mirror(site, db) == "finished"
        assert site.hits == Counter(spec.expected().hits)
    assert_complete(db, spec.expected())


@pytest.mark.parametrize("concurrency", [1, 2, 100])
async def test_the_number_of_workers_changes_nothing(concurrency, db):
    spec = SiteSpec(seed=11, pages=PAGES)
    async with SiteServer(spec) as site:
        limits = {"concurrency": concurrency, "concurrency_per_host": concurrency}
        assert await mirror(site, db, **limits) == "finished"
        assert site.hits == Counter(spec.expected().hits)
    assert_complete(db, spec.expected())


async def test_a_stubborn_site_is_complete_after_enough_tries(db):
    spec = SiteSpec(seed=5, pages=PAGES, fails_once=0.4, cut_once=0.3, slow=0)
    async with SiteServer(spec) as site:
        assert await mirror(site, db) == "finished"
        assert site.hits == Counter(spec.expected().hits)
    assert_complete(db, spec.expected())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), pages=st.integers(1, 60))
def test_any_site_is_crawled_completely(seed, pages):
    spec = SiteSpec(seed=seed, pages=pages, slow_seconds=0.01)

    async def whole(db: Path) -> None:
        async with SiteServer(spec) as site:
            assert await mirror(site, db) == "finished"
            assert site.hits == Counter(spec.expected().hits)

    with tempfile.TemporaryDirectory() as directory:
        db = Path(directory, "crawl.db")
        asyncio.run(whole(db))
        assert_complete(db, spec.expected())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    stops=st.lists(st.integers(1, 25), min_size=1, max_size=5),
    grace=st.sampled_from([0.0, 10.0]),
)
def test_a_crawl_that_is_stopped_again_and_again_ends_with_the_same(seed, stops, grace):
    spec = SiteSpec(seed=seed, pages=80, slow_seconds=0.01)

    async def piece_by_piece(db: Path) -> None:
        async with SiteServer(spec) as site:
            for pages in stops:
                if await mirror(site, db, pages=pages, grace=grace) == "finished":
                    return
            assert await mirror(site, db) == "finished"

    with tempfile.TemporaryDirectory() as directory:
        db = Path(directory, "crawl.db")
        asyncio.run(piece_by_piece(db))
        assert_complete(db, spec.expected())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_a_crawl_that_is_cancelled_again_and_again_ends_with_the_same(seed, cuts):
    spec = SiteSpec(seed=seed, pages=60, slow_seconds=0.01)

    async def piece_by_piece(db: Path) -> None:
        async with SiteServer(spec) as site:
            for hits in cuts:
                task = asyncio.ensure_future(mirror(site, db))
                target = sum(site.hits.values()) + hits
                while sum(site.hits.values()) < target and not task.done():
                    await asyncio.sleep(0)
                if task.done():
                    assert task.result() == "finished"
                    return
                task.cancel()
                await asyncio.wait([task])
            assert await mirror(site, db) == "finished"

    with tempfile.TemporaryDirectory() as directory:
        db = Path(directory, "crawl.db")
        asyncio.run(piece_by_piece(db))
        assert_complete(db, spec.expected())
