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
        self.half = max(1, size // 2)
        self._size = size
        self._is_awaited = False  # from when somebody waits until he takes something
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

    @property
    def is_due(self) -> bool:
        """Whether half of what has room is there, and whoever waits for it has not come yet."""
        return self._is_awaited and len(self._visits) >= self.half

    async def wait(self) -> None:
        """Wait until there is something to take."""
        self._is_awaited = True
        while not self._visits:
            self._brought.clear()
            await self._brought.wait()

    def take(self) -> Visit | None:
        """Return what came first, of what there is."""
        visit = self._visits.popleft()
        self._is_awaited = False
        self._emptied.set()
        return visit
