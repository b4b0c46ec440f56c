# ruff: noqa: RUF012 - spiders are written here as their users write them
"""Middleware that is none, or fails: told before anything runs, or it costs its request."""

import asyncio
import re

import pytest

from crawler import (
    Response,
    Spider,
    UsageError,
    retry,
)
from tests.crawler.read_pages import STATES, Reader, reader
from tests.site import serve


async def test_a_middleware_that_is_no_function_is_told_before_anything_runs(crawl, db):
    with pytest.raises(UsageError, match="middleware 'cont' of"):
        await crawl(reader("http://127.0.0.1:1/", middleware=["cont"]))
    assert not db.exists()


async def _alone(request, call_next):
    return await call_next(request)


class OfScrapys:
    def process_request(self, request, spider):
        """Nobody calls this."""


@pytest.mark.parametrize(
    ("middleware", "said"),
    [
        (_alone, "middleware of reader is a list of functions, not function: put it into [ ]"),
        ("count", "middleware of reader is a list of functions, not str: put it into [ ]"),
        ([OfScrapys()], "middleware OfScrapys of reader is not a function: write async def mw(req"),
        ([OfScrapys], "middleware OfScrapys of reader is not a function: write async def mw(requ"),
    ],
)
async def test_middleware_of_another_shape_is_told_before_anything_runs(
    middleware, said, crawl, db
):
    with pytest.raises(UsageError) as caught:
        await crawl(reader("http://127.0.0.1:1/", middleware=middleware))
    assert str(caught.value).startswith(said)
    assert not db.exists()


async def test_a_middleware_with_other_arguments_is_told_before_anything_runs(crawl, db):
    async def alone(request): ...

    async def three(request, call_next, settings): ...

    for layer, name in ((alone, "alone"), (three, "three"), (retry, "retry")):
        with pytest.raises(UsageError) as caught:
            await crawl(reader("http://127.0.0.1:1/", middleware=[layer]))
        assert f"middleware '{name}' of " in str(caught.value)
        assert str(caught.value).endswith(" takes other arguments than (request, call_next)")
    assert not db.exists()


async def test_a_method_that_is_written_like_a_function_is_told_of_self(crawl, db):
    class Reader(Spider):
        name = "reader"
        start_urls = ("http://127.0.0.1:1/",)

        async def count(request, call_next): ...  # noqa: N805

        middleware = (count,)

    with pytest.raises(UsageError, match=r"arguments than \(self, request, call_next\)$"):
        await crawl(Reader)
    assert not db.exists()


async def test_a_middleware_that_raises_costs_its_request_only(crawl, rows):
    failures = []

    async def broken(request, call_next):
        if request.url.endswith("bad"):
            raise ZeroDivisionError("in the middleware")
        return await call_next(request)

    async with serve({"/": ""}) as site:

        class Careful(Reader):
            start_urls = [site.url]
            middleware = [broken]

            def parse(self, response):
                yield response.follow("/bad", errback=self.failed)

            def failed(self, failure):
                failures.append(failure)

        result = await crawl(Careful)
    assert rows(STATES) == [("done", None), ("failed", "middleware_error")]
    assert result.finish == "finished"
    assert "in the middleware" in rows("SELECT error FROM crawl_request WHERE error NOT NULL")[0]
    assert isinstance(failures[0].exception, ZeroDivisionError)


async def test_a_middleware_that_lets_a_cancellation_escape_costs_its_request_only(crawl, rows):
    async def cancelling(request, call_next):
        if request.url.endswith("bad"):
            helper = asyncio.ensure_future(asyncio.sleep(60))
            helper.cancel()
            await helper
        return await call_next(request)

    async with serve({"/good": ""}) as site:
        spider = reader(f"{site.url}bad", f"{site.url}good", middleware=[cancelling])
        async with asyncio.timeout(5):
            result = await crawl(spider)
    assert rows(STATES) == [("failed", "middleware_error"), ("done", None)]
    assert result.finish == "finished"


async def test_a_middleware_that_forgets_to_answer_costs_its_request_and_is_named(crawl, rows):
    async def forgetful(request, call_next):
        await call_next(request)

    async with serve({"/": ""}) as site:
        await crawl(reader(site.url, middleware=[forgetful]))
    assert rows(STATES) == [("failed", "middleware_error")]
    assert "forgetful" in rows("SELECT error FROM crawl_request")[0]


@pytest.mark.parametrize("answer", [None, Response("http://a.example/")])
async def test_a_middleware_that_is_not_async_costs_its_request_and_is_told(answer, crawl, rows):
    def plain(request, call_next):
        return answer

    async with serve({"/": ""}) as site:
        await crawl(reader(site.url, middleware=[plain]))
    assert rows(STATES) == [("failed", "middleware_error")]
    said = (
        f"middleware plain is awaited, and its {type(answer).__name__} cannot be: write async def"
    )
    assert said in rows("SELECT error FROM crawl_request")[0]


async def test_the_log_says_where_a_middleware_raised(crawl, caplog):
    async def broken(request, call_next):
        return await call_next(request.headers["token"])

    async with serve({"/": ""}) as site:
        await crawl(reader(site.url, middleware=[broken]))
    (line,) = [r.getMessage() for r in caplog.records if "middleware_error" in r.getMessage()]
    assert re.search(r"at=tests/crawler/test_middleware_mistakes\.py:\d+", line)
