"""What one host may be asked of, and when: concurrency, delay, cool-down, adaptation.

Times are monotonic seconds, so that a changed clock neither stalls nor floods anyone.
"""

import asyncio
import math
from dataclasses import dataclass, field

from crawler.settings import Settings

# How long a host may make us wait, whatever its Retry-After says (seconds).
MAX_COOL_DOWN = 3600.0
# After lowering a host's limit, wait this long before lowering it again: one burst of
# refusals is one piece of news, however many fetches were in flight.
_LOWER_AT_MOST_EVERY = 1.0
# Weight of the newest fetch in the moving average of a host's latency.
_SMOOTHING = 0.2


@dataclass(slots=True)
class HostGate:
    """One host's door: how many may be inside at once, and when the next may enter."""

    host: str
    ceiling: int  # concurrency by the settings
    limit: float  # concurrency now, lower than the ceiling after push-back
    delay: float  # seconds between two contacts
    headers: dict[str, str] = field(default_factory=dict)
    robots: bool = True
    timeout: float = 60.0
    in_flight: int = 0
    next_at: float = 0.0  # no contact before
    awaited: bool = False  # a contact is granted and has not begun; its delay is not yet known
    latency: float | None = None  # moving average of seconds a fetch takes
    lowered_at: float = -math.inf
    waiting: int = 0  # redirects and spiders' own fetches that wait for their turn
    freed: asyncio.Event | None = None  # made by the first of these; set when the gate changes
    remembered: bool = False  # what earlier processes knew of the host is taken up

    def opens_at(self, now: float) -> float:
        """Return when the next contact may be made: `now`, later, or `inf` for not known yet."""
        if self.in_flight >= int(self.limit) or self.awaited:
            return math.inf
        return max(now, self.next_at)

    def enter(self) -> None:
        """Count a granted contact. With a delay, the next is counted from when it begins."""
        self.in_flight += 1
        self.awaited = self.delay > 0

    def begin(self, now: float) -> None:
        """Note that a contact is being made now."""
        self.awaited = False
        self.next_at = max(self.next_at, now + self.delay)

    def leave(self) -> None:
        """Note that a contact is over (or, with `begin` never called, given up)."""
        self.in_flight -= 1
        self.awaited = False

    def slow_down(self, delay: float) -> None:
        """Ask for at least `delay` seconds between contacts, from the last one on."""
        if delay > self.delay:
            self.next_at += delay - self.delay
            self.delay = delay

    def cool_down(self, seconds: float, now: float) -> None:
        """Make no contact for that long; clamped to `MAX_COOL_DOWN`."""
        self.next_at = max(self.next_at, now + min(max(seconds, 0.0), MAX_COOL_DOWN))

    def praise(self, seconds: float) -> None:
        """Note a fetch that went well: the limit creeps up, by one for a round of successes."""
        if self.limit < self.ceiling:
            self.limit = min(self.ceiling, self.limit + 1 / self.limit)
        before = self.latency
        self.latency = seconds if before is None else before + _SMOOTHING * (seconds - before)

    def push_back(self, now: float) -> None:
        """Note that the host answered 429 or 503, or not in time: the limit is halved."""
        if now - self.lowered_at >= _LOWER_AT_MOST_EVERY:
            self.limit = max(1.0, self.limit / 2)
            self.lowered_at = now


class Throttle:
    """The gates of all hosts, made on first use from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gates: dict[str, HostGate] = {}

    def gate(self, host: str) -> HostGate:
        """Return the host's gate."""
        gate = self._gates.get(host)
        if gate is None:
            gate = self._gates[host] = self._make(host)
        return gate

    def _make(self, host: str) -> HostGate:
        settings, own = self._settings, self._settings.for_host(host)
        limit = settings.concurrency_per_host
        delay, robots, timeout = settings.delay, settings.robots, settings.timeout
        headers: dict[str, str] = {}
        if own is not None:
            limit = limit if own.concurrency is None else own.concurrency
            delay = delay if own.delay is None else own.delay
            robots = robots if own.robots is None else own.robots
            timeout = timeout if own.timeout is None else own.timeout
            headers = own.headers
        return HostGate(host, limit, float(limit), delay, headers, robots, timeout)

    def slowest(self) -> HostGate | None:
        """Return the gate of the host with the highest latency, of those in use."""
        timed = [gate for gate in self._gates.values() if gate.latency is not None]
        return max(timed, key=lambda gate: gate.latency or 0.0, default=None)

    def statistics(self) -> dict[str, int]:
        """Return counts for a dashboard: hosts known, and contacts being made."""
        return {
            "hosts": len(self._gates),
            "in_flight": sum(gate.in_flight for gate in self._gates.values()),
        }
