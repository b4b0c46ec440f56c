# ruff: noqa: RUF012 - spiders are written here as their users write them
"""Requests of a crawl: what arrives at the server, in which order, and how often."""

import pytest

from crawler import Item, Request, Spider
from tests.site import serve


class Tag(Item):
    word: str


class Quiet(Spider):
    name = "quiet"

    def parse(self, response):
        """Nothing to be found."""


# ── on the wire ─────────────────────────────────────────────────────────────────────────────


async def test_method_headers_and_body_arrive_at_the_server(crawl):
    async with serve({"/": "", "/post": ""}) as site:

        class Posting(Spider):
            name = "posting"

            async def start(self):
                yield Request(f"{site.url}post", json={"a": 1}, headers={"X-Mine": "yes"})

            def parse(self, response):
                yield response.follow("/post", self.parse_no_more, form={"b": "ü"})

            def parse_no_more(self, response):
                """The end."""

        await crawl(Posting)
        first, second = (request for request in site.requests if request.path == "/post")
    assert (first.method, first.body) == ("POST", b'{"a": 1}')
    assert (first.headers["X-Mine"], first.headers["Content-Type"]) == ("yes", "application/json")
    assert (second.method, second.body) == ("POST", b"b=%C3%BC")
    assert second.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_the_user_agent_names_the_crawler_and_its_contact(crawl):
    async with serve({"/": ""}) as site:
        spider = type("S", (Quiet,), {"start_urls": [site.url]})
        await crawl(spider, user_agent="mybot/2", contact="me@example.org", headers={"X-All": "1"})
        assert {request.headers["User-Agent"] for request in site.requests} == {
            "mybot/2 (+me@example.org)"
        }
        assert site.requests[-1].headers["X-All"] == "1"


# ── order, and again ────────────────────────────────────────────────────────────────────────


async def test_higher_priority_goes_first_within_a_host(crawl):
    async with serve({"/": ""}) as site:

        class Ordered(Quiet):
            start_urls = [site.url]

            def parse(self, response):
                for priority in (0, 5, -5, 10, 5):
                    yield response.follow(
                        f"/p{priority}", self.parse_end, priority=priority, dont_filter=True
                    )

            def parse_end(self, response):
                """The end."""

        await crawl(Ordered, concurrency=1)
        order = [path for _, path in site.arrivals if path.startswith("/p")]
    assert order == ["/p10", "/p5", "/p5", "/p0", "/p-5"]


async def test_a_request_of_higher_priority_overtakes_those_that_wait_already(crawl):
    async with serve({}) as site:

        class Urgent(Quiet):
            start_urls = [f"{site.url}{number}" for number in range(100)]
            handle_status = [404]

            def parse(self, response):
                if response.url.endswith("/0"):
                    yield response.follow("/urgent", priority=1)

        await crawl(Urgent, concurrency=1)
        order = [path for _, path in site.arrivals]
    assert order.index("/urgent") < 50


async def test_requests_of_one_priority_go_in_the_order_they_were_found(crawl):
    async with serve({}) as site:
        urls = [f"{site.url}{number}" for number in range(30)]
        await crawl(type("S", (Quiet,), {"start_urls": urls}), concurrency=1)
        order = [path for _, path in site.arrivals if path != "/robots.txt"]
    assert order == [f"/{number}" for number in range(30)]


async def test_a_page_that_is_linked_from_everywhere_is_fetched_once(crawl, rows):
    links = "".join(f"<a href='/{number}'></a>" for number in range(10))
    async with serve({"/": links, **{f"/{number}": links for number in range(10)}}) as site:

        class Links(Quiet):
            start_urls = [site.url]

            def parse(self, response):
                yield from response.follow_all("a")

        result = await crawl(Links)
        assert {site.hits[f"/{number}"] for number in range(10)} == {1}
    assert result.done == 11


async def test_dont_filter_fetches_a_page_again_that_was_seen(crawl, rows):
    async with serve({"/": ""}) as site:

        class Again(Quiet):
            start_urls = [site.url]

            def parse(self, response):
                for _ in range(2):
                    yield response.follow("/", self.parse_again, dont_filter=True)

            def parse_again(self, response):
                yield Tag(word="again")

        result = await crawl(Again)
        assert site.hits["/"] == 3
    assert (result.done, result.items) == (3, 2)


async def test_running_start_again_adds_its_dont_filter_requests_once(crawl, rows):
    async with serve({"/": ""}) as site:

        class Interrupted(Quiet):
            broken = True

            async def start(self):
                for _ in range(15):
                    yield Request(site.url, dont_filter=True)
                if self.broken:
                    raise RuntimeError("start was cut short")

        with pytest.raises(RuntimeError, match="cut short"):
            await crawl(Interrupted)
        assert rows("SELECT count(*) FROM crawl_request") != [15]
        result = await crawl(type("S", (Interrupted,), {"broken": False}))
        assert site.hits["/"] >= 15
    assert (result.resumed, result.finish, result.done) == (True, "finished", 15)
