"""Connections: what a server may do to one, and what is made of it. On both event loops."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import trustme
import uvloop
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser
from aiohttp.streams import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from crawler import connector, wire
from crawler.connector import WireConnector
from crawler.errors import FetchError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.throttle import Throttle
from crawler.wire import MAX_HEAD, MAX_INTERIM, Wire
from tests.hostile.server import Connection, Hostile, Play, head, raw, response
from tests.hostile.tcp import tls_by_hand, trickle

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
ONE, TWO = response("one"), response("two")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine on one kind of loop, then on the other."""

    async def patiently(work: Awaitable[Any]) -> Any:
        async with asyncio.timeout(30):
            return await work

    def play(work: Awaitable[Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(patiently(work))

    return play


@pytest.fixture
def authority(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that is trusted for the length of a test."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


def side_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def fetching(**settings: Any) -> AsyncIterator[Fetcher]:
    values = Settings(**{"allow_private": ["127.0.0.1"], "timeout": 10.0, **settings})
    async with Fetcher(values, Guard(values.allow_private), Throttle(values)) as fetcher:
        yield fetcher


async def fetch(play: Play, *, tls: ssl.SSLContext | None = None, **settings: Any) -> Response:
    async with Hostile(play, tls=tls) as server, fetching(**settings) as fetcher:
        return await fetcher.fetch(Request(server.url + "/"))


async def reason(play: Play, *, tls: ssl.SSLContext | None = None, **settings: Any) -> str:
    """What a fetch fails with."""
    with pytest.raises(FetchError) as caught:
        await fetch(play, tls=tls, **settings)
    assert caught.value.retryable
    return caught.value.reason


# ── where a body without a length ends ──────────────────────────────────────────────────────


def test_a_body_that_the_server_ends_is_whole(run: Any) -> None:
    assert run(fetch(raw(head(), b"all of it"))).body == b"all of it"


def test_a_body_that_ends_with_a_reset_is_cut(run: Any) -> None:
    """aiohttp reports the half as a success."""
    assert run(reason(raw(head(), b"half of", then="reset"))) == "truncated"


def test_with_tls_only_a_notice_ends_a_body(run: Any, authority: trustme.CA) -> None:
    """Anybody between here and there can send a FIN."""
    tls = side_of(authority.issue_cert("127.0.0.1"))
    assert run(fetch(raw(head(), b"all of it"), tls=tls)).body == b"all of it"
    play = tls_by_hand(lambda: tls, head() + b"half of")

    async def without_notice() -> str:
        async with Hostile(play) as server, fetching() as fetcher:
            with pytest.raises(FetchError) as caught:
                await fetcher.fetch(Request(server.url.replace("http:", "https:") + "/"))
        return caught.value.reason

    assert run(without_notice()) == "truncated"


def test_a_body_with_a_length_needs_no_notice(run: Any, authority: trustme.CA) -> None:
    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(ONE)
        connection.writer.transport.abort()

    tls = side_of(authority.issue_cert("127.0.0.1"))
    assert run(fetch(play, tls=tls)).body == b"one"


# ── an answer belongs to one request ────────────────────────────────────────────────────────


async def _both(
    play: Play, tls: ssl.SSLContext | None = None, between: Callable[[], Any] | None = None
) -> tuple[list[bytes], int]:
    """Fetch /1 and then /2: what came, and over how many connections."""
    bodies = []
    async with Hostile(play, tls=tls) as server, fetching() as fetcher:
        for path in ("/1", "/2"):
            bodies.append((await fetcher.fetch(Request(server.url + path))).body)
            if between is not None:
                await between()
        return bodies, server.connections


def _answers(*surplus: bytes) -> Play:
    """Answer with the path, and then with what nobody asked for."""

    async def play(connection: Connection) -> None:
        while True:
            asked = await connection.request()
            await connection.send(response(asked.target) + surplus[0])
            for more in surplus[1:]:
                await asyncio.sleep(0.01)
                await connection.send(more)

    return play


def test_a_connection_is_kept(run: Any, authority: trustme.CA) -> None:
    assert run(_both(_answers(b""))) == ([b"/1", b"/2"], 1)
    tls = side_of(authority.issue_cert("127.0.0.1"))
    assert run(_both(_answers(b""), tls)) == ([b"/1", b"/2"], 1)


@pytest.mark.parametrize(
    "surplus",
    [
        pytest.param([TWO], id="an answer in the same packet"),
        pytest.param([b"", TWO], id="an answer a moment later"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-"], id="half an answer in the same packet"),
        pytest.param([b"", b"HTTP/1.1 200 OK\r\nContent-"], id="half an answer later"),
        pytest.param([TWO + TWO], id="two answers"),
        pytest.param([b"H"], id="one byte"),
        pytest.param([b"surplus of a body"], id="what is no HTTP"),
        pytest.param([b"", b"surplus of a body"], id="what is no HTTP, later"),
        pytest.param([b"", response("", status=408)], id="a 408 that nobody asked for"),
        pytest.param([b"", b"HTTP/1.1 100 Continue\r\n\r\n"], id="an interim response"),
    ],
)
def test_what_nobody_asked_for_answers_nobody(run: Any, surplus: list[bytes]) -> None:
    async def wait() -> None:
        await asyncio.sleep(0.05)  # long enough for the surplus to come; nothing hangs on it

    assert run(_both(_answers(*surplus), between=wait)) == ([b"/1", b"/2"], 2)


def test_what_waits_unread_on_a_kept_connection_answers_nobody(run: Any) -> None:
    """It came after the last look at the socket, and before the next request."""
    sockets: list[Any] = []

    async def play(connection: Connection) -> None:
        sockets.append(connection.writer.get_extra_info("socket"))
        await _answers(b"")(connection)

    async def both() -> list[bytes]:
        async with Hostile(play) as server, fetching() as fetcher:
            first = await fetcher.fetch(Request(server.url + "/1"))
            # Past the loop, which does not get to read before the next request is made.
            os.write(sockets[0].fileno(), TWO)
            second = await fetcher.fetch(Request(server.url + "/2"))
            assert server.connections == 2
            return [first.body, second.body]

    assert run(both()) == [b"/1", b"/2"]


async def _in_turn(play: Play, paths: str) -> tuple[list[bytes | str], int]:
    """Fetch one path after the other: what came (or why not), over how many connections."""
    came: list[bytes | str] = []
    async with Hostile(play) as server, fetching() as fetcher:
        for path in paths:
            try:
                came.append((await fetcher.fetch(Request(f"{server.url}/{path}"))).body)
            except FetchError as error:
                came.append(error.reason)
            await asyncio.sleep(0.05)  # long enough for a surplus to come
        return came, server.connections


@pytest.mark.parametrize("surplus", [[TWO], [b"", TWO]], ids=["at once", "later"])
def test_who_spoke_unasked_is_asked_once_a_connection(run: Any, surplus: list[bytes]) -> None:
    """The next time it might speak while a request is out, and be taken for its answer."""

    async def play(connection: Connection) -> None:
        first = connection.server.connections == 1
        await _answers(*(surplus if first else [b""]))(connection)

    assert run(_in_turn(play, "1234")) == ([b"/1", b"/2", b"/3", b"/4"], 4)


def test_who_broke_a_kept_connection_is_asked_once_a_connection(run: Any) -> None:
    """It may do so at each try; only for a while, for anybody's server is started anew one day."""

    async def play(connection: Connection) -> None:
        await connection.send(response((await connection.request()).target))
        await connection.request()

    assert run(_in_turn(play, "1234")) == ([b"/1", "connection", b"/3", b"/4"], 3)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_an_answer_may_come_before_all_is_sent_but_then_it_is_the_last(run: Any) -> None:
    async def play(connection: Connection) -> None:
        asked = (await connection.reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        await connection.send(response(asked.decode(), status=413 if asked == b"/1" else 200))
        await connection.hang()

    async def both() -> list[bytes]:
        async with Hostile(play) as server, fetching() as fetcher:
            post = Request(server.url + "/1", method="POST", body=b"x" * 20_000_000)
            pages = [await fetcher.fetch(post), await fetcher.fetch(Request(server.url + "/2"))]
            assert server.connections == 2
            return [page.body for page in pages]

    assert run(both()) == [b"/1", b"/2"]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("early", [response("early"), b""], ids=["answered", "given up"])
def test_what_is_unsent_when_a_fetch_ends_is_given_up(run: Any, early: bytes) -> None:
    """A server that does not read may not have us hold it all, and a socket, until it does."""

    async def received() -> int:
        ended, received = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def play(connection: Connection) -> None:
            size = len(await connection.reader.readuntil(b"\r\n\r\n"))
            await connection.send(early)
            await ended.wait()
            try:
                while more := await connection.reader.read(1 << 20):
                    size += len(more)
            except ConnectionError:
                pass
            received.set_result(size)

        async with Hostile(play) as server, fetching(timeout=1.0) as fetcher:
            post = Request(server.url + "/1", method="POST", body=b"x" * 50_000_000)
            with suppress(FetchError):
                await fetcher.fetch(post)
            ended.set()
            return await received

    assert run(received()) < 50_000_000


def test_who_answers_before_being_asked_is_not_believed(run: Any) -> None:
    async def play(connection: Connection) -> None:
        await connection.send(TWO)
        await connection.hang()

    async def work() -> str:
        async with Hostile(play) as server:
            pool = WireConnector(min_rate=0)
            async with aiohttp.ClientSession(connector=pool) as session:
                request = aiohttp.ClientRequest("GET", URL(server.url), session=session)
                timeout = aiohttp.ClientTimeout()
                connection = await pool.connect(request, [], timeout)
                while connection.protocol is not None and connection.protocol.is_connected():
                    await asyncio.sleep(0)
                connection.close()
        return "dropped"

    assert run(work()) == "dropped"


# ── heads ───────────────────────────────────────────────────────────────────────────────────


def test_a_few_interim_responses_are_passed_over(run: Any) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    assert run(fetch(raw(early * MAX_INTERIM + ONE))).body == b"one"


def test_a_flood_of_interim_responses_fails(run: Any) -> None:
    async def flood(connection: Connection) -> None:
        await connection.request()
        while True:
            await connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")

    assert run(reason(flood)) == "bad_response"


def test_a_head_without_end_fails(run: Any) -> None:
    async def flood(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await connection.send(b"X: " + b"x" * 50_000 + b"\r\n")

    assert run(reason(flood)) == "bad_response"
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

    async def flood(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"3\r\nabc\r\n0\r\n")
        while True:
            await connection.send(b"X-Sum: 1\r\n")

    assert run(reason(flood)) == "bad_response"


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


# ── however packets are cut ─────────────────────────────────────────────────────────────────


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


def _fed(*packets: bytes, min_rate: float = 0.0) -> tuple[Wire, StreamReader]:
    """A connection that got these packets for an answer, and the body of the answer."""
    connection = Wire(asyncio.get_running_loop(), min_rate=min_rate, distrusted={})
    connection.connection_made(_Transport())
    connection.set_response_params(read_until_eof=True, auto_decompress=False)
    for packet in packets:
        if connection.transport is not None:
            connection.data_received(packet)
    return connection, connection._buffer[0][0][1] if connection._buffer else StreamReader(
        connection, 1, loop=asyncio.get_running_loop()
    )


async def _outcome(packets: list[bytes]) -> tuple[object, ...]:
    connection, body = _fed(*packets)
    fault = connection.exception() or body.exception()
    content = b""
    if connection._buffer:
        connection._buffer.clear()  # as whoever waits for the head does
        transport = connection.transport
        open_still = transport is not None and not transport.is_closing()
        kept = open_still and not connection.should_close
        connection.eof_received()
        connection.connection_lost(None)
        try:
            content = await body.read()
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


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_may_come_byte_by_byte(name: str) -> None:
    answer = ANSWERS[name]
    packets = [answer[at : at + 1] for at in range(len(answer))]
    assert asyncio.run(_outcome(packets)) == asyncio.run(_outcome([answer]))


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────


def test_tls_begins_at_1_2_and_is_verified() -> None:
    context = connector.tls_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_without_tls_no_authorities_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(tls_context())
        return made[-1]

    tls_context = connector.tls_context
    monkeypatch.setattr(connector, "tls_context", make)
    assert (await fetch(raw(ONE))).status == 200
    assert not made
    with pytest.raises(FetchError, match="tls"):  # nobody trusts this one
        await fetch(raw(ONE), tls=side_of(trustme.CA().issue_cert("127.0.0.1")))
    assert made


# ── what is private in aiohttp ──────────────────────────────────────────────────────────────


async def test_aiohttp_is_as_it_is_relied_on() -> None:
    """A new release of aiohttp that fails here needs `crawler/wire.py` looked through."""
    assert HttpResponseParser.__module__ == "aiohttp._http_parser"  # the one in C
    assert hasattr(aiohttp.TCPConnector, "_get_ssl_context")
    pool = WireConnector(min_rate=1.0)
    made = pool._factory()
    await pool.close()
    assert type(made) is Wire
    plain = ResponseHandler(asyncio.get_running_loop())
    for name in ("_exception", "_parser", "_reading_paused", "_buffer", "_should_close", "_loop"):
        assert hasattr(plain, name), name
    for name in ("feed_data", "set_response_params", "data_received", "connection_lost"):
        assert name in vars(ResponseHandler) or hasattr(ResponseHandler, name), name
    plain.set_exception(FetchError("bad_response"))  # what is given here comes out of `read`
    with pytest.raises(FetchError):
        await plain.read()


async def test_aiohttps_parser_tells_whether_another_message_has_begun() -> None:
    def parser() -> Any:
        loop = asyncio.get_running_loop()
        return HttpResponseParser(ResponseHandler(loop), loop, 2**16, read_until_eof=True)

    for after, begun in ((b"", False), (b"\r\n", False), (b"H", True), (b"HTTP/1.1 200 ", True)):
        one = parser()
        one.feed_data(ONE + after)
        assert (one.feed_eof() is not None) is begun, after


async def test_a_stream_that_failed_and_ended_tells_of_the_failure() -> None:
    """In whatever order: aiohttp ends every body when the connection is lost."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(Wire(loop, min_rate=0, distrusted={}), 2**16, loop=loop)
    stream.feed_data(b"half")
    stream.set_exception(FetchError("truncated"))
    stream._eof = True
    with pytest.raises(FetchError):
        await stream.readany()
