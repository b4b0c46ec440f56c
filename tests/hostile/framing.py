"""Framing: answers whose end is uncertain, that are no HTTP, or that nobody asked for.

What browsers take for a whole page may be `done`; a page that is cut never is.
"""

import gzip
from collections.abc import Callable

from tests.hostile.case import Case, Outcome
from tests.hostile.server import Connection, Play, Then, head, raw, response
from tests.hostile.tcp import Flood

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_FIVE = b"Content-Length: 5\r\n\r\nhello"
_IN_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
_EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


def _page(text: str = "hello") -> Callable[[Outcome], None]:
    """The one page there is has this text, all of it."""

    def check(outcome: Outcome) -> None:
        assert [(item["text"], item["size"]) for item in outcome.items] == [(text, len(text))]

    return check


def _nothing(outcome: Outcome) -> None:
    assert outcome.items == ()


def _good(name: str, *packets: bytes, then: Then = "hang", text: str = "hello") -> Case:
    return Case(name, raw(*packets, then=then), "done", check=_page(text))


def _bad(name: str, *packets: bytes, then: Then = "hang", ends: str = "bad_response") -> Case:
    return Case(name, raw(*packets, then=then), f"failed {ends}", tries=2, check=_nothing)


def _status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\nContent-Type: text/html\r\n".encode() + _FIVE


def _mixed(*surplus: bytes, pause: float = 0.02) -> Play:
    """Answer each request with its own path and a link, and then with what nobody asked for."""

    async def play(connection: Connection) -> None:
        asked = await connection.request()
        while True:
            links = "".join(f"<a href=/{n}>" for n in range(4)) if asked.target == "/" else ""
            await connection.send(response(f"<title>{asked.target}</title>{links}") + surplus[0])
            following = None
            for more in surplus[1:]:
                following = following or await connection.request_within(pause)
                if following is None:  # once it is asked, nobody could tell the two apart
                    await connection.send(more)
            asked = following or await connection.request()

    return play


def _each_its_own(outcome: Outcome) -> None:
    for item in outcome.items:
        assert item["url"].endswith(item["title"]), item
    assert len(outcome.items) == 5


_ALL_DONE = {f"{{here}}/{n}": "done" for n in range(4)}
_EVIL = response("<title>evil</title>")


def _late(surplus: bytes) -> Play:
    """Give itself away once; from then on be quicker: the surplus comes as the next is asked."""

    async def play(connection: Connection) -> None:
        if connection.server.connections == 1:
            await _mixed(surplus)(connection)
        asked = await connection.request()
        await connection.send(response(f"<title>{asked.target}</title>"))
        asked = await connection.request()
        await connection.send(surplus + response(f"<title>{asked.target}</title>"))

    return play


def _desync(name: str, *surplus: bytes, play: Play | None = None) -> Case:
    # One at a time: so that each request finds the connection that the one before it left.
    return Case(
        name,
        play or _mixed(*surplus),
        "done",
        settings={"concurrency": 1, "delay": 0.05},
        others=_ALL_DONE,
        check=_each_its_own,
    )


CASES = (
    # ── Content-Length ──
    _bad(
        "length too long", _OK + b"Content-Length: 9\r\n\r\nhello", then="close", ends="truncated"
    ),
    _good("length too short", _OK + b"Content-Length: 3\r\n\r\nhello", text="hel"),
    _good("length too short, in two", _OK + b"Content-Length: 3\r\n\r\nhe", b"llo", text="hel"),
    _bad("length negative", _OK + b"Content-Length: -5\r\n\r\nhello", then="close"),
    _bad("length with a plus", _OK + b"Content-Length: +5\r\n\r\nhello", then="close"),
    _bad("length in words", _OK + b"Content-Length: five\r\n\r\nhello", then="close"),
    _bad("length empty", _OK + b"Content-Length: \r\n\r\nhello", then="close"),
    _bad("length with a point", _OK + b"Content-Length: 5.0\r\n\r\nhello", then="close"),
    _bad("length in hex", _OK + b"Content-Length: 0x5\r\n\r\nhello", then="close"),
    _bad("length with a space in it", _OK + b"Content-Length: 1 5\r\n\r\nhello"),
    _bad("length beyond numbers", _OK + b"Content-Length: 99999999999999999999\r\n\r\nhello"),
    _bad("length doubled", _OK + b"Content-Length: 5\r\n" + _FIVE),
    _bad("length doubled and different", _OK + b"Content-Length: 9\r\n" + _FIVE),
    _bad("length as a list", _OK + b"Content-Length: 5, 5\r\n\r\nhello"),
    _bad("length as a list of two", _OK + b"Content-Length: 5, 9\r\n\r\nhello"),
    _good("length with zeros before it", _OK + b"Content-Length: 0005\r\n\r\nhello"),
    _good("length on the next line", _OK + b"Content-Length:\r\n 5\r\n\r\nhello"),
    _bad("length on two lines", _OK + b"Content-Length: 5\r\n 0\r\n\r\nhello"),
    _good("more than Connection: close leaves", _OK + b"Connection: close\r\n" + _FIVE + b"more"),
    # ── Transfer-Encoding ──
    _bad("length with a transfer coding", _OK + b"Transfer-Encoding: chunked\r\n" + _FIVE),
    _bad(
        "a transfer coding with a length",
        _OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + _IN_CHUNKS,
    ),
    *(
        _bad(
            f"transfer coding {value!r}",
            _OK + f"Transfer-Encoding: {value}\r\n\r\n".encode() + body,
        )
        for value, body in (
            ("gzip", gzip.compress(b"hello")),
            ("gzip, chunked", _IN_CHUNKS),
            ("chunked, gzip", _IN_CHUNKS),
            ("chunked, chunked", _IN_CHUNKS),
            ("chunked, identity", _IN_CHUNKS),
            ("identity", b"hello"),
            ("xchunked", _IN_CHUNKS),
            ("chunked;q=1", _IN_CHUNKS),
            ("\x0bchunked", _IN_CHUNKS),
            ("", _IN_CHUNKS),
        )
    ),
    _bad(
        "transfer coding twice",
        _OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + _IN_CHUNKS,
    ),
    _bad(
        "transfer coding in HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _IN_CHUNKS,
        then="close",
    ),
    _good("transfer coding in capitals", _OK + b"Transfer-Encoding: CHUNKED\r\n\r\n" + _IN_CHUNKS),
    # ── chunks ──
    _bad("chunk size is no number", _CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk size is no number, later", _CHUNKED + b"5\r\nhello\r\n", b"what?\r\n"),
    _bad("chunk size negative", _CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk size with 0x", _CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk size beyond numbers", _CHUNKED + b"f" * 17 + b"\r\nhello"),
    _bad("chunk size without end", _CHUNKED + b"0" * 100_000),
    _bad("chunk longer than its size", _CHUNKED + b"3\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk shorter than its size", _CHUNKED + b"7\r\nhello\r\n0\r\n\r\n"),
    _bad("chunks with bare LF", _CHUNKED + b"5\nhello\n0\n\n"),
    _bad("chunk cut", _CHUNKED + b"9\r\nhello", then="close", ends="truncated"),
    _bad("last chunk missing", _CHUNKED + b"5\r\nhello\r\n", then="close", ends="truncated"),
    _bad("last line missing", _CHUNKED + b"5\r\nhello\r\n0\r\n", then="close", ends="truncated"),
    _bad("no chunk at all", _CHUNKED, then="close", ends="truncated"),
    _good("a space after the size of a chunk", _CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    _good("a chunk extension", _CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'),
    _bad(
        "a chunk extension of 200 KB",
        _CHUNKED + b"5;a=" + b"x" * 200_000 + b"\r\nhello\r\n0\r\n\r\n",
    ),
    Case(
        "a chunk extension without end",
        Flood(_CHUNKED + b"5;", b"x" * 9999),
        "failed bad_response",
        2,
    ),
    _good("a trailer", _CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    Case(
        "trailers without end",
        Flood(_CHUNKED + b"5\r\nhello\r\n0\r\n", b"X-Sum: 1\r\n" * 99),
        "failed bad_response",
        tries=2,
    ),
    # ── heads ──
    _bad("HTTP/0.9", b"<html>hello</html>", then="close"),
    _bad("bytes at random", b"\x00\x01\xff\xfe" * 200, then="close"),
    _bad("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    _bad("HTTP/2 in plain text", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18),
    _bad("version 2.0", b"HTTP/2.0 200 OK\r\n" + _FIVE),
    _bad("version 1.9", b"HTTP/1.9 200 OK\r\n" + _FIVE),
    _bad("ICY", b"ICY 200 OK\r\n" + _FIVE),
    _bad("status 000", _status("000 Zero")),
    _bad("status 099", _status("099 Low")),
    _bad("status 99999", _status("99999 High")),
    _bad("status 20", _status("20 Short")),
    _bad("status -200", _status("-200 Below")),
    _bad("status two hundred", _status("two hundred")),
    Case("status 999", raw(_status("999 Denied"), then="hang"), "failed http_999"),
    Case("status 600", raw(_status("600 Beyond"), then="hang"), "failed http_600"),
    _good("status without a phrase", _status("200")),
    _good("phrase of any bytes", b"HTTP/1.1 200 \xff\xfe\xe4\r\n" + _FIVE),
    _bad("phrase without end", b"HTTP/1.1 200 " + b"x" * 300_000),
    _good("empty lines before the head", b"\r\n\r\n" + _OK + _FIVE),
    _good("header of any bytes", _OK + b"X-A: \xff\xfe\xe4\xc3\xa4\r\n" + _FIVE),
    _good(
        "header of any bytes names a type",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=\xe4\r\n" + _FIVE,
    ),
    _bad("header name of any bytes", _OK + b"X-\xe4: 1\r\n" + _FIVE),
    _bad("header name with a space", _OK + b"X A: 1\r\n" + _FIVE),
    _bad("header without a colon", _OK + b"nonsense\r\n" + _FIVE),
    _bad("header without a name", _OK + b": 1\r\n" + _FIVE),
    _good("header on two lines", _OK + b"X-A: 1\r\n 2\r\n" + _FIVE),
    _good("head with bare LF", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    _bad("head with bare CR", b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello", then="close"),
    _bad("header with a bare CR", _OK + b"X-A: 1\rContent-Length: 3\r\n" + _FIVE),
    _bad("header with a NUL", _OK + b"X-A: a\x00b\r\n" + _FIVE),
    _bad("10,000 headers", _OK + b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)) + _FIVE),
    _bad("a header of 1 MB", _OK + b"X: " + b"x" * 1_000_000 + b"\r\n" + _FIVE),
    _bad("100 headers of 60 KB", _OK + (b"X: " + b"x" * 60_000 + b"\r\n") * 100 + _FIVE),
    Case("headers without end", Flood(_OK, b"X: 1\r\n" * 99), "failed bad_response", tries=2),
    _good("100 headers", _OK + b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + _FIVE),
    # ── what nobody asked for ──
    _good("100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + _FIVE),
    _good("a few early hints", _EARLY * 5 + _OK + _FIVE),
    _bad("1,000 early hints", _EARLY * 1000 + _OK + _FIVE),
    Case("interim responses without end", Flood(b"", _EARLY), "failed bad_response", tries=2),
    _bad("101", b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
    _bad("101 and then something", b"HTTP/1.1 101 Switching\r\n\r\n" + _OK + _FIVE),
    _good("an offer to upgrade", _OK + b"Upgrade: h2c\r\nConnection: upgrade\r\n" + _FIVE),
    _bad(
        "206",
        _status("206 Partial").replace(b"\r\n", b"\r\nContent-Range: bytes 0-4/9\r\n", 1),
        then="again",
    ),
    _bad("206 for all of it", _status("206 Partial"), then="again"),
    Case("416", raw(_status("416 Range"), then="hang"), "failed http_416"),
    _good("204 with a body", _status("204 Nothing"), text=""),
    Case("304", raw(_status("304 As it was"), then="hang"), "failed http_304"),
    _desync("two answers at once", _EVIL),
    _desync("two answers at once, and then one to another request", play=_late(_EVIL)),
    _desync("a late answer", b"", _EVIL),
    _desync("many late answers", b"", _EVIL, _EVIL, _EVIL),
    _desync("an answer and a half", _EVIL[:-3]),
    _desync("half a late answer", b"", _EVIL[:20]),
    _desync("an answer that goes on in the next one", _EVIL[:40], _EVIL[40:]),
    _desync("a 408 that nobody asked for", b"", response("late", status=408)),
    _desync("a body longer than its length", _EVIL.partition(b"\r\n\r\n")[2]),
    _desync("a body that goes on later", b"", b"more of the same"),
    _desync("a body with 204", b"", head(204) + b"body"),
)
