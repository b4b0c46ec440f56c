"""The fetcher's connections, and its reasons when something goes wrong."""

import asyncio
import gzip
import zlib

import pytest

from crawler.errors import FetchError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.request import Request
from crawler.settings import Settings
from crawler.throttle import Throttle
from tests.crawler.plain_fetches import (
    failure,
    fetch,
    fetching,
    hang_up,
    moved,
    ok,
    serving,
    silence,
)
from tests.hostile.certificates import untrusted
from tests.hostile.server import Asked, Connection, Hostile, Play, answer, head, raw
from tests.hostile.tcp import Flood, answer_in_plain_text, trickle

# ── connections ─────────────────────────────────────────────────────────────────────────────


async def test_a_connection_is_used_again() -> None:
    async with serving({"/": ok(), "/gone": moved(302, "/")}) as server, fetching() as fetcher:
        for _ in range(3):
            await fetcher.fetch(Request(server.url + "/"))
        await fetcher.fetch(Request(server.url + "/gone"))
        assert server.connections == 1


async def test_a_kept_connection_that_the_server_has_closed_is_not_used() -> None:
    closed = asyncio.Event()

    async def bye(_: Asked, connection: Connection) -> None:
        await connection.send(ok())
        connection.writer.close()
        await connection.writer.wait_closed()
        closed.set()

    async with serving({"/": ok(), "/bye": bye}) as server, fetching() as fetcher:
        await fetcher.fetch(Request(server.url + "/bye"))
        await closed.wait()
        assert (await fetcher.fetch(Request(server.url + "/"))).body == b"hello"
    assert [asked.target for asked in server.asked] == ["/bye", "/"]


async def test_a_server_that_hangs_up_on_a_kept_connection_is_worth_another_try() -> None:
    """aiohttp would try again by itself, unseen by delays and by the count of attempts."""
    async with serving({"/": ok(), "/bye": hang_up}) as server, fetching() as fetcher:
        await fetcher.fetch(Request(server.url + "/"))
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(server.url + "/bye"))
        assert (caught.value.reason, caught.value.retryable) == ("connection", True)
        assert (await fetcher.fetch(Request(server.url + "/"))).body == b"hello"
    assert [asked.target for asked in server.asked] == ["/", "/bye", "/"]


async def test_leaving_closes_the_connections() -> None:
    async with serving({"/": ok()}) as server:
        async with fetching() as fetcher:
            await fetcher.fetch(Request(server.url + "/"))
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
    async with serving({}) as server:
        url = server.url + "/"
    error = await failure(url)
    assert (error.reason, error.retryable) == ("connection", True)


_CHUNKED = head(200, "Transfer-Encoding: chunked")
_BROKEN: list[tuple[str, Play, str, bool]] = [
    ("no bytes", raw(), "connection", True),
    ("half a head", raw(b"HTTP/1.1 200 OK\r\nContent-"), "connection", True),
    ("short", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "truncated", True),
    ("no last chunk", raw(_CHUNKED, b"3\r\nabc\r\n"), "truncated", True),
    ("half a chunk", raw(_CHUNKED, b"5\r\nabc"), "truncated", True),
    ("no status line", raw(b"<html>hello</html>\r\n\r\n"), "bad_response", True),
    ("odd status", raw(b"HTTP/1.1 two hundred OK\r\n\r\n"), "bad_response", True),
    ("two lengths", answer(b"abc", "Content-Length: 5"), "bad_response", True),
    ("long header", answer(b"", "X-A: " + "a" * 70_000), "bad_response", True),
    ("no gzip", answer(b"not gzip", "Content-Encoding: gzip"), "bad_encoding", False),
    (
        "cut gzip",
        answer(gzip.compress(b"hello" * 99)[:-12], "Content-Encoding: gzip"),
        "truncated",
        True,
    ),
    ("unknown coding", answer(b"x", "Content-Encoding: zip"), "unsupported_encoding", False),
]


@pytest.mark.parametrize(
    ("play", "reason", "retryable"), [pytest.param(*rest, id=name) for name, *rest in _BROKEN]
)
async def test_a_broken_answer_has_its_reason(play: Play, reason: str, retryable: bool) -> None:
    async with Hostile(play) as server:
        error = await failure(server.url + "/")
    assert (error.reason, error.retryable) == (reason, retryable)


async def test_a_page_that_announces_too_much_is_not_read() -> None:
    async with serving({"/": ok(b"x" * 1001)}) as server:
        error = await failure(server.url + "/", {"max_body": 1000})
        assert (error.reason, error.retryable) == ("too_large", False)
        assert (await fetch(server.url + "/", {"max_body": 1001})).body == b"x" * 1001


async def test_a_page_without_end_is_cut_off_at_the_cap() -> None:
    endless = Flood(_CHUNKED, b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")
    async with Hostile(endless) as server:
        assert (await failure(server.url + "/", {"max_body": 200_000})).reason == "too_large"
        while not server.gone:
            await asyncio.sleep(0)
    assert endless.sent < 50_000_000


async def test_a_bomb_is_not_inflated() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(50)) + packer.flush()
    assert len(bomb) < 60_000
    async with serving({"/": ok(bomb, "Content-Encoding: gzip")}) as server:
        error = await failure(server.url + "/", {"max_body": 1 << 30})
        assert error.reason == "too_large"
        assert (await failure(server.url + "/", {"max_body": 1000})).reason == "too_large"


async def test_an_answer_that_does_not_come_in_time_is_a_timeout() -> None:
    async with serving({"/": silence}) as server:
        error = await failure(server.url + "/", {"timeout": 0.05})
    assert (error.reason, error.retryable, error.silent) == ("timeout", True, True)
    assert "0.05 s" in str(error)


async def test_a_body_that_trickles_past_the_deadline_is_a_timeout() -> None:
    async with Hostile(trickle(head(length=100_000))) as server:
        error = await failure(server.url + "/", {"timeout": 0.05})
    assert (error.reason, error.silent) == ("timeout", False)


async def test_the_deadline_is_for_all_hops_together() -> None:
    async def slowly(asked: Asked, connection: Connection) -> None:
        await asyncio.sleep(0.02)
        await connection.send(moved(302, f"/{int(asked.target[1:]) + 1}"))

    async with serving({f"/{n}": slowly for n in range(30)}) as server:
        error = await failure(server.url + "/0", {"timeout": 0.1, "max_redirects": 30})
    assert error.reason == "timeout"
    assert len(server.asked) < 10


async def test_a_host_may_have_its_own_deadline() -> None:
    async with serving({"/": silence}) as server:
        own = {"match": "127.0.0.1", "timeout": 0.05}
        error = await failure(server.url + "/", {"timeout": 60, "host": [own]})
    assert error.reason == "timeout"


async def test_who_has_had_no_time_to_answer_is_not_silent() -> None:
    async with serving({"/": moved(302, "/silent"), "/silent": silence}) as server:
        error = await failure(server.url + "/", {"timeout": 0.2})
    assert (error.reason, error.silent) == ("timeout", False)


async def test_a_cancelled_fetch_is_cancelled_and_not_a_timeout() -> None:
    async with serving({"/": silence}) as server, fetching() as fetcher:
        running = asyncio.create_task(fetcher.fetch(Request(server.url + "/")))
        while not server.asked:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while not server.gone:
            await asyncio.sleep(0)


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    async with serving({"/": ok()}, tls=untrusted()) as server:
        error = await failure(server.url + "/")
    assert (error.reason, error.retryable) == ("tls", False)
    assert server.asked == []


async def test_tls_to_a_port_that_does_not_speak_it_fails() -> None:
    async with Hostile(answer_in_plain_text) as server:
        error = await failure(f"https://{server.host}/")
    assert error.reason == "tls"
