# ruff: noqa: RUF012 - spiders are written here as their users write them
"""How a whole crawl treats hosts that push back, cannot be reached, or take their time."""

import asyncio
import socket
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from crawler import Crawl, FetchError, Item, Request, Response, Spider
from tests.crawler.links_site import until
from tests.site import serve

pytestmark = pytest.mark.alone


class Page(Item):
    url: str


class Pages(Spider):
    name = "pages"

    def parse(self, response):
        yield Page(url=response.url)


def pages(*urls: str, of: type[Spider] = Pages, **attributes: Any) -> type[Spider]:
    return type("S", (of,), {"start_urls": urls, **attributes})


@contextmanager
def refusing():
    """A port of loopback that is ours and where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def numbered(port: int, how_many: int) -> list[str]:
    return [f"http://127.0.0.1:{port}/{number}" for number in range(how_many)]


# ── hosts that cannot be reached ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("robots", [True, False])
async def test_a_single_dead_url_fails_after_its_retries(crawl, rows, robots):
    with refusing() as port:
        result = await crawl(pages(*numbered(port, 1)), robots=robots)
    assert (result.finish, result.failed, dict(result.resting)) == ("finished", 1, {})
    assert result.all_starts_failed
    assert rows("SELECT state, reason FROM crawl_request") == [("failed", "connection")]


class Careful(Spider):
    """Writes down what its errback hears of."""

    name = "careful"
    url = ""

    async def start(self):
        for number in range(2):
            yield Request(f"{self.url}{number}", errback=self.failed)

    def failed(self, failure):
        yield {"reason": f"{failure.reason} {failure.exception.reason}"}


@pytest.mark.parametrize("robots", [True, False])
async def test_an_errback_hears_of_a_host_that_is_down_whoever_has_found_it_out(
    crawl, rows, robots
):
    with refusing() as port:
        arguments = {"url": f"http://127.0.0.1:{port}/"}
        await crawl(Careful, arguments=arguments, robots=robots, retries=0)
    assert rows("SELECT data FROM item") == ['{"reason":"connection connection"}'] * 2
    assert all(rows("SELECT error FROM crawl_request"))


async def test_an_errback_hears_that_there_is_no_robots_txt_to_be_had(crawl, rows):
    async with serve({"/robots.txt": (500, {}, "")}) as site:
        await crawl(Careful, arguments={"url": site.url}, retries=0)
        assert set(site.hits) == {"/robots.txt"}
    reason = "robots_unavailable"
    assert rows("SELECT data FROM item") == [f'{{"reason":"{reason} {reason}"}}'] * 2
    assert rows("SELECT DISTINCT error FROM crawl_request") == [
        f"robots_unavailable: no robots.txt could be had of http://127.0.0.1:{site.port}"
    ]


async def test_a_start_url_to_a_refused_port_has_failed_like_the_others(crawl, rows):
    with refusing() as port:
        result = await crawl(pages("http://127.0.0.1:25/", *numbered(port, 1)), robots=False)
    assert set(rows("SELECT reason FROM crawl_request")) == {"bad_port", "connection"}
    assert result.all_starts_failed


@pytest.mark.parametrize("robots", [True, False])
async def test_a_dead_host_rests_and_its_requests_stay_queued(crawl, rows, robots):
    with refusing() as port:
        result = await crawl(pages(*numbered(port, 60)), robots=robots, backoff=0.001)
    assert (result.finish, result.done) == ("limit", 0)
    assert result.queued >= 50
    assert dict(result.resting) == {f"127.0.0.1:{port}": result.queued}
    assert result.as_json()["resting"] == dict(result.resting)
    assert result.all_starts_failed
    assert rows("SELECT max(attempts) FROM crawl_request WHERE state = 'queued'")[0] <= 3
    assert (
        rows("SELECT count(*) FROM crawl_request WHERE attempts = 0 AND state = 'queued'")[0] > 20
    )


async def test_a_dead_host_costs_the_others_nothing(crawl):
    with refusing() as port:
        async with serve({f"/{number}": "" for number in range(50)}) as site:
            result = await crawl(
                pages(*numbered(port, 50), *numbered(site.port, 50)), backoff=0.001
            )
    assert (result.finish, result.done) == ("limit", 50)
    assert set(result.resting) == {f"127.0.0.1:{port}"}
    assert not result.all_starts_failed


async def test_what_waits_for_a_dead_host_is_taken_up_by_the_same_command(crawl, rows):
    with refusing() as port:
        first = await crawl(pages(*numbered(port, 40)), robots=False, backoff=0.001)
    assert rows("SELECT resting > 0 FROM crawl_host") == [1]
    async with serve({f"/{number}": "" for number in range(40)}, port=port):
        second = await crawl(pages(*numbered(port, 40)), robots=False)
    assert second.resumed
    assert (second.finish, second.done, second.failed) == ("finished", 40, 0)
    assert (first.run, dict(second.resting)) == (second.run, {})
    assert rows("SELECT resting FROM crawl_host") == [0]


@pytest.mark.parametrize("robots", [True, False])
async def test_a_host_that_is_up_again_after_its_rest_is_crawled_to_the_end(db, rows, robots):
    with refusing() as port:
        overrides = {"robots": robots, "backoff": 0.02}
        crawl = Crawl(pages(*numbered(port, 40)), db=db, overrides=overrides)
        running = asyncio.ensure_future(crawl.run())
        await crawl.begun.wait()
        await until(lambda: 1 in rows("SELECT resting > 0 FROM crawl_host"))
    async with serve({f"/{number}": "" for number in range(40)}, port=port):
        async with asyncio.timeout(20):
            result = await running
    assert result.finish == "finished"
    assert result.done == 40 - result.failed
    assert result.failed <= 6  # those whose robots.txt could not be had
    assert rows("SELECT resting FROM crawl_host") == [0]


async def test_a_host_that_breaks_its_connections_is_reached_all_the_same(crawl, rows):
    """Each of its pages ends by itself: there may be others that it answers."""
    broken = {f"/{number}": None for number in range(30)}  # hangs up without an answer
    async with serve({**broken, "/30": ""}) as site:
        result = await crawl(pages(*numbered(site.port, 31)), robots=False, retries=1)
    assert (result.finish, result.done, result.failed) == ("finished", 1, 30)
    assert set(rows("SELECT reason FROM crawl_request WHERE state = 'failed'")) == {"connection"}


async def never(_):
    await asyncio.Event().wait()


SOON = {"timeout": 0.05, "backoff": 0.001}


async def test_a_host_that_answers_for_robots_txt_alone_rests(crawl, rows):
    silent = {f"/{number}": never for number in range(60)}
    async with serve({**silent, "/robots.txt": ""}) as site:
        first = await crawl(pages(*numbered(site.port, 60)), **SOON)
        assert sum(site.hits.values()) < 30
        assert (first.finish, first.failed, first.queued) == ("limit", 0, 60)
        assert dict(first.resting) == {f"127.0.0.1:{site.port}": 60}
        site.pages.update(dict.fromkeys(silent, ""))
        second = await crawl(pages(*numbered(site.port, 60)))
    assert (second.run, second.finish, second.done) == (first.run, "finished", 60)
    assert rows("SELECT resting FROM crawl_host") == [0]


async def test_a_host_of_whose_pages_some_never_come_is_asked_for_all_others(crawl):
    silent = {f"/{number}": never for number in range(30)}
    async with serve({**silent, **{f"/{number}": "" for number in range(30, 60)}}) as site:
        result = await crawl(pages(*numbered(site.port, 60)), **SOON)
        assert result.done == 30


async def test_few_pages_that_never_come_fail_each_by_itself(crawl, rows):
    silent = {f"/{number}": never for number in range(9)}
    async with serve({**silent, "/9": ""}) as site:
        result = await crawl(pages(*numbered(site.port, 10)), **SOON)
    assert (result.finish, result.done, dict(result.resting)) == ("finished", 1, {})
    assert result.reasons["failed"] == {"timeout": 9}


async def test_the_breaker_can_be_turned_off(crawl):
    with refusing() as port:
        result = await crawl(
            pages(*numbered(port, 12)), robots=False, breaker=0, retries=1, backoff=0.001
        )
    assert (result.finish, result.failed) == ("finished", 12)


async def test_a_fetch_of_a_spiders_own_from_a_host_that_is_given_up_fails(crawl, rows):
    told = []

    class Asking(Pages):
        async def parse(self, response):
            try:
                await self.fetch(Request(f"http://127.0.0.1:{port}/own"))
            except FetchError as error:
                told.append(error)

    async def late(request):
        await until(lambda: rows("SELECT 1 FROM crawl_host WHERE resting > 3"))
        return ""

    with refusing() as port:
        async with serve({"/": late}) as site:
            async with asyncio.timeout(20):
                result = await crawl(
                    pages(site.url, *numbered(port, 20), of=Asking),
                    robots=False,
                    breaker=3,
                    backoff=0.001,
                )
    assert result.finish == "limit"
    assert [error.reason for error in told] == ["host_resting"]


# ── hosts that push back ────────────────────────────────────────────────────────────────────


def gap(site) -> float:
    """The seconds between the first two requests for pages."""
    first, second = [moment for moment, path in site.arrivals if path != "/robots.txt"][:2]
    return second - first


def once_busy(status: int = 429, seconds: str = "1"):
    """Refuse the first request."""
    answers = iter([(status, {"Retry-After": seconds}, "no")])
    return lambda request: next(answers, "yes")


@pytest.mark.parametrize("status", [429, 503])
async def test_the_host_cools_down_after_the_last_try_too(crawl, status):
    async with serve({"/0": once_busy(status), "/1": ""}) as site:
        result = await crawl(pages(*numbered(site.port, 2)), retries=0, concurrency_per_host=1)
        assert gap(site) > 0.95
    assert (result.done, result.failed) == (1, 1)


async def test_the_host_cools_down_though_the_status_is_handled(crawl):
    async with serve({"/0": once_busy(), "/1": ""}) as site:
        spider = pages(*numbered(site.port, 2), handle_status=[429])
        result = await crawl(spider, retries=0, concurrency_per_host=1)
        assert gap(site) > 0.95
    assert result.done == 2


async def test_the_host_cools_down_after_a_fetch_of_a_spiders_own(crawl):
    class Asking(Pages):
        async def parse(self, response):
            if response.url.endswith("/0"):
                await self.fetch(Request(response.urljoin("/own")))

    async with serve({"/0": "", "/own": once_busy(), "/1": ""}) as site:
        await crawl(pages(*numbered(site.port, 2), of=Asking), retries=0, concurrency_per_host=1)
        moments = [moment for moment, path in site.arrivals if path != "/robots.txt"]
        asked = next(moment for moment, path in site.arrivals if path == "/own")
        assert all(not 0 < moment - asked < 0.95 for moment in moments)


async def test_the_host_cools_down_when_it_refuses_its_robots_txt(crawl):
    async with serve({"/robots.txt": once_busy(503), "/0": ""}) as site:
        result = await crawl(pages(*numbered(site.port, 1)))
        first, second, *_ = [moment for moment, _ in site.arrivals]
        assert second - first > 0.95
    assert result.done == 1


async def test_the_next_process_waits_as_long_as_the_host_asked_for(db, rows):
    async with serve({"/0": once_busy(seconds="2"), "/1": ""}) as site:
        spider = pages(*numbered(site.port, 2))
        overrides = {"concurrency_per_host": 1, "backoff": 0.01}
        crawl = Crawl(spider, db=db, overrides=overrides)
        running = asyncio.ensure_future(crawl.run())
        await crawl.begun.wait()
        await until(lambda: 1 in rows("SELECT 1 FROM crawl_request WHERE reason = 'http_429'"))
        crawl.stop()
        assert (await running).finish == "stopped"
        async with asyncio.timeout(20):
            result = await Crawl(spider, db=db, overrides=overrides).run()
        assert gap(site) > 1.9
    assert (result.finish, result.done) == ("finished", 2)


@pytest.mark.parametrize(
    "asked",
    ["9" * 20, "9" * 1000, "Fri, 31 Dec 9999 23:59:59 GMT"],
    ids=["twenty digits", "a thousand digits", "a date in a far century"],
)
async def test_nobody_is_waited_for_longer_than_an_hour(crawl, rows, asked):
    async with serve({"/0": once_busy(seconds=asked)}) as site:
        result = await crawl(pages(*numbered(site.port, 1)), max_seconds=0.5)
    assert (result.finish, result.queued) == ("limit", 1)
    ((request,), (host,)) = (
        rows("SELECT not_before FROM crawl_request"),
        rows("SELECT next_at FROM crawl_host"),
    )
    assert 3000 < request - time.time() <= 3600
    assert 3000 < host - time.time() <= 3600


async def test_a_redirect_to_a_host_that_rests_for_long_holds_no_worker(db, rows):
    async with serve({"/busy": once_busy(seconds="1000")}) as busy, serve({}) as site:

        async def later(request):
            await until(lambda: rows("SELECT 1 FROM crawl_host WHERE next_at IS NOT NULL"))
            return (302, {"Location": f"{busy.url}there"}, "")

        site.pages.update({"/0": later, "/1": ""})
        spider = pages(f"{busy.url}busy", *numbered(site.port, 2))
        crawl = Crawl(spider, db=db, overrides={"concurrency": 2, "robots": False})
        running = asyncio.ensure_future(crawl.run())
        await crawl.begun.wait()
        await until(
            lambda: (
                "host_resting" in rows("SELECT reason FROM crawl_request")
                and "done" in rows("SELECT state FROM crawl_request")
            )
        )
        crawl.stop()
        await running
    ((state, attempts, not_before),) = rows(
        "SELECT state, attempts, not_before FROM crawl_request WHERE reason = 'host_resting'"
    )
    assert (state, attempts) == ("queued", 1)
    assert not_before > time.time() + 900


async def test_the_delay_is_kept_though_a_page_ends_while_a_middleware_holds_up_the_next(
    crawl, rows
):
    """The first page ends when the second is in the hands of the middleware."""
    held = asyncio.Event()

    async def holding(request, call_next):
        if request.url.endswith("/1"):
            held.set()
            await until(lambda: "done" in rows("SELECT state FROM crawl_request"))
        return await call_next(request)

    async def slow(request):
        await held.wait()
        return ""

    async with serve({"/0": slow, "/1": "", "/2": ""}) as site:
        spider = pages(*numbered(site.port, 3), middleware=[holding])
        async with asyncio.timeout(20):
            await crawl(spider, delay=0.5, robots=False, concurrency=8)
        moments = [moment for moment, _ in site.arrivals]
        paths = [path for _, path in site.arrivals]
    assert paths == ["/0", "/1", "/2"]
    assert all(later - earlier > 0.45 for earlier, later in pairwise(moments))


async def test_the_delay_is_kept_between_fetches_that_waited_for_a_place_among_all(crawl):
    """Of `concurrency`, which another host has taken until both could have been made."""

    class Fetching(Spider):
        name = "fetching"

        async def parse(self, response):
            urls = [f"{other.url}slow", *(f"{site.url}{n}" for n in range(2))]
            await asyncio.gather(*map(self.fetch, urls))

    async def slow(request):
        await asyncio.sleep(0.6)  # both of the others have had their turn at the host by then
        return ""

    async with serve({"/0": "", "/1": ""}) as site, serve({"/": "", "/slow": slow}) as other:
        table = {"match": f"127.0.0.1:{site.port}", "delay": 0.4}
        spider = pages(other.url, of=Fetching)
        await crawl(spider, host=[table], robots=False, concurrency=1, allow_private=["*"])
        first, second = [moment for moment, _ in site.arrivals]
    assert second - first > 0.35


# ── hosts that take their time ──────────────────────────────────────────────────────────────


async def test_the_others_go_on_while_one_host_takes_for_ever(crawl):
    """Forty hosts share eight slots; the slow one answers only once all others are done."""
    others = asyncio.Event()

    class Answering(Pages):
        """A spider whose middleware is the web."""

        middleware = ["answer"]

        async def start(self):
            for number in range(20):
                for host in ("slow", *(f"h{n}" for n in range(39))):
                    yield Request(f"http://{host}.example/{number}")

        async def answer(self, request, call_next):
            if "slow" in request.url:
                await others.wait()
            return Response(request.url, body=b"x", headers={"Content-Type": "text/html"})

        def parse(self, response):
            if "slow" not in response.url:
                done.append(response.url)
            if len(done) == 20 * 39:
                others.set()

    done: list[str] = []
    async with asyncio.timeout(20):
        result = await crawl(Answering, concurrency=8, concurrency_per_host=8, robots=False)
    assert (result.finish, result.done) == ("finished", 800)
