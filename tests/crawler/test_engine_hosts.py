"""How a crawl treats hosts: robots.txt, delays, and how many pages at once."""

import asyncio
from itertools import pairwise

import pytest

from crawler import Spider
from tests.crawler.links_site import Crowd, linking, links, tree
from tests.site import serve

pytestmark = pytest.mark.alone


def gaps(arrivals: list[tuple[float, str]], *, without: str = "/robots.txt") -> list[float]:
    moments = [moment for moment, path in arrivals if path != without]
    return [later - earlier for earlier, later in pairwise(moments)]


# ── robots.txt ──────────────────────────────────────────────────────────────────────────────

ROBOTS = "User-agent: *\nDisallow: /private\nAllow: /private/not\n"


async def test_robots_txt_is_obeyed_and_asked_for_once(crawl, rows):
    pages = {"/": linking("/private", "/private/not", "/open"), "/robots.txt": ROBOTS}
    async with serve({**pages, "/private/not": "", "/open": ""}) as site:
        result = await crawl(links(site.url))
        assert (site.hits["/robots.txt"], site.hits["/private"]) == (1, 0)
        assert (site.hits["/private/not"], site.hits["/open"]) == (1, 1)
        assert site.arrivals[0][1] == "/robots.txt"
    assert (result.done, result.reasons["skipped"]) == (3, {"robots": 1})


async def test_rules_for_our_name_come_before_those_for_all(crawl):
    robots = "User-agent: *\nDisallow: /\n\nUser-agent: mybot\nDisallow: /b\n"
    async with serve({"/": linking("/a", "/b"), "/a": "", "/robots.txt": robots}) as site:
        await crawl(links(site.url), user_agent="mybot/1.0")
        assert (site.hits["/a"], site.hits["/b"]) == (1, 0)


async def test_a_missing_robots_txt_allows_everything(crawl):
    async with serve({"/": linking("/a"), "/a": ""}) as site:
        result = await crawl(links(site.url))
        assert site.hits["/robots.txt"] == 1
    assert result.done == 2


async def test_robots_false_does_not_ask(crawl):
    async with serve({"/": linking("/private"), "/private": "", "/robots.txt": ROBOTS}) as site:
        result = await crawl(links(site.url), robots=False)
        assert (site.hits["/robots.txt"], site.hits["/private"]) == (0, 1)
    assert result.done == 2


@pytest.mark.parametrize(
    ("answer", "reason"), [((500, {}, ""), "robots_unavailable"), (None, "connection")]
)
async def test_a_robots_txt_that_cannot_be_had_fails_its_pages_in_the_end(
    answer, reason, crawl, rows
):
    async with serve({"/": "", "/a": "", "/robots.txt": answer}) as site:
        result = await crawl(links(site.url, f"{site.url}a"), retries=2)
        assert site.hits["/robots.txt"] == 3
        assert site.hits["/"] == site.hits["/a"] == 0
    assert result.reasons["failed"] == {reason: 2}
    assert result.finish == "finished"


async def test_a_robots_txt_that_fails_once_is_asked_for_again(crawl):
    answers = iter([(503, {}, ""), (200, {}, ROBOTS)])
    async with serve({"/": "", "/robots.txt": lambda request: next(answers)}) as site:
        result = await crawl(links(site.url))
        assert site.hits["/robots.txt"] == 2
    assert (result.done, result.failed) == (1, 0)


async def test_the_next_process_remembers_robots_txt(crawl):
    async with serve({**tree(10), "/robots.txt": ROBOTS}) as site:
        await crawl(links(site.url), max_pages=2)
        await crawl(links(site.url))
        assert site.hits["/robots.txt"] == 1
        assert len(site.hits) == 11


# ── how hosts are treated ───────────────────────────────────────────────────────────────────


async def test_crawl_delay_is_kept_between_pages(crawl):
    robots = "User-agent: *\nCrawl-delay: 0.2\n"
    async with serve({**tree(5), "/robots.txt": robots}) as site:
        await crawl(links(site.url))
        assert_spaced(gaps(site.arrivals), 0.2, times=4)


async def test_crawl_delay_counts_from_the_robots_txt_that_asks_for_it(crawl):
    async with serve({"/": "", "/robots.txt": "User-agent: *\nCrawl-delay: 0.3\n"}) as site:
        await crawl(links(site.url))
        assert_spaced(gaps(site.arrivals, without=""), 0.3, times=1)


async def test_the_delay_is_kept_between_all_contacts(crawl):
    async with serve(tree(5)) as site:
        await crawl(links(site.url), delay=0.2)
        assert_spaced(gaps(site.arrivals, without=""), 0.2, times=5)


async def test_the_delay_is_kept_between_the_hops_of_a_redirect(crawl):
    pages = {f"/{n}": (302, {"Location": f"/{n + 1}"}, "") for n in range(3)}
    async with serve({**pages, "/3": ""}) as site:
        result = await crawl(links(f"{site.url}0"), delay=0.2)
        assert_spaced(gaps(site.arrivals, without=""), 0.2, times=4)
    assert result.done == 1


async def test_waiting_for_a_turn_between_hops_does_not_count_as_a_timeout(crawl):
    pages = {f"/{n}": (302, {"Location": f"/{n + 1}"}, "") for n in range(3)}
    async with serve({**pages, "/3": ""}) as site:
        result = await crawl(links(f"{site.url}0"), delay=0.3, timeout=0.5, retries=0)
    assert (result.done, result.failed) == (1, 0)


async def test_the_delay_is_kept_between_a_page_and_what_its_callback_fetches(crawl):
    class Fetching(Spider):
        name = "fetching"

        async def parse(self, response):
            await self.fetch(response.urljoin("/api"))

    async with serve({"/": "", "/api": ""}) as site:
        await crawl(links(site.url, of=Fetching), delay=0.2)
        assert_spaced(gaps(site.arrivals, without=""), 0.2, times=2)


async def test_the_delay_survives_a_restart(crawl):
    async with serve(tree(3)) as site:
        await crawl(links(site.url), delay=0.5, max_pages=1)
        await crawl(links(site.url), delay=0.5, max_pages=1)
        assert_spaced(gaps(site.arrivals), 0.5, times=1)


async def test_a_delay_of_one_host_does_not_hold_up_another(crawl):
    async with serve(tree(3)) as slow, serve(tree(30)) as quick:
        host = [{"match": f"127.0.0.1:{slow.port}", "delay": 0.2}]
        await crawl(links(slow.url, quick.url), host=host)
        assert quick.arrivals[-1][0] < slow.arrivals[-1][0]


def assert_spaced(found: list[float], delay: float, *, times: int) -> None:
    """Each gap is long enough, give or take what a busy machine does to a single arrival."""
    assert len(found) == times
    assert min(found) > delay / 2
    assert sum(found) > times * delay * 0.95


async def test_concurrency_is_reached_and_never_passed(crawl):
    async with serve({"/": Crowd(6)}) as site:
        urls = [f"{site.url}?{number}" for number in range(30)]
        result = await crawl(links(*urls), concurrency=6, concurrency_per_host=50)
        assert site.max_in_flight == 6
    assert result.done == 30


async def test_concurrency_per_host_is_reached_and_never_passed(crawl):
    crowd = Crowd(6)
    async with serve({"/": crowd}) as one, serve({"/": crowd}) as two:
        urls = [f"{site.url}?{number}" for number in range(15) for site in (one, two)]
        result = await crawl(links(*urls), concurrency=50, concurrency_per_host=3)
        assert (one.max_in_flight, two.max_in_flight) == (3, 3)
    assert result.done == 30


async def test_concurrency_bounds_all_hosts_together(crawl):
    class Counted:
        now = most = 0

        async def __call__(self, request):
            self.now += 1
            self.most = max(self.most, self.now)
            await crowd(request)
            self.now -= 1
            return ""

    crowd, counted = Crowd(4), Counted()
    async with serve({"/": counted}) as one, serve({"/": counted}) as two:
        urls = [f"{site.url}?{number}" for number in range(10) for site in (one, two)]
        await crawl(links(*urls), concurrency=4)
    assert counted.most == 4


async def test_a_callback_that_takes_its_time_does_not_hold_up_other_pages(crawl):
    parsed = asyncio.Event()

    class Slow(Spider):
        name = "slow"

        async def parse(self, response):
            if response.url.endswith("first"):
                await asyncio.wait_for(parsed.wait(), 20)
            else:
                parsed.set()

    async with serve({"/first": "", "/second": ""}) as site:
        spider = links(f"{site.url}first", f"{site.url}second", of=Slow)
        result = await crawl(spider, concurrency=2)
    assert result.done == 2


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_hosts_that_redirect_to_each_other_do_not_wait_for_each_other_for_ever(
    concurrency, crawl
):
    def to(site, path):
        return 302, {"Location": f"{site.url}{path}"}, ""

    async with serve({}) as one, serve({}) as two:
        for number in range(20):
            one.pages[f"/a{number}"] = to(two, f"end{number}")
            two.pages[f"/b{number}"] = to(one, f"end{number}")
            one.pages[f"/end{number}"] = two.pages[f"/end{number}"] = ""
        urls = [
            f"{site.url}{path}{n}" for n in range(20) for site, path in ((one, "a"), (two, "b"))
        ]
        async with asyncio.timeout(5):
            result = await crawl(
                links(*urls), concurrency=concurrency, concurrency_per_host=concurrency
            )
    assert (result.done, result.items) == (40, 40)


async def test_a_host_that_answers_429_is_asked_less_at_once(crawl):
    refused = 0

    async def busy(request):
        nonlocal refused
        if refused < 8:
            refused += 1
            return (429, {}, "")
        return ""

    async with serve({"/": busy}) as site:
        urls = [f"{site.url}?{number}" for number in range(16)]
        result = await crawl(links(*urls), retries=5)
    assert (result.done, result.failed) == (16, 0)


async def test_a_host_table_overrides_settings_for_the_hosts_it_matches(crawl, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[[host]]\nmatch = "127.0.0.1*"\nrobots = false\nconcurrency = 2\n'
        'headers = {X-Key = "k"}\n[[host]]\nmatch = "*.example"\nconcurrency = 1\n'
    )
    async with serve({"/": Crowd(2), "/robots.txt": ROBOTS}) as site:
        urls = [f"{site.url}?{number}" for number in range(8)]
        await crawl(links(*urls), config=config)
        assert (site.max_in_flight, site.hits["/robots.txt"]) == (2, 0)
        assert {request.headers["X-Key"] for request in site.requests} == {"k"}


async def test_a_host_may_have_a_timeout_of_its_own(crawl, rows):
    async def hang(request):
        await asyncio.Event().wait()

    async with serve({"/": hang}) as site:
        host = [{"match": "127.0.0.1", "timeout": 0.2}]
        await crawl(links(site.url), host=host, retries=0)
    assert rows("SELECT reason FROM crawl_request") == ["timeout"]
