# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What the mistakes of a spider's methods cost: their page, or the crawl before it begins."""

import asyncio
import logging

import pytest

from crawler import Item, Request, Spider
from storage import StoreError
from tests.crawler.words_page import NEXT, PAGE, STATES, Quote, Word
from tests.site import serve


class Number(Item):
    value: int


async def test_a_callback_that_raises_keeps_nothing_of_its_page_and_the_crawl_goes_on(crawl, rows):
    async with serve({"/bad": PAGE, "/good": NEXT, "/next": NEXT}) as site:

        class Raising(Spider):
            name = "raising"
            start_urls = [f"{site.url}bad", f"{site.url}good"]

            def parse(self, response):
                yield Word(text=response.url)
                yield from response.follow_all("a")
                if "bad" in response.url:
                    raise LookupError("no such thing")

        result = await crawl(Raising)
        assert site.hits["/next"] == 0
        assert rows("SELECT text FROM word") == [f"{site.url}good"]
    assert (result.done, result.failed, result.finish) == (1, 1, "finished")
    ((reason, error, status),) = rows(
        "SELECT reason, error, status FROM crawl_request WHERE state = 'failed'"
    )
    assert (reason, status) == ("spider_error", 200)
    assert error.startswith("Traceback")
    assert "no such thing" in error
    assert "test_callbacks_mistakes.py" in error


async def test_a_callback_that_lets_a_cancellation_of_its_own_escape_costs_its_page(crawl, rows):
    async with serve({"/bad": PAGE, "/good": NEXT}) as site:

        class Cancelling(Spider):
            name = "cancelling"
            start_urls = [f"{site.url}bad", f"{site.url}good"]

            async def parse(self, response):
                if "bad" in response.url:
                    helper = asyncio.ensure_future(asyncio.sleep(60))
                    helper.cancel()
                    await helper

        async with asyncio.timeout(5):
            result = await crawl(Cancelling)
    assert rows(STATES) == [("failed", "spider_error"), ("done", None)]
    assert result.finish == "finished"


async def test_headers_that_cannot_be_sent_cost_their_request_only(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Smuggling(Spider):
            name = "smuggling"
            start_urls = [site.url]

            def parse(self, response):
                yield response.follow("/next", headers={"X": "a\r\nY: b"})

        result = await crawl(Smuggling)
        assert site.hits["/next"] == 0
    assert rows(STATES) == [("done", None), ("failed", "bad_request")]
    assert result.finish == "finished"


@pytest.mark.parametrize(
    "wrong", [7, "text", b"bytes", ["list"], object()], ids=lambda wrong: type(wrong).__name__
)
async def test_a_wrong_yield_is_a_spider_error(wrong, crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Wrong(Spider):
            name = "wrong"
            start_urls = [site.url]

            def parse(self, response):
                yield Word(text="lost")
                yield wrong

        result = await crawl(Wrong)
    assert rows(STATES) == [("failed", "spider_error")]
    assert (result.items, result.finish) == (0, "finished")


async def test_an_item_in_meta_is_of_a_model_that_the_spider_is_known_to_have(crawl, rows):
    class Elsewhere(Item):
        value: int

    other = type("Number", (Item,), {"__annotations__": {"value": int}})
    async with serve({"/": PAGE, "/next": NEXT}) as site:

        class Handing(Spider):
            name = "handing"
            start_urls = [site.url]
            given = Number(value=1)

            def parse(self, response):
                items = {"deep": [(self.given,)]}
                yield response.follow("/next", self.parse_next, cb_kwargs={"items": items})

            def parse_next(self, response, items):
                yield items["deep"][0][0]

        await crawl(Handing)
        assert rows("SELECT value FROM number") == [1]
        for item in (Elsewhere(value=2), other(value=3)):
            await crawl(type("S", (Handing,), {"given": item}))
            await crawl(type("S", (Handing,), {"given": item, "items": [type(item)]}))
    assert rows("SELECT state, reason FROM crawl_request WHERE parent IS NULL ORDER BY id") == [
        *[("done", None), ("failed", "spider_error"), ("done", None)],
        *[("failed", "spider_error"), ("done", None)],
    ]
    assert rows("SELECT value FROM number ORDER BY _id") == [1, 3]
    error, _ = rows("SELECT error FROM crawl_request WHERE error NOT NULL")
    assert (
        "LookupError: an item in meta or cb_kwargs is read back by its model's name, and" in error
    )
    assert "has no Elsewhere: import it there by that name, or put it into `items`" in error


async def test_a_log_line_whose_values_do_not_fit_costs_no_page(crawl, rows, caplog):
    async with serve({"/": PAGE}) as site:

        class Talking(Spider):
            name = "talking"
            start_urls = [site.url]

            def parse(self, response):
                self.logger.warning("words", 2)
                self.logger.warning("%d words in %s", "two")
                self.logger.warning("%(n)s words", {"m": 1})
                self.logger.warning("100 %", 5)
                self.logger.warning("%d %% of %s", 5, "all")
                yield Word(text="kept")

        await crawl(Talking)
    assert rows(STATES) == [("done", None)]
    said = [
        r.getMessage().partition(" spider=")[0] for r in caplog.records if r.levelname == "WARNING"
    ]
    assert said == [
        "words (2,)",
        "%d words in %s ('two',)",
        "%(n)s words ({'m': 1},)",
        "100 % (5,)",
        "5 % of all",
    ]


async def test_an_exception_that_is_logged_is_shown_once_by_plain_logging(crawl, caplog):
    async with serve({"/": PAGE}) as site:

        class Failing(Spider):
            name = "failing"
            start_urls = [site.url]

            def parse(self, response):
                try:
                    raise LookupError("lost")
                except LookupError:
                    self.logger.exception("no %s", "price", page=1)

        await crawl(Failing)
    said = logging.Formatter("%(levelname)s %(message)s").format(caplog.records[-1])
    assert said.startswith("ERROR no price spider=failing page=1")
    assert said.count("Traceback") == said.count("LookupError: lost") == 1


async def test_an_integer_of_70_bits_costs_its_page_only(crawl, rows):
    async with serve({"/bad": PAGE, "/good": NEXT}) as site:

        class Big(Spider):
            name = "big"
            start_urls = [f"{site.url}bad", f"{site.url}good"]

            def parse(self, response):
                yield Number(value=1)
                if "bad" in response.url:
                    yield Number(value=1 << 70)
                    yield from response.follow_all("a")

        result = await crawl(Big)
    assert rows(STATES) == [("failed", "item_error"), ("done", None)]
    assert rows("SELECT value FROM number") == [1]
    assert (result.items, result.finish) == (1, "finished")


async def test_a_value_that_cannot_be_stored_costs_its_page_only(crawl, rows):
    async with serve({"/bad": PAGE, "/good": NEXT}) as site:

        class Unstorable(Spider):
            name = "unstorable"
            start_urls = [f"{site.url}bad", f"{site.url}good"]

            def parse(self, response):
                yield {"value": object() if "bad" in response.url else 1}

        await crawl(Unstorable)
    assert rows(STATES) == [("failed", "item_error"), ("done", None)]
    assert rows("SELECT data FROM item") == ['{"value":1}']


@pytest.mark.parametrize(
    ("select", "reason", "said"),
    [
        (
            lambda page: Quote(text="", at="2024-01-01", author={"name": ""}, tags=page.css("b")),
            "spider_error",
            "a valid string",
        ),
        (lambda page: {"texts": page.css("b")}, "item_error", "write .get() or .getall()"),
        (lambda page: {"text": page.css("b")[0]}, "item_error", "write .get() or .getall()"),
        (lambda page: {"texts": page.xpath("//b")}, "item_error", "write .get() or .getall()"),
        (lambda page: page.css("b"), "spider_error", "not SelectorList: write .get() or .getall()"),
        (lambda page: page.css("b")[0], "spider_error", "not Selector: write .get() or .getall()"),
        (lambda page: page.follow_all("a"), "spider_error", "requests at once: write yield from"),
        (lambda page: [{}, {}], "spider_error", "not list: write yield from"),
        (lambda page: ({} for _ in "ab"), "spider_error", "not generator: write yield from"),
    ],
)
async def test_what_was_to_be_read_or_gone_through_is_told(select, reason, said, crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Forgetful(Spider):
            name = "forgetful"
            start_urls = [site.url]

            def parse(self, response):
                yield select(response)

        await crawl(Forgetful)
    assert rows(STATES) == [("failed", reason)]
    assert said in rows("SELECT error FROM crawl_request")[0]


@pytest.mark.parametrize(
    "returned", [Word(text="lost"), [{"lost": 1}], Request("http://a.example/")]
)
async def test_what_a_generator_returns_is_not_lost_without_a_word(returned, crawl, rows):
    async with serve({"/bad": PAGE, "/good": NEXT}) as site:

        class Returning(Spider):
            name = "returning"
            start_urls = [f"{site.url}bad", f"{site.url}good"]

            def parse(self, response):
                if "bad" in response.url:
                    return returned
                yield Word(text="kept")
                return None

        await crawl(Returning)
    assert rows(STATES) == [("failed", "spider_error"), ("done", None)]
    assert rows("SELECT text FROM word") == ["kept"]
    (error,) = rows("SELECT error FROM crawl_request WHERE error NOT NULL")
    kind = type(returned).__name__
    assert f"parse yields its results, and the {kind} it returns is lost: yield it" in error
    assert "yielded at tests/crawler/test_callbacks_mistakes.py:" in error


async def test_an_unannounced_model_that_clashes_with_a_table_costs_its_page_only(crawl, rows):
    other = type("Word", (Item,), {"__annotations__": {"letters": int}})
    async with serve({"/good": NEXT, "/bad": PAGE, "/late": NEXT + "!"}) as site:

        class Clashing(Spider):
            name = "clashing"
            start_urls = [f"{site.url}{path}" for path in ("good", "bad", "late")]

            def parse(self, response):
                yield other(letters=3) if "bad" in response.url else Word(text="kept")

        result = await crawl(Clashing, concurrency=1)
    assert rows(STATES) == [("done", None), ("failed", "item_error"), ("done", None)]
    assert (result.items, result.finish) == (2, "finished")


async def test_two_models_of_one_table_are_an_error_before_anything_is_fetched(crawl):
    other = type("Word", (Item,), {"__annotations__": {"letters": int}, "__table__": "word"})
    other.__name__ = "Other"
    async with serve({"/": PAGE}) as site:

        class Clashing(Spider):
            name = "clashing"
            start_urls = [site.url]
            items = [Word, other]

            def parse(self, response):
                yield Word(text="x")

        with pytest.raises(StoreError, match="word"):
            await crawl(Clashing)
        assert not site.hits
