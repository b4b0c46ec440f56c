"""A channel between two processes of a crawl: frames over a Unix socket, in order, both ways.

A frame is a message, pickled, and bytes beside it: a body is not copied into the pickle first.
"""

import asyncio
import pickle
from collections import deque
from collections.abc import Callable
from socket import socket
from struct import Struct
from typing import Any, cast

from crawler.callbacks import name_of
from crawler.logs import get_logger

log = get_logger("crawler.channel")

_HEAD = Struct("<QQ")  # bytes of the message, and of the body
# A larger body is written in pieces of that size (bytes), so that no more of it is copied at once.
_PIECE = 1 << 18

Message = tuple[Any, ...]
Receive = Callable[[Message, bytes], None]


class Channel(asyncio.Protocol):
    """One end of a channel. `receive` is called with each message and its body; `lost` at the end.

    Both are called by the event loop. A message that cannot be read ends the channel.
    """

    def __init__(self, receive: Receive, lost: Callable[[], None]) -> None:
        self._receive = receive
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[bytes | memoryview] = deque()  # what waits to be written
        self._paused = False
        self._buffer = bytearray()
        self._need = _HEAD.size  # bytes until there may be a whole frame

    async def open(self, end: socket) -> None:
        """Begin, over a connected socket, which is closed in the end."""
        await asyncio.get_running_loop().create_connection(lambda: self, sock=end)

    def send(self, message: Message, body: bytes = b"") -> None:
        """Send a message, and `body` beside it; on a channel that is lost, nothing happens.

        It returns at once: what the other end does not take yet waits here. Raises what pickle
        does, and then nothing was sent.
        """
        self.send_pickled(packed(message), body)

    def send_pickled(self, message: bytes, body: bytes = b"") -> None:
        """Send a message that is pickled already."""
        self._pieces.append(_HEAD.pack(len(message), len(body)) + message)
        if len(body) <= _PIECE:
            if body:
                self._pieces.append(body)
        else:
            view = memoryview(body)
            self._pieces.extend(view[at : at + _PIECE] for at in range(0, len(body), _PIECE))
        self._flush()

    def _flush(self) -> None:
        transport, pieces = self._transport, self._pieces
        if transport is None or transport.is_closing():
            pieces.clear()
            return
        if len(pieces) == 2 and not self._paused:  # by far the most: a message and its body
            transport.writelines((pieces.popleft(), pieces.popleft()))
        while pieces and not self._paused:
            transport.write(pieces.popleft())

    def close(self) -> None:
        """Close this end; what was not sent by now never will be."""
        if self._transport is not None:
            self._transport.abort()

    # ── what the event loop calls ───────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=4 * _PIECE)

    def connection_lost(self, _: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._pieces.clear()
        self._lost()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001 (pickle raises what the sender makes it)
            log.error("message_unreadable", error=name_of(error))
            self.close()

    def _take(self, data: bytes) -> None:
        buffer = self._buffer
        if not buffer:
            done = self._read(data)
            if done < len(data):
                buffer += memoryview(data)[done:]
            return
        buffer += data
        if len(buffer) >= self._need and (done := self._read(buffer)):
            del buffer[:done]

    def _read(self, data: bytes | bytearray) -> int:
        """Hand over the whole frames that `data` begins with, and return their size."""
        at = 0
        with memoryview(data) as view:
            while True:
                start = at + _HEAD.size
                self._need = _HEAD.size
                if start > len(view):
                    return at
                size, of_body = _HEAD.unpack_from(view, at)
                end = start + size + of_body
                self._need = end - at
                if end > len(view):
                    return at
                with view[start : start + size] as part:
                    message = pickle.loads(part)  # noqa: S301 (our own child's, or our parent's)
                self._receive(message, bytes(view[start + size : end]) if of_body else b"")
                at = end


def packed(message: Message) -> bytes:
    """Return a message as it is sent; raises what pickle does."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def send_first(end: socket, message: Message) -> None:
    """Send the first message, before there is an event loop."""
    data = packed(message)
    end.sendall(_HEAD.pack(len(data), 0) + data)


def receive_first(end: socket) -> Message:
    """Return the first message, before there is an event loop; raises `EOFError`."""
    size, _ = _HEAD.unpack(_exactly(end, _HEAD.size))
    message: Message = pickle.loads(_exactly(end, size))  # noqa: S301 (our parent's)
    return message


def _exactly(end: socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = end.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
