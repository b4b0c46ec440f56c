"""Lanes: what the scheduler holds in memory of each host's work, and whose turn it is."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from crawler.throttle import HostGate
from storage.records import QueuedRequest

NEVER = float("inf")
_READY = -NEVER


@dataclass(slots=True)
class Lane:
    """One host's requests that are in memory, and what is known of those that are not."""

    gate: HostGate
    buffer: deque[QueuedRequest] = field(default_factory=deque)
    held: set[int] = field(default_factory=set)  # ids in memory, until their visit is committed
    more: bool = False  # the frontier may have further requests that could run now
    overtaken: bool = False  # among these are better ones than some in the buffer
    loading: bool = False
    first: bool = True  # nothing was read for this host yet
    due: float = NEVER  # when its earliest retry may run
    asking: bool = False  # its robots.txt is being fetched
    armed_at: float = NEVER  # when the rota will look at it
    latest: float = _READY  # of the times that the rota has noted for it, also in vain
    rank: int = 0  # among the ready

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to do for the host, now or later."""
        return not (self.held or self.more or self.loading or self.asking or self.due < NEVER)

    @property
    def handed(self) -> int:
        """How many of its requests are on their way: handed out, and not yet committed."""
        return len(self.held) - len(self.buffer)


class Rota:
    """Whose turn it is: of the lanes that may go on now, one with the fewest requests on their way.

    So hosts take turns, and when there are more of them than slots, one whose pages take long
    holds no more slots than the others do. A choice costs O(log hosts) for the lanes that wait
    for a time, and for those that are ready a look at as many ranks as a host has slots.
    """

    def __init__(self) -> None:
        self._later: list[tuple[float, int, Lane]] = []
        self._entered = count()
        self._ready: list[OrderedDict[int, Lane]] = []  # by rank, each in order of arrival

    def arm(self, lane: Lane, when: float) -> None:
        """Have a look at the lane at `when`, or at the earlier time it is armed for."""
        if when < lane.armed_at:
            lane.armed_at = when
            # A lane that has a late retry to wait for is armed for it again after each page.
            if when != lane.latest:
                heappush(self._later, (when, next(self._entered), lane))
                lane.latest = max(lane.latest, when)

    def advance(self, lane: Lane) -> None:
        """Note that fewer of the lane's requests are on their way."""
        if lane.armed_at == _READY and lane.handed < lane.rank:
            del self._ready[lane.rank][id(lane)]
            self._enlist(lane)

    def take(self, now: float) -> Lane | None:
        """Return the lane whose turn it is, no longer armed; None when there is none."""
        while self._later and self._later[0][0] <= now:
            when, _, lane = heappop(self._later)
            if when == lane.latest:
                lane.latest = _READY
            if when == lane.armed_at:  # else it was armed again since, for another time
                self._enlist(lane)
        for ready in self._ready:
            if ready:
                _, lane = ready.popitem(last=False)
                lane.armed_at = NEVER
                return lane
        return None

    def _enlist(self, lane: Lane) -> None:
        lane.armed_at, lane.rank = _READY, lane.handed
        while len(self._ready) <= lane.rank:
            self._ready.append(OrderedDict())
        self._ready[lane.rank][id(lane)] = lane

    def opens_at(self) -> float:
        """Return when there is something to do: `-inf` for at once, `inf` for not known yet."""
        if any(self._ready):
            return _READY
        return self._later[0][0] if self._later else NEVER


@dataclass(slots=True)
class FetchJob:
    """A request on its way to a worker; its host's slot is taken already."""

    row: QueuedRequest
    gate: HostGate
    queued_at: float


@dataclass(slots=True)
class RobotsJob:
    """A robots.txt to be fetched before anything else of its host."""

    origin: str
    lane: Lane


@dataclass(slots=True)
class RefusedJob:
    """A request that fails without a fetch, for the host's robots.txt could not be had."""

    row: QueuedRequest
    reason: str


Job = FetchJob | RobotsJob | RefusedJob
