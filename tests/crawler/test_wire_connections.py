"""Connections: where an answer ends, and which request it belongs to. On both event loops."""

import asyncio
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import trustme
from yarl import URL

from crawler.connector import WireConnector
from crawler.errors import FetchError
from crawler.request import Request
from tests.crawler.hostile_fetches import ONE, TWO, fetch, reason
from tests.crawler.hostile_fetches import run as run
from tests.crawler.plain_fetches import fetching
from tests.hostile.certificates import side_of, trusted_authority
from tests.hostile.server import Connection, Hostile, Play, head, raw, response
from tests.hostile.tcp import tls_by_hand


@pytest.fixture
def authority(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that is trusted for the length of a test."""
    return trusted_authority(tmp_path, monkeypatch)


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


def test_with_tls_an_answer_that_is_refused_as_it_comes_is_refused_all_the_same(
    run: Any, authority: trustme.CA
) -> None:
    """The parser closes the connection first, and asyncio's cannot say then what is unsent."""
    tls = side_of(authority.issue_cert("127.0.0.1"))
    refused = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"
    assert run(reason(raw(refused), tls=tls)) == "bad_response"


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
