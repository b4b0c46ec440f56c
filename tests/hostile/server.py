"""A server that reads a request as it came, and then does what it likes, or what a test does."""

import asyncio
import select
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from ssl import SSLContext
from typing import Literal, NamedTuple, Self

_LONGEST_HEAD = 1 << 20
_TURNS_TO_ACCEPT = 5

Then = Literal["close", "reset", "hang", "again"]


class Asked(NamedTuple):
    """A request as it came over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header; None when it was not sent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class Connection:
    """One connection of a client, for a play to answer on."""

    def __init__(
        self, server: "Hostile", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ):
        self.server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> Asked:
        """Read the next request whole; raises `EOFError` when the client is gone."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = tuple((n, v.strip()) for n, _, v in (line.partition(":") for line in lines))
        length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
        asked = Asked(method, target, headers, await self.reader.readexactly(length))
        self.server.asked.append(asked)
        return asked

    async def request_within(self, seconds: float) -> Asked | None:
        """Read the next request; None when the client has not sent any of it by then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.request()
        # What came in the very turn of the loop in which the time was over.
        waiting = select.poll()
        waiting.register(self.writer.get_extra_info("socket"), select.POLLIN)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if waiting.poll(0) else 0):
                return await self.request()
        return None

    async def send(self, data: bytes) -> None:
        """Send bytes as they are, but for the names of the servers in them (see `Hostile`)."""
        self.writer.write(self.server.named(data))
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with a RST instead of a FIN."""
        # Zero seconds to linger: closing throws away what is unsent, and says so.
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing more until the client leaves."""
        while await self.reader.read(1 << 16):
            pass


Play = Callable[[Connection], Awaitable[None]]
Answer = Callable[[Asked, Connection], Awaitable[None]]  # to one request, which has been read


class Hostile:
    """Serves one play on loopback for the length of an `async with`; notes what was `asked`.

    In what it sends, `{here}` stands for this server (`http://127.0.0.1:PORT`), `{there}` for
    the other server of the case, and `{host}` and `{host there}` for their hosts and ports.
    """

    def __init__(
        self, play: Play, *, host: str = "127.0.0.1", tls: SSLContext | None = None
    ) -> None:
        self.url = ""
        self.there = ""
        self.asked: list[Asked] = []
        self.connections = 0
        self.gone = 0  # connections that the client left first
        self._play = play
        self._host = host
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._fault: Exception | None = None

    @property
    def host(self) -> str:
        """The host and port."""
        return self.url.partition("://")[2]

    def named(self, data: bytes) -> bytes:
        """Return `data` with the servers' addresses in it."""
        if b"{" not in data:
            return data
        names = {
            b"{here}": self.url,
            b"{there}": self.there,
            b"{host}": self.host,
            b"{host there}": self.there.partition("://")[2],
        }
        for name, url in names.items():
            data = data.replace(name, url.encode())
        return data

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self._host, 0, ssl=self._tls, limit=_LONGEST_HEAD, backlog=1024
        )
        port = self._server.sockets[0].getsockname()[1]
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{'https' if self._tls else 'http'}://{name}:{port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._server is not None
        for _turn in range(_TURNS_TO_ACCEPT):  # asyncio trips over what it has just accepted
            await asyncio.sleep(0)
        self._server.close()
        tasks = list(self._open)
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._fault is not None and kind is None:
            raise self._fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        self.connections += 1
        try:
            await self._play(Connection(self, reader, writer))
        except (OSError, EOFError, asyncio.LimitOverrunError):
            self.gone += 1
        except asyncio.CancelledError:
            pass  # the server closes; nobody awaits this task for its result
        except Exception as fault:  # noqa: BLE001 - a fault of the play; raised on exit
            self._fault = self._fault or fault
        finally:
            del self._open[task]
            writer.close()


# ── plays ───────────────────────────────────────────────────────────────────────────────────


def raw(*chunks: bytes, then: Then = "close") -> Play:
    """Read a request, send `chunks`, and end the connection so; or go on with `again`."""

    async def play(connection: Connection) -> None:
        while True:
            await connection.request()
            for chunk in chunks:
                await connection.send(chunk)
            if then == "reset":
                # What is sent must have left before it is thrown away: the client reads it first.
                await asyncio.sleep(0.05)
                connection.reset()
            elif then == "hang":
                await connection.hang()
            if then != "again":
                return

    return play


def head(
    status: int | str = 200,
    *headers: str,
    length: int | None = None,
    kind: str = "text/html; charset=utf-8",
) -> bytes:
    """Return a response's head; each of `headers` is a line as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}" if kind else "", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(filter(None, lines)) + "\r\n\r\n").encode("latin-1")


def response(
    body: bytes | str = b"",
    *headers: str,
    status: int = 200,
    kind: str = "text/html; charset=utf-8",
) -> bytes:
    """Return a whole and well-formed response."""
    data = body.encode() if isinstance(body, str) else body
    return head(status, *headers, length=len(data), kind=kind) + data


def answer(
    body: bytes | str = b"",
    *headers: str,
    status: int = 200,
    kind: str = "text/html; charset=utf-8",
) -> Play:
    """Answer every request of a connection with this response, framed as it should be.

    `{here}` and `{there}` in the body are filled in before it is measured.
    """

    async def play(connection: Connection) -> None:
        data = body.encode() if isinstance(body, str) else body
        lines = [
            connection.server.named(line.encode("latin-1")).decode("latin-1") for line in headers
        ]
        while True:
            await connection.request()
            named = connection.server.named(data)
            await connection.send(response(named, *lines, status=status, kind=kind))

    return play


def redirect(location: str, *headers: str, status: int = 302) -> Play:
    """Redirect every request to `location`, which is sent as it is."""
    return answer(b"", f"Location: {location}", *headers, status=status)


def site(pages: Mapping[str, bytes | str | Answer]) -> Play:
    """Answer by path: bytes are sent as they are (a whole response), text is an HTML page."""

    async def play(connection: Connection) -> None:
        while not connection.writer.is_closing():
            asked = await connection.request()
            page = pages.get(asked.target, pages.get(asked.target.partition("?")[0]))
            if page is None:
                await connection.send(response(b"", status=404))
            elif isinstance(page, bytes):
                await connection.send(page)
            elif isinstance(page, str):
                named = connection.server.named(page.encode())
                await connection.send(response(named))
            else:
                await page(asked, connection)

    return play
