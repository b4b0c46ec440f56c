"""Advisories of what a server answers: bombs, headers, framing, and what comes after it."""

import asyncio
import gzip
import zlib
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import brotli
import pytest

from crawler import Request
from tests.hostile.server import Connection, Hostile, Play, answer, head, raw, response, site
from tests.hostile.tcp import Flood
from tests.hostile.wanderer import Crawl, Rows
from tests.hostile.wanderer import ends as ends
from tests.hostile.wanderer import wander as wander

MIB = 1 << 20


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A response in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head(200, "Transfer-Encoding: chunked") + body + b"0\r\n" + trailers + b"\r\n"


# ── bombs ───────────────────────────────────────────────────────────────────────────────────


def _counting(coding: str, body: bytes) -> bytes:
    return response(body, f"Content-Encoding: {coding}")


async def test_cve_2024_3572_a_gzip_bomb_is_not_inflated(wander: Crawl, ends: Any) -> None:
    """Scrapy: the limit on a body did not count its bytes after decompression."""
    bomb = gzip.compress(bytes(64 * MIB))
    async with Hostile(raw(_counting("gzip", bomb))) as server:
        await wander(server.url + "/", max_body=32 * MIB)
        assert ends() == {server.url + "/": "failed too_large"}
    assert len(bomb) < MIB


async def test_cve_2025_6176_a_brotli_bomb_is_not_inflated(wander: Crawl, ends: Any) -> None:
    """Scrapy: brotli, whose ratio is the highest, escaped the limit."""
    bomb = brotli.compress(bytes(64 * MIB))
    async with Hostile(raw(_counting("br", bomb))) as server:
        await wander(server.url + "/", max_body=32 * MIB)
        assert ends() == {server.url + "/": "failed too_large"}
    assert len(bomb) < 1000


async def test_cve_2025_69223_a_deflate_bomb_is_not_inflated(wander: Crawl, ends: Any) -> None:
    """aiohttp: its parser decompressed without a limit."""
    bombs = [zlib.compress(bytes(64 * MIB)), zlib.compress(bytes(64 * MIB))[2:-4]]
    pages = {f"/{n}": _counting("deflate", bomb) for n, bomb in enumerate(bombs)}
    async with Hostile(site(pages)) as server:
        await wander(*(server.url + path for path in pages), max_body=32 * MIB)
    assert set(ends().values()) == {"failed too_large"}


async def test_cve_2026_128131_many_empty_members_are_refused(wander: Crawl, ends: Any) -> None:
    """aiohttp: each of many members was decoded from a copy of all that followed it."""
    body = gzip.compress(b"") * 200_000
    async with Hostile(raw(_counting("gzip", body))) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "failed bad_encoding"}


async def test_cve_2025_66418_a_long_chain_of_codings_is_refused(wander: Crawl, ends: Any) -> None:
    """urllib3: a response could name any number of codings, one over the other."""
    body = b"x"
    for _ in range(10):
        body = gzip.compress(body)
    async with Hostile(raw(_counting(", ".join(["gzip"] * 10), body))) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "failed unsupported_encoding"}


async def test_cve_2026_21441_a_bomb_in_a_redirect_is_not_inflated(
    wander: Crawl, ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3: the body of a redirect, which nobody reads, was decompressed without a limit."""
    bomb = gzip.compress(bytes(64 * MIB))
    moved = head(302, "Location: /in", "Content-Encoding: gzip", length=len(bomb)) + bomb
    made = 0
    decoding = import_module("crawler.decoding")
    decode = decoding._Stage.decode

    def noting(stage: Any, data: bytes, cap: int) -> bytes:
        nonlocal made
        found: bytes = decode(stage, data, cap)
        made += len(found)
        return found

    monkeypatch.setattr(decoding._Stage, "decode", noting)
    async with Hostile(site({"/": moved, "/in": "in"})) as server:
        await wander(server.url + "/", max_body=MIB)
        assert set(ends().values()) <= {"failed too_large", "done"}
    assert made <= 2 * MIB


async def test_cve_2017_14158_a_body_without_end_is_cut(wander: Crawl, ends: Any) -> None:
    """Scrapy: whatever a server sent was held in memory."""
    sent = 0

    async def endless(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(head(200))
        while True:
            await connection.send(b"x" * 65536)
            sent += 65536

    async with Hostile(endless) as server:
        await wander(server.url + "/", max_body=MIB)
        assert ends() == {server.url + "/": "failed too_large"}
    assert sent < 32 * MIB  # what the sockets' buffers took


async def test_cve_2025_69229_many_small_chunks_hold_nothing_up(
    wander: Crawl, ends: Any, rows: Rows
) -> None:
    """aiohttp: a body in a great many chunks cost more with each of them."""
    many = chunked(*[b"x"] * 300_000)
    async with Hostile(site({"/": many, "/next": "next"})) as server:
        await wander(server.url + "/", server.url + "/next")
        assert ends() == {server.url + "/": "done", server.url + "/next": "done"}
    assert sorted(rows("SELECT bytes FROM crawl_request")) == [4, 300_000]


async def test_cve_2026_34516_the_parts_of_a_multipart_body_are_not_looked_at(
    wander: Crawl, rows: Rows
) -> None:
    """aiohttp: the headers of a multipart body's parts were parsed without a limit."""
    body = b"--b\r\n" + b"X-Header: 1\r\n" * 100_000 + b"\r\n\r\n--b--\r\n"
    page = response(body, kind="multipart/mixed; boundary=b")
    async with Hostile(raw(page)) as server:
        await wander(server.url + "/")
    assert rows("SELECT state, bytes FROM crawl_request") == [("done", len(body))]


# ── headers, framing, and the next answer on the same connection ────────────────────────────


async def _desync(wander: Crawl, rows: Rows, first: bytes) -> list[tuple[str, str, str]]:
    """Return (path, state, text) of a page that answers with `first`, and of one after it."""
    pages = {"/first": first.replace(b"{smuggled}", response("smuggled")), "/next": "own"}
    async with Hostile(site(pages)) as server:
        start = [Request(server.url + "/first", priority=1), Request(server.url + "/next")]
        await wander(*start, concurrency=1)
    kept = dict(rows("SELECT json_extract(data,'$.url'), json_extract(data,'$.text') FROM item"))
    found = rows("SELECT url, state FROM crawl_request ORDER BY id")
    return [(url.rpartition("/")[2], state, kept.get(url, "")) for url, state in found]


_NEXT = ("next", "done", "own")


@pytest.mark.parametrize(
    "line",
    ["Content-Length: +4", "Content-Length: 4_", "Content-Length: -4", "Content-Length: 4, 4",
     "Content-Length: 0x4", "Content-Length: 4 4", "Content-Length: \xb24"],
)  # fmt: skip
async def test_cve_2023_47627_a_length_is_digits(wander: Crawl, rows: Rows, line: str) -> None:
    """aiohttp: lengths and headers were read in ways that nobody else reads them."""
    first = f"HTTP/1.1 200 OK\r\n{line}\r\n\r\nbody".encode("latin-1") + b"{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert page[1:] in {("failed", ""), ("done", "body")}
    assert after == _NEXT


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked123",
        b"Content-Length: 5\r\nTransfer-Encoding: xchunked",
    ],
)
async def test_cve_2023_47641_a_body_with_two_lengths_answers_nothing_else(
    wander: Crawl, rows: Rows, lines: bytes
) -> None:
    """aiohttp: a length beside chunks was read by one side in this way, by the other in that."""
    first = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n0\r\n\r\n{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert "smuggled" not in page[2]
    assert after == _NEXT


@pytest.mark.parametrize(
    "line", [b"X-A : 1", b"X A: 1", b" X-A: 1", b"X-A", b"X\x00A: 1", b": 1", b"X(A): 1"]
)
async def test_cve_2024_23829_a_header_that_is_none_smuggles_in_nothing(
    wander: Crawl, rows: Rows, line: bytes
) -> None:
    """aiohttp: names of headers had characters in them that others take for separators."""
    first = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 4\r\n\r\nbody{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert "smuggled" not in page[2]
    assert after == _NEXT


@pytest.mark.parametrize("extension", [b";x\n", b";x\r", b";\n5", b";x=\x00", b"\n", b" \n"])
async def test_cve_2024_52304_a_line_end_in_a_chunk_extension_smuggles_in_nothing(
    wander: Crawl, rows: Rows, extension: bytes
) -> None:
    """aiohttp: a bare line feed within a chunk's extension was passed over."""
    first = head(200, "Transfer-Encoding: chunked") + b"4" + extension + b"\r\nbody\r\n0\r\n\r\n"
    page, after = await _desync(wander, rows, first + b"{smuggled}")
    assert page[1:] in {("failed", ""), ("done", "body")}
    assert after == _NEXT


@pytest.mark.parametrize("trailers", [b"{smuggled}", b"X: 1\r\n\r\n{smuggled}", b"\r\n{smuggled}"])
async def test_cve_2025_53643_what_follows_the_last_chunk_answers_nothing_else(
    wander: Crawl, rows: Rows, trailers: bytes
) -> None:
    """aiohttp: the trailers of a body were not read, and stood for the next message."""
    first = head(200, "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n" + trailers + b"\r\n"
    page, after = await _desync(wander, rows, first)
    assert page[1:] in {("failed", ""), ("done", "body")}
    assert after == _NEXT


@pytest.mark.parametrize("coding", ["chun\u212aed", "\uff43hunked", "chunked\u00a0"])
async def test_cve_2025_69224_letters_that_fold_to_ascii_are_not_ascii(
    wander: Crawl, rows: Rows, coding: str
) -> None:
    """aiohttp: a Kelvin sign made `chunKed` of what no other parser takes for chunked."""
    line = f"Transfer-Encoding: {coding}".encode()
    first = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert page[1:] in {("failed", ""), ("done", "0\r\n\r")}
    assert after == _NEXT


async def test_cve_2026_22815_trailers_without_end_are_cut(wander: Crawl, ends: Any) -> None:
    """aiohttp: headers and trailers could be so many that they filled the memory."""
    in_chunks = head(200, "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n"
    line = b"X-Header: " + b"x" * 1000 + b"\r\n"
    headers, trailers = Flood(b"HTTP/1.1 200 OK\r\n", line), Flood(in_chunks, line)
    async with Hostile(headers) as a, Hostile(trailers) as b:
        await wander(a.url + "/", b.url + "/", timeout=5.0)
    assert [end.partition(" ")[0] for end in ends().values()] == ["failed", "failed"]
    assert headers.sent + trailers.sent < 64 * MIB  # what the sockets' buffers took


async def test_cve_2026_54277_a_line_in_many_pieces_is_cut(wander: Crawl, ends: Any) -> None:
    """aiohttp: a line was measured piece by piece, so that it could be of any length."""
    sent = 0

    def endless(start: bytes) -> Play:
        async def play(connection: Connection) -> None:
            nonlocal sent
            await connection.request()
            await connection.send(start)
            while True:
                await connection.send(b"x" * 4000)
                sent += 4000
                await asyncio.sleep(0)

        return play

    starts = [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nX-A: "]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Hostile(endless(start))) for start in starts]
        await wander(*(server.url + "/" for server in servers), timeout=5.0)
    assert set(ends().values()) == {"failed bad_response"}
    assert sent < 64 * MIB  # what the sockets' buffers took


@pytest.mark.parametrize("byte", [b"\x00", b"\r", b"\x00\r", b"\rX-B: "])
async def test_cve_2026_34520_a_control_character_in_a_header_is_refused(
    wander: Crawl, ends: Any, byte: bytes
) -> None:
    """aiohttp: NULs and other control characters were let through in a response's headers."""
    page = b"HTTP/1.1 200 OK\r\nX-A: a" + byte + b"b\r\nContent-Length: 2\r\n\r\nok"
    async with Hostile(raw(page)) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "failed bad_response"}


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n", b"4\r\nbodyX", b"4\r\nbody\r\n-1\r\n", b"4", b"4\rbody", b"f" * 40 + b"\r\n",
     b"4\r\nbody\r\n0\r\nX\x00: 1\r\n\r\n", b"4;" + b"\xff" * 9000 + b"\r\n", b"4\r\nbody\r\n\x00"],
)  # fmt: skip
async def test_cve_2026_69244_a_broken_chunk_fails_the_page_and_nothing_else(
    wander: Crawl, ends: Any, body: bytes
) -> None:
    """aiohttp: the message about a malformed chunk was made from memory beyond the buffer."""
    start = head(200, "Transfer-Encoding: chunked")
    pieces = [body[at : at + 1] for at in range(len(body))]

    async def bytewise(connection: Connection) -> None:
        await connection.request()
        for piece in (start, *pieces):
            await connection.send(piece)
            await asyncio.sleep(0)

    plays = (raw(start + body), bytewise, answer("next"))
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Hostile(play)) for play in plays]
        await wander(*(server.url + "/" for server in servers))
        at_once, bytewise_, after = (ends()[server.url + "/"] for server in servers)
    assert {at_once, bytewise_} <= {"failed bad_response", "failed truncated"}
    assert after == "done"
