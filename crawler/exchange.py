"""A request without a body, as most requests of a crawl are.

`aiohttp.ClientSession` is ready for all that a request may have: a body, a proxy, credentials,
traces, timers. To get that ready takes longer than the parser takes for the answer. A GET has none
of it: it is written, and the answer read, by the same connection and parser, over a connection
that is kept or that aiohttp's connector makes. What is private in aiohttp and relied on here is
pinned by `tests/crawler/test_exchange.py`.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.http_writer import _serialize_headers
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from crawler.connector import OUT_OF_FILES, WireConnector
from crawler.errors import FetchError
from crawler.head import fault_in
from crawler.url import host_of, origin_of
from crawler.whole import Whole
from crawler.wire import Wire, with_news

T = TypeVar("T")

_MOST_ORIGINS = 4096
_KEPT_FOR = 30.0  # seconds, or up to twice that


class Answer:
    """The head of an answer, and its body to come: what is read of `aiohttp.ClientResponse`.

    To be entered. At its end the connection is kept again, if all was read, and `keep` given it.
    """

    __slots__ = ("_connection", "_keep", "content", "headers", "method", "status")

    def __init__(
        self,
        method: str,
        message: RawResponseMessage,
        body: StreamReader | Whole,
        connection: Connection,
        keep: Callable[[Connection], None],
    ) -> None:
        self.method = method
        self.status = message.code
        self.headers = message.headers
        self.content = body
        self._connection: Connection | None = connection
        self._keep = keep
        body.on_eof(self._done)

    @property
    def content_length(self) -> int | None:
        """The length that was announced, in bytes."""
        length = self.headers.get("Content-Length")
        return None if length is None else int(length)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.release()  # aiohttp closes it: there is more to come

    def _done(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._keep(connection)


class _Stale(Exception):
    """The connection is of no use, as was seen before anything was asked of it."""


class Exchange:
    """Asks over connections that are there, and keeps them; new ones are the connector's to make.

    `usual` are the headers that most requests have, `timeout` is for connecting, and `parameters`
    are for each answer.
    """

    def __init__(
        self,
        connector: WireConnector,
        usual: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        **parameters: Any,
    ) -> None:
        self._connector = connector
        self._timeout = timeout
        # Of answers with a body and, as to HEAD, without.
        self._expected: tuple[dict[str, Any], ...] = tuple(
            {"skip_payload": skip, "read_until_eof": True, **parameters} for skip in (False, True)
        )
        self._usual = usual
        self._origins: dict[str, tuple[aiohttp.ClientRequest, ConnectionKey, bytes]] = {}
        self._kept: dict[ConnectionKey, list[Connection]] = {}
        self._since: OrderedDict[Connection, float] = OrderedDict()  # all that are kept
        self._loop = asyncio.get_running_loop()
        self._outbox: list[tuple[Wire, bytes, bool]] = []
        self._sweep: asyncio.TimerHandle | None = None

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer to a request without a body.

        `url` is canonical. Raises what `aiohttp.ClientSession.request` does for a connection that
        cannot be had, or is lost, and `FetchError("bad_response")` for an answer that is none.
        """
        origin = origin_of(url)
        target, key, fields = self._origins.get(origin) or self._learn(origin)
        if headers is not self._usual:
            fields = _fields(origin, headers)
        request = f"{method} {url[len(origin) :]} HTTP/1.1\r\n".encode("ascii") + fields
        while (connection := self._take(key) or await self._connector._get(key, [])) is not None:
            try:
                return await self._over(connection, method, request)
            except _Stale:
                pass  # the next one may be better
        return await self._over(await self._connect(target), method, request, is_new=True)

    async def with_room(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Return what `connect` does, asked once more when files were short and room could be made.

        Nothing was sent, and it is not the host's doing.
        """
        try:
            return await connect()
        except aiohttp.ClientConnectorError as error:
            if error.errno not in OUT_OF_FILES or not await self._make_room():
                raise
        return await connect()

    async def _make_room(self) -> bool:
        """Close all connections that are not in use; say whether there were any.

        At once, for their files are needed: TLS would wait for its end to be confirmed.
        """
        kept = [connection.protocol for connection in self._since]
        for wire in kept:
            if wire is not None:
                wire.abort()
        self._drop_older(math.inf)
        more = self._connector.make_room()
        await asyncio.sleep(0)  # they are closed in the next turn of the loop
        return more or bool(kept)

    def close(self) -> None:
        """Close the connections that are kept; who asks again has a new one."""
        self._drop_older(math.inf)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def _over(
        self, connection: Connection, method: str, request: bytes, *, is_new: bool = False
    ) -> Answer:
        wire = connection.protocol
        assert isinstance(wire, Wire)
        try:
            if is_new:
                self._write(wire, request, method == "HEAD")
            else:
                self._post(wire, request, method == "HEAD")
            while True:
                message, body = await wire.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    return Answer(method, message, body, connection, self._keep)
        except HttpProcessingError as error:
            connection.close()
            raise FetchError("bad_response", fault_in(error.message), retryable=True) from error
        except BaseException:
            connection.close()
            raise

    async def _connect(self, target: aiohttp.ClientRequest) -> Connection:
        connect = partial(self._connector.connect, target, [], self._timeout)
        try:
            return await self.with_room(connect)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection with {target.url}") from error

    # ── what is to be sent ──────────────────────────────────────────────────────────────

    def _post(self, wire: Wire, request: bytes, skip_payload: bool) -> None:
        """Send with all other requests of this turn of the loop.

        A write to a server on this machine that sleeps wakes it: twice as long as all else of it.
        """
        if not self._outbox:
            self._loop.call_soon(self._send)
        self._outbox.append((wire, request, skip_payload))

    def _send(self) -> None:
        outbox, self._outbox, ready = self._outbox, [], []
        for one in outbox:
            if one[0].is_usable:
                ready.append(one)
            else:  # its server has ended it since, or is distrusted for what it said unasked
                one[0].give_up(_Stale())
        talking = with_news(wire for wire, _, _ in ready)
        for wire, request, skip_payload in ready:
            if wire.number in talking:
                wire.give_up(_Stale())
            else:
                self._write(wire, request, skip_payload)

    def _write(self, wire: Wire, request: bytes, skip_payload: bool) -> None:
        # Not before: what had come until now would have been taken for the answer.
        wire.expect(self._expected[skip_payload])
        assert wire.transport is not None
        wire.transport.write(request)

    # ── connections ─────────────────────────────────────────────────────────────────────

    def _keep(self, connection: Connection) -> None:
        wire = connection.protocol
        if wire is None or wire.should_close:
            connection.release()  # aiohttp closes it
            return
        self._kept.setdefault(connection._key, []).append(connection)
        self._since[connection] = self._loop.time()
        if len(self._since) > self._connector.most_kept:
            self._drop_oldest()
        if self._sweep is None:
            self._sweep = self._loop.call_later(_KEPT_FOR, self._sweep_up)

    def _take(self, key: ConnectionKey) -> Connection | None:
        """Return the connection that was used last: of too many, the others come to their end."""
        kept = self._kept.get(key)
        while kept:
            connection = kept.pop()
            del self._since[connection]
            wire = connection.protocol
            if isinstance(wire, Wire) and wire.is_usable:
                return connection
            connection.close()
        return None

    def _sweep_up(self) -> None:
        self._sweep = None
        self._drop_older(self._loop.time() - _KEPT_FOR)
        self._kept = {key: kept for key, kept in self._kept.items() if kept}
        if self._kept:
            self._sweep = self._loop.call_later(_KEPT_FOR, self._sweep_up)

    def _drop_older(self, than: float) -> None:
        while self._since and next(iter(self._since.values())) < than:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        connection, _ = self._since.popitem(last=False)
        del self._kept[connection._key][0]  # each list is in the order of `_since`, too
        connection.close()

    def _learn(self, origin: str) -> tuple[aiohttp.ClientRequest, ConnectionKey, bytes]:
        """Return what the connector connects for, and by what it knows such a connection; and what
        an origin is usually told."""
        target = aiohttp.ClientRequest("GET", URL(f"{origin}/", encoded=True))
        if len(self._origins) >= _MOST_ORIGINS:
            self._origins.clear()
        found = target, target.connection_key, _fields(origin, self._usual)
        self._origins[origin] = found
        return found


def _fields(origin: str, headers: Mapping[str, str]) -> bytes:
    """Return the headers as they are sent; raises `ValueError` for what would be several."""
    head = CIMultiDict({"Host": host_of(f"{origin}/")})
    for name, value in headers.items():
        head[name] = value
    return _serialize_headers("", head).removeprefix(b"\r\n")
