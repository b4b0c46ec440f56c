# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What a request brings to its callback, and who is told when it failed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import create_model

from crawler import FetchError, Request, Spider, UsageError
from tests.crawler.words_page import NEXT, PAGE, STATES, Author, Quote, Word
from tests.site import serve

REASON = "SELECT reason FROM crawl_request WHERE url LIKE '%' || ?"


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


@pytest.mark.parametrize("what", ["callback", "errback"])
async def test_the_page_that_names_a_method_which_is_not_there_fails_and_says_so(what, crawl, rows):
    async with serve({"/": PAGE, "/next": NEXT}) as site:

        class Misnamed(Spider):
            name = "misnamed"
            start_urls = [site.url]

            def parse(self, response):
                yield response.follow("/next", **{what: "parse_nxt"})

        result = await crawl(Misnamed)
    assert (result.done, result.failed, result.finish) == (0, 1, "finished")
    assert site.hits["/next"] == 0
    (error,) = rows("SELECT error FROM crawl_request WHERE reason = 'spider_error'")
    assert "LookupError: Misnamed has no method 'parse_nxt'\n" in error


@pytest.mark.parametrize("callback", [None, "parse_nxt"])
async def test_a_start_request_whose_callback_is_not_there_is_told_before_it_is_sent(
    callback, crawl
):
    async with serve({"/": PAGE}) as site:

        class Misnamed(Spider):
            name = "misnamed"

            async def start(self):
                yield Request(site.url, callback)

        with pytest.raises(UsageError, match=f"no method '{callback or 'parse'}'"):
            await crawl(Misnamed)
    assert site.hits["/"] == 0


async def test_a_callback_that_got_another_name_between_two_runs_costs_no_page(crawl, rows):
    pages = {"/": "".join(f"<a href=/{n}>" for n in range(9))}
    pages |= {f"/{n}": f"page {n}" for n in range(9)}
    async with serve(pages) as site:

        class Before(Spider):
            name = "renamed"
            start_urls = [site.url]

            def parse(self, response):
                yield from response.follow_all("a", self.parse_page)

            def parse_page(self, response):
                yield Word(text=response.text)

        class After(Before):
            parse_page = None

            def parse_it(self, response):
                yield Word(text=response.text)

        class Again(After):
            parse_page = After.parse_it

        assert (await crawl(Before, max_pages=3)).finish == "limit"
        hits = sum(site.hits.values())
        with pytest.raises(UsageError, match=r"After has no method 'parse_page', .* --fresh"):
            await crawl(After)
        assert sum(site.hits.values()) == hits
        assert rows("SELECT count(*) FROM crawl_request WHERE state = 'queued'") == [7]
        result = await crawl(Again)
    assert (result.run, result.finish, result.done, result.failed) == (1, "finished", 10, 0)


async def test_a_model_that_wants_another_field_between_two_runs_costs_no_page(crawl, rows):
    other = create_model("Word", __base__=Word, letters=(int, ...))
    async with serve({"/": "".join(f"<a href=/{n}>" for n in range(9))}) as site:

        class Before(Spider):
            name = "changed"
            start_urls = [site.url]
            handle_status = [404]

            def parse(self, response):
                word = Word(text="kept")
                yield from response.follow_all("a", self.parse_page, meta={"word": word})

            def parse_page(self, response):
                yield response.meta["word"]

        class After(Before):
            items = [other]

        assert (await crawl(Before, max_pages=3)).finish == "limit"
        hits = sum(site.hits.values())
        with pytest.raises(
            UsageError, match=r"item of Word .* letters: Field required, .* --fresh"
        ):
            await crawl(After)
        assert sum(site.hits.values()) == hits
        assert rows("SELECT count(*) FROM crawl_request WHERE state = 'queued'") == [7]
        result = await crawl(Before)
    assert (result.run, result.finish, result.done, result.failed) == (1, "finished", 10, 0)
    assert rows("SELECT DISTINCT text FROM word") == ["kept"]


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
