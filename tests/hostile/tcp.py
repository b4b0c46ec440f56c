"""TCP and TLS: connections that are refused, stall, break, or are not with whom they should be."""

import asyncio
import os
import select
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path

import trustme

from crawler import wire
from tests.hostile.case import Case
from tests.hostile.certificates import side_of
from tests.hostile.server import Connection, Hostile, Play, answer, head, raw, response

_QUICK = {"timeout": 0.5}
_CHUNKED = head(200, "Transfer-Encoding: chunked")


# ── listeners ───────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _refused() -> AsyncIterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _black_hole() -> AsyncIterator[str]:
    """A listener whose backlog is full: what comes is neither accepted nor refused."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    clients = []
    try:
        while True:
            clients.append(client := socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            connected = select.poll()  # select() itself knows no descriptor past 1023
            connected.register(client, select.POLLOUT)
            if not connected.poll(50):
                break
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for one in (listener, *clients):
            one.close()


@asynccontextmanager
async def _measured_quickly(play: Play) -> AsyncIterator[str]:
    """Have the rate of answers measured over a short time, lest the test takes a long one."""
    usual = wire.RATE_WINDOW
    wire.RATE_WINDOW = 0.2
    try:
        async with Hostile(play) as server:
            yield server.url
    finally:
        wire.RATE_WINDOW = usual


@asynccontextmanager
async def _over_tls(play: Play, context: Callable[[], ssl.SSLContext] | None) -> AsyncIterator[str]:
    """Serve at an https address, with TLS or (no `context`) without; `_authority` is trusted."""
    before = os.environ.get("SSL_CERT_FILE")
    with tempfile.TemporaryDirectory() as folder:
        authority = Path(folder, "authority.pem")
        _authority().cert_pem.write_to_path(str(authority))
        os.environ["SSL_CERT_FILE"] = str(authority)
        try:
            async with Hostile(play, tls=context() if context else None) as server:
                yield server.url.replace("http:", "https:")
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


def _https(
    context: Callable[[], ssl.SSLContext] | None, play: Play | None = None
) -> Callable[[], AbstractAsyncContextManager[str]]:
    return lambda: _over_tls(play or answer("<title>page</title>"), context)


# ── certificates ────────────────────────────────────────────────────────────────────────────


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


def _certified(
    name: str = "127.0.0.1", days: int = 1, by: trustme.CA | None = None
) -> ssl.SSLContext:
    until = datetime.now(UTC) + timedelta(days=days)
    certificate = (by or _authority()).issue_cert(
        name, not_before=until - timedelta(days=30), not_after=until
    )
    return side_of(certificate)


def _self_signed() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signed = trustme.CA()
    with signed.cert_pem.tempfile() as certificate, signed.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    return context


# ── plays ───────────────────────────────────────────────────────────────────────────────────


async def silence(connection: Connection) -> None:
    """Accept, and say nothing."""
    await connection.hang()


async def close_at_once(connection: Connection) -> None:
    """Accept, and close before anything is asked."""


async def answer_in_plain_text(connection: Connection) -> None:
    """Take the first bytes for a request, whatever they are."""
    await connection.reader.read(1 << 16)
    await connection.send(response("plain text", status=400))


def _alert(code: int) -> Play:
    """Refuse the handshake (RFC 8446, 6)."""

    async def play(connection: Connection) -> None:
        await connection.reader.read(1 << 16)
        await connection.send(b"\x15\x03\x03\x00\x02\x02" + bytes([code]))

    return play


async def reset_at_once(connection: Connection) -> None:
    """Take a request, and reset the connection."""
    await connection.request()
    connection.reset()


def trickle(*first: bytes) -> Play:
    """Begin so, and go on a byte at a time."""

    async def play(connection: Connection) -> None:
        await connection.request()
        for part in first:
            await connection.send(part)
        while True:
            await connection.send(b"x")
            await asyncio.sleep(0.02)

    return play


class Flood:
    """Begins so, and goes on for ever, as fast as it is taken; counts what was `sent` then."""

    def __init__(self, first: bytes, more: bytes) -> None:
        self.sent = 0
        self._first, self._more = first, more

    async def __call__(self, connection: Connection) -> None:
        await connection.request()
        await connection.send(self._first)
        while True:
            await connection.send(self._more)
            self.sent += len(self._more)


def tls_by_hand(context: Callable[[], ssl.SSLContext], data: bytes) -> Play:
    """Speak TLS, answer with `data`, and end the connection without a word (`close_notify`)."""

    async def play(connection: Connection) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context().wrap_bio(incoming, outgoing, server_side=True)
        for step in (session.do_handshake, session.read, lambda: session.write(data)):
            while True:
                try:
                    step()
                    break
                except ssl.SSLWantReadError:
                    await connection.send(outgoing.read())
                    if not (more := await connection.reader.read(1 << 16)):
                        return  # the client does not like what it sees
                    incoming.write(more)
            await connection.send(outgoing.read())

    return play


def _once(first: Play, then: Play) -> Play:
    """Play `first` to the first connection, and `then` to all others."""

    async def play(connection: Connection) -> None:
        await (first if connection.server.connections == 1 else then)(connection)

    return play


_LONG = head(length=1_000_000)

CASES = (
    # ── connections ──
    Case("refused", silence, "failed connection", tries=2, listen=_refused),
    Case(
        "black hole",
        silence,
        "failed timeout",
        tries=2,
        settings={"connect_timeout": 0.3},
        listen=_black_hole,
    ),
    Case("silence after accept", silence, "failed timeout", tries=2, settings=_QUICK),
    Case("silence after the request", raw(then="hang"), "failed timeout", tries=2, settings=_QUICK),
    Case("close at once", close_at_once, "failed connection", tries=2),
    Case("close with no bytes", raw(), "failed connection", tries=2),
    Case("close with one byte", raw(b"H"), "failed connection", tries=2),
    Case("close in the head", raw(b"HTTP/1.1 200 OK\r\nContent-"), "failed connection", tries=2),
    Case("close before the end of the head", raw(head()[:-2]), "failed connection", tries=2),
    Case("reset at once", reset_at_once, "failed connection", tries=2),
    Case("reset in the head", raw(head()[:-2], then="reset"), "failed connection", tries=2),
    Case(
        "reset in a body with a length",
        raw(head(length=9), b"half", then="reset"),
        "failed truncated",
        tries=2,
    ),
    Case(
        "reset in a body without a length",
        raw(head(), b"half", then="reset"),
        "failed truncated",
        tries=2,
    ),
    Case(
        "reset in a chunked body",
        raw(_CHUNKED, b"4\r\nhalf\r\n", then="reset"),
        "failed truncated",
        tries=2,
    ),
    Case(
        "reset right after a head without a length",
        raw(head(), then="reset"),
        "failed truncated",
        tries=2,
    ),
    Case("reset after a whole page", raw(response("all"), then="reset"), "done"),
    Case(
        "broken once",
        _once(raw(head(length=9), b"half", then="reset"), answer("all")),
        "done",
        tries=2,
    ),
    # ── slow ──
    Case("silence in the head", raw(head()[:20], then="hang"), "failed timeout", 2, _QUICK),
    Case("silence in the body", raw(_LONG, b"x", then="hang"), "failed timeout", 2, _QUICK),
    Case("slow-loris head", trickle(head()[:-4]), "failed timeout", 2, _QUICK),
    Case("slow-loris body", trickle(_LONG), "failed timeout", 2, _QUICK),
    Case("slow-loris body without a length", trickle(head()), "failed timeout", 2, _QUICK),
    *(
        Case(
            f"{name} below the minimum rate",
            silence,
            "failed timeout",
            tries=2,
            settings={"min_rate": 10_000.0, "timeout": 30.0},
            listen=partial(_measured_quickly, trickle(begun)),
        )
        for name, begun in (("slow-loris head", head()[:-4]), ("slow-loris body", _LONG))
    ),
    Case(
        "slow, and that is all right",
        raw(head(length=3), b"a", b"b", b"c"),
        "done",
        settings={"min_rate": 0},
    ),
    # ── without end ──
    *(
        Case(
            f"endless body, {name}",
            Flood(begun, more),
            "failed too_large",
            settings={"max_body": 300_000},
        )
        for name, begun, more in (
            ("without a length", head(), b"x" * 50_000),
            ("in chunks", _CHUNKED, b"c350\r\n" + b"x" * 50_000 + b"\r\n"),
            ("of a great length", head(length=10**15), b"x" * 50_000),
        )
    ),
    Case(
        "endless error page",
        Flood(head(500), b"x" * 50_000),
        "failed too_large",
        settings={"max_body": 300_000},
    ),
    # ── TLS ──
    Case("TLS", silence, "done", listen=_https(_certified), heavy=True),
    Case("TLS, expired", silence, "failed tls", listen=_https(partial(_certified, days=-1))),
    Case("TLS, not yet valid", silence, "failed tls", listen=_https(partial(_certified, days=60))),
    Case("TLS, self-signed", silence, "failed tls", listen=_https(_self_signed)),
    Case(
        "TLS, wrong host",
        silence,
        "failed tls",
        listen=_https(partial(_certified, "another.example")),
    ),
    Case(
        "TLS, wrong address",
        silence,
        "failed tls",
        listen=_https(partial(_certified, "127.0.0.3")),
    ),
    Case(
        "TLS, unknown authority",
        silence,
        "failed tls",
        listen=_https(lambda: _certified(by=trustme.CA())),
    ),
    Case(
        "TLS of a version that is none any more",
        silence,
        "failed tls",
        tries=2,
        listen=_https(None, _alert(70)),
    ),
    Case(
        "TLS handshake stalls",
        silence,
        "failed timeout",
        tries=2,
        settings={"connect_timeout": 0.3},
        listen=_https(None, silence),
    ),
    Case(
        "TLS handshake is cut off",
        silence,
        "failed connection",
        tries=2,
        listen=_https(None, close_at_once),
    ),
    Case(
        "plain text on a TLS port",
        silence,
        "failed tls",
        tries=2,
        listen=_https(None, answer_in_plain_text),
    ),
    Case(
        "TLS ends without notice in a body without a length",
        silence,
        "failed truncated",
        tries=2,
        listen=_https(None, tls_by_hand(_certified, head() + b"half of")),
        heavy=True,
    ),
    Case(
        "TLS ends without notice after a whole page",
        silence,
        "done",
        listen=_https(None, tls_by_hand(_certified, response("all"))),
        heavy=True,
    ),
    Case(
        "TLS handshake is refused",
        silence,
        "failed tls",
        tries=2,
        listen=_https(None, _alert(40)),
    ),
)
