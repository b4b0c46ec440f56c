"""The fetcher against servers that say anything, on loopback: reasons, redirects, connections."""

import asyncio
import gzip
import shutil
import ssl
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from crawler.errors import DropRequest, FetchError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.throttle import Throttle


@dataclass
class Asked:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    reader: asyncio.StreamReader  # for those who answer only when the client has hung up

    def header(self, name: str) -> str | None:
        """The one value of a header; None when it was not sent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


Answer = bytes | Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Answers each path with what the test put there, and notes what was asked."""

    host: str = ""
    scheme: str = "http"
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    gone: int = 0  # connections that the client closed

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://{self.host}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await _read(reader)
                self.asked.append(request)
                answer = self.answers[request.target]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(request, writer)
                    if writer.is_closing():
                        return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone += 1
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    length = next((int(v) for name, v in headers if name.lower() == "content-length"), 0)
    return Asked(method, target, headers, await reader.readexactly(length), reader)


@asynccontextmanager
async def serving(
    answers: dict[str, Answer] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server(answers=answers or {}, scheme="https" if tls else "http")
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def fetching(**settings: Any) -> AsyncIterator[Fetcher]:
    values = Settings(**{"allow_private": ["127.0.0.1"], **settings})
    async with Fetcher(values, Guard(values.allow_private), Throttle(values)) as fetcher:
        yield fetcher


async def fetch(url: str, settings: dict[str, Any] | None = None, **request: Any) -> Response:
    async with fetching(**(settings or {})) as fetcher:
        return await fetcher.fetch(Request(url, **request))


async def failure(url: str, settings: dict[str, Any] | None = None, **request: Any) -> FetchError:
    """What a fetch fails with."""
    with pytest.raises(FetchError) as caught:
        await fetch(url, settings, **request)
    return caught.value


def ok(body: bytes = b"hello", *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moved(status: int, location: str | None, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Moved", "Content-Length: 0", *headers]
    if location is not None:
        lines.append(f"Location: {location}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def then_close(*parts: bytes) -> Answer:
    """Send the parts and hang up."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()
        writer.close()

    return answer


async def silence(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the client hangs up."""
    await asked.reader.read()


# ── a page ──────────────────────────────────────────────────────────────────────────────────


async def test_a_page_comes_with_status_headers_body_and_timings() -> None:
    async with serving({"/x?q=1": ok(b"hello", "X-One: 1")}) as server:
        request = Request(server.url("/x?q=1#part"))
        async with fetching() as fetcher:
            response = await fetcher.fetch(request)
    assert (response.status, response.body, response.url) == (200, b"hello", server.url("/x?q=1"))
    assert response.headers["x-one"] == "1"
    assert response.redirects == ()
    assert response.request is request
    phases = request.phases
    assert phases.ttfb is not None
    assert phases.body is not None
    assert phases.elapsed is not None
    assert 0 < phases.ttfb + phases.body <= phases.elapsed


@pytest.mark.parametrize("status", [204, 304, 404, 500])
async def test_any_status_is_a_response(status: int) -> None:
    line = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving({"/": line}) as server:
        assert (await fetch(server.url())).status == status


async def test_a_head_request_has_no_body_whatever_is_announced() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    async with serving({"/": head}) as server:
        assert (await fetch(server.url(), method="HEAD")).body == b""


async def test_an_escape_in_a_url_is_sent_as_it_is_written() -> None:
    target = "/a%2fb%7e/%E4?x=%20+%2B&y=[1]"
    async with serving({target: ok()}) as server:
        await fetch(server.url(target))
    assert server.asked[0].target == target


async def test_a_chunked_body_comes_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving({"/": head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"}) as server:
        assert (await fetch(server.url())).body == b"abcde"


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with serving({"/": then_close(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it")}) as server:
        assert (await fetch(server.url())).body == b"all of it"


async def test_a_compressed_body_is_decoded() -> None:
    body = gzip.compress(b"hello " * 100)
    async with serving({"/": ok(body, "Content-Encoding: gzip")}) as server:
        assert (await fetch(server.url())).body == b"hello " * 100


# ── what is sent ────────────────────────────────────────────────────────────────────────────


async def test_the_crawler_says_who_it_is_and_what_it_can_read() -> None:
    async with serving({"/": ok()}) as server:
        await fetch(server.url(), {"user_agent": "bot/1", "contact": "me@site.example"})
    (asked,) = server.asked
    assert asked.header("User-Agent") == "bot/1 (+me@site.example)"
    assert "gzip" in str(asked.header("Accept-Encoding"))
    assert asked.header("Host") == server.host


async def test_headers_of_the_request_win_over_the_hosts_and_those_over_the_settings() -> None:
    async with serving({"/": ok()}) as server:
        await fetch(
            server.url(),
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
            server.url(),
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
        error = await failure(server.url(), headers=headers)
    assert (error.reason, error.retryable) == ("bad_request", False)
    assert server.asked == []


async def test_a_method_that_would_smuggle_in_a_request_is_refused() -> None:
    async with serving({"/": ok()}) as server:
        error = await failure(server.url(), method="GET / HTTP/1.1\r\nX-A: 1\r\n\r\nGET")
    assert error.reason == "bad_request"
    assert server.asked == []


async def test_userinfo_in_a_url_is_not_sent() -> None:
    async with serving({"/": ok()}) as server:
        response = await fetch(f"http://user:secret@{server.host}/")
    (asked,) = server.asked
    assert asked.header("Authorization") is None
    assert "secret" not in str(asked)
    assert response.url == server.url()


async def test_cookies_are_not_kept_from_one_request_to_the_next() -> None:
    """The fetcher has no jar: whoever wants cookies has a middleware keep them."""
    answers: dict[str, Answer] = {
        "/": ok(b"", "Set-Cookie: a=1; Path=/"),
        "/away": moved(302, "/", "Set-Cookie: b=2; Path=/"),
    }
    async with serving(answers) as server, fetching() as fetcher:
        for path in ("/", "/", "/away"):
            await fetcher.fetch(Request(server.url(path)))
        await fetcher.fetch(Request(server.url(), headers={"Cookie": "mine=1"}))
    cookies = [asked.header("Cookie") for asked in server.asked]
    assert cookies == [None, None, None, None, "mine=1"]


# ── connections ─────────────────────────────────────────────────────────────────────────────


async def test_a_connection_is_used_again() -> None:
    async with serving({"/": ok(), "/gone": moved(302, "/")}) as server, fetching() as fetcher:
        for _ in range(3):
            await fetcher.fetch(Request(server.url()))
        await fetcher.fetch(Request(server.url("/gone")))
        assert server.connections == 1


async def test_a_kept_connection_that_the_server_has_closed_is_not_used() -> None:
    closed = asyncio.Event()

    async def bye(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(ok())
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with serving({"/": ok(), "/bye": bye}) as server, fetching() as fetcher:
        await fetcher.fetch(Request(server.url("/bye")))
        await closed.wait()
        assert (await fetcher.fetch(Request(server.url()))).body == b"hello"
    assert [asked.target for asked in server.asked] == ["/bye", "/"]


async def test_a_server_that_hangs_up_on_a_kept_connection_is_worth_another_try() -> None:
    """aiohttp would try again by itself, unseen by delays and by the count of attempts."""
    answers: dict[str, Answer] = {"/": ok(), "/bye": then_close()}
    async with serving(answers) as server, fetching() as fetcher:
        await fetcher.fetch(Request(server.url()))
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(server.url("/bye")))
        assert (caught.value.reason, caught.value.retryable) == ("connection", True)
        assert (await fetcher.fetch(Request(server.url()))).body == b"hello"
    assert [asked.target for asked in server.asked] == ["/", "/bye", "/"]


async def test_leaving_closes_the_connections() -> None:
    async with serving({"/": ok()}) as server:
        async with fetching() as fetcher:
            await fetcher.fetch(Request(server.url()))
            assert server.gone == 0
        while not server.gone:
            await asyncio.sleep(0)


async def test_a_fetcher_that_is_not_entered_says_so() -> None:
    values = Settings()
    fetcher = Fetcher(values, Guard(), Throttle(values))
    with pytest.raises(RuntimeError, match="not entered"):
        await fetcher.fetch(Request("http://a.example/"))


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────


async def test_a_refused_connection_may_be_tried_again() -> None:
    async with serving() as server:
        url = server.url()
    error = await failure(url)
    assert (error.reason, error.retryable) == ("connection", True)


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_BROKEN: list[tuple[str, Answer, str, bool]] = [
    ("no bytes", then_close(), "connection", True),
    ("half a head", then_close(b"HTTP/1.1 200 OK\r\nContent-"), "connection", True),
    ("short", then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "truncated", True),
    ("no last chunk", then_close(_CHUNKED, b"3\r\nabc\r\n"), "truncated", True),
    ("half a chunk", then_close(_CHUNKED, b"5\r\nabc"), "truncated", True),
    ("no status line", then_close(b"<html>hello</html>\r\n\r\n"), "bad_response", True),
    ("odd status", then_close(b"HTTP/1.1 two hundred OK\r\n\r\n"), "bad_response", True),
    ("two lengths", ok(b"abc", "Content-Length: 5"), "bad_response", True),
    ("long header", ok(b"", "X-A: " + "a" * 70_000), "bad_response", True),
    ("no gzip", ok(b"not gzip", "Content-Encoding: gzip"), "bad_encoding", False),
    (
        "cut gzip",
        ok(gzip.compress(b"hello" * 99)[:-12], "Content-Encoding: gzip"),
        "truncated",
        True,
    ),
    ("unknown coding", ok(b"x", "Content-Encoding: zip"), "unsupported_encoding", False),
]


@pytest.mark.parametrize(
    ("answer", "reason", "retryable"), [pytest.param(*rest, id=name) for name, *rest in _BROKEN]
)
async def test_a_broken_answer_has_its_reason(answer: Answer, reason: str, retryable: bool) -> None:
    async with serving({"/": answer}) as server:
        error = await failure(server.url())
    assert (error.reason, error.retryable) == (reason, retryable)


async def test_a_page_that_announces_too_much_is_not_read() -> None:
    async with serving({"/": ok(b"x" * 1001)}) as server:
        error = await failure(server.url(), {"max_body": 1000})
        assert (error.reason, error.retryable) == ("too_large", False)
        assert (await fetch(server.url(), {"max_body": 1001})).body == b"x" * 1001


async def test_a_page_without_end_is_cut_off_at_the_cap() -> None:
    sent = 0

    async def forever(_: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(_CHUNKED)
        while True:
            writer.write(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")
            sent += 0xFFFF
            await writer.drain()

    async with serving({"/": forever}) as server:
        assert (await failure(server.url(), {"max_body": 200_000})).reason == "too_large"
        while not server.gone:
            await asyncio.sleep(0)
    assert sent < 50_000_000


async def test_a_bomb_is_not_inflated() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(50)) + packer.flush()
    assert len(bomb) < 60_000
    async with serving({"/": ok(bomb, "Content-Encoding: gzip")}) as server:
        error = await failure(server.url(), {"max_body": 1 << 30})
        assert error.reason == "too_large"
        assert (await failure(server.url(), {"max_body": 1000})).reason == "too_large"


async def test_an_answer_that_does_not_come_in_time_is_a_timeout() -> None:
    async with serving({"/": silence}) as server:
        error = await failure(server.url(), {"timeout": 0.05})
    assert (error.reason, error.retryable) == ("timeout", True)
    assert "0.05 s" in str(error)


async def test_a_body_that_trickles_past_the_deadline_is_a_timeout() -> None:
    async def trickle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with serving({"/": trickle}) as server:
        assert (await failure(server.url(), {"timeout": 0.05})).reason == "timeout"


async def test_the_deadline_is_for_all_hops_together() -> None:
    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(moved(302, f"/{int(asked.target[1:]) + 1}"))

    async with serving({f"/{n}": slowly for n in range(30)}) as server:
        error = await failure(server.url("/0"), {"timeout": 0.1, "max_redirects": 30})
    assert error.reason == "timeout"
    assert len(server.asked) < 10


async def test_a_host_may_have_its_own_deadline() -> None:
    async with serving({"/": silence}) as server:
        table = {"match": "127.0.0.1", "timeout": 0.05}
        assert (await failure(server.url(), {"timeout": 60, "host": [table]})).reason == "timeout"


async def test_a_cancelled_fetch_is_cancelled_and_not_a_timeout() -> None:
    async with serving({"/": silence}) as server, fetching() as fetcher:
        running = asyncio.create_task(fetcher.fetch(Request(server.url())))
        while not server.asked:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while not server.gone:
            await asyncio.sleep(0)


# ── redirects ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"),
        (302, "GET", "GET"),
        (303, "GET", "GET"),
        (307, "GET", "GET"),
        (308, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "PUT", "GET"),
        (301, "HEAD", "HEAD"),
        (303, "HEAD", "HEAD"),
    ],
)
async def test_a_redirect_keeps_or_changes_the_method_as_browsers_do(
    status: int, method: str, becomes: str
) -> None:
    body = b"payload" if method in ("POST", "PUT") else None
    async with serving({"/old": moved(status, "/new"), "/new": ok(b"")}) as server:
        response = await fetch(
            server.url("/old"),
            method=method,
            body=body,
            headers={"Content-Type": "text/x", "X-Kept": "1"},
        )
    old, new = server.asked
    assert (old.method, old.body) == (method, body or b"")
    kept = becomes == method
    assert (new.method, new.body) == (becomes, body or b"" if kept else b"")
    assert new.header("X-Kept") == "1"
    assert new.header("Content-Type") == ("text/x" if kept else None)
    assert response.url == server.url("/new")
    assert response.redirects == (server.url("/old"),)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("next", "/a/next"),
        ("/top?x=1#part", "/top?x=1"),
        ("?q=2", "/a/b?q=2"),
        ("//{host}/y", "/y"),
        ("http://{host}/z", "/z"),
        ("HTTP://user:pw@{host}/z", "/z"),
        ("/sp ace", "/sp%20ace"),
    ],
)
async def test_a_location_is_read_as_a_browser_reads_it(location: str, leads_to: str) -> None:
    async with serving({leads_to: ok()}) as server:
        server.answers["/a/b"] = moved(302, location.format(host=server.host))
        response = await fetch(server.url("/a/b"))
    assert response.url == server.url(leads_to)
    assert server.asked[1].header("Authorization") is None


@pytest.mark.parametrize("location", ["http://[", "ftp://host.example/", "javascript:1", "data:,x"])
async def test_a_redirect_that_leads_nowhere_fails(location: str) -> None:
    async with serving({"/": moved(302, location)}) as server:
        error = await failure(server.url())
    assert (error.reason, error.retryable) == ("bad_redirect", False)


async def test_a_redirect_without_a_location_is_a_response() -> None:
    async with serving({"/": moved(302, None)}) as server:
        assert (await fetch(server.url())).status == 302


async def test_only_so_many_redirects_are_followed() -> None:
    answers: dict[str, Answer] = {f"/{n}": moved(302, f"/{n + 1}") for n in range(9)}
    async with serving({**answers, "/3": ok()}) as server:
        assert (await fetch(server.url("/0"), {"max_redirects": 3})).status == 200
        error = await failure(server.url("/0"), {"max_redirects": 2})
        assert (error.reason, error.retryable) == ("too_many_redirects", False)
        assert (await failure(server.url("/2"), {"max_redirects": 0})).reason == error.reason


async def test_a_loop_of_redirects_ends() -> None:
    async with serving({"/a": moved(302, "/b"), "/b": moved(302, "/a")}) as server:
        assert (await failure(server.url("/a"))).reason == "too_many_redirects"
    assert len(server.asked) == 11


async def test_secrets_do_not_follow_a_redirect_to_another_origin() -> None:
    secrets = {
        "Authorization": "Basic x",
        "Cookie": "a=1",
        "X-Api-Key": "k",
        "Proxy-Authorization": "y",
        "Referer": "http://a.example/secret",
    }
    harmless = {"Accept": "text/x", "accept-language": "de", "User-Agent": "mine"}
    async with serving({"/": ok(), "/back": ok()}) as other:
        answers: dict[str, Answer] = {"/": moved(307, other.url()), "/here": moved(307, "/")}
        async with serving(answers) as server:
            await fetch(server.url("/here"), headers={**secrets, **harmless})
    here, on_the_same_origin = server.asked
    (there,) = other.asked
    for name, value in secrets.items():
        assert here.header(name) == on_the_same_origin.header(name) == value
        assert there.header(name) is None
    for name, value in harmless.items():
        assert there.header(name) == value


async def test_secrets_do_not_come_back_by_way_of_another_origin() -> None:
    async with serving() as other, serving({"/back": ok()}) as server:
        server.answers["/"] = moved(302, other.url())
        other.answers["/"] = moved(302, server.url("/back"))
        await fetch(server.url(), headers={"Authorization": "Basic x"})
    assert [asked.header("Authorization") for asked in server.asked] == ["Basic x", None]


async def test_a_hosts_own_headers_go_to_that_host_only() -> None:
    async with serving({"/": ok()}) as other, serving({"/": moved(302, other.url())}) as server:
        await fetch(server.url(), {"host": [{"match": server.host, "headers": {"X-Key": "k"}}]})
    assert server.asked[0].header("X-Key") == "k"
    assert other.asked[0].header("X-Key") is None


async def test_headers_of_the_settings_do_not_follow_a_redirect_to_another_origin() -> None:
    given = {"Authorization": "Basic x", "X-Api-Key": "k", "Accept-Language": "de"}
    async with serving({"/": ok()}) as other:
        answers: dict[str, Answer] = {"/": moved(302, "/in"), "/in": moved(302, other.url())}
        async with serving(answers) as server:
            await fetch(server.url(), {"headers": given, "user_agent": "mine"})
    for asked in server.asked:
        assert [asked.header(name) for name in given] == list(given.values())
    (there,) = other.asked
    assert [there.header(name) for name in given] == [None, None, "de"]
    assert there.header("User-Agent") == "mine"


async def test_a_hosts_own_headers_do_not_go_from_https_to_plain_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(side)
    own = {"host": [{"match": "127.0.0.1", "headers": {"X-Key": "k", "Accept": "text/x"}}]}
    async with serving({"/": moved(302, "/in"), "/in": ok()}) as plain:
        async with serving({"/": moved(302, plain.url())}, tls=side) as server:
            await fetch(server.url(), own)
        await fetch(plain.url("/in"), own)
    assert server.asked[0].header("X-Key") == "k"
    assert [asked.header("X-Key") for asked in plain.asked] == [None, None, "k"]
    assert [asked.header("Accept") for asked in plain.asked] == ["text/x"] * 3


async def test_each_hop_passes_the_guard() -> None:
    async with serving({"/": ok()}) as inside, serving({"/": moved(302, inside.url())}) as server:
        with pytest.raises(DropRequest, match="private_address"):
            await fetch(server.url(), {"allow_private": [server.host]})
    assert inside.asked == []


async def test_each_hop_asks_for_leave() -> None:
    hops: list[tuple[str, str]] = []

    async def before(url: str, target: str) -> None:
        hops.append((url, target))
        if target.endswith("/3"):
            raise DropRequest("robots")

    answers: dict[str, Answer] = {f"/{n}": moved(302, f"/{n + 1}") for n in range(4)}
    async with serving(answers) as server, fetching() as fetcher:
        with pytest.raises(DropRequest, match="robots"):
            await fetcher.fetch(Request(server.url("/0")), before)
    assert hops == [(server.url(f"/{n}"), server.url(f"/{n + 1}")) for n in range(3)]
    assert [asked.target for asked in server.asked] == ["/0", "/1", "/2"]


async def test_the_deadline_does_not_run_while_a_hop_waits_for_its_turn() -> None:
    async def wait_for_long(url: str, target: str) -> None:
        over = time.monotonic() + 0.6
        while time.monotonic() < over:
            await asyncio.sleep(0.01)

    answers: dict[str, Answer] = {"/": moved(302, "/x"), "/x": ok()}
    async with serving(answers) as server, fetching(timeout=0.5) as fetcher:
        response = await fetcher.fetch(Request(server.url()), wait_for_long)
    assert response.status == 200


async def test_after_a_wait_the_deadline_runs_on() -> None:
    async def wait(url: str, target: str) -> None:
        await asyncio.sleep(0)

    answers: dict[str, Answer] = {"/": moved(302, "/x"), "/x": silence}
    async with serving(answers) as server, fetching(timeout=0.1) as fetcher:
        with pytest.raises(FetchError, match="timeout"):
            await fetcher.fetch(Request(server.url()), wait)


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody vouches for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    self_signed: ssl.SSLContext,
) -> None:
    async with serving({"/": ok()}, tls=self_signed) as server:
        error = await failure(server.url())
    assert (error.reason, error.retryable) == ("tls", False)
    assert server.asked == []


async def test_tls_to_a_port_that_does_not_speak_it_fails() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(f"https://127.0.0.1:{port}/")
    assert error.reason == "tls"
