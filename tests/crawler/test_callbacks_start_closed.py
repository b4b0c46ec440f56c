# ruff: noqa: RUF012 - spiders are written here as their users write them
"""How a spider starts, and how it is told of the end."""

import asyncio
import json
import traceback

import pytest

from crawler import Crawl, Request, Spider, UsageError
from tests.crawler.words_page import PAGE, Word
from tests.site import serve


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


class CoroutineStart(Started):
    async def start(self):
        return [Request(self.url)]


class SingleStart(Started):
    def start_requests(self):
        return Request(self.url)


@pytest.mark.parametrize(
    ("spider", "said"),
    [
        (CoroutineStart, r"^start\(\) of started yields its Requests, .* return a coroutine$"),
        (SingleStart, r"^start_requests\(\) of started yields its .* return a Request$"),
    ],
)
async def test_a_start_that_returns_what_is_no_list_is_told(spider, said, crawl):
    with pytest.raises(UsageError, match=said):
        await crawl(spider)


async def test_a_run_makes_its_spider_once(crawl, db):
    made = []

    class Counted(Started):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            made.append(self)

    async with serve({"/": PAGE}) as site:
        arguments = {"url": site.url}
        spider = type("S", (Counted,), {"start_urls": [site.url]})
        handle = Crawl(spider, db=db, arguments=arguments)
        await handle.run()
        assert len(made) == 1
        await handle.run()
    assert len(made) == 2


@pytest.mark.parametrize("before", [1, 15], ids=["the first", "more"])
async def test_a_start_that_waits_for_a_page_has_it_fetched_meanwhile(before, crawl, rows):
    class Patient(Started):
        async def start(self):
            self.came = asyncio.Event()
            for number in range(before):
                yield Request(f"{site.url}?n={number}")
            await self.came.wait()
            yield Request(f"{site.url}after")

        def parse(self, response):
            yield from super().parse(response)
            if response.url.endswith(f"?n={before - 1}"):
                self.came.set()

    async with serve({"/": PAGE, "/after": PAGE}) as site, asyncio.timeout(20):
        result = await crawl(Patient)
    assert result.done == before + 1
    assert rows("SELECT url FROM crawl_request ORDER BY id")[-1] == f"{site.url}after"


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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"a": 1}, "yields Requests, not dict: items are yielded by callbacks"),
        (Word(text="a"), "yields Requests, not Word: items are yielded by callbacks"),
        ([Request("http://127.0.0.1:1/")], "yields Requests, not list: write yield for each"),
        ("http://127.0.0.1:1/", "yields Requests, not str: write Request\\(url\\)"),
        (Request("127.0.0.1:1/"), "not an absolute URL: '127.0.0.1:1/', which begins with http"),
        (Request("/a"), "not an absolute URL: '/a', which begins with http:// or https://"),
    ],
)
async def test_what_start_should_yield_instead_is_told(wrong, said, crawl):
    class Odd(Spider):
        name = "odd"

        async def start(self):
            yield wrong

        def parse(self, response):
            """Never called."""

    with pytest.raises(UsageError, match=said):
        await crawl(Odd)


async def test_what_start_raises_comes_out_as_it_was_raised(crawl):
    class Failing(Spider):
        name = "failing"

        async def start(self):
            yield Request("http://127.0.0.1:1/", self.closed)
            try:
                {}["key"]
            except KeyError as error:
                raise LookupError("no login") from error

    with pytest.raises(LookupError, match="no login") as caught:
        await crawl(Failing)
    assert isinstance(caught.value.__cause__, KeyError)
    assert "Group" not in "".join(traceback.format_exception(caught.value))


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
