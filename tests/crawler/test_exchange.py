"""A request over a kept connection: the same on the wire as over a new one, and as careful."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from resource import RLIM_INFINITY
from socket import SHUT_WR, socket
from typing import Any

import pytest
from aiohttp import ClientTimeout
from aiohttp.connector import Connection

from crawler import connector, exchange, guard
from crawler.connector import WireConnector
from crawler.errors import FetchError
from crawler.exchange import Exchange
from crawler.fetcher import Fetcher
from crawler.request import Request
from tests.crawler import plain_fetches
from tests.crawler.hostile_fetches import run as run
from tests.hostile.server import Connection as Client
from tests.hostile.server import Hostile

PATIENCE = 20.0
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server(Hostile):
    """Answers the n-th request with the n-th answer, the last one again and again."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(self._take_turns)
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.ended = asyncio.Event()  # a client has closed a connection
        self.peers: dict[Any, Any] = {}  # our sockets, by the address of the client's

    def socket_of(self, connection: Connection) -> Any:
        """Our end of a client's connection, to use past the loop."""
        assert connection.transport is not None
        return self.peers[connection.transport.get_extra_info("sockname")]

    async def _take_turns(self, client: Client) -> None:
        ours = client.writer.get_extra_info("socket").dup()
        self.peers[client.writer.get_extra_info("peername")] = ours
        try:
            while True:
                head = await client.reader.readuntil(b"\r\n\r\n")
                answer = self.answers[min(len(self.heads), len(self.answers) - 1)]
                self.heads.append(head)
                await client.send(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            ours.close()


@asynccontextmanager
async def fetching(*answers: bytes) -> AsyncIterator[tuple[Fetcher, Server, str]]:
    async with (
        Server(*answers) as server,
        asyncio.timeout(PATIENCE),
        plain_fetches.fetching() as fetcher,
    ):
        yield fetcher, server, server.url


async def test_a_kept_connection_is_asked_in_the_same_words_as_a_new_one() -> None:
    async with fetching(WHOLE) as (fetcher, server, url):
        for _ in range(3):
            request = Request(f"{url}/a?b=%C3%A9&c=", headers={"X-Own": "1", "user-agent": "me"})
            assert (await fetcher.fetch(request)).body == b"ok"
    assert server.connections == 1
    first, *others = server.heads
    assert others == [first, first]
    assert first.startswith(b"GET /a?b=%C3%A9&c= HTTP/1.1\r\nHost: 127.0.0.1:")
    assert first.count(b"\r\nX-Own: 1\r\n") == 1
    assert first.lower().count(b"user-agent:") == 1


async def test_what_is_asked_by_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with fetching(WHOLE, head, WHOLE) as (fetcher, server, url):
        await fetcher.fetch(Request(url))
        response = await fetcher.fetch(Request(url, method="HEAD"))
        assert (response.body, response.headers["Content-Length"]) == (b"", "1000")
        assert (await fetcher.fetch(Request(url))).body == b"ok"
    assert server.connections == 1


async def test_interim_answers_are_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with fetching(WHOLE, hints + WHOLE) as (fetcher, server, url):
        for _ in range(2):
            assert (await fetcher.fetch(Request(url))).body == b"ok"
    assert len(server.heads) == 2


async def test_an_answer_that_is_none_ends_the_connection() -> None:
    async with fetching(WHOLE, b"HTTP/1.1 nonsense\r\n\r\n", WHOLE) as (fetcher, server, url):
        await fetcher.fetch(Request(url))
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(url))
        assert caught.value.reason == "bad_response"
        assert (await fetcher.fetch(Request(url))).body == b"ok"
    assert server.connections == 2


async def test_a_body_that_is_not_read_to_its_end_ends_the_connection() -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000
    async with fetching(WHOLE, large, WHOLE) as (fetcher, server, url):
        await fetcher.fetch(Request(url))
        assert (await fetcher.fetch(Request(url), first=10)).body == b"x" * 10
        await server.ended.wait()
        assert (await fetcher.fetch(Request(url))).body == b"ok"
    assert server.connections == 2


async def cancelled(fetcher: Fetcher, server: Server, url: str) -> None:
    """Ask a second time, and give that up when the server has heard of it."""
    waiting = asyncio.create_task(fetcher.fetch(Request(url)))
    while len(server.heads) < 2:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await server.ended.wait()


async def test_a_fetch_that_is_cancelled_ends_the_connection_it_waits_on() -> None:
    async with fetching(WHOLE, b"", WHOLE) as (fetcher, server, url):
        await fetcher.fetch(Request(url))
        await cancelled(fetcher, server, url)
        assert (await fetcher.fetch(Request(url))).body == b"ok"


async def test_a_fetch_that_we_give_up_is_no_fault_of_the_servers() -> None:
    """Its connections are kept as before; only who ends one as it is used again is distrusted."""
    async with fetching(WHOLE, b"", WHOLE) as (fetcher, server, url):
        await fetcher.fetch(Request(url))
        await cancelled(fetcher, server, url)
        for _ in range(3):
            await fetcher.fetch(Request(url))
        assert server.connections == 2


async def test_where_there_is_no_connection_one_is_made() -> None:
    async with fetching(WHOLE) as (_, server, url), WireConnector(min_rate=0) as connector:
        async with await Exchange(connector, {}, ClientTimeout()).ask(
            "HEAD", f"{url}/", {}
        ) as head:
            assert head.status == 200
        assert server.heads == [f"HEAD / HTTP/1.1\r\nHost: {url[7:]}\r\n\r\n".encode()]


async def test_what_a_server_says_before_it_is_asked_is_taken_for_no_answer() -> None:
    """Nor is such a server asked again and again, as one whose kept connection has ended is."""

    async def speak(client: Client) -> None:
        await client.send(b"220 mail.example ESMTP\r\n")
        await client.reader.read()

    async with Hostile(speak) as server, plain_fetches.fetching() as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(f"{server.url}/"))
    assert (caught.value.reason, server.connections) == ("bad_response", 1)


async def test_connections_that_were_not_used_for_long_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "_KEPT_FOR", 0.05)
    async with fetching(WHOLE) as (fetcher, server, url):
        for _ in range(2):
            await fetcher.fetch(Request(url))
        await server.ended.wait()
        assert (await fetcher.fetch(Request(url))).body == b"ok"
    assert server.connections == 2


async def test_a_connection_that_is_kept_is_closed_at_the_end() -> None:
    async with fetching(WHOLE) as (fetcher, server, url):
        for _ in range(2):  # the second time it is the exchange that keeps it
            await fetcher.fetch(Request(url))
        assert not server.ended.is_set()
        await fetcher.__aexit__(None, None, None)
        await server.ended.wait()
    assert server.connections == 1


async def test_who_asks_after_the_end_of_a_crawl_has_a_new_connection() -> None:
    async with fetching(WHOLE) as (fetcher, server, url):
        for _ in range(2):
            await fetcher.fetch(Request(url))
        fetcher.hang_up()
        await server.ended.wait()
        for _ in range(2):
            assert (await fetcher.fetch(Request(url))).body == b"ok"
    assert server.connections == 2


async def test_one_connection_serves_those_that_come_one_after_the_other() -> None:
    async with fetching(WHOLE) as (fetcher, server, url):
        await asyncio.gather(*(fetcher.fetch(Request(url)) for _ in range(5)))
        before = server.connections
        for _ in range(20):
            await asyncio.gather(*(fetcher.fetch(Request(url)) for _ in range(5)))
    assert server.connections == before == 5


async def test_a_connection_with_news_is_passed_over_and_another_one_asked() -> None:
    """Its server ended it so late that the loop has not read of it: past the loop, as here."""
    async with fetching(WHOLE) as (fetcher, server, url):
        _, last = await _kept(fetcher, url, 2)
        server.socket_of(last).shutdown(SHUT_WR)
        assert (await fetcher.fetch(Request(url))).body == b"ok"
        assert (server.connections, len(server.heads)) == (2, 5)


async def _kept(fetcher: Fetcher, url: str, count: int) -> list[Connection]:
    """Have so many connections kept; the one that was used last, and is taken next, at the end."""
    for _ in range(2):
        await asyncio.gather(*(fetcher.fetch(Request(url)) for _ in range(count)))
    (kept,) = fetcher._exchange._kept.values()
    return kept


async def _in_the_next_turn(fetcher: Fetcher, url: str) -> bytes:
    """Fetch beside what the loop reads by then: its sockets are looked at first, but read last."""
    return (await asyncio.create_task(fetcher.fetch(Request(url)))).body


async def test_who_is_distrusted_before_a_request_is_written_is_asked_anew() -> None:
    """One connection is to be asked, and another one says what nobody asked, in the same turn."""
    async with fetching(WHOLE) as (fetcher, server, url):
        other, _ = await _kept(fetcher, url, 2)
        server.socket_of(other).send(WHOLE)
        assert await _in_the_next_turn(fetcher, url) == b"ok"
        assert (server.connections, len(server.heads)) == (3, 5)


async def test_a_connection_that_ends_before_a_request_is_written_is_no_failure() -> None:
    """Nothing was sent over it, so another one may be asked; nor is the server to blame."""
    async with fetching(WHOLE) as (fetcher, server, url):
        _, last = await _kept(fetcher, url, 2)
        server.socket_of(last).shutdown(SHUT_WR)
        for _ in range(3):
            assert await _in_the_next_turn(fetcher, url) == b"ok"
        assert (server.connections, len(server.heads)) == (2, 7)


@pytest.mark.parametrize("late", [False, True], ids=["read with it", "read after it"])
def test_what_comes_before_a_request_is_written_does_not_answer_it(run: Any, late: bool) -> None:
    """Whenever the loop reads it: in the turn in which the request is made, or right after that."""
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    async def speak(server: Server, connection: Connection) -> None:
        server.socket_of(connection).send(evil)

    async def work() -> None:
        async with fetching(WHOLE) as (fetcher, server, url):
            (only,) = await _kept(fetcher, url, 1)
            if not late:
                await speak(server, only)
            fetched = asyncio.create_task(fetcher.fetch(Request(url)))
            if late:
                await asyncio.create_task(speak(server, only))
            assert (await fetched).body == b"ok"
            assert (server.connections, len(server.heads)) == (2, 3)
            await fetcher.fetch(Request(url))
            assert server.connections == 3  # whose server speaks unasked is not believed again

    run(work())


# ── not more than there may be ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("times", [1, 2], ids=["by aiohttp", "by the exchange"])
async def test_of_too_many_that_are_kept_the_one_idle_longest_is_closed(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(connector, "most_kept", lambda: 2)
    async with (
        fetching(WHOLE) as (fetcher, first, one),
        Server(WHOLE) as second,
        Server(WHOLE) as third,
    ):
        for url in (one, second.url, third.url):
            for _ in range(times):
                await fetcher.fetch(Request(url))
        await first.ended.wait()
        for url in (second.url, third.url):
            await fetcher.fetch(Request(url))
        assert (second.connections, third.connections) == (1, 1)


async def test_a_connection_that_is_used_again_is_not_the_one_idle_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector, "most_kept", lambda: 2)
    async with (
        fetching(WHOLE) as (fetcher, first, one),
        Server(WHOLE) as second,
        Server(WHOLE) as third,
    ):
        two, three = second.url, third.url
        for url in (one, one, two, two, one, three, three):
            await fetcher.fetch(Request(url))
        await second.ended.wait()
        await fetcher.fetch(Request(one))
        assert first.connections == 1


@pytest.mark.parametrize(
    ("soft", "most"), [(256, 32), (1024, 128), (1 << 20, 512), (RLIM_INFINITY, 512), (3, 1)]
)
def test_connections_that_are_kept_are_a_part_of_the_files_that_may_be_open(
    monkeypatch: pytest.MonkeyPatch, soft: int, most: int
) -> None:
    monkeypatch.setattr(connector.resource, "getrlimit", lambda _: (soft, RLIM_INFINITY))
    assert connector.most_kept() == most


@pytest.mark.parametrize("times", [1, 2], ids=["by aiohttp", "by the exchange"])
async def test_when_no_more_files_may_be_opened_those_not_in_use_give_way(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    made: list[socket] = []

    def open_socket(address: Any) -> socket:
        if any(one.fileno() >= 0 for one in made):
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(socket(*address[:3]))
        return made[-1]

    monkeypatch.setattr(guard, "open_socket", open_socket)
    async with fetching(WHOLE) as (fetcher, _, one), Server(WHOLE) as second:
        for _ in range(times):
            await fetcher.fetch(Request(one))
        assert (await fetcher.fetch(Request(second.url))).body == b"ok"


async def test_that_no_more_files_may_be_opened_is_not_the_hosts_doing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def open_socket(_: Any) -> socket:
        raise OSError(errno.ENFILE, "Too many open files in system")

    monkeypatch.setattr(guard, "open_socket", open_socket)
    async with fetching(WHOLE) as (fetcher, _, url):
        with pytest.raises(FetchError, match="Too many open files") as caught:
            await fetcher.fetch(Request(url))
    assert (caught.value.reason, caught.value.retryable) == ("connection", True)
    assert not caught.value.unreachable
