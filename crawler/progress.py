"""How far a run is: counts that move only after a commit, for whoever shows them."""

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from storage.records import Committed, Totals, Visit

_WINDOW = 10.0  # seconds over which the rate is measured


class Snapshot(NamedTuple):
    """The run at one moment."""

    done: int
    failed: int
    skipped: int
    queued: int
    items: int
    in_flight: int
    hosts: int
    slowest_host: str | None
    slowest_seconds: float | None
    pages_per_second: float
    seconds_left: float | None  # None while it cannot be known
    elapsed: float


class Progress:
    """Keeps the counts of a run: begun from the tables, moved by what each commit changed."""

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        self.pages = 0  # fetched by this process
        self.discovered = 0  # requests found by this process
        self.started = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque()

    def committed(self, visits: Sequence[Visit], committed: Committed) -> None:
        """Count a group of visits and what it brought."""
        totals, undone = self.totals, committed.dropped | committed.again
        refused = committed.refused
        settled = [one for one in visits if one.state != "queued" and one.id not in undone]
        states = ["failed" if one.id in refused else one.state for one in settled]
        totals.done += states.count("done")
        totals.failed += states.count("failed")
        totals.skipped += states.count("skipped")
        totals.queued -= len(states)
        self.pages += sum([one.timings.elapsed is not None for one in settled])
        self.added(committed)
        totals.items += committed.items
        now = time.monotonic()
        self._recent.append((now, self.pages))
        self._forget(now)

    def added(self, committed: Committed) -> None:
        """Count requests that were found."""
        self.totals.queued += committed.added
        self.totals.done += committed.aliases
        self.totals.skipped += committed.skipped - committed.lifted
        self.discovered += committed.added

    @property
    def elapsed(self) -> float:
        """Seconds since this process took up the run."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Pages per second, over the last seconds."""
        now = time.monotonic()
        self._forget(now)
        since, pages = self._recent[0] if len(self._recent) > 1 else (self.started, 0)
        return (self.pages - pages) / max(now - since, 0.001)

    def _forget(self, now: float) -> None:
        """Forget what was too long ago; also while nobody asks for the rate."""
        while len(self._recent) > 2 and now - self._recent[0][0] > _WINDOW:
            self._recent.popleft()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the frontier is empty; None while it still grows as fast as it shrinks."""
        found, rate = self.discovered / max(self.pages, 1), self.rate
        if not self.pages or not rate or self.totals.queued == 0 or found >= 1:
            return None
        return self.totals.queued / rate / (1 - found)
