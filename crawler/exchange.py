"""A request over a connection that is there already, as most requests of a crawl are.

`aiohttp.ClientSession` is ready for all that a request may have: a body, a proxy, credentials,
traces, timers. To get that ready takes longer than the parser takes for the answer. A GET on a
kept connection has none of it: it is written, and the answer read, by the same connection and
parser. What is private in aiohttp and relied on here is pinned by `tests/crawler/test_exchange.py`.
"""

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

_MOST_KEYS = 4096


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
    """Asks over the connections that a connector keeps; `parameters` are for each answer."""

    def __init__(self, connector: aiohttp.BaseConnector, **parameters: Any) -> None:
        self._connector = connector
        self._parameters = parameters
        self._keys: dict[str, ConnectionKey] = {}

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request without a body; None when no connection is kept.

        `url` is canonical. Raises what `aiohttp.ClientSession.request` does for a connection that
        is lost, and `FetchError("bad_response")` for an answer that is none.
        """
        origin = origin_of(url)
        connection = await self._connector._get(self._keys.get(origin) or self._key(origin), [])
        if connection is None:
            return None
        try:
            head = CIMultiDict({"Host": host_of(url)})
            for name, value in headers.items():
                head[name] = value
            line = f"{method} {url[len(origin) :]} HTTP/1.1"
            return await self._over(connection, method, _serialize_headers(line, head))
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
        protocol.transport.write(request)
        while True:
            message, body = await protocol.read()
            if not 100 <= message.code < 200 or message.code == 101:
                return Answer(method, message, body, connection)

    def _key(self, origin: str) -> ConnectionKey:
        """Return by what the connector knows its connections with an origin."""
        request = aiohttp.ClientRequest("GET", URL(f"{origin}/", encoded=True))
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[origin] = request.connection_key
        return self._keys[origin]
