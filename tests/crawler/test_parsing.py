"""Pages of different sizes: whatever thread parses them, the spider sees the same."""

import asyncio

import pytest

from crawler import Item, Request, Spider, response
from crawler.traps import content_of
from crawler.trial import TRIAL
from tests.site import serve

LARGE = 300_000  # bytes: parsed beside the event loop


class Heading(Item):
    text: str | None


def page(heading: str, size: int) -> str:
    return f"<h1>{heading}</h1>{'<p>a paragraph</p>' * (size // 18)}"


@pytest.fixture
def aside(monkeypatch):
    """The sizes of the pages that were parsed on another thread."""
    sizes = []
    original = response.parse_aside

    async def recorded(page, look):
        sizes.append(len(page))
        return await original(page, look)

    monkeypatch.setattr(response, "parse_aside", recorded)
    return sizes


async def test_a_large_page_is_parsed_aside_and_reads_like_a_small_one(crawl, rows, aside):
    pages = {"/small": page("small", 1000), "/large": page("large", LARGE)}

    async with serve(pages) as site:

        class Headings(Spider):
            name = "headings"
            start_urls = (f"{site.url}small", f"{site.url}large")

            def parse(self, response):
                yield Heading(text=response.css("h1::text").get())

        await crawl(Headings)
    assert aside == [len(pages["/large"])]
    assert sorted(rows("SELECT text FROM heading")) == ["large", "small"]
    contents = rows("SELECT content FROM crawl_request")
    assert set(contents) == {content_of(text.encode()) for text in pages.values()}


async def test_a_page_of_middling_size_is_tried_while_the_event_loop_goes_on(crawl):
    async with serve({"/": "<ul><li>" * 15_000}) as site:

        class Headings(Spider):
            name = "headings"
            start_urls = (site.url,)

            def parse(self, response):
                yield Heading(text=response.css("h1::text").get())

        crawling = asyncio.ensure_future(crawl(Headings, parse_budget=0.2))
        tried = 0
        while not crawling.done():
            tried += TRIAL._lock.locked()
            await asyncio.sleep(0.005)
    assert (await crawling).reasons == {"failed": {"parse_budget": 1}}
    assert tried > 5


async def test_a_callback_that_does_not_select_has_nothing_parsed_for_it(crawl, rows, aside):
    sizes = [LARGE + number for number in range(3)]

    async with serve({f"/{size}": page("x", size) + "." * size for size in sizes}) as site:

        class Lengths(Spider):
            name = "lengths"
            settings = {"concurrency": 1}  # noqa: RUF012

            async def start(self):
                for size in sizes:
                    yield Request(f"{site.url}{size}")

            def parse(self, response):
                yield {"length": len(response.body)}

        await crawl(Lengths)
    assert len(aside) == 1  # the first: nobody could know
    assert len(rows("SELECT * FROM item")) == 3


async def test_a_large_page_that_costs_too_much_fails_alone(crawl, rows, aside):
    pages = {"/deep": "<ul><li>" * (LARGE // 8), "/large": page("large", LARGE)}

    async with serve(pages) as site:

        class Headings(Spider):
            name = "headings"
            start_urls = (f"{site.url}deep", f"{site.url}large")

            def parse(self, response):
                yield Heading(text=response.css("h1::text").get())

        await crawl(Headings, parse_budget=0.2)
    assert aside == [len(pages["/large"])]  # the other was only tried
    states = "SELECT state, reason FROM crawl_request ORDER BY state"
    assert rows(states) == [("done", None), ("failed", "parse_budget")]
