"""The circuit breaker of one host: no questions for a while to one that gives no sign of life.

Closed, it counts failures in a row: connections that could not be had, and pages for which there
was no answer in time, each once, for a host may be well and have a few that never come. Open, the
host rests; then a single probe is let through, whose success closes the breaker and whose failure
lets the host rest for twice as long. A host that has not answered after the last rest is given up
for as long as this process runs.
"""

from dataclasses import dataclass, field

# Times `backoff`: a host rests for about 10, 20 and 40 seconds.
_FIRST_REST = 10.0
_RESTS = 3


@dataclass(slots=True)
class Breaker:
    """What is known of one host's answering at all; times are monotonic seconds.

    `threshold` failures in a row open it, 0 means never; `unit` is what the rests are
    multiples of, in seconds.
    """

    threshold: int
    unit: float
    failures: int = 0  # in a row
    rests: int = 0
    silent: set[str] = field(default_factory=set)  # pages without an answer since the last one
    until: float = 0.0  # the host rests
    probing: bool = False  # the one contact that may be made after a rest is being made

    @property
    def open(self) -> bool:
        """Whether the host rests, or is being probed, or is given up."""
        return self.rests > 0

    @property
    def given_up(self) -> bool:
        """Whether nothing will be asked of the host any more."""
        return self.rests > _RESTS

    def failed(self, now: float, page: str | None = None) -> bool:
        """Note that no connection could be had; return whether the host's state has changed.

        Or that there was one, and no answer for a page. What was in flight when the breaker opened
        is no further news.
        """
        if not self.threshold or self.given_up or (self.open and not self.probing):
            return False
        if page in self.silent and not self.probing:
            return False
        if page is not None:
            self.silent.add(page)
        self.failures += 1
        if not self.probing and self.failures < self.threshold:
            return False
        self.probing = False
        self.until = now + _FIRST_REST * self.unit * 2**self.rests
        self.rests += 1
        return True

    def answered(self) -> bool:
        """Note an answer, whatever it says; return whether it ended a rest."""
        if not (self.failures or self.rests or self.silent):
            return False
        was_open = self.open
        self.failures, self.rests, self.until, self.probing = 0, 0, 0.0, False
        self.silent.clear()
        return was_open
