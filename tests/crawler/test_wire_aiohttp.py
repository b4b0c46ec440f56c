"""TLS, and what is private in aiohttp and relied on."""

import asyncio
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser
from aiohttp.streams import StreamReader

from crawler import connector
from crawler.connector import WireConnector
from crawler.errors import FetchError
from crawler.wire import Wire
from tests.crawler.hostile_fetches import ONE, fetch
from tests.hostile.certificates import untrusted
from tests.hostile.server import raw

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
        await fetch(raw(ONE), tls=untrusted())
    assert made


# ── what is private in aiohttp ──────────────────────────────────────────────────────────────


async def test_aiohttp_is_as_it_is_relied_on() -> None:
    """A new release of aiohttp that fails here needs `crawler/wire.py` looked through."""
    assert HttpResponseParser.__module__ == "aiohttp._http_parser"  # the one in C
    assert hasattr(aiohttp.TCPConnector, "_get_ssl_context")
    pool = WireConnector(min_rate=1.0)
    assert hasattr(aiohttp.TCPConnector, "_release")
    assert not pool._conns
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


async def test_aiohttps_parser_may_read_one_head_after_the_other() -> None:
    loop = asyncio.get_running_loop()
    parser = HttpResponseParser(ResponseHandler(loop), loop, 2**16, response_with_body=False)
    for status, length in ((200, 5), (404, 0), (200, 10**15 - 1)):
        head = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, length)
        messages, upgraded, rest = parser.feed_data(head)
        assert [message.code for message, _ in messages] == [status]
        assert not upgraded
        assert not rest


async def test_a_stream_that_failed_and_ended_tells_of_the_failure() -> None:
    """In whatever order: aiohttp ends every body when the connection is lost."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(Wire(loop, min_rate=0, distrusted={}), 2**16, loop=loop)
    stream.feed_data(b"half")
    stream.set_exception(FetchError("truncated"))
    stream._eof = True
    with pytest.raises(FetchError):
        await stream.readany()
