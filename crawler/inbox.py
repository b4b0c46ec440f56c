"""The way of visits to the committer, which takes all there are at once."""

import asyncio
from collections import deque

from storage.records import Visit


class Inbox:
    """A queue of visits, no more than `size`: whoever brings one more waits. None is the last.

    `asyncio.Queue` hands out one thing at a time, whoever takes it: a visit costs three times as
    much there.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._visits: deque[Visit | None] = deque()
        self._brought = asyncio.Event()
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._visits)

    async def put(self, visit: Visit | None) -> None:
        """Bring a visit, once there is room."""
        while len(self._visits) >= self._size:
            self._emptied.clear()
            await self._emptied.wait()
        self._visits.append(visit)
        self._brought.set()

    async def wait(self) -> None:
        """Wait until there is something to take."""
        while not self._visits:
            self._brought.clear()
            await self._brought.wait()

    def take(self) -> Visit | None:
        """Return what came first, of what there is."""
        visit = self._visits.popleft()
        self._emptied.set()
        return visit
