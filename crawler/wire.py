"""Connections that take nothing for a page but a whole answer to what was asked.

aiohttp's client protocol trusts the server in places where a crawler must not. What is private
in aiohttp and relied on here is pinned by `tests/crawler/test_wire_aiohttp.py`.
"""

import asyncio
import math
import select
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from crawler.errors import FetchError
from crawler.head import fault_of, unreadable
from crawler.whole import Heads, Whole, parts_of

MAX_HEAD = 256 * 1024  # bytes of status line and headers, interim responses included; as Chrome
MAX_HEADERS = 256
MAX_LINE = 64 * 1024
MAX_INTERIM = 20  # responses of 1xx before the real one; servers send one or two
RATE_WINDOW = 10.0  # seconds over which the rate of an answer is measured
# Bytes of chunked framing (sizes, extensions, trailers) that are borne with: some, and some for
# each byte of the body. A chunk of one byte has 5.
_OVERHEAD_FREE = 16 * 1024
_OVERHEAD_PER_BYTE = 16
_LATE = 1.0  # seconds; a timer that is later than this was held up by us, not by the server
_WARY = 60.0  # seconds that no connection to a server is kept which broke one as it was used again
_MOST_DISTRUSTED = 10_000  # servers; then all of them get another chance

# Servers (address and port) whose connections are not kept, until when by the loop's clock.
Distrusted = dict[tuple[Any, ...], float]


class Wire(ResponseHandler):
    """One connection to a server; aiohttp's pool keeps it between requests.

    What it adds: an answer is `truncated` unless its end is certain, `bad_response` when where
    it ends is open to interpretation, and `timeout` when it comes at less than `min_rate` bytes
    per second. Bytes that answer no request end the connection, and no other connection to that
    server is kept from then on: had they come while the next request was out, nobody could have
    told them from its answer.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, min_rate: float, distrusted: Distrusted
    ) -> None:
        super().__init__(loop)
        self._distrusted = distrusted
        self._peer: tuple[Any, ...] = ()
        self._least = min_rate * RATE_WINDOW  # bytes that must come in a window
        self._asking = False  # a request is out, and its answer not complete
        self._answered = False  # the head of its answer has come
        self._parameters: Mapping[str, Any] = {}  # of a parser, not made yet
        self._heads: Heads | None = None
        self._body: StreamReader | None = None
        self._chunked = False
        self._head_size = 0
        self._last = b""  # bytes of the head, which its end may have begun with
        self._interim = 0
        self._received = 0  # bytes of this answer
        self._used = False  # it has answered before
        self._ended_well = False  # the server said that it would send no more
        self._number = -1  # of the socket; not known yet
        self._watch: asyncio.TimerHandle | None = None
        self._window_began = 0.0
        self._window_received = 0
        self._was_paused = False
        self._has_paused = False  # reading this answer, ever

    # ── between requests ────────────────────────────────────────────────────────────────

    def is_connected(self) -> bool:
        """Whether the connection can be used; a kept one also must have nothing to read.

        What a kept connection has to say can only be its end, or an answer to no request of
        ours, which would be taken for the answer to the next one.
        """
        if self._asking or not self._used:
            return super().is_connected()
        return self.is_usable and not self._has_news()

    @property
    def is_usable(self) -> bool:
        """The same of a kept connection, but for a look at whether there is something to read."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return not (self._distrusted and self._is_distrusted())

    @property
    def should_close(self) -> bool:
        """Whether the connection is of no use after its answer: aiohttp does not keep it."""
        return super().should_close or bool(self._distrusted and self._is_distrusted())

    def _is_distrusted(self) -> bool:
        return self._distrusted.get(self._peer, 0.0) > self._loop.time()

    def _distrust(self, until: float) -> None:
        if len(self._distrusted) >= _MOST_DISTRUSTED:
            self._distrusted.clear()
        self._distrusted[self._peer] = max(until, self._distrusted.get(self._peer, 0.0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note whom the connection is with."""
        super().connection_made(transport)
        self._peer = tuple(transport.get_extra_info("peername") or ())

    @property
    def number(self) -> int:
        """The number of the socket."""
        if self._number < 0:
            assert self.transport is not None
            self._number = self.transport.get_extra_info("socket").fileno()
        return self._number

    def _has_news(self) -> bool:
        return bool(with_news([self]))

    def give_up(self, error: Exception) -> None:
        """End the waiting for an answer to what was not sent."""
        self._asking = False
        self.set_exception(error)

    def expect(self, parameters: Mapping[str, Any]) -> None:
        """Make ready for the answer to a request that is about to be sent.

        As aiohttp does by `set_response_params`, but for the parser: most answers need none.
        """
        self._asking = True
        self._answered = False
        self._body = None
        self._received = 0
        self._parameters = parameters

    def set_response_params(self, **params: Any) -> None:
        """See `expect`; called by aiohttp itself."""
        self.expect({})
        self._make_parser(params)

    def _make_parser(self, parameters: Mapping[str, Any]) -> None:
        self._chunked = self._has_paused = False
        self._last = b""
        self._head_size = self._interim = 0
        super().set_response_params(**parameters)

    # ── an answer ───────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Take up what came from the server."""
        if not self._asking:
            if data:
                self._hang_up()
        elif not data:  # reading goes on after a pause, with what aiohttp has held back
            self._take(data)
        else:
            if not self._received:
                if self._take_whole(data):
                    return
                self._open_window()
            self._received += len(data)
            if not self._answered:
                data = self._take_head(data)
            # What follows a head that was refused is of no use, and the connection closed.
            if data and self._exception is None:
                self._take(data)
            if self._chunked and self._asking and not self._reading_paused:
                self._check_overhead()

    def _take_whole(self, data: bytes) -> bool:
        """Take up an answer that has come in one piece; False when this is none, or an odd one."""
        parameters = self._parameters
        if not parameters:
            return False  # it answers a request of aiohttp's own
        parts = None if parameters["skip_payload"] else parts_of(data)
        if parts is not None:
            if self._heads is None:
                self._heads = Heads(self, self._loop, parameters)
            message = self._heads.read(parts[0])
            if message is not None and not fault_of(message):
                self._received = len(data)
                self._answered = True
                if message.should_close:
                    self._should_close = True
                self._complete()
                super().feed_data((message, Whole(parts[1])), 0)  # type: ignore[arg-type]
                return True
            self._heads = None
        self._make_parser(parameters)
        return False

    def _take_head(self, data: bytes) -> bytes:
        """Give the head of the answer to the parser, and return what follows it.

        By itself, because the parser forgets an answer when what comes after it in the same
        packet is no HTTP; whether a page is whole must not hang on how packets are cut.
        """
        while data and not self._answered and self._exception is None:
            seen = self._last + data
            end = seen.find(b"\r\n\r\n")
            size = end + 4 - len(self._last) if end >= 0 else len(data)
            self._last = b"" if end >= 0 else seen[-3:]
            self._head_size += size
            self._take(data[:size])
            data = data[size:]
        if not self._answered and self._head_size > MAX_HEAD:
            self._fail("bad_response", f"a head of more than {MAX_HEAD} bytes")
        return data

    def _take(self, data: bytes) -> None:
        if not self._asking and data:  # bytes after an answer that has no body
            self._hang_up()
            return
        asking = self._asking
        super().data_received(data)
        if self._exception is not None:
            # Without this, whoever reads the body waits for ever for the rest of it.
            self._fail_body(unreadable(self._exception))
        elif asking and not self._asking and self._parser is not None and self._begins_another():
            self._hang_up()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take up the head of a response, from aiohttp's parser."""
        message, body = data
        if self._exception is not None:
            return
        if self._answered:
            self._hang_up()  # that was the answer to another request, and there is none
            return
        if 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._fail("bad_response", f"more than {MAX_INTERIM} responses of 1xx")
                return
        elif fault := fault_of(message):
            self._fail("bad_response", fault)
            return
        else:
            self._answered = True
            self._chunked = bool(message.chunked)
            if body.is_eof():
                self._complete()
            else:
                self._body = body
                body.on_eof(self._complete)
        super().feed_data(data, size)

    def _complete(self) -> None:
        self._asking = False
        self._used = True

    def _begins_another(self) -> bool:
        """Say whether bytes after the answer have been taken for the beginning of another."""
        try:
            # None, but for a message that has begun: then what is known of it.
            return self._parser.feed_eof() is not None  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 - whatever is wrong with what came unasked
            return True

    def _check_overhead(self) -> None:
        assert self._body is not None
        body = self._body.total_bytes
        if self._received - self._head_size - body > _OVERHEAD_FREE + _OVERHEAD_PER_BYTE * body:
            self._fail("bad_response", "more framing than content")

    # ── the end ─────────────────────────────────────────────────────────────────────────

    def eof_received(self) -> None:
        """Note that the server has ended the connection, and did not merely lose it.

        With TLS that takes a `close_notify` (RFC 8446, 6.1; RFC 9112, 9.8): a bare FIN can be
        anybody's. asyncio and uvloop report both alike, but the TLS object knows: read at the
        end, it is at its end after the one, and waits for more after the other.
        """
        transport = self.transport
        session = transport.get_extra_info("ssl_object") if transport is not None else None
        try:
            self._ended_well = session is None or session.read(1) == b""
        except ssl.SSLError:
            self._ended_well = False
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the answer: a body without a length is whole only if the server ended it."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._heads = None  # which holds on to this
        ours = self.transport is None  # closed by `close` or `abort`, which take it away
        if self._asking and self._used and not self._received and not ours:
            # It was given up as we took it up again: so may the next one, at each try.
            self._distrust(self._loop.time() + _WARY)
        if not self._ended_well:
            why = str(exc or "the connection ended without notice")
            self._fail_body(FetchError("truncated", why, retryable=True))
        super().connection_lost(exc)

    def _fail(self, reason: str, detail: str) -> None:
        """End the answer as a failure, and the connection with it."""
        error = FetchError(reason, detail, retryable=True)
        self.set_exception(error)
        self._fail_body(error)
        transport = self.transport
        if transport is not None:
            transport.abort()

    def _fail_body(self, error: FetchError) -> None:
        body = self._body
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(error)

    def close(self) -> None:
        """Close the connection, at once when there is something unsent.

        That is what is left of a request whose answer came early, or not in time. asyncio would
        hold it, and the socket, until a server that does not read has read it.
        """
        transport = self.transport
        # One that is being closed cannot always say what is unsent.
        if transport is not None and (transport.is_closing() or transport.get_write_buffer_size()):
            self.abort()
        else:
            super().close()

    def _hang_up(self) -> None:
        self._distrust(math.inf)
        self.force_close()
        self.abort()

    # ── the rate ────────────────────────────────────────────────────────────────────────

    def pause_reading(self) -> None:
        """Stop reading, because nobody takes what comes: no fault of the server's."""
        self._was_paused = self._has_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on after a pause. aiohttp says so after each read, and asks its parser in vain.

        But its parser may stop later than we did: after a chunk, at the beginning of the next.
        """
        if self._has_paused:
            super().resume_reading(resume_parser)

    def _open_window(self) -> None:
        """Measure from here: from the first byte, for a server may think as long as it likes."""
        if self._least:
            self._window_began = self._loop.time()
            self._window_received = 0
            self._was_paused = False
            if self._watch is None:  # one timer for all answers that come in a window
                self._watch = self._loop.call_later(RATE_WINDOW, self._judge_rate)

    def _judge_rate(self) -> None:
        self._watch = None
        if not self._asking or not self._received:
            return
        now = self._loop.time()
        late = now - self._window_began - RATE_WINDOW
        if late >= 0:
            slow = self._received - self._window_received < self._least
            if slow and late < _LATE and not self._was_paused:
                rate = self._least / RATE_WINDOW
                self._fail("timeout", f"less than {rate:g} bytes per second")
                return
            self._was_paused = self._reading_paused
            self._window_began, self._window_received = now, self._received
        self._watch = self._loop.call_at(self._window_began + RATE_WINDOW, self._judge_rate)


def with_news(wires: Iterable[Wire]) -> set[int]:
    """Return the numbers of those connections that have something to read, or are at their end.

    One call for many: it gives up the interpreter's lock, and wakes whoever waits for it, though
    mostly in vain.
    """
    poll = select.poll()
    for wire in wires:
        poll.register(wire.number, select.POLLIN)
    return {number for number, _ in poll.poll(0)}
