"""One caller's permission to speak with a host, carried along from redirect to redirect."""

import asyncio
import math
import time
from types import TracebackType
from typing import Self

from crawler.errors import DropRequest, FetchError, RetryLater
from crawler.links import Discovery
from crawler.places import KEPT, PLACE, Places, Urge
from crawler.response import Response
from crawler.rulebook import Rulebook, Verdict
from crawler.scheduler import Scheduler
from crawler.throttle import HostGate, Throttle
from crawler.url import host_of, origin_of

# Who holds a worker does not wait longer than this for a host that rests (seconds).
_PATIENCE = 10.0
# And nobody for longer than this for bodies that wait for their place.
_BEFORE_INSISTING = 1.0


class Courtesy:
    """The rules of the house that every contact keeps: scope, robots.txt, throttle."""

    def __init__(
        self,
        scheduler: Scheduler,
        throttle: Throttle,
        rulebook: Rulebook,
        discovery: Discovery,
        places: Places,
    ) -> None:
        self.discovery = discovery
        self.places = places
        self.scheduler = scheduler
        self.throttle = throttle
        self.rulebook = rulebook

    async def learn(self, origin: str, gate: HostGate) -> Verdict:
        """Return the verdict on an origin, with what it asks for kept at its host's gate."""
        verdict = await self.rulebook.learn(origin)
        gate.slow_down(self.rulebook.delay(verdict))
        if verdict.again:
            gate.cool_down(verdict.until - time.time(), time.monotonic())
        return verdict


class Contact:
    """Holds a slot of one host at a time; `with` gives the last one back.

    `gate` is a host whose slot the scheduler has taken for us already, or None, and `url` the
    canonical one that it was taken for. `of_rules` is a contact for a robots.txt: no rules forbid
    that, and it may be anywhere. `over` is a contact after its `with`: a slot that it took then
    nobody would give back, though its request still names it.
    """

    def __init__(
        self,
        courtesy: Courtesy,
        gate: HostGate | None = None,
        url: str | None = None,
        *,
        of_rules: bool = False,
    ) -> None:
        self.url = url
        self._of_rules = of_rules
        self.over = False
        self._house = courtesy
        self._gate = gate
        self._granted = gate is not None  # and nobody has entered with it yet
        self._begun = False
        self._since = 0.0  # when the contact with the host began, monotonic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over = True
        self.leave()

    async def enter(self, url: str) -> None:
        """Wait until `url` may be fetched: not at all when the scheduler has granted it.

        A middleware may have changed the url since, so that robots.txt is to be asked about it.
        Raises `DropRequest` when robots.txt forbids it, and `FetchError` when the host rests.
        """
        gate = self._gate
        if self._granted and gate is not None and (url == self.url or self._suits(gate, url)):
            self._granted = False
        else:
            await self._move(url)

    def begin(self) -> None:
        """Note that the host is being asked now: from here on its delay counts, and its seconds."""
        if self._gate is not None:
            self._begun = True
            self._since = now = time.monotonic()
            self._house.scheduler.begun(self._gate, now)

    def _suits(self, gate: HostGate, url: str) -> bool:
        """Say whether a slot is good for another url than it was granted for, and at once."""
        if gate.host != host_of(url):
            return False
        if not gate.robots:
            return True
        book = self._house.rulebook
        verdict = book.known(origin_of(url))
        return verdict is not None and book.allows(verdict, url)

    async def hop(self, url: str, target: str) -> None:
        """Go on from `url` to where it redirects; otherwise as `enter`.

        Raises `DropRequest` when that is off limits, too.
        """
        host = host_of(target)
        elsewhere = host != host_of(url) and not self._of_rules
        if elsewhere and not self._house.discovery.scope.admits(host):
            raise DropRequest("offsite")
        await self._move(target)

    async def _move(self, url: str) -> None:
        self.leave()
        meet, host = self._house.scheduler.meet, host_of(url)
        gate = await meet(host)
        if gate.robots and not self._of_rules:
            await self._obey_robots(gate, url)
            gate = await meet(host)  # it may have been forgotten meanwhile, for want of room
        await self._enter(gate)

    async def _obey_robots(self, gate: HostGate, url: str) -> None:
        book = self._house.rulebook
        verdict = book.known(origin_of(url))
        if verdict is None:
            verdict = await self._house.learn(origin_of(url), gate)
        if verdict.again:
            # Those of robots.txt are counted, too, but not for ever: its host may be forgotten.
            raise RetryLater(max(verdict.until - time.time(), 0.0), verdict.reason)
        if verdict.failed:
            raise FetchError(verdict.reason, f"robots.txt of {origin_of(url)}")
        if not book.allows(verdict, url):
            raise DropRequest(verdict.reason or "robots")

    async def _enter(self, gate: HostGate) -> None:
        """Wait for a slot of the host; those who wait here go before the frontier's.

        Raises `FetchError` or `RetryLater` when that would take too long: who waits here holds a
        worker.
        """
        if gate.opens_at(now := time.monotonic()) > now:
            _refuse_crowd(gate, now)
            gate.waiting += 1
            try:
                await _opening(gate, self._house.places)
            finally:
                gate.waiting -= 1
                self._house.scheduler.changed(gate)  # the frontier, held back for us, may go on
        gate.enter()
        self._gate = gate

    def release(self) -> None:
        """Give back a slot that is not in use yet: the next `enter` waits for one."""
        if self._granted:
            self.leave()

    def leave(self) -> None:
        """Give the slot back, if there is one: the contact with the host has ended."""
        if (gate := self._gate) is None:
            return
        begun, self._begun, self._granted, self._gate = self._begun, False, False, None
        self._house.scheduler.left(gate, begun=begun)

    # ── what comes of it ────────────────────────────────────────────────────────────────

    def answered(self, response: Response | None) -> None:
        """Note that the host answered; None is a redirect."""
        if self._gate is not None:
            self._house.throttle.answered(self._gate, self._seconds(), response)

    def failed(self, error: FetchError, page: str) -> None:
        """Note that no whole answer came for the page of that url."""
        if self._gate is not None:
            self._house.throttle.failed(self._gate, error, self._seconds(), page)

    def _seconds(self) -> float:
        """How long the host took: that we had no place for its body says nothing about it."""
        seconds = time.monotonic() - self._since
        if (place := PLACE.get()) is not None:
            seconds -= place.waited
        return seconds if seconds > 0.0 else 0.0


async def _opening(gate: HostGate, places: Places) -> None:
    """Wait until the host may be asked. Raises `FetchError` when it rests for long."""
    freed = gate.freed = gate.freed or asyncio.Event()
    page = PLACE.get() or KEPT.get()  # which is waited for, as long as we wait
    with Urge(places, page, gate.host) as urge:
        while (opens := gate.opens_at(now := time.monotonic())) > now:
            _refuse_rest(gate, now)
            freed.clear()
            is_full = opens == math.inf
            if is_full:
                urge.again()  # its slots may be taken by bodies that wait for our page's place
            try:
                async with asyncio.timeout(_BEFORE_INSISTING if is_full else opens - now):
                    await freed.wait()
            except TimeoutError:
                if is_full:
                    urge.insist()  # or for somebody who waits for us; else its time has come


def _refuse_crowd(gate: HostGate, now: float) -> None:
    """Raise `RetryLater` when those who wait already will take the host for too long.

    Else a slow host that many redirects lead to would have every worker wait for it.
    """
    for_each = max(gate.delay, (gate.latency or 0.0) / gate.limit)
    crowd = gate.waiting * for_each
    if crowd > _PATIENCE:
        rest = max(gate.next_at - now, 0.0)
        raise RetryLater(rest + crowd, "host_busy", counts=False)


def _refuse_rest(gate: HostGate, now: float) -> None:
    """Raise `FetchError` when the host is not to be asked for long, or ever."""
    rest = max(gate.next_at, gate.breaker.until) - now
    if gate.breaker.given_up:
        raise FetchError("host_resting", f"{gate.host} has not answered for long")
    if rest > _PATIENCE + gate.delay:
        raise FetchError(
            "host_resting", f"{gate.host} rests for {rest:.0f} s", retryable=True, after=rest
        )
