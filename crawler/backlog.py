"""What pages have brought and is not in the file yet: how much of it there may be.

A page of 200 KB on the wire can bring 100,000 links. They take 40 MB until they are committed,
which takes seconds, and nothing but this bounds how many such pages there are at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from storage.records import Visit

# Bytes, about, that pages may have brought: no callback begins beyond it.
_MOST = 12 << 20
# Bodies of fewer bytes than this have no room for much, and need not wait for it.
_SMALL = 1 << 16
# So few requests of such a page are little.
_FEW = 32
# A page that brings more than this goes on only when no other such page does.
_MUCH = 1 << 20
# So many callbacks that run for more than a turn of the event loop are under way at once: each
# has a tree, which may take 128 MiB. What runs for longer (seconds) is the spider's affair.
_SLOW_AT_ONCE, _SLOW_FOR = 2, 2.0
_OF_A_REQUEST = 400  # bytes, beside its url


class Backlog:
    """Counts what visits hold from the end of their callback to their commit."""

    def __init__(self) -> None:
        self._weights: dict[int, int] = {}
        self._sum = 0
        self._room = asyncio.Event()
        self._room.set()
        self._alone = asyncio.Lock()
        self._slow: dict[Bringing, float] = {}  # and until when others wait for it
        self._waiting: deque[asyncio.Event] = deque()  # until there are fewer of these

    @property
    def is_busy(self) -> bool:
        """Whether a callback that begins now is to wait for those that are slow."""
        return len(self._slow) >= _SLOW_AT_ONCE

    async def start(self) -> None:
        """Wait until few slow callbacks are under way: they would all have their pages in memory.

        Only those count that never wait for anything, so that nobody loses time by this.
        """
        called = asyncio.Event()
        self._waiting.append(called)
        try:
            while self.is_busy:
                patience = min(self._slow.values()) - time.monotonic()
                if patience <= 0:
                    return
                called.clear()
                try:
                    async with asyncio.timeout(patience):
                        await called.wait()
                except TimeoutError:
                    return
        finally:
            # He looks when this callback has run, or has turned out to be slow: called all at once,
            # they would nearly all have to wait again.
            self._waiting.remove(called)
            self._call_next()

    def _call_next(self) -> None:
        """Have whoever waits longest look whether he is to wait on."""
        if self._waiting:
            self._waiting[0].set()

    def has_room(self, size: int) -> bool:
        """Whether the callback of a page with so many bytes may begin."""
        return size <= _SMALL or self._room.is_set()

    async def room(self) -> None:
        """Wait until there is room for what a large page brings."""
        await self._room.wait()

    def brought(self, visit: Visit) -> None:
        """Count what a visit holds, until it is `stored`, unless it is little in any case."""
        if len(visit.requests) > _FEW or (visit.size or 0) > _SMALL:
            self._weights[visit.id] = weight = _weight(visit)
            self._sum += weight
            self._look()

    def stored(self, visits: Iterable[Visit]) -> None:
        """Note that visits are in the file."""
        if self._weights:
            for visit in visits:
                self._sum -= self._weights.pop(visit.id, 0)
            self._look()

    def _look(self) -> None:
        if self._sum > _MOST:
            self._room.clear()
        else:
            self._room.set()

    def page(self) -> "Bringing":
        """Return what stands for a page whose callback is under way."""
        return Bringing(self)

    async def _enter(self) -> None:
        await self._alone.acquire()
        try:
            await self.room()
        except BaseException:
            self._alone.release()
            raise

    def _leave(self) -> None:
        self._alone.release()


class Bringing:
    """A page whose callback is running, and what it does with others."""

    __slots__ = ("_alone", "_backlog")

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._alone = False

    def slow(self) -> None:
        """Note that it takes longer than a turn of the event loop."""
        self._backlog._slow.setdefault(self, time.monotonic() + _SLOW_FOR)

    async def turn(self, weight: int = 0) -> None:
        """Let others go on; and wait, with much in hand, until nobody else has as much."""
        self.slow()
        if weight > _MUCH and not self._alone:
            await self._backlog._enter()
            self._alone = True
        else:
            await asyncio.sleep(0)

    def over(self) -> None:
        """Note that the callback is through."""
        if self._backlog._slow.pop(self, None) is not None:
            self._backlog._call_next()
        if self._alone:
            self._alone = False
            self._backlog._leave()


def weight_of(requests: int, characters: int) -> int:
    """Return about how many bytes so many requests take, whose urls are so long together."""
    return _OF_A_REQUEST * requests + characters


def _weight(visit: Visit) -> int:
    urls = sum(len(request.url) for request in visit.requests)
    values = (value for item in visit.items for value in item.values)
    return weight_of(len(visit.requests), urls) + sum(
        len(value) for value in values if isinstance(value, str | bytes)
    )
