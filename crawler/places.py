"""Places for large bodies: how many may be in memory at once, and who must not wait for one.

A fetch that waits for a place keeps its host's slot, a page keeps its place until its callback is
through, and a callback, or a middleware that has the page, may itself wait for a slot of that host.
So that this is no circle, a large page whose visit waits for a host *urges*: one of the bodies of
that host that wait for a place may go on, with the page's own place or with none, until the host
has a slot again. Who else waits for a host may have what such a page waits for (a lock of the
spider's own, a robots.txt), which nobody can see: so after a while anybody urges, when no body is
coming that will have made room for one of that host.

Of the places, each site has a share, and all whose bodies come slowly have one together: else who
lets a few of them trickle would keep the large bodies of everybody else waiting.
"""

import asyncio
import time
from collections import OrderedDict, deque
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from crawler.url import site_of

# A body of more than this is read on only when it has one of a few places, and one that turns out
# larger still when it has one of even fewer. So what is held of bodies is bounded, however many are
# being fetched, and a crawl of pages of a megabyte still has a dozen of them at once.
MEDIUM, LARGE = 1 << 19, 1 << 21
MEDIUM_AT_ONCE, LARGE_AT_ONCE = 12, 3
# A body that is still coming after so many seconds with its place comes slowly, and its site counts
# as slow from there on: for a while, and not more sites than so many.
_SLOW_AFTER, _SLOW_FOR, _MOST_SLOW = 10.0, 600.0, 1000
_THE_SLOW = ""  # all of them, in the place of a site


def rank_of(size: int) -> int:
    """Return the rank of the place that a body of so many bytes needs; 0 for none."""
    return (size > MEDIUM) + (size > LARGE)


def share_of(places: int) -> int:
    """Return how many of so many places a site may have, or all slow ones together."""
    return max(1, places * 3 // 4)


class Places:
    """The places there are for medium and for large bodies, of rank 1 and 2."""

    def __init__(self) -> None:
        self._there_are = [0, MEDIUM_AT_ONCE, LARGE_AT_ONCE]
        self._held: list[list[str]] = [[], [], []]  # by which sites
        self._waiting: list[deque[_Waiting]] = [deque(), deque(), deque()]
        self._urges: dict[Urge, None] = {}
        self._slow: OrderedDict[str, float] = OrderedDict()  # sites, and until when (monotonic)
        self.coming: set[Place] = set()  # whose body is being read on

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(map(len, self._waiting))

    async def take(self, rank: int, host: str) -> bool:
        """Wait for a place for a body from `host`; False: it may go on without."""
        one = _Waiting(host)
        self._waiting[rank].append(one)
        self._serve(rank)
        if not one.turn.done():
            self.relieve()
        try:
            return await one.turn
        except asyncio.CancelledError:
            if one.turn.done() and not one.turn.cancelled() and one.turn.result():
                self.give_back(rank, one.site)  # it came at the same moment
            raise
        finally:
            if one in self._waiting[rank]:
                self._waiting[rank].remove(one)

    def give_back(self, rank: int, site: str) -> None:
        """Take back the place of a body of that site, and let the next one have it."""
        self._held[rank].remove(site)
        self._serve(rank)

    def _serve(self, rank: int) -> None:
        """Give the places that are free to those who wait, in turn, and may have one."""
        self.look()
        refused = set()  # of one that waits they are all alike
        for one in list(self._waiting[rank]):
            owner = self._owner(one.site)
            if owner in refused or not self._may_have(rank, owner):
                refused.add(owner)
            elif one.may_go(with_place=True):
                self._waiting[rank].remove(one)
                self._held[rank].append(one.site)

    def _may_have(self, rank: int, owner: str) -> bool:
        free = len(self._held[rank]) < self._there_are[rank]
        return free and not self._has_its_share(rank, owner)

    def _has_its_share(self, rank: int, owner: str) -> bool:
        """Whether a site has all that it may have, or the slow ones have."""
        held = sum(self._owner(site) == owner for site in self._held[rank])
        return held >= share_of(self._there_are[rank])

    def _owner(self, site: str) -> str:
        return _THE_SLOW if self._slow.get(site, 0.0) > time.monotonic() else site

    def look(self) -> None:
        """See which sites are slow."""
        now = time.monotonic()
        for place in self.coming:
            if now - place.since > _SLOW_AFTER:
                self._slow[place.site] = now + _SLOW_FOR
                self._slow.move_to_end(place.site)
        while len(self._slow) > _MOST_SLOW:
            self._slow.popitem(last=False)

    def relieve(self) -> None:
        """Have a body go on for each large page that urges, if there is one that it waits for."""
        for urge in self._urges:
            if not urge.heard and urge.page is not None and urge.page.is_large:
                urge.heard = self.press(urge)

    def press(self, urge: "Urge") -> bool:
        """Have a body of the host go on that urge is for; return whether there is one."""
        rank, one = self._first_of(urge.host)
        if one is None:
            return False
        self._waiting[rank].remove(one)
        before = None if urge.page is None else urge.page.hand_over(rank)
        if before is not None:
            self._held[rank].remove(before)
            self._held[rank].append(one.site)
        return one.may_go(with_place=before is not None)

    def insist(self, urge: "Urge") -> None:
        """Press, unless a body is coming after which that host's may have its place."""
        rank, one = self._first_of(urge.host)
        if one is None:
            return
        owner = self._owner(one.site)
        # Who has his share waits for none but his own: places of others are not for him.
        anybodys = not self._has_its_share(rank, owner)
        alike = [place for place in self.coming if place.rank == rank]
        if not any(anybodys or self._owner(place.site) == owner for place in alike):
            self.press(urge)

    def _first_of(self, host: str) -> "tuple[int, _Waiting | None]":
        """Return a body of the host that waits, and the rank of the place that it waits for."""
        for rank, waiting in enumerate(self._waiting):
            for one in waiting:
                if one.host == host and not one.turn.done():
                    return rank, one
        return 0, None

    def hear(self, urge: "Urge") -> None:
        """Have somebody urge, from now on."""
        self._urges[urge] = None

    def forget(self, urge: "Urge") -> None:
        """Have them urge no more."""
        del self._urges[urge]


class _Waiting:
    """A body that waits for a place, and keeps a slot of its host meanwhile."""

    __slots__ = ("host", "site", "turn")

    def __init__(self, host: str) -> None:
        self.host, self.site = host, site_of(host)
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def may_go(self, *, with_place: bool) -> bool:
        """Let it go on; False when it has been cancelled, and has only not left the queue yet."""
        if self.turn.done():
            return False
        self.turn.set_result(with_place)
        return True


class Place:
    """A visit's place among those that have a large body, kept until the page is through.

    Fetching is faster than parsing: bodies that wait for their callback would pile up.
    `waited` are the seconds that the body has waited; it is of that `rank`, and that `site`, and
    has been read on `since` a monotonic time.
    """

    __slots__ = ("_held", "_over", "_places", "_waits", "rank", "since", "site", "waited")

    def __init__(self) -> None:
        self.waited = self.since = 0.0
        self.rank = 0
        self.site = ""
        self._waits = False
        self._held: tuple[int, str] | None = None  # the rank of the place, and for which site
        self._over = False
        self._places: Places | None = None

    async def take(self, places: Places, rank: int, host: str) -> None:
        """Wait for a place of a rank, unless the visit has one, or another body of it waits.

        A lower one is kept meanwhile: who has one of the highest waits for no other, so it ends.
        """
        if rank <= self.rank or self._waits:
            return
        before, self.rank = self.rank, rank
        self._waits = True
        self._places = places
        self.is_read()  # no further, as long as it waits
        began = time.monotonic()
        try:
            has_one = await places.take(rank, host)
        except BaseException:
            self.rank = before
            raise
        finally:
            self._waits = False
            self.waited += time.monotonic() - began
        self.since, self.site = time.monotonic(), site_of(host)
        places.coming.add(self)
        if has_one:
            self._release()
            self._held = rank, self.site
            if self._over:
                self._release()
            else:
                places.relieve()  # what its visit fetches besides may be waiting for a host

    def is_read(self) -> None:
        """Note that its body has come, or comes no more."""
        if self._places is not None:
            self._places.look()
            self._places.coming.discard(self)

    @property
    def is_large(self) -> bool:
        """Whether others may wait for this page, and for all that it waits for."""
        return self.rank > 0 and not self._over

    def give_back(self) -> None:
        """Let the next one have the place, if one was taken."""
        self._over = True
        self._release()

    def hand_over(self, rank: int) -> str | None:
        """Give the place away, if it is of that rank; return for which site it was."""
        if self._held is None or self._held[0] != rank:
            return None
        (_, site), self._held = self._held, None
        return site

    def _release(self) -> None:
        if self._held is not None and self._places is not None:
            held, self._held = self._held, None
            self._places.give_back(*held)


class Urge:
    """Somebody who waits for a host, for a visit's page or for none; entered meanwhile.

    `heard` when a body goes on for it.
    """

    def __init__(self, places: Places, page: Place | None, host: str) -> None:
        self.page = page
        self.host = host
        self.heard = False
        self._places = places

    def __enter__(self) -> Self:
        self._places.hear(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._places.forget(self)

    def again(self) -> None:
        """Have one more go on for a large page: the host has no slot, whatever became of it."""
        self.heard = False
        self._places.relieve()

    def insist(self) -> None:
        """Have one more go on, whoever waits here, unless one comes that makes room for it."""
        self._places.insist(self)


# The place of the visit whose page is being fetched. What a callback fetches has none: it would
# wait for one that its own page keeps.
PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
# The place that the page whose callback is running keeps, if any.
KEPT: ContextVar[Place | None] = ContextVar("kept", default=None)
