"""What becomes of hosts that cannot be reached, that never answer, or break their connections."""

import asyncio
import socket
from contextlib import contextmanager

import pytest

from crawler import Crawl, FetchError, Request, Spider
from tests.crawler.links_site import until
from tests.crawler.plain_pages import Pages, numbered, pages
from tests.site import serve

pytestmark = pytest.mark.alone


@contextmanager
def refusing():
    """A port of loopback that is ours and where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


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
