"""What one host may be asked of, and when: concurrency, delay, cool-down, rest.

Times are monotonic seconds, so that a changed clock neither stalls nor floods anyone.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field

from crawler.adaptive import Adaptive
from crawler.backoff import MAX_RETRY_AFTER, backoff_delay, parse_retry_after
from crawler.breaker import Breaker
from crawler.errors import FetchError
from crawler.response import Response
from crawler.settings import Settings

# How long a host may make us wait, whatever its Retry-After says (seconds).
MAX_COOL_DOWN = MAX_RETRY_AFTER
# What a host says when it wants less of us.
_PUSH_BACK = frozenset({429, 503})
# Weight of the newest fetch in the moving average of a host's latency.
_SMOOTHING = 0.2
# How often to measure how late the event loop is (seconds), and how many of its turns a fetch
# waits for: to be sent, for its headers, for its body.
_LAG_EVERY = 0.05
_TURNS = 3


@dataclass(slots=True)
class HostGate:
    """One host's door: how many may be inside at once, and when the next may enter."""

    host: str
    ceiling: int  # concurrency by the settings
    delay: float = 0.0  # seconds between two contacts
    headers: dict[str, str] = field(default_factory=dict)
    robots: bool = True
    timeout: float = 60.0
    breaker: Breaker = field(default_factory=lambda: Breaker(0, 0.0))
    pace: Adaptive = field(init=False)
    in_flight: int = 0
    next_at: float = 0.0  # no contact before
    awaited: bool = False  # a contact is granted and has not begun; its delay is not yet known
    latency: float | None = None  # moving average of seconds a fetch takes
    late: int = 0  # fetches in a row that were not over in time
    waiting: int = 0  # redirects and spiders' own fetches that wait for their turn
    freed: asyncio.Event | None = None  # made by the first of these; set when the gate changes
    remembered: bool = False  # what earlier processes knew of the host is taken up

    def __post_init__(self) -> None:
        self.pace = Adaptive(self.ceiling)

    @property
    def limit(self) -> int:
        """How many may be inside at once, now: one, after a rest, to see whether it is over."""
        return 1 if self.breaker.open else self.pace.limit

    def opens_at(self, now: float) -> float:
        """Return when the next contact may be made: `now`, later, or `inf` for not known yet."""
        if self.awaited or self.breaker.given_up or self.in_flight >= self.limit:
            return math.inf
        opens = self.next_at if self.next_at > self.breaker.until else self.breaker.until
        return opens if opens > now else now

    def enter(self) -> None:
        """Count a granted contact. With a delay, the next is counted from when it begins."""
        self.in_flight += 1
        self.awaited = self.delay > 0
        self.breaker.probing = self.breaker.open

    def begin(self, now: float) -> None:
        """Note that a contact is being made now."""
        self.awaited = False
        if now + self.delay > self.next_at:
            self.next_at = now + self.delay

    def leave(self, *, begun: bool = True) -> None:
        """Note that a contact is over (or, when it has not `begun`, given up)."""
        self.in_flight -= 1
        if not begun:  # else it is another that is awaited
            self.awaited = False
        self.breaker.probing = False  # who probes is inside alone

    def slow_down(self, delay: float) -> None:
        """Ask for at least `delay` seconds between contacts, from the last one on."""
        if delay > self.delay:
            self.next_at += delay - self.delay
            self.delay = delay

    def cool_down(self, seconds: float, now: float) -> None:
        """Make no contact for that long; clamped to `MAX_COOL_DOWN`."""
        self.next_at = max(self.next_at, now + min(max(seconds, 0.0), MAX_COOL_DOWN))


class Throttle:
    """The gates of all hosts, made on first use from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._adaptive = settings.adaptive
        self._lag = 0.0  # seconds that the event loop is late, on average
        self._news: dict[str, HostGate] = {}
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
        breaker = Breaker(settings.breaker, settings.backoff)
        return HostGate(host, limit, delay, headers, robots, timeout, breaker)

    def forget(self, host: str) -> bool:
        """Forget a host, and return whether it is forgotten.

        Not while somebody is inside, or waits; nor before what it has said is in the store.
        """
        gate = self._gates.get(host)
        if gate is not None and (gate.in_flight or gate.waiting or host in self._news):
            return False
        self._gates.pop(host, None)
        return True

    async def measure_lag(self) -> None:
        """Keep measuring, until cancelled, how late our own event loop is."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LAG_EVERY)
            late = time.monotonic() - began - _LAG_EVERY
            self._lag = self._lag + _SMOOTHING * (late - self._lag) if self._lag else late

    # ── what hosts make of being asked ──────────────────────────────────────────────────

    def answered(self, gate: HostGate, seconds: float, response: Response | None = None) -> None:
        """Note an answer, `seconds` after the contact began; None: a redirect on the way.

        After a 429 or 503 the host as a whole is left alone for a while, whatever becomes of
        the request: another try, a failure, or its callback's.
        """
        now = time.monotonic()
        gate.late = 0
        before = gate.latency
        gate.latency = seconds if before is None else before + _SMOOTHING * (seconds - before)
        if gate.breaker.answered():
            self.changed(gate)
        if response is not None and response.status in _PUSH_BACK:
            if self._adaptive:
                gate.pace.refused(now, seconds)
            asked = parse_retry_after(response.headers.get("Retry-After"), time.time())
            tries = response.request.attempts + 1
            gate.cool_down(
                max(asked or 0.0, backoff_delay(tries, base=self._settings.backoff)), now
            )
            self.changed(gate)
        elif self._adaptive:
            # What our own event loop took of it says nothing about the host.
            own = _TURNS * self._lag
            gate.pace.answered(now, seconds - own if seconds > own else 0.0, gate.in_flight)

    def failed(self, gate: HostGate, error: FetchError, seconds: float, page: str = "") -> None:
        """Note that no whole answer came for a page, `seconds` after the contact began."""
        gate.late = gate.late + 1 if error.reason == "timeout" else 0
        if gate.late and self._adaptive:
            gate.pace.refused(time.monotonic(), seconds)
        if error.unreachable or (gate.breaker.probing and gate.late):
            self.unreachable(gate)
        elif error.silent:
            self.unreachable(gate, page)
        elif gate.breaker.answered():
            self.changed(gate)  # it was reached, whatever came of it

    def unreachable(self, gate: HostGate, page: str | None = None) -> None:
        """Note that no connection with the host could be had, or no answer for a page."""
        if gate.breaker.failed(time.monotonic(), page):
            self.changed(gate)

    def changed(self, gate: HostGate) -> None:
        """Note that what is known of the host is worth keeping."""
        self._news[gate.host] = gate

    def take_news(self) -> dict[str, HostGate]:
        """Return the gates that changed since the last call, by host."""
        news, self._news = self._news, {}
        return news

    # ── for a dashboard ─────────────────────────────────────────────────────────────────

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
