# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What wraps the fetcher: the user's own middleware, and the retries that come with the house."""

import asyncio
import time
from email.utils import formatdate

import pytest

from crawler import (
    Crawl,
    DropRequest,
    FetchError,
    Item,
    Request,
    Response,
    RetryLater,
    Spider,
    UsageError,
    retry,
)
from tests.site import serve

STATES = "SELECT state, reason FROM crawl_request ORDER BY id"
TRIES = "SELECT state, reason, attempts FROM crawl_request ORDER BY id"


class Seen(Item):
    url: str
    text: str


class Reader(Spider):
    name = "reader"

    def parse(self, response):
        yield Seen(url=response.url, text=response.text)


def reader(*urls: str, of: type[Spider] = Reader, **attributes) -> type[Spider]:
    """A spider that starts from these urls."""
    return type("S", (of,), {"start_urls": urls, **attributes})


# ── the user's own ──────────────────────────────────────────────────────────────────────────


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


async def test_a_middleware_that_is_no_function_is_told_before_anything_runs(crawl, db):
    with pytest.raises(UsageError, match="middleware 'cont' of"):
        await crawl(reader("http://127.0.0.1:1/", middleware=["cont"]))
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


# ── retries ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_page_that_fails_by_accident_is_tried_again(status, crawl, rows):
    answers = iter([(status, {}, "no"), (200, {}, "yes")])
    async with serve({"/": lambda request: next(answers)}) as site:
        result = await crawl(reader(site.url))
        assert site.hits["/"] == 2
    assert rows(TRIES) == [("done", None, 2)]
    assert rows("SELECT text FROM seen") == ["yes"]
    assert result.items == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_page_that_fails_for_good_is_not_tried_again(status, crawl, rows):
    async with serve({"/": (status, {}, "no")}) as site:
        await crawl(reader(site.url))
        assert site.hits["/"] == 1
    assert rows(TRIES) == [("failed", f"http_{status}", 1)]


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_it_gives_up_after_so_many_retries(retries, crawl, rows):
    async with serve({"/": (500, {}, "no")}) as site:
        await crawl(reader(site.url), retries=retries)
        assert site.hits["/"] == retries + 1
    assert rows(TRIES) == [("failed", "http_500", retries + 1)]


async def test_a_server_that_hangs_up_is_asked_again(crawl, rows):
    answers = iter([None, "yes"])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url), robots=False)
    assert rows("SELECT text FROM seen") == ["yes"]
    assert rows(TRIES) == [("done", None, 2)]


async def test_a_server_that_always_hangs_up_is_asked_once_for_each_try(crawl, rows):
    async with serve({"/": None}) as site:
        await crawl(reader(site.url), robots=False, retries=2)
        assert site.hits["/"] == 3
    assert rows(TRIES) == [("failed", "connection", 3)]


async def test_a_status_that_is_handled_is_handed_over_after_the_last_try(crawl, rows):
    async with serve({"/": (503, {}, "closed")}) as site:
        await crawl(reader(site.url, handle_status=[503]), retries=1)
        assert site.hits["/"] == 2
    assert rows("SELECT text FROM seen") == ["closed"]
    assert rows(TRIES) == [("done", None, 2)]


async def test_retry_after_in_seconds_is_waited_for(crawl, rows):
    answers = iter([(503, {"Retry-After": "1"}, "no"), (200, {}, "yes")])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url))
        first, second = (moment for moment, path in site.arrivals if path == "/")
    assert second - first > 0.95
    assert rows(TRIES) == [("done", None, 2)]


async def test_retry_after_as_a_date_is_waited_for(db, rows):
    later = formatdate(time.time() + 1000, usegmt=True)
    async with serve({"/": (429, {"Retry-After": later}, "no")}) as site:
        await stopped_after(site, "/", db)
    ((state, reason, attempts, not_before),) = rows(
        "SELECT state, reason, attempts, not_before FROM crawl_request"
    )
    assert (state, reason, attempts) == ("queued", "http_429", 1)
    assert 900 < not_before - time.time() <= 1001


async def stopped_after(site, path: str, db) -> None:
    """Crawl until the answer for that path is committed, then stop."""
    crawl = Crawl(reader(site.url), db=db)
    running = asyncio.ensure_future(crawl.run())
    async with asyncio.timeout(5):
        while not (site.hits[path] and not site.in_flight and idle(crawl)):
            await asyncio.sleep(0.01)
    crawl.stop()
    await running


def idle(crawl: Crawl) -> bool:
    snapshot = crawl.snapshot()
    return snapshot is not None and snapshot.in_flight == 0


async def test_a_retry_waits_in_the_file_and_is_taken_up_by_the_next_process(db, rows):
    answers = iter([(500, {}, "no"), (200, {}, "yes")])
    async with serve({"/": lambda request: next(answers)}) as site:
        begun = time.time()
        crawl = Crawl(reader(site.url), db=db, overrides={"backoff": 1.0})
        running = asyncio.ensure_future(crawl.run())
        async with asyncio.timeout(5):
            while not (site.hits["/"] and idle(crawl)):
                await asyncio.sleep(0.01)
        crawl.stop()
        summary = await running
        assert (summary.finish, summary.queued) == ("stopped", 1)
        ((state, reason, attempts, not_before),) = rows(
            "SELECT state, reason, attempts, not_before FROM crawl_request"
        )
        assert (state, reason, attempts) == ("queued", "http_500", 1)
        assert begun + 0.5 <= not_before <= time.time() + 1
        summary = await Crawl(reader(site.url), db=db).run()
        first, second = (moment for moment, path in site.arrivals if path == "/")
    assert (summary.finish, summary.done) == ("finished", 1)
    assert second - first > 0.45  # half of the backoff is certain
    assert rows(TRIES) == [("done", None, 2)]


async def test_a_worker_is_free_while_a_retry_waits(crawl, rows):
    answers = iter([(500, {}, "no"), (200, {}, "yes")])
    async with serve({"/flaky": lambda request: next(answers), "/other": "other"}) as site:
        spider = reader(f"{site.url}flaky", f"{site.url}other")
        await crawl(spider, concurrency=1, backoff=0.5)
        order = [path for _, path in site.arrivals if path != "/robots.txt"]
    assert order == ["/flaky", "/other", "/flaky"]
    assert rows(STATES) == [("done", None), ("done", None)]


async def test_a_crowd_of_retries_still_ends_each_page_once(crawl, rows):
    failed: set[str] = set()

    def flaky(request):
        if request.target in failed:
            return "yes"
        failed.add(request.target)
        return (500, {}, "no")

    async with serve({"/": flaky}) as site:
        urls = [f"{site.url}?{number}" for number in range(100)]
        result = await crawl(reader(*urls))
        assert site.hits["/"] == 200
    assert (result.done, result.items, result.finish) == (100, 100, "finished")


# ── timings ─────────────────────────────────────────────────────────────────────────────────


async def test_every_phase_of_a_fetch_is_timed(crawl, rows):
    async with serve({"/": "x" * 100_000}) as site:
        result = await crawl(reader(site.url))
    ((queue, ttfb, body, parse, elapsed),) = rows(
        "SELECT queue_ms, ttfb_ms, body_ms, parse_ms, elapsed_ms FROM crawl_request"
    )
    assert min(queue, ttfb, body, parse) >= 0
    assert elapsed >= ttfb + body - 0.01
    assert {phase.name for phase in result.phases} == {"queue", "ttfb", "body", "parse", "elapsed"}
    assert all(phase.p50 <= phase.p90 <= phase.p99 for phase in result.phases)


async def test_a_request_that_failed_was_timed_as_well(crawl, rows):
    async with serve({"/": None}) as site:
        await crawl(reader(site.url), retries=0, robots=False)
    assert rows("SELECT elapsed_ms > 0, ttfb_ms FROM crawl_request") == [(1, None)]
