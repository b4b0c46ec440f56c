"""Cookies of a fetch with its redirects, of a crawl, and of a run that goes on."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler import Request, Spider
from crawler.cookies import Cookies
from crawler.fetcher import Fetcher
from tests.crawler import plain_fetches
from tests.names import name_server
from tests.site import serve

# ── on the wire ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _names() -> Iterator[None]:
    """These names are loopback's, and no look-up leaves the machine."""
    names = ("www.shop.example", "shop.example", "x.shop.example", "pay.test")
    with name_server({name: ["127.0.0.1"] for name in names}):
        yield


def fetching(on: bool = True, **settings: Any) -> AbstractAsyncContextManager[Fetcher]:
    return plain_fetches.fetching(Cookies(on=on), allow_private=["*"], **settings)


def cookies_of(site: Any, path: str) -> list[str | None]:
    """The Cookie headers of the requests for a path."""
    return [one.headers.get("cookie") for one in site.requests if one.path == path]


def named(site: Any, host: str, path: str = "/") -> str:
    """The address of a site under another name."""
    return f"http://{host}:{site.url.rstrip('/').rpartition(':')[2]}{path}"


def sets(*cookies: str, status: int = 200, to: str = "") -> Any:
    headers = [("Set-Cookie", cookie) for cookie in cookies]
    return (status, [*headers, ("Location", to)] if to else headers, "")


@pytest.mark.usefixtures("_names")
async def test_each_hop_of_a_redirect_sets_and_is_sent_cookies_of_its_own() -> None:
    async with serve({}) as site, fetching() as fetcher:
        shop, pay = named(site, "www.shop.example"), named(site, "pay.test")
        site.pages |= {
            "/": sets("a=1", "s=shop; Domain=shop.example", status=302, to=f"{pay}in"),
            "/in": sets("p=pay", "evil=1; Domain=shop.example", status=307, to=f"{shop}back"),
            "/back": sets("b=2"),
        }
        await fetcher.fetch(Request(shop, headers={"Cookie": "mine=1"}))
        await fetcher.fetch(Request(named(site, "x.shop.example", "/end")))
        await fetcher.fetch(Request(f"{pay}end"))
    assert cookies_of(site, "/") == ["mine=1"]
    assert cookies_of(site, "/in") == [None]
    assert cookies_of(site, "/back") == ["a=1; s=shop"]
    assert cookies_of(site, "/end") == ["s=shop", "p=pay"]


@pytest.mark.usefixtures("_names")
async def test_a_requests_own_cookies_are_for_its_host_and_stay_in_its_jar() -> None:
    async with serve({}) as site, fetching() as fetcher:
        shop, other = named(site, "shop.example"), named(site, "www.shop.example")
        site.pages["/"] = sets(status=302, to=f"{other}away")
        await fetcher.fetch(Request(shop, cookies={"session": "s"}, headers={"Cookie": "x=1"}))
        await fetcher.fetch(Request(f"{shop}later"))
        await fetcher.fetch(Request(f"{shop}later", meta={"cookiejar": 2}))
    assert cookies_of(site, "/") == ["x=1; session=s"]
    assert cookies_of(site, "/away") == [None]
    assert cookies_of(site, "/later") == ["session=s", None]


@pytest.mark.usefixtures("_names")
@pytest.mark.parametrize("on", [True, False])
async def test_without_a_jar_a_request_sends_what_it_brings_and_nothing_is_kept(on: bool) -> None:
    async with serve({}) as site, fetching(on) as fetcher:
        shop, other = named(site, "www.shop.example"), named(site, "pay.test")
        site.pages |= {"/": sets("a=1", status=302, to=f"{other}away"), "/away": sets("b=2")}
        alone = {"dont_merge_cookies": True} if on else {}
        for _ in range(2):
            await fetcher.fetch(Request(shop, cookies={"mine": "1"}, meta=alone))
        await fetcher.fetch(Request(f"{shop}later"))
    assert cookies_of(site, "/") == ["mine=1", "mine=1"]
    assert cookies_of(site, "/away") == [None, None]
    assert cookies_of(site, "/later") == [None]


async def test_a_cookie_counts_even_if_the_body_is_cut_short() -> None:
    pages = {"/": (200, {"Set-Cookie": "a=1", "Content-Length": "100"}, "short"), "/b": ""}
    async with serve(pages) as site, fetching() as fetcher:
        with pytest.raises(crawler.FetchError, match="truncated"):
            await fetcher.fetch(Request(site.url))
        await fetcher.fetch(Request(site.url + "b"))
    assert cookies_of(site, "/b") == ["a=1"]


async def test_cookies_of_the_settings_headers_are_sent_beside_the_jars() -> None:
    host = [{"match": "127.0.0.1:*", "headers": {"Cookie": "theirs=1"}}]
    async with serve({"/": sets("a=1", "theirs=2")}) as site, fetching(host=host) as fetcher:
        for _ in range(2):
            await fetcher.fetch(Request(site.url))
    assert cookies_of(site, "/") == ["theirs=1", "theirs=1; a=1"]


# ── in a crawl ──────────────────────────────────────────────────────────────────────────────


class Walker(Spider):
    """Follows every link."""

    name = "walker"
    url = ""

    async def start(self) -> AsyncIterator[Request]:
        yield Request(self.url)

    def parse(self, response: crawler.Response) -> Any:
        yield from response.follow_all("a")


async def test_robots_txt_neither_sets_nor_is_sent_cookies(crawl: Callable[..., Any]) -> None:
    pages = {
        "/robots.txt": sets("robots=1"),
        "/": (200, {"Set-Cookie": "a=1"}, "<a href=/b>b</a>"),
        "/b": "",
    }
    async with serve(pages) as site:
        await crawl(Walker, arguments={"url": site.url})
    assert cookies_of(site, "/robots.txt") == [None]
    assert cookies_of(site, "/b") == ["a=1"]


async def test_a_setting_switches_them_off(crawl: Callable[..., Any]) -> None:
    async with serve({"/": (200, {"Set-Cookie": "a=1"}, "<a href=/b>b</a>"), "/b": ""}) as site:
        await crawl(Walker, arguments={"url": site.url}, cookies=False)
    assert cookies_of(site, "/b") == [None]


async def test_a_link_is_of_the_jar_that_it_names_and_inherits_none(
    crawl: Callable[..., Any],
) -> None:
    class Two(Walker):
        async def start(self) -> AsyncIterator[Request]:
            for name in ("anna", "bert"):
                yield Request(f"{self.url}?{name}", meta={"cookiejar": name})

        def parse(self, response: crawler.Response) -> Any:
            who = response.meta["cookiejar"]
            yield response.follow(f"/mine?{who}", self.end, meta={"cookiejar": who})
            yield response.follow(f"/none?{who}", self.end)

        def end(self, response: crawler.Response) -> None:
            pass

    def greet(request: Any) -> Any:
        return sets(f"user={request.target.partition('?')[2]}")

    async with serve({"/": greet, "/mine": "", "/none": ""}) as site:
        await crawl(Two, arguments={"url": site.url})
    assert sorted(filter(None, cookies_of(site, "/mine"))) == ["user=anna", "user=bert"]
    assert cookies_of(site, "/none") == [None, None]


async def test_a_run_that_goes_on_has_its_cookies_and_a_fresh_one_has_none(
    crawl: Callable[..., Any], rows: Callable[..., list[Any]]
) -> None:
    pages = {
        "/": (200, [("Set-Cookie", "a=1; Max-Age=99"), ("Set-Cookie", "b=2")], "<a href=/b>b</a>"),
        "/b": (200, {"Set-Cookie": "b=; Max-Age=0"}, "<a href=/c>c</a>"),
        "/c": "<a href=/d>d</a>",
        "/d": "",
    }
    async with serve(pages) as site:
        for _ in range(3):
            await crawl(Walker, arguments={"url": site.url}, max_pages=1)
        assert cookies_of(site, "/b") == ["a=1; b=2"]
        assert cookies_of(site, "/c") == ["a=1"]
        assert rows("SELECT run, name, value FROM crawl_cookie") == [(1, "a", "1")]
        await crawl(Walker, arguments={"url": site.url}, max_pages=1, fresh=True)
        assert cookies_of(site, "/") == [None, None]
        assert rows("SELECT DISTINCT run FROM crawl_cookie") == [2]
        await crawl(Walker, arguments={"url": site.url})
    assert rows("SELECT * FROM crawl_cookie") == []  # finished: nobody will go on with it


async def test_a_login_in_start_is_in_the_file_when_its_requests_are(
    crawl: Callable[..., Any], rows: Callable[..., list[Any]]
) -> None:
    class Member(Walker):
        async def start(self) -> AsyncIterator[Request]:
            await self.fetch(Request(f"{self.url}login", form={"user": "anna"}))
            yield Request(self.url)

    seen: list[Any] = []

    async def page(_: Any) -> str:
        seen.extend(rows("SELECT name, value FROM crawl_cookie"))
        return ""

    async with serve({"/login": sets("session=s"), "/": page}) as site:
        await crawl(Member, arguments={"url": site.url}, allow_private=["*"])
    assert seen == [("session", "s")]
    assert cookies_of(site, "/") == ["session=s"]


async def test_cookies_that_come_with_a_request_survive_its_wait_in_the_file(
    crawl: Callable[..., Any], db: Path
) -> None:
    class Bringing(Walker):
        async def start(self) -> AsyncIterator[Request]:
            yield Request(self.url)
            yield Request(f"{self.url}b", cookies={"session": "s"}, priority=-1)

    async with serve({"/": "", "/b": ""}) as site:
        await crawl(Bringing, arguments={"url": site.url}, max_pages=1)
        await crawl(Bringing, arguments={"url": site.url})
    assert cookies_of(site, "/b") == ["session=s"]
