"""Answers that come in one piece, as most do: a head, the whole body, and nothing else.

aiohttp makes a parser for each answer, and a stream for its body. Where there is nothing to wait
for, one parser does for all heads of a connection, and the body is what follows the head.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpResponseParser, RawResponseMessage

# As nearly all say it; what says it otherwise, or twice, is left to aiohttp.
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (\d{1,15})\r\n")
_STATUS = len(b"HTTP/1.1 ")
_NO_BODY = (b"1", b"204", b"304")  # whatever length they name


def parts_of(data: bytes) -> tuple[bytes, bytes] | None:
    """Return head and body of what may be an answer in one piece; None if it is none."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or data.startswith(_NO_BODY, _STATUS):
        return None
    length = _LENGTH.search(data, 0, end)
    if length is None or len(data) - end != int(length[1]):
        return None
    return data[:end], data[end:]


class Heads:
    """Reads the heads of such answers to one connection."""

    def __init__(
        self,
        protocol: BaseProtocol,
        loop: asyncio.AbstractEventLoop,
        parameters: Mapping[str, Any],
    ) -> None:
        """`parameters` are those of `ResponseHandler.set_response_params`."""
        self._parser = HttpResponseParser(
            protocol,
            loop,
            parameters["read_bufsize"],
            response_with_body=False,
            auto_decompress=False,
            max_line_size=parameters["max_line_size"],
            max_field_size=parameters["max_field_size"],
            max_headers=parameters["max_headers"],
        )

    def read(self, head: bytes) -> RawResponseMessage | None:
        """Return what a head says; None if it is not just one, and this parser of no more use."""
        try:
            messages, upgraded, rest = self._parser.feed_data(head)
        except HttpProcessingError:
            return None
        if len(messages) != 1 or upgraded or rest:
            return None
        message: RawResponseMessage = messages[0][0]
        return message


class Whole:
    """The body of such an answer: what is used of aiohttp's `StreamReader`."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    def is_eof(self) -> bool:
        """Whether all of it has come."""
        return True

    def at_eof(self) -> bool:
        """Whether all of it was read."""
        return not self.body

    def on_eof(self, callback: Callable[[], None]) -> None:
        """Call back when all of it has come."""
        callback()

    async def readany(self) -> bytes:
        """Return what is left of it."""
        body, self.body = self.body, b""
        return body
