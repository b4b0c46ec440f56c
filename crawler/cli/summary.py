"""The end of a run on standard output: what came of it, and what to do next."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console

from crawler.cli import show
from crawler.summary import Summary
from storage.records import Phase, TableReport

# Hosts that rest and are named, those with the most requests.
_RESTING_SHOWN = 5


def print_summary(summary: Summary, name: str, db: Path | None) -> None:
    """Print the summary; `name` and `db` are as the user gave them, for the next commands."""
    out = show.console()
    show.heading(out, f"{summary.spider}, run {summary.run}: {summary.finish}")
    show.line(
        out,
        f"{summary.done:,} done, {summary.failed:,} failed, {summary.skipped:,} skipped, "
        f"{summary.queued:,} queued; {summary.items:,} items; "
        f"{summary.pages_per_second:,.1f} pages/s, {_size(summary.bytes)} "
        f"in {summary.seconds:,.1f} s",
    )
    print_resting(out, summary.resting)
    print_pages(out, summary.reasons)
    print_items(out, summary.tables)
    print_latency(out, summary.phases)
    show.heading(out, f"in {summary.db}; try next")
    for command in next_commands(name, db, summary.tables):
        show.line(out, f"  {command}")


def print_resting(out: Console, resting: Mapping[str, int]) -> None:
    """Print which hosts rest because they do not answer, and what to do about it."""
    for host, queued in islice(resting.items(), _RESTING_SHOWN):
        requests = "request waits" if queued == 1 else "requests wait"
        show.line(
            out,
            f"{host} rests: it does not answer, and {queued:,} {requests} for it; "
            "run again when it is up",
        )
    if (more := len(resting) - _RESTING_SHOWN) > 0:
        show.line(out, f"and {more:,} more hosts rest, with {_rest_of(resting):,} requests")


def _rest_of(resting: Mapping[str, int]) -> int:
    return sum(islice(resting.values(), _RESTING_SHOWN, None))


def print_pages(out: Console, reasons: Mapping[str, Mapping[str, int]]) -> None:
    """Print pages by state and reason."""
    rows = [
        (state, reason, f"{number:,}")
        for state in ("done", "failed", "skipped", "queued")
        for reason, number in reasons.get(state, {}).items()
    ]
    show.heading(out, "pages by state and reason")
    out.print(show.table(["state", "reason", "pages"], rows, right=["pages"]))


def print_items(out: Console, tables: Sequence[TableReport]) -> None:
    """Print the items of each table, and how many have a value in each field."""
    if not tables:
        return
    show.heading(out, "items by table, and how many have a value in each field")
    rows: list[tuple[str, str, str, str]] = []
    for found in tables:
        rows.append((found.name, "", f"{found.rows:,}", ""))
        for field, filled in found.coverage.items():
            share = show.percent(filled, found.rows)
            rows.append(("", field, f"{filled:,} of {found.rows:,}", share))
    out.print(show.table(["table", "field", "rows", "share"], rows, right=["rows", "share"]))


def print_latency(out: Console, phases: Iterable[Phase]) -> None:
    """Print percentiles of how long the phases of a fetch took."""
    rows = [(p.name, f"{p.p50:,.1f}", f"{p.p90:,.1f}", f"{p.p99:,.1f}") for p in phases]
    if rows:
        show.heading(out, "latency in milliseconds")
        out.print(show.table(["phase", "p50", "p90", "p99"], rows, right=["p50", "p90", "p99"]))


def next_commands(name: str, db: Path | None, tables: Sequence[TableReport]) -> list[str]:
    """Return the two commands to try next: one that asks the file, one that exports it."""
    where = [] if db is None else ["--db", str(db)]
    if not tables:
        return [
            shlex.join(["crawler", "status", name, "--errors", *where]),
            shlex.join(["crawler", "query", name, *where]),
        ]
    table = max(tables, key=lambda found: found.rows).name
    chosen = ["--table", table] if len(tables) > 1 else []
    stem = Path(name.partition(":")[0]).stem
    return [
        shlex.join(["crawler", "query", name, f"SELECT * FROM latest_{table} LIMIT 5", *where]),
        shlex.join(["crawler", "export", name, "-o", f"{stem}.csv", *chosen, *where]),
    ]


def _size(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
