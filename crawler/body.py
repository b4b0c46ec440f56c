"""The body of a response, read and decoded within limits: its own, and those of all together."""

import asyncio
from collections.abc import Awaitable, Iterable

import aiohttp

from crawler.deadline import Deadline
from crawler.decoding import Decoder, decoder_for
from crawler.errors import FetchError
from crawler.exchange import Answer
from crawler.places import PLACE, Place, Places, rank_of
from crawler.url import host_of
from crawler.whole import Whole

# Wire bytes that are decoded without a pause. The costliest there are, zstd frames of 9 bytes,
# take 30 ms. A piece of a bomb makes 200 times as much: until there is a place, it is a small one.
_PIECE, _FIRST_PIECE = 16 * 1024, 4 * 1024
# A redirect's body is of no use, but reading what little it has keeps the connection.
_REST_BYTES = 16 * 1024
_REST_SECONDS = 0.5

_NO_BODY = (204, 304)


class Bodies:
    """Reads bodies of up to `max_body` bytes, decoded."""

    def __init__(self, max_body: int) -> None:
        self._limit = max_body
        self.places = Places()  # of visits
        self._places_of_others = Places()

    def at_hand(self, answer: aiohttp.ClientResponse | Answer, first: int | None) -> bytes | None:
        """Return a body that has come with its head, as most do; None when `read` must see to it.

        It is small enough to need no place, and was not encoded.
        """
        content = answer.content
        if not isinstance(content, Whole) or "Content-Encoding" in answer.headers:
            return None
        size = len(content.body)
        if size > (self._limit if first is None else first) or rank_of(size):
            return None
        return content.body

    async def read(
        self,
        answer: aiohttp.ClientResponse | Answer,
        first: int | None,
        deadline: Deadline,
        url: str,
    ) -> bytes:
        """Return the decoded body of `url`; of a larger one its `first` bytes, if that is given.

        Raises `FetchError` when it is too large, cut or garbled. The caller's `deadline` stands
        still while a large body waits for its place: that is no fault of the server's.
        """
        if answer.status in _NO_BODY or answer.method == "HEAD":
            return b""
        limit = self._limit if first is None else first
        length = answer.content_length
        if first is None and length is not None and length > limit:
            raise FetchError("too_large", f"{length} bytes announced, {limit} allowed")
        decoder = None
        if "Content-Encoding" in answer.headers:
            codings = ", ".join(answer.headers.getall("Content-Encoding"))
            decoder = decoder_for(codings, max_body=limit, beginning=first is not None)
        parts: list[bytes] = []
        size = 0
        visit = PLACE.get()
        place, places = (visit, self.places) if visit else (Place(), self._places_of_others)
        rank = 0
        try:
            if first is None and length is not None and (rank := rank_of(length)):
                await off_the_clock(deadline, place.take(places, rank, host_of(url)))
            while not answer.content.at_eof():
                chunk = await answer.content.readany()
                for part in _parts(chunk, decoder, _PIECE if rank == 2 else _FIRST_PIECE):
                    parts.append(part)
                    size += len(part)
                    if size > limit:
                        if first is None:
                            raise FetchError("too_large", f"over {limit} bytes")
                        return b"".join(parts)[:limit]
                    if rank_of(size) > rank:
                        rank = rank_of(size)
                        await off_the_clock(deadline, place.take(places, rank, host_of(url)))
                    elif decoder is not None and len(chunk) > _PIECE:
                        await asyncio.sleep(0)
            if decoder is not None:
                parts.append(decoder.finish())
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            if place is not visit:
                place.give_back()
            elif rank:
                place.is_read()

    async def skip(self, answer: aiohttp.ClientResponse | Answer) -> None:
        """Read a body that nobody wants, if it is short and there.

        Otherwise the connection is given up, as it is whenever aiohttp is left with a body that
        was not read to its end.
        """
        if answer.content.is_eof():
            return
        size = answer.content_length or 0
        try:
            async with asyncio.timeout(_REST_SECONDS):
                while size <= _REST_BYTES and (chunk := await answer.content.readany()):
                    size += len(chunk)
        except (TimeoutError, aiohttp.ClientError, FetchError):
            pass  # whatever is wrong with it, it is not missed


async def off_the_clock(deadline: Deadline, wait: Awaitable[object]) -> None:
    """Await `wait` without counting it against a deadline."""
    left = deadline.pause()
    await wait
    deadline.resume(left)


def _parts(chunk: bytes, decoder: Decoder | None, piece: int) -> Iterable[bytes]:
    """Yield what a chunk adds to the body, decoded a piece at a time."""
    if decoder is None:
        return (chunk,)
    if len(chunk) <= piece:
        return (decoder.feed(chunk),)
    return (decoder.feed(chunk[at : at + piece]) for at in range(0, len(chunk), piece))
