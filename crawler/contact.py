"""One caller's permission to speak with a host, carried along from redirect to redirect."""

import asyncio
import time
from types import TracebackType
from typing import Self

from crawler.errors import DropRequest, FetchError, RetryLater
from crawler.links import Discovery
from crawler.rulebook import Rulebook
from crawler.scheduler import Scheduler
from crawler.settings import Settings
from crawler.throttle import HostGate, Throttle
from crawler.url import host_of, origin_of

# What a host says when it wants less of us.
_PUSH_BACK = frozenset({429, 503})


class Courtesy:
    """The rules of the house that every contact keeps: scope, robots.txt, throttle."""

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        throttle: Throttle,
        rulebook: Rulebook,
        discovery: Discovery,
    ) -> None:
        self.discovery = discovery
        self.scheduler = scheduler
        self.throttle = throttle
        self.rulebook = rulebook
        self.adaptive = settings.adaptive


class Contact:
    """Holds a slot of one host at a time; `async with` gives the last one back.

    `gate` is a host whose slot the scheduler has taken for us already, or None.
    """

    def __init__(self, courtesy: Courtesy, gate: HostGate | None = None) -> None:
        self._house = courtesy
        self._gate = gate
        self._granted = gate is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    async def begin(self, url: str) -> None:
        """Wait until `url` may be fetched: at once when the scheduler has granted it.

        Raises `DropRequest` when robots.txt forbids it.
        """
        if self._granted and self._gate is not None and self._gate.host == host_of(url):
            self._granted = False
            self._house.scheduler.begun(self._gate)
        else:
            await self._move(url)

    async def hop(self, url: str, target: str) -> None:
        """Go on from `url` to where it redirects. Raises `DropRequest` when that is off limits."""
        host = host_of(target)
        if host != host_of(url) and not self._house.discovery.scope.admits(host):
            raise DropRequest("offsite")
        await self._move(target)

    async def _move(self, url: str) -> None:
        self._leave()
        gate = self._house.throttle.gate(host_of(url))
        if gate.robots:
            await self._obey_robots(gate, url)
        await self._enter(gate)

    async def _obey_robots(self, gate: HostGate, url: str) -> None:
        book = self._house.rulebook
        verdict = book.known(origin_of(url))
        if verdict is None:
            await self._enter(gate)
            verdict = await book.learn(origin_of(url))
            gate.slow_down(book.delay(verdict))
            self._leave()
        if verdict.again:
            raise RetryLater(max(verdict.until - time.time(), 0.0), verdict.reason)
        if verdict.failed:
            raise FetchError(verdict.reason, f"robots.txt of {origin_of(url)}")
        if not book.allows(verdict, url):
            raise DropRequest(verdict.reason or "robots")

    async def _enter(self, gate: HostGate) -> None:
        """Wait for a slot of the host; those who wait here go before the frontier's."""
        gate.waiting += 1
        freed = gate.freed = gate.freed or asyncio.Event()
        try:
            while (opens := gate.opens_at(now := time.monotonic())) > now:
                freed.clear()
                try:
                    async with asyncio.timeout(opens - now if opens < float("inf") else None):
                        await freed.wait()
                except TimeoutError:
                    pass  # its time has come
        except BaseException:
            gate.waiting -= 1
            self._house.scheduler.changed(gate)  # the frontier, held back for us, may go on
            raise
        gate.waiting -= 1
        gate.enter()
        self._gate = gate
        self._house.scheduler.begun(gate)

    def release(self) -> None:
        """Give the slot back, for now: the next `begin` waits for one."""
        self._leave()

    def _leave(self) -> None:
        gate, self._gate = self._gate, None
        self._granted = False
        if gate is not None:
            self._house.scheduler.left(gate)

    # ── what the host's answer says about it ────────────────────────────────────────────

    def went_well(self, seconds: float) -> None:
        """Note a fetch that the host answered."""
        if self._gate is not None:
            self._gate.praise(seconds)

    def failed(self, error: FetchError | RetryLater) -> None:
        """Note that the host refused or did not answer: it is asked less, or left alone."""
        gate = self._gate
        if gate is None:
            return
        status = error.status if isinstance(error, RetryLater) else None
        pushed_back = status in _PUSH_BACK
        if self._house.adaptive and (pushed_back or error.reason == "timeout"):
            gate.push_back(time.monotonic())
        if pushed_back and isinstance(error, RetryLater):
            gate.cool_down(error.delay, time.monotonic())
        self._house.scheduler.changed(gate)
