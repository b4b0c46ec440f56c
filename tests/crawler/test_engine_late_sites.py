"""Sites that start requests name when pages with links to them have been fetched already."""

import asyncio

import pytest

import crawler
from crawler import Crawl, Request
from storage.sqlite import SqliteStore
from tests.crawler.links_site import Links, linking, links, until
from tests.site import serve


def naming_late(url, other, before, after=lambda: True):
    """A spider whose `start` names a second site when a condition is met, and ends with another."""

    class Late(Links):
        async def start(self):
            for number in range(10):
                yield Request(f"{url}{number}")
            await until(before)
            yield Request(other)
            await until(after)

    return Late


# None of them has links but the first, to what its test says: nobody finds those again.
PAGES = {f"/{number}": "" for number in range(10)}
OFFSITE = "SELECT 1 FROM crawl_request WHERE reason = 'offsite'"


async def test_a_link_to_a_site_that_start_names_later_is_followed_then(db, rows):
    async with serve({"/": "", "/in": ""}) as other, serve(PAGES) as site:
        site.pages["/0"] = linking(f"{other.url}in", "http://third.example/")
        crawl = Crawl(naming_late(site.url, other.url, lambda: rows(OFFSITE)), db=db)
        result = await crawl.run()
        assert other.hits["/in"] == 1
    shown = crawl.snapshot()
    assert (result.done, result.skipped) == (shown.done, shown.skipped) == (12, 1)
    assert rows("SELECT url FROM crawl_request WHERE state = 'skipped'") == [
        "http://third.example/"
    ]


async def test_of_links_to_a_site_named_later_those_off_limits_for_more_stay_so(crawl, rows):
    async with serve({"/": "", "/in": ""}) as other, serve(PAGES) as site:
        paths = ("a/b/a/b/a/b/", "x" * 3000, "in")
        site.pages["/0"] = linking(*(other.url + path for path in paths))
        other.pages["/in"] = linking("/deep")
        spider = naming_late(site.url, other.url, lambda: rows(OFFSITE))
        result = await crawl(spider, max_depth=1)
    assert result.reasons["skipped"] == {"trap": 1, "url_too_long": 1, "max_depth": 1}


async def test_pages_of_a_site_named_later_keep_to_the_limit_of_a_host(crawl, rows):
    async with serve({"/": "", "/1": "", "/2": "", "/3": ""}) as other, serve(PAGES) as site:
        site.pages["/0"] = linking(*(f"{other.url}{number}" for number in (1, 2, 3)))
        spider = naming_late(site.url, other.url, lambda: rows(OFFSITE))
        await crawl(spider, max_pages_per_host=2)
        assert sum(other.hits[path] for path in ("/", "/1", "/2", "/3")) == 2


STARTS = "SELECT 1 FROM crawl_start"


@pytest.mark.parametrize("named", [False, True])
async def test_a_link_that_an_earlier_process_found_is_followed_once_all_sites_are_named(
    named, db, rows, monkeypatch
):
    monkeypatch.setattr("crawler.seeding._BATCH", 1)

    def offsite():
        return rows(OFFSITE)

    async with serve({"/": "", "/in": ""}) as other, serve(PAGES) as site:
        site.pages["/0"] = linking(f"{other.url}in")
        conditions = (offsite, lambda: False) if named else (lambda: False,)
        first = Crawl(naming_late(site.url, other.url, *conditions), db=db)
        running = asyncio.ensure_future(first.run())
        await first.begun.wait()
        await until(lambda: offsite() and len(rows(STARTS)) == 1 + named)
        first.stop()
        await running
        assert not other.hits["/in"]
        second = Crawl(naming_late(site.url, other.url, lambda: True), db=db)
        result = await second.run()
        assert (second.resumed, other.hits["/in"]) == (True, 1)
    assert (result.done, result.skipped, result.queued) == (12, 0, 0)


class Watched(SqliteStore):
    """Takes a second batch of start requests when a link was found; notes what it is told."""

    def __init__(self, path, links):
        super().__init__(path)
        self.links = links
        self.found = []
        self.looked = []

    async def seed(self, run, requests, *, admits=None, **rest):
        if self.looked and not self.found:
            await until(self.links)
            self.found = self.links()
        self.looked.append(admits is not None)
        return await super().seed(run, requests, admits=admits, **rest)


async def test_plain_start_urls_name_their_sites_before_anything_is_fetched(db, rows):
    def links_found():
        return rows("SELECT reason FROM crawl_request WHERE url LIKE '%/in'")

    def opened(path):
        stores.append(Watched(path, links_found))
        return stores[0]

    stores = []
    async with serve({"/": "", "/in": ""}) as other, serve(PAGES) as site:
        site.pages["/0"] = linking(f"{other.url}in")
        urls = (*(f"{site.url}{number}" for number in range(10)), other.url)
        result = await Crawl(links(*urls), db=db, store=opened).run()
        assert other.hits["/in"] == 1
    assert (result.done, result.skipped) == (12, 0)
    assert stores[0].found == [None]  # it was within from the beginning, though the site is private
    assert not any(stores[0].looked)


@pytest.mark.parametrize(
    ("grows", "domains", "looked"),
    [(False, None, False), (True, None, True), (True, ["*"], False)],
)
async def test_only_a_scope_that_has_grown_is_a_reason_to_look_for_what_was_offsite(
    grows, domains, looked, db
):
    stores = []

    def opened(path):
        stores.append(Watched(path, lambda: [None]))
        return stores[0]

    async with serve({"/": ""}, host="127.0.0.2") as other, serve(PAGES) as site:
        spider = naming_late(site.url, other.url if grows else site.url, lambda: True)
        spider.allowed_domains = domains
        await Crawl(spider, db=db, store=opened).run()
    assert any(stores[0].looked) == looked


async def test_start_urls_that_can_be_read_only_once_are(crawl, rows):
    async with serve({"/": ""}) as site:
        result = await crawl(links(of=Links, start_urls=(f"{site.url}?{n}" for n in range(25))))
        assert site.hits["/"] == 25
    assert result.done == 25


async def test_a_start_url_that_is_none_is_told_in_its_turn(crawl, rows):
    async with serve({"/": ""}) as site:
        urls = [*(f"{site.url}?{number}" for number in range(10)), "http://[bad"]
        with pytest.raises(crawler.UsageError, match="start request of links"):
            await crawl(links(*urls))
        assert rows("SELECT count(*) FROM crawl_request") == [10]
