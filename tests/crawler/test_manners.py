# ruff: noqa: RUF012 - spiders are written here as their users write them
"""How a whole crawl treats hosts that push back, or take their time."""

import asyncio
import time
from itertools import pairwise

import pytest

from crawler import Crawl, Request, Response, Spider
from tests.crawler.links_site import until
from tests.crawler.plain_pages import Pages, numbered, pages
from tests.site import serve

pytestmark = pytest.mark.alone


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
