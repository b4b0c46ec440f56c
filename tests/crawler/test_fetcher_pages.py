"""A page as the fetcher brings it, and what is sent for it."""

import gzip
import json
from pathlib import Path

import pytest

from crawler.request import Request
from crawler.url import canonical
from tests.crawler.plain_fetches import (
    failure,
    fetch,
    fetching,
    moved,
    ok,
    serving,
)
from tests.hostile.server import Hostile, raw

ORACLE = Path(__file__).parents[3] / "shared" / "oracles" / "wpt-urltestdata.json"


# ── a page ──────────────────────────────────────────────────────────────────────────────────


async def test_a_page_comes_with_status_headers_body_and_timings() -> None:
    async with serving({"/x?q=1": ok(b"hello", "X-One: 1")}) as server:
        request = Request(server.url + "/x?q=1#part")
        async with fetching() as fetcher:
            response = await fetcher.fetch(request)
    assert (response.status, response.body, response.url) == (200, b"hello", server.url + "/x?q=1")
    assert response.headers["x-one"] == "1"
    assert response.redirects == ()
    assert response.request is request
    phases = request.phases
    assert phases.ttfb is not None
    assert phases.body is not None
    assert phases.elapsed is not None
    assert 0 < phases.ttfb + phases.body <= phases.elapsed


async def test_a_url_goes_over_the_wire_to_the_letter() -> None:
    targets = [
        "/?",
        "/a?",
        "/a??",
        "/a?b=%2f&c=%2F&%63=+%20",
        "/%7Ejoe/~joe/%00/%zz/%",
        "/[a]|{b}^c`'\"<>",
        "/a?[x]=|^`{}\\'",
        "/caf\u00e9?q=\u6f22\u5b57",
        "/a//b/;c=1;d/@joe:x",
        "/%2e%2e/a/%2E/b",
        *_of_the_web_platform_tests(),
    ]
    canonical_targets = [
        "/" + canonical(f"http://a/{target[1:]}").split("/", 3)[3] for target in targets
    ]
    async with serving(dict.fromkeys(canonical_targets, ok())) as server, fetching() as fetcher:
        for target in targets:
            response = await fetcher.fetch(Request(server.url + target))
            assert response.body == b"hello"
    assert [asked.target for asked in server.asked] == canonical_targets


def _of_the_web_platform_tests() -> list[str]:
    """Path and query of each http(s) case, when the data are there."""
    if not ORACLE.exists():
        return []
    cases = [case for case in json.loads(ORACLE.read_text()) if isinstance(case, dict)]
    web = [case for case in cases if case.get("protocol") in ("http:", "https:")]
    return ["/" + case["href"].split("/", 3)[3] for case in web]


@pytest.mark.parametrize("status", [204, 304, 404, 500])
async def test_any_status_is_a_response(status: int) -> None:
    line = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving({"/": line}) as server:
        assert (await fetch(server.url + "/")).status == status


async def test_a_head_request_has_no_body_whatever_is_announced() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    async with serving({"/": head}) as server:
        assert (await fetch(server.url + "/", method="HEAD")).body == b""


async def test_an_escape_in_a_url_is_sent_as_it_is_written() -> None:
    target = "/a%2fb%7e/%E4?x=%20+%2B&y=[1]"
    async with serving({target: ok()}) as server:
        await fetch(server.url + target)
    assert server.asked[0].target == target


async def test_a_chunked_body_comes_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving({"/": head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"}) as server:
        assert (await fetch(server.url + "/")).body == b"abcde"


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with Hostile(raw(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it")) as server:
        assert (await fetch(server.url + "/")).body == b"all of it"


async def test_a_compressed_body_is_decoded() -> None:
    body = gzip.compress(b"hello " * 100)
    async with serving({"/": ok(body, "Content-Encoding: gzip")}) as server:
        assert (await fetch(server.url + "/")).body == b"hello " * 100


# ── what is sent ────────────────────────────────────────────────────────────────────────────


async def test_the_crawler_says_who_it_is_and_what_it_can_read() -> None:
    async with serving({"/": ok()}) as server:
        await fetch(server.url + "/", {"user_agent": "bot/1", "contact": "me@site.example"})
    (asked,) = server.asked
    assert asked.header("User-Agent") == "bot/1 (+me@site.example)"
    assert "gzip" in str(asked.header("Accept-Encoding"))
    assert asked.header("Host") == server.host


async def test_headers_of_the_request_win_over_the_hosts_and_those_over_the_settings() -> None:
    async with serving({"/": ok()}) as server:
        await fetch(
            server.url + "/",
            {
                "headers": {"X-A": "settings", "X-B": "settings", "X-C": "settings"},
                "host": [{"match": "127.*", "headers": {"X-B": "host", "X-C": "host"}}],
            },
            headers={"X-C": "request"},
        )
    (asked,) = server.asked
    found = [asked.header(name) for name in ("X-A", "X-B", "X-C")]
    assert found == ["settings", "host", "request"]


async def test_a_header_is_sent_once_in_whatever_case_it_is_given() -> None:
    async with serving({"/": ok()}) as server:
        await fetch(
            server.url + "/",
            {"headers": {"x-one": "settings"}},
            headers={"user-agent": "mine", "X-ONE": "request"},
        )
    (asked,) = server.asked
    assert asked.header("User-Agent") == "mine"
    assert asked.header("X-One") == "request"


@pytest.mark.parametrize(
    "headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A\r\nX-B": "2"}, {"X-A": "1\nX-B: 2"}]
)
async def test_a_header_that_would_smuggle_in_another_is_refused(headers: dict[str, str]) -> None:
    async with serving({"/": ok()}) as server:
        error = await failure(server.url + "/", headers=headers)
    assert (error.reason, error.retryable) == ("bad_request", False)
    assert server.asked == []


async def test_a_method_that_would_smuggle_in_a_request_is_refused() -> None:
    async with serving({"/": ok()}) as server:
        error = await failure(server.url + "/", method="GET / HTTP/1.1\r\nX-A: 1\r\n\r\nGET")
    assert error.reason == "bad_request"
    assert server.asked == []


async def test_userinfo_in_a_url_is_not_sent() -> None:
    async with serving({"/": ok()}) as server:
        response = await fetch(f"http://user:secret@{server.host}/")
    (asked,) = server.asked
    assert asked.header("Authorization") is None
    assert "secret" not in str(asked)
    assert response.url == server.url + "/"


async def test_cookies_are_not_kept_from_one_request_to_the_next() -> None:
    """The fetcher has no jar: whoever wants cookies has a middleware keep them."""
    pages = {
        "/": ok(b"", "Set-Cookie: a=1; Path=/"),
        "/away": moved(302, "/", "Set-Cookie: b=2; Path=/"),
    }
    async with serving(pages) as server, fetching() as fetcher:
        for path in ("/", "/", "/away"):
            await fetcher.fetch(Request(server.url + path))
        await fetcher.fetch(Request(server.url + "/", headers={"Cookie": "mine=1"}))
    cookies = [asked.header("Cookie") for asked in server.asked]
    assert cookies == [None, None, None, None, "mine=1"]
