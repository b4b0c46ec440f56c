"""A jar: what it takes, what it sends, how much it holds, and what is news of it."""

from typing import Any

import pytest

from crawler import Request
from crawler.cookies import (
    LONGEST_HEADER,
    MOST_OF_ALL,
    MOST_OF_JAR,
    MOST_OF_RESPONSE,
    MOST_OF_SITE,
    Cookies,
)
from tests.crawler.cookie_jar import Clock, File, sent

HTTP, HTTPS = "http://www.shop.example/", "https://www.shop.example/"


def jar(url: str = HTTP, *headers: str, clock: Clock | None = None) -> Cookies:
    """A jar that a response at `url` has put cookies into."""
    cookies = Cookies(clock=clock or Clock())
    cookies.receive("", url, headers)
    return cookies


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
