"""A request over a connection that is there already, as most requests of a crawl are.

`aiohttp.ClientSession` is ready for all that a request may have: a body, a proxy, credentials,
traces, timers. To get that ready takes longer than the parser takes for the answer. A GET on a
kept connection has none of it: it is written, and the answer read, by the same connection and
parser. What is private in aiohttp and relied on here is pinned by `tests/crawler/test_exchange.py`.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.http_writer import _serialize_headers
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from crawler.errors import FetchError
from crawler.url import host_of, origin_of
from crawler.wire import fault_in

_MOST_ORIGINS = 4096


class Answer:
    """The head of an answer, and its body to come: what is read of `aiohttp.ClientResponse`.

    To be entered. At its end the connection goes back to where it is kept, if all was read.
    """

    __slots__ = ("_connection", "content", "headers", "method", "status")

    def __init__(
        self, method: str, message: RawResponseMessage, body: StreamReader, connection: Connection
    ) -> None:
        self.method = method
        self.status = message.code
        self.headers = message.headers
        self.content = body
        self._connection: Connection | None = connection
        body.on_eof(self._release)

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
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


class Exchange:
    """Asks over the connections that a connector keeps.

    `usual` are the headers that most requests have, and `parameters` are for each answer.
    """

    def __init__(
        self, connector: aiohttp.BaseConnector, usual: Mapping[str, str], **parameters: Any
    ) -> None:
        self._connector = connector
        self._parameters = parameters
        self._usual = usual
        self._origins: dict[str, tuple[ConnectionKey, bytes]] = {}
        self._loop = asyncio.get_running_loop()
        self._outbox: list[tuple[asyncio.WriteTransport, bytes]] = []

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request without a body; None when no connection is kept.

        `url` is canonical. Raises what `aiohttp.ClientSession.request` does for a connection that
        is lost, and `FetchError("bad_response")` for an answer that is none.
        """
        origin = origin_of(url)
        key, fields = self._origins.get(origin) or self._learn(origin)
        connection = await self._connector._get(key, [])
        if connection is None:
            return None
        try:
            if headers is not self._usual:
                fields = _fields(origin, headers)
            request = f"{method} {url[len(origin) :]} HTTP/1.1\r\n".encode("ascii") + fields
            return await self._over(connection, method, request)
        except HttpProcessingError as error:
            connection.close()
            raise FetchError("bad_response", fault_in(error.message), retryable=True) from error
        except BaseException:
            connection.close()
            raise

    async def _over(self, connection: Connection, method: str, request: bytes) -> Answer:
        protocol = connection.protocol
        assert protocol is not None
        assert protocol.transport is not None
        protocol.set_response_params(
            skip_payload=method == "HEAD", read_until_eof=True, **self._parameters
        )
        self._post(protocol.transport, request)
        while True:
            message, body = await protocol.read()
            if not 100 <= message.code < 200 or message.code == 101:
                return Answer(method, message, body, connection)

    def _post(self, transport: asyncio.WriteTransport, request: bytes) -> None:
        """Write with all other requests of this turn of the loop.

        A write to a server on this machine that sleeps wakes it: twice as long as all else of it.
        """
        if not self._outbox:
            self._loop.call_soon(self._write)
        self._outbox.append((transport, request))

    def _write(self) -> None:
        outbox, self._outbox = self._outbox, []
        for transport, request in outbox:
            if not transport.is_closing():  # who waited for the answer may have been cancelled
                transport.write(request)

    def _learn(self, origin: str) -> tuple[ConnectionKey, bytes]:
        """Return by what the connector knows its connections with an origin, and what is usual."""
        request = aiohttp.ClientRequest("GET", URL(f"{origin}/", encoded=True))
        if len(self._origins) >= _MOST_ORIGINS:
            self._origins.clear()
        found = self._origins[origin] = request.connection_key, _fields(origin, self._usual)
        return found


def _fields(origin: str, headers: Mapping[str, str]) -> bytes:
    """Return the headers as they are sent; raises `ValueError` for what would be several."""
    head = CIMultiDict({"Host": host_of(f"{origin}/")})
    for name, value in headers.items():
        head[name] = value
    return _serialize_headers("", head).removeprefix(b"\r\n")
