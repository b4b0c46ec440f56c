"""Lanes: what the scheduler holds in memory of each host's work, and whose turn it is."""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from crawler.throttle import HostGate
from crawler.url import site_of
from storage.records import QueuedRequest

T = TypeVar("T")

NEVER = float("inf")
_READY = -NEVER
# What a page brings beyond so many links has its site rest, while others have work, for five times
# as long as writing them takes (seconds): else whoever brings most has the file to himself.
_MANY_LINKS, _REST_FOR_A_LINK = 1000, 1e-4
_LONGEST_REST = 60.0
# Of whom so many fetches in a row were not over in time is one of the late, who are like one site
# with this name. (A single one may be an accident.)
_LATE, _LATE_FROM = "", 2


class Ranks(Generic[T]):
    """Things by rank, a small number, and among equals by arrival."""

    __slots__ = ("_by_rank", "_least", "_number")

    def __init__(self) -> None:
        self._by_rank: list[OrderedDict[int, T]] = []  # each by identity
        self._least = 0  # no thing has a lower rank
        self._number = 0

    def __len__(self) -> int:
        return self._number

    @property
    def least(self) -> int:
        """The lowest rank that there is; not to be asked for when there is nothing."""
        while not self._by_rank[self._least]:
            self._least += 1
        return self._least

    def add(self, thing: T, rank: int, *, first: bool = False) -> None:
        """Add what is not there, as the last of its rank or as the first."""
        while len(self._by_rank) <= rank:
            self._by_rank.append(OrderedDict())
        equals = self._by_rank[rank]
        equals[id(thing)] = thing
        if first:
            equals.move_to_end(id(thing), last=False)
        self._number += 1
        if rank < self._least:
            self._least = rank

    def remove(self, thing: T, rank: int) -> None:
        """Remove what is there with that rank."""
        del self._by_rank[rank][id(thing)]
        self._number -= 1

    def pop(self) -> T:
        """Remove the first one of the lowest rank, and return it."""
        _, thing = self._by_rank[self.least].popitem(last=False)
        self._number -= 1
        return thing


@dataclass(slots=True, eq=False)
class Site:
    """The hosts of one owner: whoever has a domain has as many of them as he likes.

    Or those, whoever has them, that keep us waiting: see `Rota`.
    """

    name: str = ""
    lanes: int = 0  # of its hosts, how many have work
    handed: int = 0  # of all their requests, how many are on their way
    ready: "Ranks[Lane]" = field(default_factory=Ranks)
    rank: int | None = None  # among the sites that have a lane ready
    until: float = _READY  # it rests, while others have work
    resting: bool = False


@dataclass(slots=True)
class Lane:
    """One host's requests that are in memory, and what is known of those that are not."""

    gate: HostGate
    site: Site = field(default_factory=Site)
    home: str = ""  # the name of its own site
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
    first_of_site: bool = False  # its robots.txt has just been made ready, which takes room
    rank: int = 0  # among the ready of its site
    counted: int = 0  # how many of its requests on their way the site has counted

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to do for the host, now or later."""
        return not (self.held or self.more or self.loading or self.asking or self.due < NEVER)

    def ask_another(self, silent: Collection[str]) -> None:
        """Have a request go first that is for none of these urls, if there are any, and the last.

        Whether their host is well shows best by what is farthest from them, and was not tried yet.
        """
        if not silent:
            return

        def promise(place: int) -> tuple[bool, int, int]:
            row = self.buffer[place]
            return row.url not in silent, -row.attempts, place

        best = max(range(len(self.buffer)), key=promise)
        row = self.buffer[best]
        del self.buffer[best]
        self.buffer.appendleft(row)

    @property
    def handed(self) -> int:
        """How many of its requests are on their way: handed out, and not yet committed."""
        return len(self.held) - len(self.buffer)


class Rota:
    """Whose turn it is: of the sites that may go on now one with the fewest requests on their way,
    and of its lanes, again, one with the fewest.

    So hosts take turns, and when there are more of them than slots, one whose pages take long
    holds no more slots than the others do; nor does a site get more by having more hosts. A choice
    costs O(log hosts) for the lanes that wait for a time, and for those that are ready a look at as
    many ranks as there are slots, at most.
    """

    def __init__(self, slots: int | None = None) -> None:
        """Of the `slots`, no site gets more than three quarters while another has work.

        Else one with a thousand hosts that never answer would hold every one in the end, and those
        with a page at a time would wait for a slot with each of them. For the same reason all hosts
        whose fetches are not over in time are one site, until one is.
        """
        self._most = None if slots is None else max(1, slots * 3 // 4)
        self._sites: dict[str, Site] = {}  # those that have work
        self._resting: list[tuple[float, int, Site]] = []
        self._later: list[tuple[float, int, Lane]] = []
        self._entered = count()
        self._ready: Ranks[Site] = Ranks()

    def join(self, gate: HostGate) -> Lane:
        """Return a lane for a host that has work."""
        lane = Lane(gate, home=site_of(gate.host))
        self._seat(lane, lane.home)
        return lane

    def _seat(self, lane: Lane, name: str) -> None:
        lane.site = self._sites.setdefault(name, Site(name))
        lane.site.lanes += 1

    def leave(self, lane: Lane) -> None:
        """Note that a host has no more work, or is given up; then its lane may be waiting still."""
        self._account(lane)
        self._withdraw(lane)
        lane.armed_at = NEVER
        self._unseat(lane)

    def _unseat(self, lane: Lane) -> None:
        lane.site.lanes -= 1
        if not lane.site.lanes:
            del self._sites[lane.site.name]

    def _move(self, lane: Lane) -> None:
        """Have a lane belong where it should: to its own site, or to the late."""
        name, site = _LATE if lane.gate.late >= _LATE_FROM else lane.home, lane.site
        if name == site.name:
            return
        is_ready = self._withdraw(lane)
        self._count(lane, 0)
        self._unseat(lane)
        self._seat(lane, name)
        if is_ready:
            self._enlist(lane)
        else:
            self._account(lane)

    def _withdraw(self, lane: Lane) -> bool:
        """Have a lane that is ready be so no more; say whether it was."""
        site, was_ready = lane.site, lane.armed_at == _READY
        if was_ready:
            site.ready.remove(lane, lane.rank)
            if site.rank is not None and not site.ready:
                self._ready.remove(site, site.rank)
                site.rank = None
        return was_ready

    def arm(self, lane: Lane, when: float) -> None:
        """Have a look at the lane at `when`, or at the earlier time it is armed for."""
        if lane.gate.late or lane.site.name == _LATE:
            self._move(lane)
        if lane.site.lanes > 1:  # else nobody asks before it is ready again
            self._account(lane)
        if when < lane.armed_at:
            lane.armed_at = when
            # A lane that has a late retry to wait for is armed for it again after each page.
            if when != lane.latest:
                heappush(self._later, (when, next(self._entered), lane))
                lane.latest = max(lane.latest, when)

    def advance(self, lane: Lane) -> None:
        """Note that fewer of the lane's requests are on their way."""
        self._account(lane)
        if lane.armed_at == _READY and lane.handed < lane.rank:
            lane.site.ready.remove(lane, lane.rank)
            self._enlist(lane)

    def take(self, now: float) -> Lane | None:
        """Return the lane whose turn it is, no longer armed; None when there is none."""
        while self._later and self._later[0][0] <= now:
            when, _, lane = heappop(self._later)
            if when == lane.latest:
                lane.latest = _READY
            if when != lane.armed_at:
                continue  # it was armed again since, for another time
            if self.is_alone(lane):  # nobody else's turn could it be
                lane.armed_at = NEVER
                return lane
            self._enlist(lane)
        if self._resting:
            self._rested(now)
        if not self._is_any_ready:
            return None
        site = self._ready.pop()
        site.rank = None
        lane = site.ready.pop()
        lane.armed_at = NEVER
        if site.ready:
            self._place(site)
        return lane

    def is_alone(self, lane: Lane) -> bool:
        """Say whether no other lane has work."""
        return lane.site.lanes == len(self._sites) == 1

    def charge(self, lane: Lane, links: int, now: float) -> None:
        """Have the site of a page that brought many links rest for a while, if others have work."""
        if links <= _MANY_LINKS:
            return
        site, seconds = lane.site, (links - _MANY_LINKS) * _REST_FOR_A_LINK
        site.until = min(max(site.until, now) + seconds, now + _LONGEST_REST)
        if not site.resting:
            site.resting = True
            heappush(self._resting, (site.until, next(self._entered), site))
        if site.rank is not None:
            self._ready.remove(site, site.rank)
            site.rank = None

    def _rested(self, now: float) -> None:
        """Have those sites go on that have rested, or that no other is served by."""
        while self._resting and (self._resting[0][0] <= now or len(self._sites) < 2):
            _, _, site = heappop(self._resting)
            if site.until > now and len(self._sites) > 1:  # it is to rest for longer
                heappush(self._resting, (site.until, next(self._entered), site))
                continue
            site.resting = False
            if site.ready:
                self._place(site)

    def _enlist(self, lane: Lane) -> None:
        self._account(lane)
        site = lane.site
        lane.armed_at, lane.rank = _READY, lane.handed
        site.ready.add(lane, lane.rank, first=lane.first_of_site)
        lane.first_of_site = False
        if site.rank is None and not site.resting:
            self._place(site)

    def _place(self, site: Site) -> None:
        site.rank = site.handed
        self._ready.add(site, site.rank)

    def _account(self, lane: Lane) -> None:
        """Have the site know how many of the lane's requests are on their way, robots.txt too."""
        self._count(lane, len(lane.held) - len(lane.buffer) + lane.asking)

    def _count(self, lane: Lane, handed: int) -> None:
        site = lane.site
        if handed == lane.counted:
            return
        site.handed += handed - lane.counted
        lane.counted = handed
        if site.rank is not None:
            self._ready.remove(site, site.rank)
            self._place(site)

    @property
    def _is_any_ready(self) -> bool:
        """Whether there is a site that may go on now, and has not had its share."""
        if not self._ready:
            return False
        return self._most is None or len(self._sites) < 2 or self._ready.least < self._most

    def opens_at(self) -> float:
        """Return when there is something to do: `-inf` for at once, `inf` for not known yet."""
        if self._is_any_ready:
            return _READY
        if self._resting and len(self._sites) < 2:
            return _READY
        return min(heap[0][0] if heap else NEVER for heap in (self._later, self._resting))


class FetchJob(NamedTuple):
    """A request on its way to a worker; its host's slot is taken already."""

    row: QueuedRequest
    gate: HostGate
    queued_at: float


class RobotsJob(NamedTuple):
    """A robots.txt to be fetched before anything else of its host."""

    origin: str
    lane: Lane


class RefusedJob(NamedTuple):
    """A request that fails without a fetch, for the host's robots.txt could not be had."""

    row: QueuedRequest
    reason: str


Job = FetchJob | RobotsJob | RefusedJob
