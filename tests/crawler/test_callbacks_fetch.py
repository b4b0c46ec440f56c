# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What a callback may fetch from within, by the rules that all fetches go by."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from crawler import DropRequest, FetchError, Request, Spider, SpiderError
from tests.crawler.links_site import until
from tests.crawler.words_page import PAGE
from tests.site import serve


async def test_fetch_gives_another_page_from_within_a_callback(crawl, rows):
    async with serve({"/": PAGE, "/api": (200, {}, '{"n": 5}')}) as site:

        class Fetching(Spider):
            name = "fetching"
            start_urls = [site.url]

            async def parse(self, response):
                answer = await self.fetch(response.urljoin("/api"))
                again = await self.fetch(Request(f"{site.url}api?x", headers={"X-Mine": "1"}))
                yield {"n": answer.json()["n"] + again.json()["n"]}

        result = await crawl(Fetching, concurrency=1)
        assert site.requests[-1].headers["X-Mine"] == "1"
    assert rows("SELECT data ->> 'n' FROM item") == [10]
    assert result.done == 1


async def test_one_request_may_be_fetched_again_and_again_in_a_callback(crawl, rows):
    async with serve({"/": PAGE, "/api": "x"}) as site:

        class Polling(Spider):
            name = "polling"
            start_urls = [site.url]

            async def parse(self, response):
                request = Request(f"{site.url}api")
                for _ in range(4):
                    await self.fetch(request)

        async with asyncio.timeout(5):
            await crawl(Polling, concurrency_per_host=1)
        assert site.hits["/api"] == 4


@pytest.mark.parametrize("how", ["as it is", "with a header"])
async def test_the_request_of_a_page_may_be_fetched_again_by_its_callback(how, crawl):
    """Each time with a slot of the host that is given back: more pages than it has slots."""
    texts = []

    class Again(Spider):
        name = "again"

        async def parse(self, response):
            request = response.request
            if how == "with a header":
                request = request.replace(headers={"X-Again": "1"})
            texts.append((await self.fetch(request)).text)

    async with serve({"/": "page"}) as site:
        Again.start_urls = [f"{site.url}?n={number}" for number in range(9)]
        async with asyncio.timeout(10):
            result = await crawl(Again, concurrency_per_host=2)
        assert site.hits["/"] == 18
        assert site.max_in_flight <= 2
    assert (result.finish, result.done) == ("finished", 9)
    assert texts == ["page"] * 9


async def test_a_redirected_request_may_be_fetched_again_though_its_page_was_found_meanwhile(
    crawl, rows
):
    texts = []

    class Again(Spider):
        name = "again"

        async def parse(self, response):
            if response.redirects:
                await until(lambda: rows("SELECT 1 FROM crawl_request WHERE url LIKE '%/page'"))
                texts.append((await self.fetch(response.request)).text)
            return response.follow_all("a")

    async def links(_):
        await until(lambda: site.hits["/page"])  # else the redirect would lead to what is known
        return "<a href=/page>x</a>"

    redirect = (302, {"Location": "/page"}, "")
    async with serve({"/old": redirect, "/links": links, "/page": "text"}) as site:
        Again.start_urls = [f"{site.url}old", f"{site.url}links"]
        result = await crawl(Again)
    assert (texts, result.finish, result.failed) == (["text"], "finished", 0)


async def test_the_request_that_failed_may_be_fetched_again_by_its_errback(crawl):
    statuses = []

    class Again(Spider):
        name = "again"

        async def start(self):
            for number in range(9):
                yield Request(f"{site.url}gone?n={number}", errback=self.lost)

        async def lost(self, failure):
            statuses.append((await self.fetch(failure.request)).status)

    async with serve({}) as site:
        async with asyncio.timeout(10):
            result = await crawl(Again, concurrency_per_host=2)
    assert (result.finish, result.failed) == ("finished", 9)
    assert statuses == [404] * 9


async def test_fetch_tries_again_and_then_raises_what_went_wrong(crawl, rows):
    answers = iter([(500, {}, ""), (200, {}, "fine")])
    cut = (200, {"Content-Length": "100"}, "too short")
    async with serve({"/": PAGE, "/flaky": lambda request: next(answers), "/cut": cut}) as site:

        class Fetching(Spider):
            name = "fetching"
            start_urls = [site.url]

            async def parse(self, response):
                yield {"is": (await self.fetch(f"{site.url}flaky")).text}
                try:
                    await self.fetch(f"{site.url}cut")
                except FetchError as error:
                    yield {"is": error.reason}

        await crawl(Fetching, retries=1)
        assert (site.hits["/flaky"], site.hits["/cut"]) == (2, 2)
    assert rows("SELECT data ->> 'is' FROM item ORDER BY _id") == ["fine", "truncated"]


async def test_fetch_obeys_robots_txt(crawl, rows):
    async with serve({"/": PAGE, "/robots.txt": "User-agent: *\nDisallow: /private"}) as site:

        class Sneaking(Spider):
            name = "sneaking"
            start_urls = [site.url]

            async def parse(self, response):
                await self.fetch(f"{site.url}private")

        await crawl(Sneaking)
        assert site.hits["/private"] == 0
    assert rows("SELECT state FROM crawl_request") == ["failed"]


async def test_what_fetch_does_not_fetch_is_told_with_its_url(crawl, rows):
    async with serve({"/": PAGE, "/robots.txt": "User-agent: *\nDisallow: /no"}) as site:

        class Sneaking(Spider):
            name = "sneaking"
            start_urls = [site.url]

            async def parse(self, response):
                for url in (f"{site.url}no", "http://127.0.0.2:1234/", None):
                    try:
                        await self.fetch(url)
                    except (DropRequest, ValueError) as error:
                        yield {"is": str(error)}

        await crawl(Sneaking)
        assert rows("SELECT data ->> 'is' FROM item ORDER BY _id") == [
            f"robots: {site.url}no",
            "private_address: http://127.0.0.2:1234/ "
            "(a start URL, or allow_private, names the hosts that may be)",
            "a request's url is a string, not NoneType",
        ]


@pytest.mark.parametrize("robots", [True, False])
async def test_what_callbacks_fetch_is_within_the_concurrency_and_so_is_its_robots_txt(
    crawl, robots
):
    inside, most = 0, 0

    async def counted(_):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.02)
        inside -= 1
        return ""

    async with AsyncExitStack() as stack:
        sites = [
            await stack.enter_async_context(
                serve({"/": counted, "/robots.txt": counted}, host=f"127.0.8.{number}")
            )
            for number in range(1, 21)
        ]

        class Many(Spider):
            name = "many"
            start_urls = [sites[0].url]

            async def parse(self, response):
                await asyncio.gather(*(self.fetch(site.url) for site in sites[1:]))

        result = await crawl(Many, concurrency=3, robots=robots, allow_private=["*"])
    assert (result.done, result.failed) == (1, 0)
    assert most == 3


async def test_fetch_says_that_the_run_is_over_to_what_goes_on_after_it(crawl):
    kept = []

    async with serve({"/": PAGE}) as site:

        class Leaving(Spider):
            name = "leaving"
            start_urls = [site.url]

            def parse(self, response):
                kept.append(self)

        await crawl(Leaving)
        with pytest.raises(SpiderError, match="works only while the spider is being run"):
            await kept[0].fetch(site.url)
