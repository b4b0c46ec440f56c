"""What a run came to: the typed answer of `crawler.run`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from storage.records import Finish, Phase, Report, TableReport


class Summary(NamedTuple):
    """The whole run in numbers, counted from the file after the last commit.

    `seconds` and `pages_per_second` are of this process; everything else is of the run,
    including what earlier processes did of it.
    """

    spider: str
    run: int
    finish: Finish
    done: int
    failed: int
    skipped: int
    queued: int
    items: int
    seconds: float
    db: Path
    resumed: bool
    pages_per_second: float
    bytes: int
    reasons: Mapping[str, Mapping[str, int]]  # state -> reason -> requests
    tables: tuple[TableReport, ...]  # rows, and how many are not null in each field
    phases: tuple[Phase, ...]  # percentiles in milliseconds: queue, ttfb, body, parse, elapsed
    all_starts_failed: bool  # or wait for a host that rests
    resting: Mapping[str, int]  # host that does not answer -> its queued requests

    def as_json(self) -> dict[str, Any]:
        """Return what `crawler run --json` prints."""
        return {
            "spider": self.spider,
            "run": self.run,
            "finish": self.finish,
            "done": self.done,
            "failed": self.failed,
            "skipped": self.skipped,
            "queued": self.queued,
            "items": self.items,
            "seconds": round(self.seconds, 3),
            "db": str(self.db),
            "resumed": self.resumed,
            "pages_per_second": round(self.pages_per_second, 1),
            "bytes": self.bytes,
            "reasons": {state: dict(found) for state, found in self.reasons.items()},
            "tables": {table.name: table.rows for table in self.tables},
            "coverage": {table.name: table.coverage for table in self.tables},
            "resting": dict(self.resting),
            "phases": {p.name: {"p50": p.p50, "p90": p.p90, "p99": p.p99} for p in self.phases},
        }


def summarise(
    report: Report, finish: Finish, db: Path, *, resumed: bool, pages: int, seconds: float
) -> Summary:
    """Return the summary of a run from its report; `pages` were fetched by this process."""
    reasons: dict[str, dict[str, int]] = {}
    for state, reason, number in report.reasons:
        reasons.setdefault(state, {})[reason] = number
    totals = report.totals
    return Summary(
        spider=report.spider,
        run=report.run,
        finish=finish,
        done=totals.done,
        failed=totals.failed,
        skipped=totals.skipped,
        queued=totals.queued,
        items=totals.items,
        seconds=seconds,
        db=db,
        resumed=resumed,
        pages_per_second=pages / seconds if seconds else 0.0,
        bytes=report.bytes,
        reasons=reasons,
        tables=tuple(report.tables),
        phases=tuple(report.phases),
        all_starts_failed=bool(report.starts) and report.starts_failed == report.starts,
        resting=dict(report.resting),
    )
