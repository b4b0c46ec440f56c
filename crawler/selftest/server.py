"""A small HTTP/1.1 server for tests: it counts what it is asked, and may break framing.

Raw asyncio streams, because a test must be able to send what a well-behaved server library
refuses to: a body shorter than its Content-Length, no answer at all, two equal headers.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLContext
from typing import NamedTuple, Self
from urllib.parse import parse_qsl

from multidict import CIMultiDict

_LONGEST_HEAD = 1 << 20
_TURNS_TO_ACCEPT = 5


class Request(NamedTuple):
    """What a client asked, as it came over the wire."""

    method: str
    target: str  # path and query, percent-encoding untouched
    headers: CIMultiDict[str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; of equal names the last one wins."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back, byte for byte.

    Content-Length is added unless the headers frame the body themselves. A body that is
    not as long as a Content-Length given here is followed by the end of the connection.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this (lower case) name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def encode(self, *, without_body: bool) -> bytes:
        """The bytes on the wire."""
        phrase = HTTPStatus(self.status).phrase if self.status in _STATUSES else "Status"
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        framed = self.header("content-length") or self.header("transfer-encoding")
        if not framed and self.status not in _BODILESS:
            lines.append(f"Content-Length: {len(self.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return head if without_body or self.status in _BODILESS else head + self.body

    def ends_connection(self) -> bool:
        """Whether the client cannot, or was told not to, go on with this connection."""
        if (self.header("connection") or "").lower() == "close":
            return True
        length = self.header("content-length")
        return length is not None and length != str(len(self.body))


_STATUSES = frozenset(HTTPStatus)
_BODILESS = frozenset((204, 304))


class Server(ABC):
    """An HTTP server on loopback for the length of an `async with`.

    `url` ends with a slash: "http://127.0.0.1:PORT/". `hits` counts requests by path,
    `arrivals` has (monotonic seconds, path) of each in order, `in_flight` says how many are
    being answered now and `max_in_flight` how many ever were at once.
    Leaving the block ends every connection; a fault in `answer` is raised there, so that it
    fails the test instead of looking like an answer of status 500.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, ssl: SSLContext | None = None
    ) -> None:
        self.url = ""
        self.hits: Counter[str] = Counter()
        self.arrivals: list[tuple[float, str]] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self._host, self._port, self._ssl = host, port, ssl
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._fault: Exception | None = None

    @abstractmethod
    async def answer(self, request: Request) -> Reply | None:
        """The reply to one request; None ends the connection without one."""

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._converse,
            self._host,
            self._port,
            ssl=self._ssl,
            limit=_LONGEST_HEAD,
            backlog=1024,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{'https' if self._ssl else 'http'}://{name}:{self._port}/"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._server is not None
        # asyncio makes the transport of an accepted connection one turn of the loop later, and
        # trips over a server that was closed in between.
        for _turn in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        self._server.close()
        conversations = list(self._connections)
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await self._server.wait_closed()
        if self._fault is not None and kind is None:
            raise self._fault

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass  # the client left, or does not speak HTTP
        except asyncio.CancelledError:
            pass  # the server closes; nobody awaits this task for its result
        finally:
            del self._connections[task]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read and answer one request; return whether another one may follow."""
        request = await _read_request(reader)
        self.hits[request.path] += 1
        self.arrivals.append((time.monotonic(), request.path))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            reply = await self._guarded_answer(request)
            if reply is None:
                return False
            writer.write(reply.encode(without_body=request.method == "HEAD"))
            await writer.drain()
        finally:
            self.in_flight -= 1
        asked_to_end = request.headers.get("Connection", "").lower() == "close"
        return not (asked_to_end or reply.ends_connection())

    async def _guarded_answer(self, request: Request) -> Reply | None:
        try:
            return await self.answer(request)
        except Exception as fault:  # noqa: BLE001 - any fault of a test's handler; raised on exit
            self._fault = self._fault or fault
            return Reply(500, (("Content-Type", "text/plain"),), repr(fault).encode())


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, target, _version = first.split(" ")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    return Request(method, target, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: CIMultiDict[str]) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("Content-Length", "0")))
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
