"""How many fetches at once are good for one host: found by trying, and by what it refuses.

A host that is asked for too much at once answers more slowly, and may get less done in all. How
much is too much shows in the rate of its answers: while it has capacity to spare, half as many
fetches at once are answered half as often; past its capacity they are answered as often as
before, or more. So the limit begins at the ceiling, and a search finds the lowest limit that
costs no answers. A host that copes is left at the ceiling after one short trial. Later trials are
rare: when latency climbs half as many are tried at once, and now and then a few more or less, to
see whether things have changed.

Refusals (429, 503, timeouts) halve the limit; the one that hurt is approached again by one at a
time, and not reached for many rounds. Time comes from outside, and each answer costs O(1).
"""

import math
from dataclasses import dataclass, field

# A round lasts for so many answers, and so many seconds, at least: else its rate is noise.
_ANSWERS = 24
_SECONDS = 0.25
# Fewer fetches at once are as good when their rate is at least this part of the best one seen.
_AS_GOOD = 0.93
_BETTER = 1.2  # and beyond doubt from here on
# More at once are better when the rate grows at least like this power of their number (1: in
# proportion). When it falls like that with fewer, the host had capacity to spare.
_SCALES = 0.5
# Latency has climbed when the median of a round is over so many times the usual, and by so many
# seconds more; three rounds in a row, for a burst of slow pages is nothing.
_CLIMB, _TOLERANCE, _CLIMBED_ROUNDS = 2.0, 0.03, 3
# With a median of so few seconds a host is quick enough: fewer fetches at once would be a gain
# for nobody, and cost us the economy of doing many things in one turn of the event loop.
_QUICK = 0.01
# Rounds without a trial once the search is over; doubled by each search that changes nothing.
_PATIENCE, _MOST_PATIENCE = 16, 256
# The median of a round is that of its first so many answers.
_SAMPLE = 32


@dataclass(slots=True)
class Round:
    """What is seen of a host from one answer to a later one."""

    began: float
    answers: int = 0
    peak: int = 0  # the most in flight at once
    latencies: list[float] = field(default_factory=list)

    def add(self, latency: float, in_flight: int) -> None:
        """Note an answer."""
        self.answers += 1
        if in_flight > self.peak:
            self.peak = in_flight
        if len(self.latencies) < _SAMPLE:
            self.latencies.append(latency)

    @property
    def median(self) -> float:
        """The median latency, in seconds."""
        return sorted(self.latencies)[len(self.latencies) // 2]


@dataclass(slots=True)
class Adaptive:
    """The limit of one host, from 1 to `ceiling`; to be told of all that the host answers."""

    ceiling: int
    limit: int = 0  # what holds now: `home`, or what is being tried
    home: int = 0  # the best limit known
    below: int = 0  # the nearest limits known to be worse, on either side
    above: int = 0
    best: float = 0.0  # answers per second at home
    usual: float | None = None  # median latency at home, in seconds
    searching: bool = True
    climbed: int = 0  # rounds in a row whose latency was far above the usual
    quiet: int = 0  # rounds since the last trial
    patience: int = _PATIENCE
    round: Round | None = None
    settled_at: float = -math.inf  # until then, answers belong to an earlier limit
    hurt: int = 0  # the limit that was refused; over the ceiling for none, or long ago
    recovering: bool = False  # no round went well since: further refusals are the same trouble
    lowered_at: float = -math.inf

    def __post_init__(self) -> None:
        self.limit = self.home = self.ceiling
        self.above = self.hurt = self.ceiling + 1

    # ── what the host does ──────────────────────────────────────────────────────────────

    def answered(self, now: float, latency: float, in_flight: int) -> None:
        """Note an answer after `latency` seconds; `in_flight` fetches were, this one included."""
        if now < self.settled_at or in_flight > self.limit:
            return
        this = self.round
        if this is None:
            self.round = Round(now)
            return
        this.add(latency, in_flight)
        elapsed = now - this.began
        if this.answers < _ANSWERS or this.answers < self.limit or elapsed < _SECONDS:
            return
        needed = max(self.limit, _ANSWERS)
        rate = this.answers / elapsed
        if self._clear(rate) or this.answers >= 2 * needed:
            self.round = Round(now)
            if this.peak >= self.limit:  # else it is not the limit that bounds the rate
                self._judge(rate, this.median, now)

    def refused(self, now: float, latency: float) -> None:
        """Note a 429, a 503 or a timeout of a fetch that began `latency` seconds ago.

        That of one which began before the limit was last lowered for it is no news.
        """
        if now - latency < self.lowered_at:
            return
        if not self.recovering:
            self.hurt = self.limit
        self.recovering, self.lowered_at = True, now
        self.home = max(1, self.limit // 2)
        self.below, self.above = self.home - 1, max(self.hurt, self.home + 1)
        self.best, self.usual = 0.0, None
        self.searching, self.patience, self.quiet = True, _PATIENCE, 0
        self._go(self.home, now, 0.0)

    # ── what is made of it ──────────────────────────────────────────────────────────────

    def _judge(self, rate: float, median: float, now: float) -> None:
        self.recovering = False
        tried, home = self.limit, self.home
        if tried != home:
            self._conclude(rate, median)
        else:
            self._watch(rate, median)
        # A rate that was good enough to move upwards was good by luck, in part: it is measured
        # again before the next step is compared with it.
        trying = self.searching and self.home <= home >= tried
        self._go(self._candidate() if trying else self.home, now, median)

    def _clear(self, rate: float) -> bool:
        """Whether a rate says enough already; if not, it takes a round of twice the length."""
        if self.limit == self.home:
            return True
        gain, scaled = rate / self.best, self._scaled
        if self.limit < self.home:
            return gain >= _BETTER or gain <= scaled
        return gain >= scaled * scaled or gain <= 1.0

    def _conclude(self, rate: float, median: float) -> None:
        """End a trial: move house, or know better."""
        tried, home = self.limit, self.home
        scaled = self.best * self._scaled
        if tried < home and rate >= self.best * _AS_GOOD:
            self.home, self.above = tried, home
        elif tried > home and rate >= scaled:
            self.home, self.below = tried, home
            self.above = min(max(self.above, 2 * tried), self.hurt)
        elif tried < home:
            # Worse in proportion: nor is there anything to be had in between.
            self.below = home - 1 if rate <= scaled else tried
        elif rate <= self.best:
            self.above = tried  # else it may have been bad luck, and is tried once more
        if self.home == tried:
            self.best, self.usual, self.patience = max(self.best, rate), median, _PATIENCE

    def _watch(self, rate: float, median: float) -> None:
        """Look whether things have changed at home, and begin a search if so, or if it is time."""
        self.quiet += 1
        if self.usual is None:
            self.usual = median
        climbs = median > self.usual * _CLIMB + _TOLERANCE
        anew = not self.best or (climbs and not self.climbed)
        self.best = rate if anew else (self.best + rate) / 2
        self.climbed = self.climbed + 1 if climbs else 0
        if not climbs:
            self.usual += (median - self.usual) / 8
        if self.climbed >= _CLIMBED_ROUNDS:
            self.usual, self.climbed = median, 0
            self.below, self.above = 0, self.home + 1
            self.searching, self.patience = True, _PATIENCE
        elif self.quiet >= self.patience and self.home < self.ceiling:
            self.hurt = self.ceiling + 1
            self.below = max(0, self.home - 2 * self._step)
            self.above = min(self.home + self._step + 1, self.hurt)
            self.searching, self.patience = True, min(2 * self.patience, _MOST_PATIENCE)

    @property
    def _scaled(self) -> float:
        """By how much the rate changes, at least, where the host has capacity to spare."""
        return float((self.limit / self.home) ** _SCALES)

    @property
    def _step(self) -> int:
        """What makes a difference that one could see, from home."""
        return max(1, self.home // 8)

    def _candidate(self) -> int:
        """Return what to try next; home, when nothing is left to be tried."""
        near = self._step
        if self.home - self.below > near and (self.usual or 0.0) > _QUICK:
            return (self.home + self.below) // 2 if self.below else max(1, self.home // 2)
        if self.above - self.home > near:
            careful = self.hurt <= self.ceiling
            return self.home + (near if careful else max(near, (self.above - self.home) // 2))
        self.searching = False
        return self.home

    def _go(self, limit: int, now: float, latency: float) -> None:
        if limit != self.limit:
            # Until there are as many in flight as there may be, the rate tells nothing of them.
            self.round, self.settled_at = None, now + latency if limit > self.limit else now
            self.limit, self.quiet = limit, 0
