"""Lanes: what the scheduler holds in memory of each host's work, and the jobs it makes of it."""

from collections import deque
from dataclasses import dataclass, field

from crawler.throttle import HostGate
from storage.records import QueuedRequest

NEVER = float("inf")


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
    armed_at: float = NEVER  # when the heap will look at it

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to do for the host, now or later."""
        return not (self.held or self.more or self.loading or self.asking or self.due < NEVER)


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


Job = FetchJob | RobotsJob
