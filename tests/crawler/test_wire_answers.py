"""Answers: heads, bodies, their rate, and however their packets are cut."""

import asyncio
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp.streams import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import wire
from crawler.errors import FetchError
from crawler.request import Request
from crawler.whole import Whole
from crawler.wire import MAX_HEAD, MAX_INTERIM, Wire
from tests.crawler.hostile_fetches import ONE, TWO, fetch, reason
from tests.crawler.hostile_fetches import run as run
from tests.crawler.plain_fetches import fetching
from tests.hostile.server import Connection, Hostile, head, raw, response
from tests.hostile.tcp import Flood, trickle

# ── heads ───────────────────────────────────────────────────────────────────────────────────


def test_a_few_interim_responses_are_passed_over(run: Any) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    assert run(fetch(raw(early * MAX_INTERIM + ONE))).body == b"one"


def test_a_flood_of_interim_responses_fails(run: Any) -> None:
    assert run(reason(Flood(b"", b"HTTP/1.1 102 Processing\r\n\r\n"))) == "bad_response"


def test_a_head_without_end_fails(run: Any) -> None:
    play = Flood(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 50_000 + b"\r\n")
    assert run(reason(play)) == "bad_response"
    assert MAX_HEAD > 128 * 1024


def test_headers_are_text_whatever_their_bytes(run: Any) -> None:
    lines = b"X-A: caf\xe9\r\nX-B: caf\xc3\xa9\r\nX-C: \xff\xc3\xa9\r\nX-D: plain\r\n"
    play = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines + b"\r\n")
    headers = run(fetch(play)).headers
    found = [headers[name] for name in ("X-A", "X-B", "X-C", "X-D")]
    assert found == ["café", "café", "ÿÃ©", "plain"]


# ── bodies ──────────────────────────────────────────────────────────────────────────────────

CHUNKED = head(200, "Transfer-Encoding: chunked")


def test_a_chunk_that_is_none_ends_a_fetch_at_once(run: Any) -> None:
    """aiohttp forgets to tell whoever waits for the body."""
    play = raw(CHUNKED + b"3\r\nabc\r\n", b"what?\r\n", then="hang")
    assert run(reason(play)) == "bad_response"


def test_a_chunk_may_have_an_extension_but_no_novel(run: Any) -> None:
    assert run(fetch(raw(CHUNKED + b'3;a="b";c\r\nabc\r\n0\r\n\r\n'))).body == b"abc"
    long = b"3;a=" + b"x" * 200_000 + b"\r\nabc\r\n0\r\n\r\n"
    assert run(reason(raw(CHUNKED + long, then="hang"))) == "bad_response"
    later = CHUNKED + b"3e8\r\n" + b"y" * 1000 + b"\r\n" + long
    assert run(reason(raw(later, then="hang"))) == "bad_response"


def test_a_body_may_come_in_chunks_of_one_byte(run: Any) -> None:
    play = raw(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n", then="hang")
    assert run(fetch(play)).body == b"x" * 50_000


def test_trailers_are_passed_over_but_not_for_ever(run: Any) -> None:
    play = raw(CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", then="hang")
    assert run(fetch(play)).body == b"abc"
    play = Flood(CHUNKED + b"3\r\nabc\r\n0\r\n", b"X-Sum: 1\r\n")
    assert run(reason(play)) == "bad_response"


# ── the rate ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "first",
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nX: "], id="head"),
        pytest.param([head(length=1_000_000)], id="body"),
        pytest.param([head()], id="body without a length"),
        pytest.param([head(length=2_000_000), b"x" * 1_000_000], id="body, after a good start"),
    ],
)
def test_an_answer_that_trickles_fails(
    run: Any, first: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "RATE_WINDOW", 0.2)
    assert run(reason(trickle(*first), min_rate=10_000.0, timeout=20.0)) == "timeout"


def test_a_server_may_think_as_long_as_it_likes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate counts from the first byte of the answer; the deadline sees to the rest."""
    monkeypatch.setattr(wire, "RATE_WINDOW", 0.05)

    async def play(connection: Connection) -> None:
        while True:
            await connection.request()
            await asyncio.sleep(0.2)
            await connection.send(ONE)

    async def twice() -> list[bytes]:
        async with Hostile(play) as server, fetching(min_rate=1e6) as fetcher:
            found = [await fetcher.fetch(Request(server.url + path)) for path in ("/1", "/2")]
            assert server.connections == 1
        return [one.body for one in found]

    assert run(twice()) == [b"one", b"one"]


def test_any_rate_is_borne_with_when_none_is_asked(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "RATE_WINDOW", 0.02)

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(head(length=3))
        for _ in range(3):
            await asyncio.sleep(0.05)
            await connection.send(b"x")

    assert run(fetch(play, min_rate=0)).body == b"xxx"


async def test_a_pause_of_ours_is_no_fault_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "RATE_WINDOW", 0.02)
    connection, body = _fed(head(length=9_000_000) + b"x" * 1_000_000, min_rate=1e9)
    assert connection._reading_paused
    await asyncio.sleep(0.1)
    assert body.exception() is None
    assert len(await body.readany()) == 1_000_000
    with pytest.raises(FetchError, match="timeout"):  # now it is
        await body.readany()


async def test_after_a_pause_that_a_chunk_has_ended_with_nothing_stays_unread() -> None:
    """The parser stops once more, at what comes next, though reading has gone on by then."""
    connection, body = _fed(CHUNKED, b"1\r\nx\r\n" * 16_385)
    assert connection._reading_paused
    assert await body.readany() == b"x" * 16_385
    connection.data_received(b"1\r\ny\r\n0\r\n\r\n")
    async with asyncio.timeout(5):
        assert [await body.readany(), await body.readany()] == [b"y", b""]


# ── however packets are cut ─────────────────────────────────────────────────────────────────


PARAMETERS = {
    "skip_payload": False,
    "read_until_eof": True,
    "auto_decompress": False,
    "read_bufsize": 1 << 18,
    "max_line_size": wire.MAX_LINE,
    "max_field_size": wire.MAX_LINE,
    "max_headers": wire.MAX_HEADERS,
}


class _Transport(asyncio.Transport):
    """A way out that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


def _fed(*packets: bytes, min_rate: float = 0.0) -> tuple[Wire, StreamReader | Whole]:
    """A connection that got these packets for an answer, and the body of the answer."""
    connection = Wire(asyncio.get_running_loop(), min_rate=min_rate, distrusted={})
    connection.connection_made(_Transport())
    connection.expect(PARAMETERS)
    for packet in packets:
        if connection.transport is not None:
            connection.data_received(packet)
    return connection, connection._buffer[0][0][1] if connection._buffer else StreamReader(
        connection, 1, loop=asyncio.get_running_loop()
    )


async def _outcome(packets: list[bytes]) -> tuple[object, ...]:
    connection, body = _fed(*packets)
    fault = connection.exception() or (isinstance(body, StreamReader) and body.exception())
    content = b""
    if connection._buffer:
        connection._buffer.clear()  # as whoever waits for the head does
        transport = connection.transport
        open_still = transport is not None and not transport.is_closing()
        kept = open_still and not connection.should_close
        connection.eof_received()
        connection.connection_lost(None)
        try:
            while not body.at_eof():
                content += await body.readany()
        except (FetchError, aiohttp.ClientPayloadError) as error:
            return ("failed", getattr(error, "reason", "truncated"))
        return ("done", content, kept)
    return ("failed", type(fault).__name__)


ANSWERS = {
    "a length": response("content of it"),
    "chunks": CHUNKED + b"5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\nX: 1\r\n\r\n",
    "no length": head() + b"content",
    "no body": b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + ONE,
    "surplus": response("content") + b"and more\r\n\r\nof it",
    "surplus after chunks": CHUNKED + b"3\r\nabc\r\n0\r\n\r\nmore",
    "surplus without a body": b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\nmore\r\n\r\n",
    "half an answer without a body": b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n" + TWO[:20],
    "two": ONE + TWO,
    "one and a half": ONE + TWO[:20],
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nonemore",
    "cut": head(length=20) + b"content",
    "cut chunks": CHUNKED + b"5\r\nabc",
    "bad chunk": CHUNKED + b"3\r\nabc\r\nzz\r\nabc\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "no body, with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
    "a length and chunks": CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a length too large": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\nabc",
    "a length in the body": head() + b"\r\nContent-Length: 3\r\n\r\nabc",
    "no HTTP": b"<html>\r\n\r\nno HTTP</html>",
}


@pytest.mark.parametrize("name", ANSWERS)
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(1, 300), max_size=8))
def test_what_becomes_of_an_answer_does_not_hang_on_how_it_is_cut(
    name: str, cuts: list[int]
) -> None:
    answer = ANSWERS[name]
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    packets = [answer[at:end] for at, end in pairwise(places)]
    assert asyncio.run(_outcome(packets)) == asyncio.run(_outcome([answer]))


@pytest.mark.parametrize(
    ("name", "whole"),
    [("a length", True), ("closing", False), ("no body, with a length", False), ("chunks", False)],
)
async def test_an_answer_in_one_piece_needs_no_stream(name: str, whole: bool) -> None:
    _, body = _fed(ANSWERS[name])
    assert isinstance(body, Whole) is whole


async def test_answers_in_one_piece_may_follow_each_other_and_others() -> None:
    """One parser reads the heads, and forgets each of them."""
    connection, _ = _fed(response("one"))
    await connection.read()
    other = response("ok")
    for number, answer in enumerate((other, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", other) * 3):
        assert not connection._buffer
        connection.expect(PARAMETERS)
        connection.data_received(answer)
        message, body = await connection.read()
        assert (message.code, await body.readany()) == (200, b"ok")
        assert isinstance(body, Whole) is (number % 3 != 1)
        assert connection.is_usable
        assert not connection.should_close


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_may_come_byte_by_byte(name: str) -> None:
    answer = ANSWERS[name]
    packets = [answer[at : at + 1] for at in range(len(answer))]
    assert asyncio.run(_outcome(packets)) == asyncio.run(_outcome([answer]))
