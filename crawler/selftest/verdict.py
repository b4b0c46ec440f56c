"""What a crawl left, held against what its site is known to hold."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from crawler.selftest.spec import SiteSpec

# The server sees requests come in a little closer together than they were sent (seconds).
_JITTER = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that can be wrong with a finished crawl, counted; all zero when it is right."""

    pages: int
    items: int
    lost: int
    duplicated: int
    wrong_states: int
    damaged: int  # complaints of SQLite's integrity and foreign key checks
    excess_fetches: int  # beyond pages + retries + kills x concurrency
    hurried: int  # contacts closer together than the delay

    @property
    def right(self) -> bool:
        """Whether the crawl ended as if nothing had happened."""
        return not (
            self.lost
            or self.duplicated
            or self.wrong_states
            or self.damaged
            or self.excess_fetches
            or self.hurried
        )


def judge(
    database: Path,
    spec: SiteSpec,
    hits: Counter[str],
    arrivals: Sequence[float],
    *,
    kills: int,
    concurrency: int,
    delay: float,
) -> Verdict:
    """Return the verdict on the finished crawl in `database`."""
    expected = spec.expected()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        items = Counter(_items(connection))
        states: Counter[tuple[str, str]] = Counter(
            ("/" + url.split("/", 3)[3], state)
            for url, state in connection.execute("SELECT url, state FROM crawl_request")
        )
        damaged = _complaints(connection)
    wanted = Counter(expected.items)
    wanted_states = Counter(expected.states.items())
    # A fetch is counted where it begins: the second hop of a redirect belongs to it.
    fetches = sum(hits[path] for path in expected.states)
    allowed = sum(expected.hits[path] for path in expected.states) + kills * concurrency
    return Verdict(
        pages=len(expected.states),
        items=wanted.total(),
        lost=(wanted - items).total(),
        duplicated=(items - wanted).total(),
        wrong_states=((states - wanted_states) | (wanted_states - states)).total(),
        damaged=damaged,
        excess_fetches=max(0, fetches - allowed),
        hurried=_hurried(arrivals, delay),
    )


def _items(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'found'").fetchone():
        return []
    return connection.execute("SELECT key, hash FROM found").fetchall()


def _complaints(connection: sqlite3.Connection) -> int:
    checks = [row for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return len(checks) + len(connection.execute("PRAGMA foreign_key_check").fetchall())


def _hurried(arrivals: Sequence[float], delay: float) -> int:
    if not delay:
        return 0
    ordered = sorted(arrivals)
    return sum(later - earlier < delay - _JITTER for earlier, later in pairwise(ordered))
