"""Servers that say anything, on loopback, and a fetcher that asks them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from crawler.errors import FetchError
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
