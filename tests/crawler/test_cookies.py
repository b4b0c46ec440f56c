"""The jars of a crawl: what they take, what they send, and what they leave behind in the file."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crawler
from crawler import Request, Spider
from crawler.cookies import (
    LONGEST_HEADER,
    MOST_OF_ALL,
    MOST_OF_JAR,
    MOST_OF_RESPONSE,
    MOST_OF_SITE,
    Cookies,
)
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.settings import Settings
from crawler.throttle import Throttle
from storage.records import CookieRecord
from tests.names import name_server
from tests.site import serve

HTTP, HTTPS = "http://www.shop.example/", "https://www.shop.example/"


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def jar(url: str = HTTP, *headers: str, clock: Clock | None = None) -> Cookies:
    """A jar that a response at `url` has put cookies into."""
    cookies = Cookies(clock=clock or Clock())
    cookies.receive("", url, headers)
    return cookies


def sent(cookies: Cookies, url: str, own: str = "", name: str = "") -> str | None:
    """The Cookie header of a request for `url`, which brings `own` itself."""
    headers = {"cookie": own} if own else {}
    headers = dict(cookies.with_ours(name, url, headers))
    return headers.get("cookie", headers.get("Cookie"))


class File:
    """Keeps what a store would."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Any, ...], CookieRecord] = {}

    def take(self, news: Iterable[CookieRecord]) -> None:
        for cookie in news:
            if cookie.expires == 0:
                self.kept.pop(cookie[:5], None)
            else:
                self.kept[cookie[:5]] = cookie

    def __iter__(self) -> Any:
        return iter(reversed(self.kept.values()))  # in no order that helps


# ── what is sent ────────────────────────────────────────────────────────────────────────────


def test_what_a_server_sets_it_is_told_again() -> None:
    cookies = jar(HTTP, "a=1", "b=2; Path=/", "c=3; Domain=shop.example", "alone")
    assert sent(cookies, HTTP) == "a=1; b=2; c=3; alone"
    assert sent(cookies, "http://shop.example/") == "c=3"
    assert sent(cookies, "http://x.www.shop.example/") == "c=3"
    assert sent(cookies, "http://other.example/") is None
    assert sent(cookies, "http://notshop.example/") is None


def test_ports_do_not_separate_cookies() -> None:
    assert sent(jar("http://127.0.0.1:8000/", "a=1"), "http://127.0.0.1:9000/") == "a=1"


def test_longer_paths_go_first_and_then_older_cookies() -> None:
    cookies = jar(HTTP, "a=1; Path=/", "b=2; Path=/x/y", "c=3; Path=/x", "d=4; Path=/")
    cookies.receive("", HTTP, ["a=5; Path=/"])  # is as old as it was
    assert sent(cookies, HTTP + "x/y") == "b=2; c=3; a=5; d=4"
    assert sent(cookies, HTTP + "x?/y") == "c=3; a=5; d=4"
    assert sent(cookies, HTTP + "xy") == "a=5; d=4"


def test_a_secure_cookie_is_for_https_only() -> None:
    cookies = jar(HTTPS, "a=1; Secure", "b=2")
    assert sent(cookies, HTTPS) == "a=1; b=2"
    assert sent(cookies, HTTP) == "b=2"


def test_a_cookie_is_gone_when_its_time_is_over() -> None:
    clock = Clock()
    cookies = jar(HTTP, "a=1; Max-Age=10", "b=2", clock=clock)
    cookies.take_news()
    clock.now += 9
    assert sent(cookies, HTTP) == "a=1; b=2"
    clock.now += 1
    assert sent(cookies, HTTP) == "b=2"
    (gone,) = cookies.take_news()
    assert (gone.name, gone.expires) == ("a", 0.0)


def test_a_server_takes_a_cookie_back() -> None:
    cookies = jar(HTTP, "a=1", "b=2; Path=/x", "c=3")
    cookies.receive("", HTTP, ["a=; Max-Age=0", "b=; Max-Age=0", "never=was; Max-Age=0"])
    assert sent(cookies, HTTP + "x") == "b=2; c=3"  # that of another path is another cookie


def test_http_leaves_secure_cookies_alone() -> None:
    cookies = jar(HTTPS, "a=1; Secure; Path=/login; Domain=shop.example")
    for text in ("a=2; Path=/login", "a=2; Path=/login/x", "a=; Path=/login; Max-Age=0"):
        cookies.receive("", "http://x.www.shop.example/", [text])
        cookies.receive("", "http://shop.example/", [text, text + "; Domain=shop.example"])
    assert sent(cookies, "https://x.www.shop.example/login/x") == "a=1"
    cookies.receive("", HTTP, ["a=2; Path=/"])  # covers it nowhere
    assert sent(cookies, HTTPS + "login") == "a=1; a=2"
    cookies.receive("", HTTPS, ["a=3; Path=/login; Domain=shop.example"])  # https may
    assert sent(cookies, HTTP + "login") == "a=3; a=2"


def test_http_lays_no_cookie_of_the_site_over_a_hosts_secure_one() -> None:
    cookies = jar(HTTPS, "a=1; Secure")
    cookies.receive("", HTTP, ["a=2; Domain=shop.example"])
    assert sent(cookies, HTTPS) == "a=1"
    assert sent(cookies, "http://shop.example/") is None


def test_the_requests_own_cookie_header_stays_and_its_names_win() -> None:
    cookies = jar(HTTP, "a=1", "b=2")
    assert sent(cookies, HTTP, "b=mine; c=3;") == "b=mine; c=3; a=1"
    assert sent(cookies, "http://other.example/", "b=mine") == "b=mine"


def test_jars_know_nothing_of_each_other() -> None:
    cookies = jar(HTTP, "a=1")
    cookies.receive("second", HTTP, ["a=2"])
    assert sent(cookies, HTTP) == "a=1"
    assert sent(cookies, HTTP, name="second") == "a=2"
    assert sent(cookies, HTTP, name="third") is None


@pytest.mark.parametrize(
    ("meta", "name"),
    [
        ({}, ""),
        ({"cookiejar": None}, ""),
        ({"cookiejar": 0}, "0"),
        ({"cookiejar": "x"}, "x"),
        ({"cookiejar": "\ud800"}, "?"),
        ({"cookiejar": "x", "dont_merge_cookies": True}, None),
        ({"dont_merge_cookies": False}, ""),
    ],
)
def test_a_request_names_its_jar(meta: dict[str, Any], name: str | None) -> None:
    request = Request(HTTP, meta=meta)
    assert Cookies().jar_of(request) == name
    assert Cookies(on=False).jar_of(request) is None


# ── caps ────────────────────────────────────────────────────────────────────────────────────


def count(cookies: Cookies) -> int:
    file = File()
    file.take(cookies.take_news())
    return len(file.kept)


def test_of_a_site_the_newest_stay() -> None:
    cookies = jar()
    for number in range(MOST_OF_SITE + 5):
        cookies.receive("", f"http://{number}.shop.example/", [f"n{number}=1; Domain=shop.example"])
    assert sent(cookies, HTTP) == "; ".join(f"n{n}=1" for n in range(5, MOST_OF_SITE + 5))


def test_what_is_over_goes_first_and_then_what_is_not_secure() -> None:
    clock = Clock()
    cookies = jar(HTTPS, "login=1; Secure", "plain=1", "over=1; Secure; Max-Age=1", clock=clock)
    clock.now += 1
    flood = [f"n{number}=1" for number in range(MOST_OF_SITE - 1)]
    cookies.receive("", HTTPS, flood)
    header = sent(cookies, HTTPS) or ""
    assert header.startswith("login=1; n0=1; n1=1;")
    assert len(header.split("; ")) == MOST_OF_SITE


def test_of_a_response_only_so_many_headers_are_looked_at() -> None:
    many = [f"a={number}" for number in range(10_000)]
    assert sent(jar(HTTP, *many), HTTP) == f"a={MOST_OF_RESPONSE - 1}"


def test_the_site_that_was_used_longest_ago_goes_when_a_jar_is_full() -> None:
    cookies = jar("http://login.example/", "login=1")
    for number in range(MOST_OF_JAR + 10):
        cookies.receive("", f"http://{number}.test/", ["a=1; Domain=test", "b=1"])
        assert sent(cookies, "http://login.example/") == "login=1"  # used all the time
    assert sent(cookies, "http://0.test/") is None
    assert sent(cookies, f"http://{MOST_OF_JAR + 9}.test/") == "b=1"
    assert count(cookies) == MOST_OF_JAR


def test_the_jar_that_was_used_longest_ago_goes_when_there_are_too_many() -> None:
    cookies = jar()
    for number in range(MOST_OF_ALL + 10):
        cookies.receive(f"jar {number}", HTTP, ["a=1"])
    assert sent(cookies, HTTP, name="jar 9") is None
    assert sent(cookies, HTTP, name="jar 10") == "a=1"
    assert count(cookies) == MOST_OF_ALL


def test_a_bomb_of_cookies_makes_no_header_that_servers_refuse() -> None:
    cookies = jar(HTTP, "login=1", *(f"bomb{number}={'x' * 3000}" for number in range(40)), "b=2")
    header = sent(cookies, HTTP) or ""
    assert len(header) <= LONGEST_HEADER
    # The login is older, and what is small fits behind the bombs that do.
    names = [part.partition("=")[0] for part in header.split("; ")]
    assert names == ["login", "bomb0", "bomb1", "b"]


# ── in the file ─────────────────────────────────────────────────────────────────────────────


def test_news_is_what_changed_since_the_last_time() -> None:
    cookies = jar(HTTP, "a=1", "a=2", "b=1")
    assert [(one.name, one.value) for one in cookies.take_news()] == [("a", "2"), ("b", "1")]
    assert cookies.take_news() == ()
    cookies.receive("", HTTP, ["a=2", "b=; Max-Age=0"])
    assert [(one.name, one.expires) for one in cookies.take_news()] == [("b", 0.0)]


def test_what_was_over_when_the_run_goes_on_is_forgotten() -> None:
    clock = Clock()
    cookies = jar(HTTP, "a=1; Max-Age=10", "b=2", clock=clock)
    kept = list(cookies.take_news())
    clock.now += 10
    again = Cookies(kept, clock=clock)
    assert [(one.name, one.expires) for one in again.take_news()] == [("a", 0.0)]
    assert sent(again, HTTP) == "b=2"


HOSTS = ("shop.example", "www.shop.example", "a.www.shop.example", "b.test", "127.0.0.1")
COOKIE = st.builds(
    "{}={}{}{}{}{}".format,
    st.sampled_from(["a", "b", "__Host-c", ""]),
    st.integers(0, 9),
    st.sampled_from(["", *(f"; Domain={host}" for host in (*HOSTS, "example", ".test"))]),
    st.sampled_from(["", "; Path=/", "; Path=/x", "; Path=/x/y"]),
    st.sampled_from(["", "; Max-Age=5", "; Max-Age=0", "; Max-Age=100"]),
    st.sampled_from(["", "; Secure"]),
)
PLACE = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(HOSTS),
    st.sampled_from(["/", "/x", "/x/y/z"]),
)
EVENT = st.tuples(
    st.sampled_from(["", "2"]), PLACE, st.lists(COOKIE, max_size=4), st.integers(0, 9)
)


@given(st.lists(EVENT, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_jar_that_goes_through_the_file_is_the_same_jar(
    events: list[tuple[str, str, list[str], int]], restarts: list[bool]
) -> None:
    clock, file = Clock(), File()
    one, other = Cookies(clock=clock), Cookies(clock=clock)
    for (name, url, headers, seconds), restart in zip(events, restarts, strict=False):
        clock.now += seconds
        for cookies in (one, other):
            cookies.receive(name, url, headers)
        file.take(other.take_news())
        if restart:
            other = Cookies(file, clock=clock)
            file.take(other.take_news())
        for scheme in ("http", "https"):
            for host in HOSTS:
                for path in ("/", "/x/y"):
                    place = f"{scheme}://{host}{path}"
                    assert sent(one, place, name=name) == sent(other, place, name=name)


@given(st.lists(st.tuples(PLACE, COOKIE), max_size=20), PLACE)
def test_no_host_hears_of_a_cookie_that_is_not_its_own(
    events: list[tuple[str, str]], asked: str
) -> None:
    """Each cookie's value is the place it was set at: so the one who is told can be judged."""
    cookies = Cookies(clock=Clock())
    for number, (place, text) in enumerate(events):
        name, _, rest = text.partition("=")
        cookies.receive("", place, [f"{name}=from{number}{rest[1:]}"])
    host = asked.split("/")[2]
    for part in filter(None, (sent(cookies, asked) or "").split("; ")):
        place, text = events[int(part.rpartition("from")[2])]
        setter = place.split("/")[2]
        if "Domain=" in text and host != setter:
            domain = text.partition("Domain=")[2].partition(";")[0].lstrip(".")
            assert host == domain or host.endswith("." + domain)
            assert setter == domain or setter.endswith("." + domain)
            assert "." in domain
        else:
            assert host == setter
        assert asked.startswith("https:") or "Secure" not in text


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 120)), max_size=60))
def test_no_flood_passes_the_caps(floods: list[tuple[int, int]]) -> None:
    cookies, file = Cookies(clock=Clock()), File()
    for number, (site, many) in enumerate(floods):
        headers = [f"n{number}-{one}=1; Domain=site{site}.test" for one in range(many)]
        cookies.receive("", f"http://{number}.site{site}.test/", headers)
        file.take(cookies.take_news())
        for each in range(4):
            of_site = [one for one in file.kept.values() if one.domain == f"site{each}.test"]
            assert len(of_site) <= MOST_OF_SITE


# ── on the wire ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _names() -> Iterator[None]:
    """These names are loopback's, and no look-up leaves the machine."""
    names = ("www.shop.example", "shop.example", "x.shop.example", "pay.test")
    with name_server({name: ["127.0.0.1"] for name in names}):
        yield


@asynccontextmanager
async def fetching(on: bool = True, **values: Any) -> AsyncIterator[Fetcher]:
    given = Settings(**{"allow_private": ["*"], **values})
    parts = Guard(given.allow_private), Throttle(given), Cookies(on=on)
    async with Fetcher(given, *parts) as fetcher:
        yield fetcher


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
