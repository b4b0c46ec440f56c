# ruff: noqa: RUF012 - spiders are written here as their users write them
"""A whole crawl: where it goes, how it treats hosts, how it ends, and how it is taken up again."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler import Crawl, FetchError, Item, Request, SettingsError, Spider, Summary
from storage import RunMismatch, StoreError
from tests.site import serve

STATES = "SELECT url, state, reason FROM crawl_request ORDER BY id"
ALL_STATES = {"done", "failed", "skipped"}


class Page(Item):
    path: str


class Links(Spider):
    """Keeps every page and follows every link."""

    name = "links"

    def parse(self, response):
        yield Page(path=response.url.split("/", 3)[3])
        yield from response.follow_all("a")


def links(*urls: str, of: type[Spider] = Links, **attributes: Any) -> type[Spider]:
    """A spider that starts from these urls."""
    return type("S", (of,), {"start_urls": urls, **attributes})


def linking(*hrefs: str) -> str:
    return "".join(f'<a href="{href}">x</a>' for href in hrefs)


def tree(pages: int) -> dict[str, str]:
    """A site of so many pages: `/` and `/1` ..., each linking to three more."""
    site = {}
    for number in range(pages):
        children = range(number * 3 + 1, min(number * 3 + 4, pages))
        site[f"/{number or ''}"] = linking("/", *(f"/{child}" for child in children))
    return site


def gaps(arrivals: list[tuple[float, str]], *, without: str = "/robots.txt") -> list[float]:
    moments = [moment for moment, path in arrivals if path != without]
    return [later - earlier for earlier, later in pairwise(moments)]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


# ── where it goes ───────────────────────────────────────────────────────────────────────────


async def test_every_page_that_links_lead_to_is_visited_once(crawl, rows):
    async with serve(tree(60)) as site:
        result = await crawl(links(site.url))
        assert set(site.hits.values()) == {1}
        assert len(site.hits) == 61  # robots.txt too
    assert (result.finish, result.done, result.items) == ("finished", 60, 60)
    assert len(set(rows("SELECT path FROM page"))) == 60


async def test_the_rows_of_the_frontier_tell_the_whole_story(crawl, rows):
    async with serve({"/": linking("/a"), "/a": ""}) as site:
        await crawl(links(site.url))
        first, second = rows(
            "SELECT url, host, method, state, status, depth, parent, attempts, bytes, callback, "
            "run FROM crawl_request ORDER BY id"
        )
        host = f"127.0.0.1:{site.port}"
        size = len(linking("/a"))
        assert first == (site.url, host, "GET", "done", 200, 0, None, 1, size, None, 1)
        assert second == (f"{site.url}a", host, "GET", "done", 200, 1, 1, 1, 0, None, 1)
    assert all(rows("SELECT finished_at FROM crawl_request"))


async def test_what_is_off_limits_is_a_skipped_row_with_its_reason(crawl, rows):
    hrefs = ["http://other.example/", "mailto:x@y.example", "javascript:void(0)", "http://[bad"]
    async with serve({"/": linking(*hrefs, "/in")}) as site:
        result = await crawl(links(site.url), max_depth=0)
        found = {url: (state, reason) for url, state, reason in rows(STATES)}
        assert found == {
            site.url: ("done", None),
            "http://other.example/": ("skipped", "offsite"),
            "mailto:x@y.example": ("skipped", "scheme"),
            "javascript:void(0)": ("skipped", "scheme"),
            "http://[bad": ("skipped", "invalid_url"),
            f"{site.url}in": ("skipped", "max_depth"),
        }
    assert result.skipped == 5
    assert result.reasons["skipped"] == {
        "offsite": 1, "scheme": 2, "invalid_url": 1, "max_depth": 1
    }  # fmt: skip


async def test_the_password_in_a_link_goes_into_no_file(crawl, rows):
    async with serve(
        {"/": linking("http://me:secret@other.example/", "http://me:secret@[bad")}
    ) as s:
        await crawl(links(s.url))
    assert not [url for url in rows("SELECT url FROM crawl_request") if "secret" in url]


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_links_are_followed_down_to_the_maximal_depth(depth, crawl, rows):
    pages = {"/": linking("/1"), "/1": linking("/2"), "/2": linking("/3"), "/3": ""}
    async with serve(pages) as site:
        await crawl(links(site.url), max_depth=depth)
    assert rows("SELECT max(depth) FROM crawl_request WHERE state = 'done'") == [depth]
    assert rows("SELECT count(*) FROM crawl_request WHERE reason = 'max_depth'") == [1]


async def test_a_shorter_way_to_a_page_that_was_too_deep_takes_it_up(crawl, rows):
    async def late(request):
        await until(lambda: rows("SELECT 1 FROM crawl_request WHERE reason = 'max_depth'"))
        return linking("/deep")

    pages = {"/": linking("/a", "/late"), "/a": linking("/b"), "/b": linking("/deep")}
    async with serve({**pages, "/late": late, "/deep": ""}) as site:
        result = await crawl(links(site.url), max_depth=2)
        assert site.hits["/deep"] == 1
    assert (result.done, result.skipped, result.queued) == (5, 0, 0)
    assert rows("SELECT depth FROM crawl_request WHERE url LIKE '%deep'") == [2]


async def test_the_default_scope_of_an_ip_address_is_its_port(crawl, rows):
    async with serve({"/": "there"}) as other:
        async with serve({"/": linking(other.url, "/in"), "/in": ""}) as site:
            result = await crawl(links(site.url), allow_private=["127.0.0.1"])
        assert not other.hits
    assert result.reasons["skipped"] == {"offsite": 1}
    assert result.done == 2


async def test_every_start_request_widens_the_default_scope(crawl, rows):
    async with serve({"/": "", "/in": ""}) as other, serve({"/": ""}) as site:
        site.pages["/"] = linking(f"{other.url}in")
        result = await crawl(links(site.url, other.url))
        assert other.hits["/in"] == 1
    assert (result.done, result.skipped) == (3, 0)


async def test_allowed_domains_replaces_the_default_scope(crawl, rows):
    async with serve({"/": "", "/in": ""}) as other, serve({"/": ""}) as site:
        site.pages["/"] = linking(f"{other.url}in", "/not-in")
        spider = links(site.url, allowed_domains=[f"127.0.0.1:{other.port}"])
        result = await crawl(spider, allow_private=["127.0.0.1"])
        assert (other.hits["/in"], site.hits["/not-in"]) == (1, 0)
    assert result.reasons["skipped"] == {"offsite": 1}


@pytest.mark.parametrize(
    ("domains", "reason"), [(None, "offsite"), (["*"], "private_address")], ids=["scope", "guard"]
)
async def test_a_late_start_request_is_fetched_though_a_link_to_it_was_off_limits_before(
    domains, reason, crawl, rows
):
    class Late(Links):
        allowed_domains = domains

        async def start(self):
            for number in range(10):
                yield Request(f"{site.url}?{number}")
            await until(lambda: rows("SELECT 1 FROM crawl_request WHERE reason = ?", reason))
            yield Request(other.url)

    async with serve({"/": ""}) as other, serve({"/": linking(other.url)}) as site:
        result = await crawl(Late)
        assert other.hits["/"] == 1
    assert (result.done, result.skipped) == (11, 0)


async def test_an_impossible_allowed_domain_is_a_usage_error(crawl):
    async with serve({"/": ""}) as site:
        with pytest.raises(crawler.UsageError, match="allowed_domains"):
            await crawl(links(site.url, allowed_domains=["not a domain"]))
        assert not site.hits


# ── no way into private networks ────────────────────────────────────────────────────────────


async def test_a_page_cannot_lead_into_a_private_network(crawl, rows):
    async with serve({"/": "secret"}) as other:
        async with serve({"/": linking(other.url, "http://localhost/", "http://[::1]/")}) as site:
            await crawl(links(site.url, allowed_domains=["*"]))
        assert not other.hits
        assert [reason for _, state, reason in rows(STATES) if state == "skipped"] == [
            "private_address"
        ] * 3
    assert rows("SELECT count(*) FROM page") == [1]


@pytest.mark.parametrize("robots", [True, False])
async def test_a_private_address_is_refused_with_and_without_robots(robots, crawl, rows):
    async with serve({"/": "secret"}) as other:
        async with serve({"/": linking(other.url)}) as site:
            await crawl(links(site.url, allowed_domains=["*"]), robots=robots)
        assert not other.hits
    assert rows("SELECT state, reason FROM crawl_request WHERE depth = 1") == [
        ("skipped", "private_address")
    ]


@pytest.mark.parametrize(
    "allowed", ["127.0.0.1:{port}", "127.0.0.1", "*", "http://127.0.0.1:{port}"]
)
async def test_allow_private_admits_what_it_names(allowed, crawl):
    async with serve({"/": ""}) as other, serve({"/": linking(other.url)}) as site:
        spider = links(site.url, allowed_domains=["*"])
        await crawl(spider, allow_private=[allowed.format(port=other.port)])
        assert other.hits["/"] == 1


async def test_a_name_that_resolves_to_a_private_address_is_refused(crawl, rows):
    async with serve({"/": "secret"}) as other, serve({"/": ""}) as site:
        site.pages["/"] = linking(f"http://localhost:{other.port}/")
        await crawl(links(site.url, allowed_domains=["*"]))
        assert not other.hits
    assert rows("SELECT state, reason FROM crawl_request WHERE depth = 1") == [
        ("skipped", "private_address")
    ]


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


class Crowd:
    """A page that answers only when so many are being asked for at the same time."""

    def __init__(self, size: int) -> None:
        self._barrier = asyncio.Barrier(size)

    async def __call__(self, request):
        async with asyncio.timeout(20):
            await self._barrier.wait()
        return ""


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


# ── settings ────────────────────────────────────────────────────────────────────────────────

SOURCES = ["config.toml", "environment", "spider", "arguments"]


@pytest.mark.parametrize("highest", range(1, 5), ids=lambda count: SOURCES[count - 1])
async def test_settings_take_precedence_in_this_order(highest, crawl, tmp_path, monkeypatch):
    given = SOURCES[:highest]
    config = tmp_path / "config.toml"
    config.write_text('user_agent = "config.toml"' if "config.toml" in given else "")
    if "environment" in given:
        monkeypatch.setenv("CRAWLER_USER_AGENT", "environment")
    own = {"settings": {"user_agent": "spider"}} if "spider" in given else {}
    arguments = {"user_agent": "arguments"} if "arguments" in given else {}
    async with serve({"/": ""}) as site:
        await crawl(links(site.url, **own), config=config, **arguments)
        assert site.requests[-1].headers["User-Agent"] == given[-1]


@pytest.mark.parametrize("source", SOURCES)
async def test_an_unknown_setting_is_refused_with_the_nearest_name(
    source, crawl, tmp_path, monkeypatch, db
):
    config = tmp_path / "config.toml"
    config.write_text("concurency = 3" if source == "config.toml" else "")
    if source == "environment":
        monkeypatch.setenv("CRAWLER_CONCURENCY", "3")
    own = {"settings": {"concurency": 3}} if source == "spider" else {}
    arguments = {"concurency": 3} if source == "arguments" else {}
    with pytest.raises(SettingsError, match=r"'concurency' in .*did you mean 'concurrency'\?$"):
        await crawl(links(**own), config=config, **arguments)
    assert not db.exists()


async def test_an_impossible_value_is_refused_in_one_line(crawl, db):
    with pytest.raises(SettingsError, match="concurrency") as caught:
        await crawl(links(), concurrency=0)
    assert "\n" not in str(caught.value)
    assert not db.exists()


# ── limits ──────────────────────────────────────────────────────────────────────────────────


async def test_max_pages_is_exact_and_the_next_run_goes_on_with_as_many(crawl, rows):
    async with serve(tree(30)) as site:
        for expected in (7, 14, 21):
            result = await crawl(links(site.url), max_pages=7)
            assert (result.finish, result.done) == ("limit", expected)
            assert sum(site.hits.values()) == expected + 1  # and robots.txt
        result = await crawl(links(site.url))
        assert (result.finish, result.done, result.queued) == ("finished", 30, 0)
        assert set(site.hits.values()) == {1}
    assert rows("SELECT count(*) FROM crawl_run") == [1]
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(30, 30)]


async def test_max_pages_counts_failed_pages_but_no_skipped_ones(crawl):
    hrefs = ["/missing", "http://other.example/", "mailto:x", "/a", "/b", "/c"]
    async with serve({"/": linking(*hrefs)}) as site:
        result = await crawl(links(site.url), max_pages=3, concurrency=1)
        assert (result.done, result.failed) == (1, 2)
        assert sum(site.hits.values()) == 4


async def test_a_crawl_that_a_limit_just_fits_is_finished(crawl):
    async with serve(tree(4)) as site:
        result = await crawl(links(site.url), max_pages=4)
    assert (result.done, result.queued, result.finish) == (4, 0, "finished")


async def test_max_items_ends_the_run_soon_and_the_next_goes_on(crawl, rows):
    async with serve(tree(30)) as site:
        result = await crawl(links(site.url), max_items=5, concurrency=1)
        assert result.finish == "limit"
        assert 5 <= result.items < 30
        result = await crawl(links(site.url))
    assert (result.finish, result.items) == ("finished", 30)


async def test_max_seconds_ends_the_run(crawl):
    async def never(request):
        await asyncio.Event().wait()

    async with serve({"/": never}) as site:
        async with asyncio.timeout(20):
            result = await crawl(links(site.url), max_seconds=0.2, grace=0)
    assert (result.finish, result.queued) == ("limit", 1)


# ── stopping and taking up again ────────────────────────────────────────────────────────────


class Stopping(Links):
    """Stops its crawl after so many pages."""

    crawl: Crawl
    after = 0

    def parse(self, response):
        type(self).after -= 1
        if type(self).after == 0:
            type(self).crawl.stop()
        yield from super().parse(response)


async def stopped(spider: type[Spider], db: Path, after: int, **overrides: Any) -> Summary:
    spider = type("S", (Stopping,), {"start_urls": spider.start_urls, "after": after})
    spider.crawl = Crawl(spider, db=db, overrides={"backoff": 0.01, **overrides})
    return await spider.crawl.run()


async def test_a_stopped_crawl_goes_on_where_it_was(crawl, db, rows):
    async with serve(tree(40)) as site:
        first = await stopped(links(site.url), db, after=10)
        assert first.finish == "stopped"
        assert 10 <= first.done < 40
        assert rows("SELECT finish FROM crawl_run") == ["stopped"]
        last = await crawl(links(site.url))
        assert set(site.hits.values()) == {1}
    assert (last.finish, last.resumed, last.run, last.done) == ("finished", True, first.run, 40)
    assert rows("SELECT id, finish FROM crawl_run") == [(1, "finished")]
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(40, 40)]


async def test_a_crawl_may_be_stopped_from_outside_before_it_begins(db):
    async with serve(tree(4)) as site:
        crawl = Crawl(links(site.url), db=db)
        crawl.stop()
        assert (await crawl.run()).finish == "stopped"
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.done) == ("finished", 4)


async def test_what_is_in_flight_when_a_crawl_stops_is_committed(db, rows):
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(request):
        asked.set()
        await answer.wait()
        return linking("/found")

    async with serve({"/": slow}) as site:
        crawl = Crawl(links(site.url), db=db)
        running = asyncio.ensure_future(crawl.run())
        await asyncio.wait_for(asked.wait(), 20)
        crawl.stop()
        answer.set()
        result = await running
    assert (result.finish, result.done, result.queued) == ("stopped", 1, 1)


async def test_what_takes_longer_than_its_grace_is_left_for_the_next_process(db, rows):
    asked = asyncio.Event()

    async def never(request):
        asked.set()
        await asyncio.Event().wait()

    async with serve({"/": never}) as site:
        crawl = Crawl(links(site.url), db=db, overrides={"grace": 0.05})
        running = asyncio.ensure_future(crawl.run())
        await asyncio.wait_for(asked.wait(), 20)
        crawl.stop()
        result = await running
        assert (result.finish, result.queued) == ("stopped", 1)
        site.pages["/"] = ""
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.done) == ("finished", 1)


async def test_a_finished_crawl_starts_a_new_run_and_keeps_the_old_rows(crawl, rows):
    async with serve(tree(5)) as site:
        first = await crawl(links(site.url))
        site.pages["/4"] = (404, {}, "")
        second = await crawl(links(site.url))
    assert (first.run, second.run, second.resumed) == (1, 2, False)
    assert rows("SELECT id, spider, finish FROM crawl_run") == [
        (1, "links", "finished"),
        (2, "links", "finished"),
    ]
    assert rows("SELECT _run, count(*) FROM page GROUP BY 1") == [(1, 5), (2, 4)]
    assert rows("SELECT DISTINCT _run FROM latest_page") == [2]
    assert rows("SELECT run, count(*) FROM crawl_request GROUP BY 1") == [(1, 5), (2, 5)]


async def test_the_latest_view_is_empty_when_the_last_run_found_nothing(crawl, rows):
    async with serve(tree(3)) as site:
        await crawl(links(site.url))
        site.pages["/"] = (404, {}, "")
        await crawl(links(site.url))
    assert rows("SELECT count(*) FROM page") == [3]
    assert rows("SELECT count(*) FROM latest_page") == [0]


async def test_fresh_abandons_what_is_queued_and_starts_a_new_run(crawl, rows):
    async with serve(tree(10)) as site:
        await crawl(links(site.url), max_pages=3)
        result = await crawl(links(site.url), fresh=True)
    assert (result.run, result.resumed, result.done, result.finish) == (2, False, 10, "finished")
    assert rows("SELECT id, finish FROM crawl_run") == [(1, "limit"), (2, "finished")]
    assert rows("SELECT count(*) FROM latest_page") == [10]


async def test_other_arguments_do_not_go_on_with_an_unfinished_run(crawl, rows):
    async with serve(tree(10)) as site:
        await crawl(links(site.url), max_pages=3, arguments={"category": "a"})
        hits = site.hits.copy()
        with pytest.raises(RunMismatch, match="-a category=a"):
            await crawl(links(site.url), arguments={"category": "b"})
        assert site.hits == hits
        result = await crawl(links(site.url), arguments={"category": "a"})
    assert (result.done, result.finish) == (10, "finished")


async def test_an_unfinished_run_goes_on_with_the_arguments_it_was_begun_with(crawl):
    seen: set[str] = set()

    class Categories(Links):
        category = ""

        def parse(self, response):
            seen.add(self.category)
            yield from super().parse(response)

    async with serve(tree(10)) as site:
        spider = links(site.url, of=Categories)
        await crawl(spider, max_pages=3, arguments={"category": "a"})
        await crawl(spider)
    assert seen == {"a"}


async def test_two_spiders_may_share_a_file(crawl, rows):
    async with serve(tree(5)) as site:
        await crawl(links(site.url))
        other = await crawl(links(site.url, name="others"))
        again = await crawl(links(site.url))
    assert (other.run, other.resumed, again.run) == (2, False, 3)
    assert rows("SELECT spider FROM crawl_run ORDER BY id") == ["links", "others", "links"]
    assert rows("SELECT DISTINCT _run FROM latest_page") == [3]


async def test_a_field_whose_type_changed_is_an_error_before_anything_is_fetched(crawl, rows):
    class Other(Item):
        __table__ = "page"
        path: int

    class Changed(Spider):
        name = "links"
        items = [Other]

        def parse(self, response):
            yield Other(path=1)

    Changed.__module__ = "nowhere"
    async with serve(tree(3)) as site:
        await crawl(links(site.url))
        hits = site.hits.copy()
        with pytest.raises(RunMismatch, match="'path' is integer now and text in this file"):
            await crawl(links(site.url, of=Changed, __module__="nowhere"))
        assert site.hits == hits
    assert rows("SELECT count(*) FROM crawl_run") == [1]


async def test_a_field_that_a_model_gained_is_a_new_column(crawl, rows):
    class Other(Item):
        __table__ = "page"
        path: str
        size: int | None = None

    class Gained(Spider):
        name = "links"
        items = [Other]

        def parse(self, response):
            yield Other(path="x", size=len(response.body))

    Gained.__module__ = "nowhere"
    async with serve({"/": "abc"}) as site:
        await crawl(links(site.url))
        await crawl(links(site.url, of=Gained, __module__="nowhere"))
    assert rows("SELECT path, size FROM page ORDER BY _id") == [("", None), ("x", 3)]


# ── cancelling, and many at once ────────────────────────────────────────────────────────────


def threads() -> set[threading.Thread]:
    """What runs besides; the loop's own pool for looking up names does not count."""
    return {t for t in threading.enumerate() if not t.name.startswith("asyncio_")}


async def test_a_cancelled_crawl_leaves_a_file_that_can_be_resumed_and_nothing_else(
    crawl, rows, db
):
    tasks, before = asyncio.all_tasks(), threads()
    slow = asyncio.Event()

    async def wait(request):
        await slow.wait()
        return ""

    async with serve({**tree(30), "/20": wait}) as site:
        servers = asyncio.all_tasks()
        running = asyncio.ensure_future(crawl(links(site.url)))
        await until(lambda: site.hits["/20"])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        ours = {task for task in asyncio.all_tasks() - servers if "_converse" not in repr(task)}
        assert not ours
        assert rows("SELECT finish FROM crawl_run") == ["stopped"]
        assert not list(db.parent.glob("*.lock"))
        slow.set()
        result = await crawl(links(site.url))
        assert (result.finish, result.resumed, result.done) == ("finished", True, 30)
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(30, 30)]
    await until(lambda: threads() == before)
    assert asyncio.all_tasks() == tasks


async def test_a_crawl_may_be_cancelled_at_any_moment(db, rows):
    before = threads()
    async with serve(tree(25)) as site:
        for turns in (1, 2, 3, 5, 8, 13, 30, 60, 100, 150, 200, 300, 500, 800, 1300):
            task = asyncio.ensure_future(crawler.run(links(site.url), db=db))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.done) == ("finished", 25)
    assert rows("SELECT count(*) FROM latest_page") == [25]
    await until(lambda: threads() == before)


async def test_a_crawl_that_is_cancelled_again_while_it_ends_still_lets_the_file_go(db):
    async with serve({**tree(25), "/9": Crowd(2)}) as site:
        task = asyncio.ensure_future(crawler.run(links(site.url), db=db))
        await until(lambda: site.hits["/9"])
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        site.pages["/9"] = ""
        result = await crawler.run(links(site.url), db=db)
    assert (result.finish, result.resumed, result.done) == ("finished", True, 25)


async def test_two_crawls_run_at_once_in_one_loop(tmp_path):
    async with serve(tree(30)) as one, serve(tree(20)) as two:
        first, second = await asyncio.gather(
            crawler.run(links(one.url), db=tmp_path / "one.db"),
            crawler.run(links(two.url), db=tmp_path / "two.db"),
        )
    assert (first.done, second.done) == (30, 20)
    assert (first.finish, second.finish) == ("finished", "finished")


async def test_a_file_has_one_writer_and_the_other_is_told_its_pid(crawl):
    async with serve({"/": Crowd(2)}) as site:
        running = asyncio.ensure_future(crawl(links(site.url)))
        await until(lambda: site.hits["/"])
        with pytest.raises(StoreError, match=rf"process {os.getpid()}\b"):
            await crawl(links(site.url))
        running.cancel()
        await asyncio.wait([running])


async def test_many_crawls_run_one_after_the_other_in_one_process(tmp_path):
    before = threads()
    async with serve(tree(5)) as site:
        for number in range(10):
            result = await crawler.run(links(site.url), db=tmp_path / f"{number}.db")
            assert (result.finish, result.done) == ("finished", 5)
    await until(lambda: threads() == before)


def test_a_crawl_runs_in_a_loop_of_its_own_as_well(tmp_path):
    async def everything() -> Summary:
        async with serve(tree(5)) as site:
            return await crawler.run(links(site.url), db=tmp_path / "x.db")

    assert asyncio.run(everything()).done == asyncio.run(everything()).done == 5


async def test_the_default_file_is_data_and_the_name_of_the_spider(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with serve(tree(2)) as site:
        result = await crawler.run(links(site.url))
    assert result.db == Path("data/links.db")
    assert (tmp_path / "data" / "links.db").is_file()


async def test_a_file_that_is_no_crawls_is_left_alone(crawl, db):
    db.write_text("a letter to somebody, longer than the header of a database would be\n" * 20)
    before = db.read_bytes()
    with pytest.raises(StoreError, match="not an SQLite file"):
        await crawl(links("http://127.0.0.1:9/"))
    assert db.read_bytes() == before


# ── the summary ─────────────────────────────────────────────────────────────────────────────


async def test_the_summary_tells_what_came_of_the_run(crawl, db):
    pages = {"/": linking("/a", "/missing", "http://other.example/"), "/a": "four"}
    async with serve(pages) as site:
        result = await crawl(links(site.url))
    assert (result.spider, result.run, result.finish, result.resumed) == (
        "links", 1, "finished", False
    )  # fmt: skip
    assert (result.done, result.failed, result.skipped, result.queued) == (2, 1, 1, 0)
    assert result.reasons == {
        "done": {"": 2},
        "failed": {"http_404": 1},
        "skipped": {"offsite": 1},
    }
    assert (result.items, result.db, result.all_starts_failed) == (2, db, False)
    assert result.bytes >= len(pages["/"]) + 4
    ((name, count, coverage),) = result.tables
    assert (name, count, coverage) == ("page", 2, {"path": 2})
    assert result.seconds > 0
    assert result.pages_per_second > 0


async def test_the_summary_as_json_has_what_scripts_rely_on(crawl, db):
    async with serve(tree(3)) as site:
        found = (await crawl(links(site.url))).as_json()
    expected = {"spider": "links", "run": 1, "finish": "finished", "done": 3, "failed": 0}
    expected |= {"skipped": 0, "queued": 0, "items": 3, "db": str(db)}
    assert expected.items() <= found.items()
    assert isinstance(found["seconds"], float)


async def test_a_snapshot_shows_the_crawl_while_it_runs(db):
    async with serve({**tree(4), "/3": Crowd(2)}) as site:
        crawl = Crawl(links(site.url), db=db, overrides={"grace": 0})
        assert crawl.snapshot() is None
        running = asyncio.ensure_future(crawl.run())
        await until(lambda: (shown := crawl.snapshot()) and shown.done == 3)
        shown = crawl.snapshot()
        assert (shown.done, shown.queued, shown.in_flight, shown.items) == (3, 1, 1, 3)
        crawl.stop()
        await running


async def test_a_spider_that_breaks_the_run_itself_leaves_it_failed_and_resumable(crawl, rows):
    class Broken(Links):
        broken = True

        async def start(self):
            for url in self.start_urls:
                yield Request(url)
            if self.broken:
                raise FetchError("nothing", "in start")

    async with serve(tree(5)) as site:
        with pytest.raises(FetchError, match="in start"):
            await crawl(links(site.url, of=Broken))
        assert rows("SELECT finish FROM crawl_run") == ["failed"]
        result = await crawl(links(site.url, of=Broken, broken=False))
    assert (result.finish, result.resumed, result.done) == ("finished", True, 5)


async def test_pages_are_counted_by_state_as_the_tables_have_them(crawl, rows):
    async with serve({**tree(20), "/7": (404, {}, ""), "/8": (500, {}, "")}) as site:
        result = await crawl(links(site.url), retries=1)
    counted = Counter(state for _, state, _ in rows(STATES))
    assert counted == {"done": result.done, "failed": result.failed} == {"done": 18, "failed": 2}
    assert set(counted) <= ALL_STATES
