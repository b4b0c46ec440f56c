# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What a spider's methods may look like, what they may yield, and what their mistakes cost."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from crawler import Crawl, FetchError, Item, Request, Spider, UsageError
from storage import StoreError
from tests.site import serve

STATES = "SELECT state, reason FROM crawl_request ORDER BY id"
REASON = "SELECT reason FROM crawl_request WHERE url LIKE '%' || ?"


class Word(Item):
    text: str


class Number(Item):
    value: int


class Author(BaseModel):
    name: str


class Quote(Item):
    text: str
    tags: list[str]
    author: Author
    at: datetime
    likes: int | None = None


def words(response) -> list[str]:
    return response.css("b::text").getall()


PAGE = "<b>one</b><b>two</b><a href='/next'>next</a>"
NEXT = "<b>three</b>"


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


# ── meta, cb_kwargs, names ──────────────────────────────────────────────────────────────────


async def test_meta_and_cb_kwargs_come_back_as_they_were_given(crawl, rows):
    given = {
        "text": "ü",
        "number": 7,
        "float": 0.5,
        "nothing": None,
        "list": [1, [2, "3"]],
        "dict": {"a": {"b": True}},
        "tuple": (1, ("x", None)),
        "set": {1, 2},
        "bytes": b"\x00\xff",
        "moment": datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=UTC),
        "item": Quote(
            text="q", tags=["t"], author=Author(name="A"), at=datetime(2024, 1, 1, tzinfo=UTC)
        ),
    }
    found: list[Any] = []
    async with serve({"/": PAGE, "/next": NEXT}) as site:

        class Carrying(Spider):
            name = "carrying"
            start_urls = [site.url]

            def parse(self, response):
                yield response.follow("/next", self.parse_next, meta=given, cb_kwargs=given)

            def parse_next(self, response, **arguments):
                found.extend([response.meta, response.request.meta, arguments])

        await crawl(Carrying)
    assert found == [given, given, given]
    assert type(found[0]["item"]) is Quote
    assert type(found[0]["tuple"]) is tuple


async def test_a_meta_that_cannot_be_kept_costs_the_page_that_yields_it(crawl, rows):
    async with serve({"/": PAGE, "/other": NEXT}) as site:

        class Unkeepable(Spider):
            name = "unkeepable"
            start_urls = [site.url, f"{site.url}other"]

            def parse(self, response):
                yield Word(text=response.url)
                if response.url == site.url:
                    yield response.follow("/next", meta={"lock": object()})

        result = await crawl(Unkeepable)
        assert rows("SELECT text FROM word") == [f"{site.url}other"]
    assert (result.done, result.failed) == (1, 1)
    assert rows("SELECT reason FROM crawl_request WHERE state = 'failed'") == ["spider_error"]
    assert "object" in rows("SELECT error FROM crawl_request WHERE state = 'failed'")[0]


async def test_a_callback_may_be_given_by_its_name(crawl, rows):
    async with serve({"/": PAGE, "/next": NEXT}) as site:

        class Named(Spider):
            name = "named"
            start_urls = [site.url]

            def parse(self, response):
                yield response.follow("/next", "parse_next")

            def parse_next(self, response):
                yield Word(text="by name")

        await crawl(Named)
    assert rows("SELECT text FROM word") == ["by name"]
    assert rows("SELECT callback FROM crawl_request ORDER BY id") == [None, "parse_next"]


async def test_a_callback_that_the_spider_does_not_have_costs_its_page_only(crawl, rows):
    async with serve({"/": PAGE, "/next": NEXT}) as site:

        class Misnamed(Spider):
            name = "misnamed"
            start_urls = [site.url]

            def parse(self, response):
                yield response.follow("/next", "parse_nxt")

        result = await crawl(Misnamed)
    assert (result.done, result.failed, result.finish) == (1, 1, "finished")
    assert rows(REASON, "/next") == ["spider_error"]
    assert "parse_nxt" in rows("SELECT error FROM crawl_request WHERE state = 'failed'")[0]


# ── handle_status and errback ───────────────────────────────────────────────────────────────


async def test_a_page_that_is_not_2xx_fails_with_its_status(crawl, rows):
    async with serve({}) as site:

        class Missing(Spider):
            name = "missing"
            start_urls = [site.url]

            def parse(self, response):
                yield Word(text="not to be seen")

        result = await crawl(Missing)
    assert rows("SELECT state, reason, status, attempts FROM crawl_request") == [
        ("failed", "http_404", 404, 1)
    ]
    assert (result.failed, result.items, result.finish) == (1, 0, "finished")
    assert result.all_starts_failed


async def test_handle_status_of_the_spider_lets_a_404_through(crawl, rows):
    async with serve({"/gone": (410, {}, NEXT)}) as site:

        class Tolerant(Spider):
            name = "tolerant"
            start_urls = [site.url, f"{site.url}gone"]
            handle_status = [404]

            def parse(self, response):
                yield {"status": response.status}

        await crawl(Tolerant)
    assert rows("SELECT data ->> 'status' FROM item") == [404]
    assert rows(STATES) == [("done", None), ("failed", "http_410")]


async def test_handle_status_of_a_request_holds_for_that_request(crawl, rows):
    async with serve({"/": PAGE}) as site:

        class Tolerant(Spider):
            name = "tolerant"
            start_urls = [site.url]

            def parse(self, response):
                yield response.follow("/a", self.parse_missing, handle_status=[404])
                yield response.follow("/b", self.parse_missing)

            def parse_missing(self, response):
                yield {"status": response.status, "url": response.url}

        await crawl(Tolerant)
        assert rows("SELECT data ->> 'url' FROM item") == [f"{site.url}a"]
    assert rows(REASON, "/b") == ["http_404"]


async def test_an_errback_is_told_what_happened_and_may_yield(crawl, rows):
    failures: list[Any] = []
    async with serve({"/": PAGE, "/silent": None, "/next": NEXT}) as site:

        class Careful(Spider):
            name = "careful"
            start_urls = [site.url]

            def parse(self, response):
                for path in ("missing", "silent"):
                    yield response.follow(f"/{path}", errback=self.failed, meta={"path": path})

            def failed(self, failure):
                failures.append(failure)
                yield Word(text=failure.reason)
                yield Request(f"{site.url}next", self.parse_next)

            def parse_next(self, response):
                yield Word(text="after")

        await crawl(Careful, retries=1)
    missing, silent = sorted(failures, key=lambda failure: failure.request.meta["path"])
    assert (missing.reason, missing.response.status, missing.exception) == ("http_404", 404, None)
    assert silent.response is None
    assert isinstance(silent.exception, FetchError)
    assert silent.reason == silent.exception.reason == "connection"
    assert rows("SELECT text FROM word ORDER BY text") == ["after", "connection", "http_404"]
    assert rows("SELECT state FROM crawl_request WHERE url LIKE '%missing'") == ["failed"]


async def test_an_errback_is_called_once_after_the_last_try(crawl, rows):
    calls: list[str] = []
    async with serve({"/": (500, {}, "")}) as site:

        class Careful(Spider):
            name = "careful"

            async def start(self):
                yield Request(site.url, errback=self.failed)

            async def failed(self, failure):
                calls.append(failure.reason)

        await crawl(Careful, retries=2)
        assert site.hits["/"] == 3
    assert calls == ["http_500"]


async def test_an_errback_that_raises_costs_nothing_but_its_own_results(crawl, rows):
    async with serve({}) as site:

        class Clumsy(Spider):
            name = "clumsy"

            async def start(self):
                yield Request(site.url, errback=self.failed)

            def failed(self, failure):
                yield Word(text="lost")
                raise RuntimeError("in the errback")

        result = await crawl(Clumsy)
    assert (result.failed, result.items, result.finish) == (1, 0, "finished")
    assert "in the errback" in rows("SELECT error FROM crawl_request")[0]


# ── mistakes ────────────────────────────────────────────────────────────────────────────────


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
    assert "test_callbacks.py" in error


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


@pytest.mark.parametrize("wrong", [7, "text", b"bytes", ["list"], object()], ids=repr)
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


# ── start, fetch, closed ────────────────────────────────────────────────────────────────────


class Started(Spider):
    name = "started"
    url = ""

    def parse(self, response):
        yield Word(text=response.url.rpartition("/")[2])


class AsyncStart(Started):
    async def start(self):
        await asyncio.sleep(0)
        yield Request(f"{self.url}a")
        yield Request(f"{self.url}b")


class PlainStart(Started):
    def start(self):
        yield Request(f"{self.url}a")
        yield Request(f"{self.url}b")


class ListStart(Started):
    def start(self):
        return [Request(f"{self.url}a"), Request(f"{self.url}b")]


class OlderStart(Started):
    def start_requests(self):
        yield Request(f"{self.url}a")
        yield Request(f"{self.url}b")


@pytest.mark.parametrize("spider", Started.__subclasses__(), ids=lambda spider: spider.__name__)
async def test_start_requests_may_come_in_any_way(spider, crawl, rows):
    async with serve({"/a": PAGE, "/b": PAGE}) as site:
        await crawl(type("S", (spider,), {"url": site.url}))
    assert rows("SELECT text FROM word ORDER BY text") == ["a", "b"]


async def test_the_same_start_request_twice_is_fetched_once(crawl, rows):
    async with serve({"/": PAGE}) as site:
        spider = type("S", (Started,), {"start_urls": [site.url, site.url + "#x", site.url]})
        result = await crawl(spider)
        assert site.hits["/"] == 1
    assert result.done == 1


async def test_thousands_of_start_urls_are_each_fetched_once(crawl, rows):
    async with serve({"/": PAGE}) as site:
        spider = type(
            "S", (Started,), {"start_urls": [f"{site.url}?n={number}" for number in range(2500)]}
        )
        result = await crawl(spider, concurrency=64, concurrency_per_host=64)
        assert site.hits["/"] == 2500
    assert (result.done, result.items, result.queued) == (2500, 2500, 0)


@pytest.mark.parametrize("url", ["nonsense", "/relative", "ftp://host/x", "http://", ""])
async def test_a_start_url_that_is_none_is_a_usage_error_and_nothing_runs(url, crawl):
    async with serve({"/": PAGE}) as site:
        with pytest.raises(UsageError, match="started"):
            await crawl(type("S", (Started,), {"start_urls": [site.url, url]}))
        assert not site.hits


async def test_a_start_that_yields_no_request_is_a_usage_error(crawl):
    class Items(Spider):
        name = "items"

        async def start(self):
            yield {"not": "a request"}

    with pytest.raises(UsageError, match="dict"):
        await crawl(Items)


async def test_a_spider_that_has_nothing_to_start_with_is_a_usage_error(crawl):
    with pytest.raises(UsageError, match="started has nothing to start with"):
        await crawl(Started)


async def test_a_spider_whose_start_yields_nothing_today_finishes_at_once(crawl):
    class Idle(Started):
        async def start(self):
            return
            yield

    result = await crawl(Idle)
    assert (result.finish, result.done, result.queued) == ("finished", 0, 0)


async def test_text_for_start_urls_is_told_and_not_taken_letter_by_letter(crawl):
    with pytest.raises(UsageError, match="start_urls of started is text: make it a list"):
        await crawl(type("S", (Started,), {"start_urls": "http://127.0.0.1:1/"}))


async def test_a_relative_url_in_a_request_fails_its_page(crawl, rows):
    class Relative(Started):
        def parse(self, response):
            yield Request("/next")

    async with serve({"/": PAGE}) as site:
        await crawl(type("S", (Relative,), {"start_urls": [site.url]}))
    ((reason, error),) = rows("SELECT reason, error FROM crawl_request")
    assert reason == "spider_error"
    assert "relative url '/next': use response.follow" in error


async def test_scrapys_custom_settings_count_and_the_unknown_are_told(crawl, caplog):
    class Ported(Started):
        custom_settings = {"CONCURRENT_REQUESTS": 2, "DEPTH_LIMIT": 0, "FEEDS": {}}

    async with serve({"/": PAGE}) as site:
        spider = type("S", (Ported,), {"start_urls": [site.url], "parse": lambda s, r: None})
        with caplog.at_level("WARNING", "crawler"):
            crawl_ = Crawl(spider, db="unused.db")
    assert (crawl_.settings.concurrency, crawl_.settings.max_depth) == (2, None)
    assert "custom_settings_ignored" in caplog.text
    assert "FEEDS" in caplog.text


async def test_a_spider_without_a_name_is_a_usage_error(crawl):
    with pytest.raises(UsageError, match="name"):
        await crawl(Spider)


async def test_arguments_become_attributes_of_the_spider(crawl, rows):
    async with serve({"/poetry": PAGE}) as site:
        spider = type("S", (Started,), {"url": site.url, "category": "all"})

        class Categories(spider):
            async def start(self):
                yield Request(f"{self.url}{self.category}")

        await crawl(Categories, arguments={"category": "poetry"})
    assert rows("SELECT text FROM word") == ["poetry"]
    assert json.loads(rows("SELECT arguments FROM crawl_run")[0]) == {"category": "poetry"}


async def test_an_argument_may_not_hide_a_method(crawl, db):
    with pytest.raises(UsageError, match="parse"):
        await crawl(Started, arguments={"parse": "x"})
    assert not db.exists()


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


@pytest.mark.parametrize("hook", ["plain", "async"])
async def test_closed_is_called_once_with_how_the_run_ended(hook, crawl):
    calls: list[str] = []

    class Closing(Started):
        if hook == "plain":

            def closed(self, reason):
                calls.append(reason)
        else:

            async def closed(self, reason):
                await asyncio.sleep(0)
                calls.append(reason)

    async with serve({"/": PAGE}) as site:
        await crawl(type("S", (Closing,), {"start_urls": [site.url]}))
    assert calls == ["finished"]


async def test_closed_is_told_of_a_limit(crawl):
    calls: list[str] = []

    class Closing(Started):
        def closed(self, reason):
            calls.append(reason)

    async with serve({"/": PAGE}) as site:
        urls = [f"{site.url}?{number}" for number in range(5)]
        await crawl(type("S", (Closing,), {"start_urls": urls}), max_pages=2)
    assert calls == ["limit"]


async def test_closed_is_told_that_a_cancelled_run_was_stopped(crawl):
    calls: list[str] = []
    parsing = asyncio.Event()

    class Closing(Spider):
        name = "closing"

        async def parse(self, response):
            parsing.set()
            await asyncio.Event().wait()

        def closed(self, reason):
            calls.append(reason)

    async with serve({"/": PAGE}) as site:
        task = asyncio.ensure_future(crawl(type("S", (Closing,), {"start_urls": [site.url]})))
        await asyncio.wait_for(parsing.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert calls == ["stopped"]
