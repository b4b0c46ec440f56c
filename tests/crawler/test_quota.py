"""`max_pages_per_host`: so many pages of each host, and a row for all that is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import Crawl, Request, Spider
from crawler.quota import Quota
from tests.site import serve

REASONS = "SELECT state || coalesce(' ' || reason, ''), count(*) FROM crawl_request GROUP BY 1"


class Pages(Spider):
    name = "pages"
    allowed_domains = ("*",)

    def parse(self, response):
        yield {"url": response.url}
        yield from response.follow_all("a")


def spider(*urls):
    return type("S", (Pages,), {"start_urls": urls})


def linking(*hrefs):
    return "".join(f'<a href="{href}">x</a>' for href in hrefs)


def wide(pages):
    """A page that links to so many others."""
    return {"/": linking(*(f"/{n}" for n in range(1, pages)))} | {
        f"/{n}": f"page {n}" for n in range(1, pages)
    }


def fetched(site):
    return sum(hits for path, hits in site.hits.items() if path != "/robots.txt")


@pytest.mark.parametrize("limit", [1, 2, 7, 40])
async def test_a_host_has_exactly_so_many_pages_and_the_rest_are_rows(limit, crawl, rows):
    async with serve(wide(40)) as site:
        result = await crawl(spider(site.url), max_pages_per_host=limit, concurrency_per_host=8)
        assert fetched(site) == limit
    assert (result.finish, result.done, result.queued) == ("finished", limit, 0)
    skipped = {"skipped max_pages_per_host": 40 - limit} if limit < 40 else {}
    assert dict(rows(REASONS)) == {"done": limit, **skipped}


async def test_each_host_has_its_own(crawl):
    async with serve(wide(20)) as one, serve(wide(20)) as two:
        await crawl(spider(one.url, two.url), max_pages_per_host=5, allow_private=["127.0.0.1"])
        assert (fetched(one), fetched(two)) == (5, 5)


async def test_a_failed_page_counts_and_a_retried_one_counts_once(crawl, rows):
    tries = 0

    def flaky(request):
        nonlocal tries
        tries += 1
        return "at last" if tries > 2 else (503, {}, "")

    async with serve({"/": linking("/flaky", "/gone", "/x", "/y"), "/flaky": flaky}) as site:
        result = await crawl(spider(site.url), max_pages_per_host=3, adaptive=False)
    assert (result.done + result.failed, result.skipped) == (3, 2)
    assert result.finish == "finished"


async def test_what_robots_forbids_does_not_count(crawl, rows):
    pages = {**wide(10), "/robots.txt": "User-agent: *\nDisallow: /1\nDisallow: /2"}
    async with serve(pages) as site:
        result = await crawl(spider(site.url), max_pages_per_host=5)
    assert (result.done, result.reasons["skipped"]["robots"]) == (5, 2)


async def test_the_next_process_goes_on_counting(db, rows):
    async with serve(wide(30)) as site:
        first = Crawl(spider(site.url), db=db, overrides={"max_pages_per_host": 8, "max_pages": 3})
        assert (await first.run()).finish == "limit"
        second = Crawl(spider(site.url), db=db, overrides={"max_pages_per_host": 8})
        result = await second.run()
        assert fetched(site) == 8
    assert (result.done, result.skipped, result.queued) == (8, 22, 0)


async def test_a_page_that_is_retried_gives_its_place_to_another(crawl, rows):
    class Two(Pages):
        async def start(self):
            yield Request(self.start_urls[0] + "bad")
            yield Request(self.start_urls[0] + "good")

    async with serve({"/bad": (500, {}, ""), "/good": "good"}) as site:
        kind = type("S", (Two,), {"start_urls": [site.url]})
        result = await crawl(kind, max_pages_per_host=1, retries=1, backoff=0.2)
        assert site.hits["/bad"] == 1
    assert (result.done, result.skipped, result.finish) == (1, 1, "finished")


@given(
    st.integers(1, 5),
    st.lists(st.sampled_from(["take", "counts", "back"]), max_size=60),
)
def test_whatever_happens_a_host_never_has_one_page_too_many(limit, steps):
    quota = Quota(limit)
    had = flying = 0
    for step in steps:
        if step == "take":
            if not (quota.spent("a") or quota.waits("a")):
                quota.handed_out("a")
                flying += 1
        elif flying:
            quota.settled("a", counts=step == "counts")
            flying, had = flying - 1, had + (step == "counts")
        assert had + flying <= limit
        assert quota.spent("a") is (had == limit)
    assert not (quota.waits("a") and not flying)


def test_without_a_limit_nothing_is_counted():
    quota = Quota(None)
    for _ in range(100):
        quota.handed_out("a")
        quota.settled("a", counts=True)
    assert not quota.spent("a")
    assert not quota.waits("a")
    assert not quota.limited
