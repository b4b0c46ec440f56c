# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What a spider's methods may look like, and the items they may yield."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from crawler import Spider
from tests.crawler.words_page import NEXT, PAGE, Author, Quote, Word
from tests.site import serve


def words(response) -> list[str]:
    return response.css("b::text").getall()


# ── shapes ──────────────────────────────────────────────────────────────────────────────────


class Shaped(Spider):
    """Every spider below must find the words of two pages."""

    name = "shaped"


class Generator(Shaped):
    def parse(self, response):
        for word in words(response):
            yield Word(text=word)
        yield from response.follow_all("a")


class AsyncGenerator(Shaped):
    async def parse(self, response):
        for word in words(response):
            await asyncio.sleep(0)
            yield Word(text=word)
        for request in response.follow_all("a"):
            yield request


class Coroutine(Shaped):
    async def parse(self, response):
        await asyncio.sleep(0)
        return [*(Word(text=word) for word in words(response)), *response.follow_all("a")]


class CoroutineOfGenerator(Shaped):
    async def parse(self, response):
        await asyncio.sleep(0)
        return (Word(text=w) if isinstance(w, str) else w for w in self.mixed(response))

    def mixed(self, response):
        yield from words(response)
        yield from response.follow_all("a")


class Function(Shaped):
    def parse(self, response):
        return [*(Word(text=word) for word in words(response)), *response.follow_all("a")]


class WithNones(Shaped):
    def parse(self, response):
        for word in words(response):
            yield None
            yield Word(text=word)
        yield None
        yield from response.follow_all("a")


@pytest.mark.parametrize("spider", Shaped.__subclasses__(), ids=lambda spider: spider.__name__)
async def test_a_callback_may_have_any_shape(spider, crawl, rows):
    async with serve({"/": PAGE, "/next": NEXT}) as site:
        result = await crawl(type("S", (spider,), {"start_urls": [site.url]}))
    assert rows("SELECT text FROM word ORDER BY text") == ["one", "three", "two"]
    assert (result.done, result.items) == (2, 3)


async def test_a_plain_function_may_return_a_single_item(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Single(Spider):
            name = "single"
            start_urls = [site.url]

            def parse(self, response):
                return Word(text="alone")

        await crawl(Single)
    assert rows("SELECT text FROM word") == ["alone"]


async def test_a_plain_function_may_return_a_single_request(crawl, rows):
    async with serve({"/": PAGE, "/next": NEXT}) as site:

        class Single(Spider):
            name = "single"
            start_urls = [site.url]

            def parse(self, response):
                return response.follow("/next", self.parse_next)

            async def parse_next(self, response):
                return {"at": response.url}

        await crawl(Single)
        assert rows("SELECT data ->> 'at' FROM item") == [f"{site.url}next"]


async def test_a_callback_that_returns_nothing_finishes_its_page(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Silent(Spider):
            name = "silent"
            start_urls = [site.url]

            def parse(self, response):
                return None

        result = await crawl(Silent)
    assert (result.done, result.items, result.finish) == (1, 0, "finished")


async def test_a_long_generator_lets_others_work_meanwhile(crawl, rows):
    order: list[str] = []
    async with serve({"/long": "", "/short": ""}) as site:

        class Long(Spider):
            name = "long"
            start_urls = [f"{site.url}long", f"{site.url}short"]

            def parse(self, response):
                order.append(f"begin {response.url[-5:]}")
                until = time.monotonic() + 0.1
                while time.monotonic() < until:
                    yield None
                order.append(f"end {response.url[-5:]}")

        ticks = asyncio.ensure_future(ticking(order))
        await crawl(Long, max_results=10**9)
        ticks.cancel()
    began = order.index("begin /long")
    assert "tick" in order[began : order.index("end /long")]


async def ticking(order: list[str]) -> None:
    while True:
        order.append("tick")
        await asyncio.sleep(0)


# ── items ───────────────────────────────────────────────────────────────────────────────────


async def test_an_item_of_nested_values_becomes_a_row_of_typed_columns(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Quotes(Spider):
            name = "quotes"
            start_urls = [site.url]

            def parse(self, response):
                moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
                yield Quote(text="q", tags=["a", "ü"], author=Author(name="Ann"), at=moment)

        await crawl(Quotes)
        assert rows("SELECT text, tags, author, at, likes, _url, _run FROM quote") == [
            ("q", '["a","ü"]', '{"name":"Ann"}', "2024-02-29T12:00:00Z", None, site.url, 1)
        ]
    (at,) = rows("SELECT _at FROM quote")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) < 600


async def test_a_dict_goes_to_the_table_item_as_json(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Dicts(Spider):
            name = "dicts"
            start_urls = [site.url]

            def parse(self, response):
                yield {"a": 1, "deep": {"list": [1, None, {"x": "ü"}]}}

        await crawl(Dicts)
        ((data, url),) = rows("SELECT data, _url FROM item")
        assert json.loads(data) == {"a": 1, "deep": {"list": [1, None, {"x": "ü"}]}}
        assert url == site.url


async def test_a_plain_pydantic_model_is_an_item_too(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Authors(Spider):
            name = "authors"
            start_urls = [site.url]

            def parse(self, response):
                yield Author(name="Ann")

        await crawl(Authors)
    assert rows("SELECT name FROM author") == ["Ann"]


async def test_what_happens_to_an_item_after_it_was_yielded_changes_nothing(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Mutating(Spider):
            name = "mutating"
            start_urls = [site.url]

            def parse(self, response):
                item: dict[str, Any] = {"tags": ["a"]}
                yield item
                item["tags"].append("b")

        await crawl(Mutating)
    assert rows("SELECT data FROM item") == ['{"tags":["a"]}']


async def test_an_items_url_is_the_page_it_was_found_on_after_redirects(crawl, rows):
    async with serve({"/": (302, {"Location": "/there"}, ""), "/there": PAGE}) as site:

        class Redirected(Spider):
            name = "redirected"
            start_urls = [site.url]

            def parse(self, response):
                yield Word(text="x")

        await crawl(Redirected)
        assert rows("SELECT _url FROM word") == [f"{site.url}there"]
