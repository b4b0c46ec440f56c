"""Places for large bodies: how many may be in memory at once, and who must not wait for one.

A fetch that waits for a place keeps its host's slot, a page keeps its place until its callback is
through, and a callback, or a middleware that has the page, may itself wait for a slot of that host.
So that this is no circle, a large page whose visit waits for a host *urges*: one of the bodies of
that host that wait for a place may go on, with the page's own place or with none, until the host
has a slot again. Who else waits for a host may have what such a page waits for (a lock of the
spider's own, a robots.txt), which nobody can see: so after a while anybody urges, when no body that
has its place is still coming.
"""

import asyncio
import time
from collections import deque
from contextvars import ContextVar
from types import TracebackType
from typing import Self

# A body of more than this is read on only when it has one of a few places, and one that turns out
# larger still when it has one of even fewer. So what is held of bodies is bounded, however many are
# being fetched, and a crawl of pages of a megabyte still has a dozen of them at once.
MEDIUM, LARGE = 1 << 19, 1 << 21
MEDIUM_AT_ONCE, LARGE_AT_ONCE = 12, 2


def rank_of(size: int) -> int:
    """Return the rank of the place that a body of so many bytes needs; 0 for none."""
    return (size > MEDIUM) + (size > LARGE)


class Places:
    """The places there are for medium and for large bodies, of rank 1 and 2."""

    def __init__(self) -> None:
        self._free = [0, MEDIUM_AT_ONCE, LARGE_AT_ONCE]
        self._waiting: list[deque[_Waiting]] = [deque(), deque(), deque()]
        self._urges: dict[Urge, None] = {}
        self.coming: set[Place] = set()  # whose body is being read on

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(map(len, self._waiting))

    async def take(self, rank: int, host: str) -> bool:
        """Wait for a place for a body from `host`; False: it may go on without."""
        if self._free[rank]:
            self._free[rank] -= 1
            return True
        one = _Waiting(host)
        self._waiting[rank].append(one)
        self.relieve()
        try:
            return await one.turn
        except asyncio.CancelledError:
            if one.turn.done() and not one.turn.cancelled() and one.turn.result():
                self.give_back(rank)  # it came at the same moment
            raise
        finally:
            if one in self._waiting[rank]:
                self._waiting[rank].remove(one)

    def give_back(self, rank: int) -> None:
        """Let the next one have a place."""
        waiting = self._waiting[rank]
        while waiting:
            if waiting.popleft().may_go(with_place=True):
                return
        self._free[rank] += 1

    def relieve(self) -> None:
        """Have a body go on for each large page that urges, if there is one that it waits for."""
        for urge in self._urges:
            if not urge.heard and urge.page is not None and urge.page.is_large:
                urge.heard = self.press(urge)

    def press(self, urge: "Urge") -> bool:
        """Have a body of the host go on that urge is for; return whether there is one."""
        for rank, waiting in enumerate(self._waiting):
            for one in waiting:
                if one.host == urge.host and not one.turn.done():
                    waiting.remove(one)
                    page = urge.page
                    return one.may_go(with_place=page is not None and page.hand_over(rank))
        return False

    def hear(self, urge: "Urge") -> None:
        """Have somebody urge, from now on."""
        self._urges[urge] = None

    def forget(self, urge: "Urge") -> None:
        """Have them urge no more."""
        del self._urges[urge]


class _Waiting:
    """A body that waits for a place, and keeps a slot of its host meanwhile."""

    __slots__ = ("host", "turn")

    def __init__(self, host: str) -> None:
        self.host = host
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
    `waited` are the seconds that the body has waited.
    """

    __slots__ = ("_held", "_over", "_places", "_rank", "_waits", "waited")

    def __init__(self) -> None:
        self.waited = 0.0
        self._rank = 0  # of the body
        self._waits = False
        self._held = 0  # the rank of the place; 0 for none
        self._over = False
        self._places: Places | None = None

    async def take(self, places: Places, rank: int, host: str) -> None:
        """Wait for a place of a rank, unless the visit has one, or another body of it waits.

        A lower one is kept meanwhile: who has one of the highest waits for no other, so it ends.
        """
        if rank <= self._rank or self._waits:
            return
        before, self._rank = self._rank, rank
        self._waits = True
        self._places = places
        began = time.monotonic()
        try:
            has_one = await places.take(rank, host)
        except BaseException:
            self._rank = before
            raise
        finally:
            self._waits = False
            self.waited += time.monotonic() - began
        places.coming.add(self)
        if has_one:
            self._release()
            self._held = rank
            if self._over:
                self._release()
            else:
                places.relieve()  # what its visit fetches besides may be waiting for a host

    def is_read(self) -> None:
        """Note that its body has come, or comes no more."""
        if self._places is not None:
            self._places.coming.discard(self)

    @property
    def is_large(self) -> bool:
        """Whether others may wait for this page, and for all that it waits for."""
        return self._rank > 0 and not self._over

    def give_back(self) -> None:
        """Let the next one have the place, if one was taken."""
        self._over = True
        self._release()

    def hand_over(self, rank: int) -> bool:
        """Give the place away, if it is of that rank; return whether it is."""
        if self._held != rank:
            return False
        self._held = 0
        return True

    def _release(self) -> None:
        if self._held and self._places is not None:
            held, self._held = self._held, 0
            self._places.give_back(held)


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
        """Have one more go on, whoever waits here, unless one comes that ends by itself."""
        if not self._places.coming:
            self._places.press(self)


# The place of the visit whose page is being fetched. What a callback fetches has none: it would
# wait for one that its own page keeps.
PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
# The place that the page whose callback is running keeps, if any.
KEPT: ContextVar[Place | None] = ContextVar("kept", default=None)
