# ruff: noqa: RUF012 - spiders are written here as their users write them
"""The user's own middleware, around the fetcher."""

import asyncio

import pytest

from crawler import (
    DropRequest,
    FetchError,
    Request,
    Response,
    RetryLater,
    Spider,
)
from tests.crawler.read_pages import STATES, TRIES, Reader, Seen, reader
from tests.site import serve


async def test_a_function_of_three_lines_is_a_middleware(crawl, rows):
    async def with_token(request, call_next):
        request.headers["Authorization"] = "Bearer x"
        return await call_next(request)

    async with serve({"/": "hello"}) as site:
        await crawl(reader(site.url, middleware=[with_token]))
        assert site.requests[-1].headers["Authorization"] == "Bearer x"
    assert rows("SELECT text FROM seen") == ["hello"]


async def test_a_method_of_the_spider_is_a_middleware_too(crawl, rows):
    async with serve({"/": "hello"}) as site:

        class Counting(Reader):
            start_urls = [site.url]
            seen = 0

            def __init__(self, **arguments):
                super().__init__(**arguments)
                self.middleware = [self.count]

            async def count(self, request, call_next):
                self.seen += 1
                return await call_next(request)

            def parse(self, response):
                yield {"seen": self.seen}

        await crawl(Counting)
    assert rows("SELECT data ->> 'seen' FROM item") == [1]


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_method_is_named_in_the_class_body(crawl, rows, by_name):
    async with serve({"/": "hello"}) as site:

        class Counting(Reader):
            start_urls = [site.url]
            seen = 0

            async def count(self, request, call_next):
                self.seen += 1
                return await call_next(request)

            middleware = ["count" if by_name else count]

            def parse(self, response):
                yield {"seen": self.seen}

        await crawl(Counting)
    assert rows("SELECT data ->> 'seen' FROM item") == [1]


async def test_the_first_middleware_is_the_outermost(crawl):
    order: list[str] = []

    def layer(name):
        async def middleware(request, call_next):
            order.append(f"{name} in")
            response = await call_next(request)
            order.append(f"{name} out")
            return response

        return middleware

    async with serve({"/": ""}) as site:
        await crawl(reader(site.url, middleware=[layer("first"), layer("second")]))
    assert order == ["first in", "second in", "second out", "first out"]


async def test_a_middleware_may_send_another_request_instead(crawl, rows):
    async def elsewhere(request, call_next):
        return await call_next(request.replace(url=request.url + "?lang=en"))

    async with serve({"/?lang=en": "english", "/": "german"}) as site:
        await crawl(reader(site.url, middleware=[elsewhere]))
        assert rows("SELECT url, text FROM seen") == [(f"{site.url}?lang=en", "english")]
        assert rows("SELECT url, state FROM crawl_request") == [(site.url, "done")]


def without(path: str) -> tuple[int, dict[str, str], str]:
    return (200, {"Content-Type": "text/plain"}, f"User-agent: *\nDisallow: {path}\n")


@pytest.mark.parametrize("how", ["in its place", "another request"])
async def test_a_url_that_a_middleware_changes_is_one_that_robots_txt_allows(how, crawl, rows):
    async def elsewhere(request, call_next):
        url = request.url.replace("/old", "/private").replace("/new", "/open")
        if how == "another request":
            return await call_next(request.replace(url=url))
        request.url = url
        return await call_next(request)

    pages = {"/robots.txt": without("/private"), "/private": "secret", "/open": "open"}
    async with serve(pages) as site:
        async with asyncio.timeout(5):
            spider = reader(f"{site.url}old", f"{site.url}new", middleware=[elsewhere])
            await crawl(spider, concurrency_per_host=1)
        assert dict(site.hits) == {"/robots.txt": 1, "/open": 1}
    assert rows(STATES) == [("skipped", "robots"), ("done", None)]
    assert rows("SELECT text FROM seen") == ["open"]


async def test_a_url_that_a_middleware_changes_needs_no_robots_txt_where_none_counts(crawl, rows):
    async def elsewhere(request, call_next):
        return await call_next(request.replace(url=f"{request.url}private"))

    async with serve({"/robots.txt": without("/private"), "/private": "secret"}) as site:
        await crawl(reader(site.url, middleware=[elsewhere]), robots=False)
        assert dict(site.hits) == {"/private": 1}
    assert rows("SELECT text FROM seen") == ["secret"]


async def test_a_middleware_may_change_the_response(crawl, rows):
    async def shout(request, call_next):
        response = await call_next(request)
        return Response(
            response.url,
            headers=response.headers,
            body=response.body.upper(),
            request=response.request,
        )

    async with serve({"/": "hello"}) as site:
        await crawl(reader(site.url, middleware=[shout]))
    assert rows("SELECT text FROM seen") == ["HELLO"]


@pytest.mark.parametrize("names", ["its request", "only its url"])
async def test_a_middleware_may_answer_by_itself(names, crawl, rows):
    async def from_the_cache(request, call_next):
        given = {"request": request} if names == "its request" else {}
        return Response(request.url, body=b"cached", **given)

    async with serve({"/": "fresh"}) as site:

        class Asking(Reader):
            middleware = [from_the_cache]

            async def start(self):
                arguments = {"cb_kwargs": {"word": "kept"}, "meta": {"k": 1}}
                yield Request(site.url, self.parse_cached, **arguments)

            def parse_cached(self, response, word):
                yield Seen(url=response.url, text=f"{response.text} {word} {response.meta['k']}")

        await crawl(Asking)
        assert site.hits["/"] == 0
    assert rows("SELECT text FROM seen") == ["cached kept 1"]


async def test_an_answer_that_is_given_to_several_is_each_ones_own(crawl, rows):
    kept = Response("http://127.0.0.1:8000/", body=b"<h1>kept</h1>")

    async def cache(request, call_next):
        return kept

    class Cached(Spider):
        name = "cached"
        middleware = [cache]
        inside = 0

        async def start(self):
            self.all_inside = asyncio.Event()
            for n in range(3):
                yield Request(kept.url, meta={"n": n}, dont_filter=True)

        async def parse(self, response):
            self.inside += 1
            if self.inside == 3:
                self.all_inside.set()
            await self.all_inside.wait()
            yield {"n": response.meta["n"], "h1": response.css("h1::text").get()}

    async with asyncio.timeout(10):
        await crawl(Cached, robots=False)
    assert rows("SELECT data ->> 'n', data ->> 'h1' FROM item ORDER BY 1") == [
        (n, "kept") for n in range(3)
    ]


async def test_a_middleware_may_call_the_next_one_twice(crawl, rows):
    async def twice(request, call_next):
        await call_next(request)
        return await call_next(request)

    async with serve({"/a": "a", "/b": "b"}) as site:
        async with asyncio.timeout(5):
            await crawl(
                reader(f"{site.url}a", f"{site.url}b", middleware=[twice]), concurrency_per_host=1
            )
        assert (site.hits["/a"], site.hits["/b"]) == (2, 2)
    assert rows("SELECT text FROM seen ORDER BY text") == ["a", "b"]


async def test_a_middleware_may_send_a_request_of_its_own_before(crawl, rows):
    async def with_token(request, call_next):
        token = await call_next(Request(f"{site.url}token"))
        request.headers["Authorization"] = token.text
        return await call_next(request)

    async with serve({"/": "hello", "/token": "secret"}) as site:
        async with asyncio.timeout(5):
            await crawl(reader(site.url, middleware=[with_token]), concurrency_per_host=1)
        assert site.requests[-1].headers["Authorization"] == "secret"
    assert rows("SELECT text FROM seen") == ["hello"]


async def test_a_middleware_that_drops_a_request_skips_it_with_its_reason(crawl, rows):
    async def no_pdf(request, call_next):
        if request.url.endswith(".pdf"):
            raise DropRequest("pdf")
        return await call_next(request)

    async with serve({"/": "", "/x.pdf": ""}) as site:
        result = await crawl(reader(site.url, f"{site.url}x.pdf", middleware=[no_pdf]))
        assert site.hits["/x.pdf"] == 0
    assert rows(STATES) == [("done", None), ("skipped", "pdf")]
    assert result.reasons["skipped"] == {"pdf": 1}


async def test_a_middleware_may_fail_a_request_with_a_reason_of_its_own(crawl, rows):
    async def captcha(request, call_next):
        response = await call_next(request)
        if "captcha" in response.text:
            raise FetchError("captcha", retryable=True)
        return response

    answers = iter(["captcha", "captcha", "welcome"])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url, middleware=[captcha]))
    assert rows(TRIES) == [("done", None, 3)]
    assert rows("SELECT text FROM seen") == ["welcome"]


async def test_a_middleware_may_put_a_request_back_for_later(crawl, rows):
    tries = []

    async def not_yet(request, call_next):
        tries.append(request.attempts)
        if len(tries) < 3:
            raise RetryLater(0.01, "not_yet")
        return await call_next(request)

    async with serve({"/": "hello"}) as site:
        await crawl(reader(site.url, middleware=[not_yet]))
        assert site.hits["/"] == 1
    assert tries == [0, 1, 2]
    assert rows(TRIES) == [("done", None, 3)]


@pytest.mark.parametrize("counts", [True, False])
async def test_putting_a_request_back_again_and_again_ends_unless_it_does_not_count(
    counts, crawl, rows
):
    tries = []

    async def never(request, call_next):
        tries.append(request.attempts)
        if len(tries) > 10:
            raise DropRequest("enough")
        raise RetryLater(0.001, "not_yet", counts=counts)

    async with serve({"/": "hello"}) as site:
        async with asyncio.timeout(10):
            await crawl(reader(site.url, middleware=[never]), retries=2)
    assert rows("SELECT state, reason FROM crawl_request") == (
        [("failed", "not_yet")] if counts else [("skipped", "enough")]
    )
    assert tries == ([0, 1, 2] if counts else [0] * 11)
