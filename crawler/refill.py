"""From the frontier to the lanes: the next requests of each host, read a few hosts at a time."""

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import islice

from crawler.lanes import Lane
from crawler.memory import HostMemory
from crawler.throttle import MAX_COOL_DOWN
from storage import Store
from storage.clock import steady_time
from storage.records import HostWork, Run, Want

# Requests in memory over all lanes, about: enough to keep the workers busy through a commit.
_BUFFERED = 8192
_LANE_MIN, _LANE_MAX = 4, 256
# Lanes refilled in one go, so that a read never holds up a commit for long.
_AT_ONCE = 200


class Refiller:
    """Reads for those of the scheduler's `lanes` that want it; calls `refilled` for each."""

    def __init__(
        self,
        store: Store,
        run: Run,
        lanes: Mapping[str, Lane],
        memory: HostMemory,
        refilled: Callable[[Lane, float], None],
    ) -> None:
        self._store = store
        self._run = run
        self._lanes = lanes
        self._memory = memory
        self._refilled = refilled
        self._hungry: dict[int, Lane] = {}  # by identity
        self._feed = asyncio.Event()

    def want(self, lane: Lane) -> None:
        """Have a lane refilled, if it is low and there may be more for it."""
        low = lane.overtaken or len(lane.buffer) <= self._size() // 2
        if lane.more and not lane.loading and low and not lane.gate.breaker.given_up:
            self._hungry[id(lane)] = lane
            self._feed.set()

    async def run(self) -> None:
        """Refill lanes until cancelled. Raises `storage.StoreError`."""
        while True:
            await self._feed.wait()
            self._feed.clear()
            while self._hungry:
                some = list(islice(self._hungry, _AT_ONCE))
                await self._refill([self._hungry.pop(key) for key in some])

    def _size(self) -> int:
        return max(_LANE_MIN, min(_LANE_MAX, _BUFFERED // max(1, len(self._lanes))))

    async def _refill(self, lanes: list[Lane]) -> None:
        size = self._size()
        wants, wanting = [], []
        for lane in lanes:
            if lane.overtaken:
                # Something better came: what waits goes back, and the best is read anew.
                lane.held.difference_update(row.id for row in lane.buffer)
                lane.buffer.clear()
            room = size - len(lane.buffer)
            if room <= 0:
                continue  # so many hosts have come since that it holds more than its part
            # Work that a commit brings while we read sets `more` again.
            lane.overtaken, lane.more, lane.loading = False, False, True
            first = lane.first and not lane.gate.remembered
            wants.append(Want(lane.gate.host, room, frozenset(lane.held), first))
            wanting.append(lane)
        found = await self._store.ready(self._run, wants)
        now = time.monotonic()
        for lane, work in zip(wanting, found, strict=True):
            lane.loading = lane.first = False
            self._take_up(lane, work, now)

    def _take_up(self, lane: Lane, work: HostWork, now: float) -> None:
        self._memory.remember(lane.gate, work.remembered, now)
        for row in work.requests:
            # A request that was committed and found again while we read is not ours any more.
            if row.id not in lane.held:
                lane.held.add(row.id)
                lane.buffer.append(row)
        lane.more |= work.more
        if work.next_due is not None:
            lane.due = min(lane.due, now + seconds_until(work.next_due))
        self.want(lane)
        self._refilled(lane, now)


def seconds_until(moment: float) -> float:
    """Return the seconds from now to a time that was kept, within what a clock can be wrong."""
    return min(max(moment - steady_time(), 0.0), MAX_COOL_DOWN)
