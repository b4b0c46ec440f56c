"""What a run did, read from its file: the end-of-run summary and `crawler status`."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import get_args

from storage.errors import RunMismatch
from storage.records import ErrorReport, HostReport, Phase, Report, State, TableReport, Totals
from storage.runs import COUNTS, arguments_of, requests_of, totals_of
from storage.tables import coverage, item_tables

# Percentiles come from at most about this many pages, evenly spread over the run.
_SAMPLE = 2_000

_STATES = get_args(State)
_PHASES = ("queue", "ttfb", "body", "parse", "elapsed")


def report(connection: sqlite3.Connection, run: int) -> Report:
    """Return the whole account of one run. Raises `RunMismatch` when there is no such run."""
    row = connection.execute(
        "SELECT spider, arguments, started_at, finished_at, finish FROM crawl_run WHERE id = ?",
        (run,),
    ).fetchone()
    if row is None:
        raise RunMismatch(f"there is no run {run} in this file")
    spider, arguments, started_at, finished_at, finish = row
    size, starts, starts_failed, *counts = connection.execute(
        "SELECT coalesce(sum(bytes), 0), count(*) FILTER (WHERE parent IS NULL), "
        "count(*) FILTER (WHERE parent IS NULL AND (state = 'failed' OR reason = 'bad_port')), "
        f"{COUNTS} FROM {requests_of(connection, run)} WHERE run = ?",
        (run,),
    ).fetchone()
    resting = _resting(connection, run)
    tables = list(_tables(connection, run))
    totals = totals_of(counts)
    totals.items = sum(table.rows for table in tables)
    return Report(
        run=run,
        spider=spider,
        arguments=arguments_of(run, arguments),
        started_at=started_at,
        finished_at=finished_at,
        finish=finish,
        totals=totals,
        reasons=_reasons(connection, run, totals),
        tables=tables,
        phases=_phases(connection, run),
        bytes=size,
        starts=starts,
        starts_failed=starts_failed + sum(starts for _, _, starts in resting),
        resting=[(host, queued) for host, queued, _ in resting],
    )


def last_run(connection: sqlite3.Connection, spider: str | None = None) -> int:
    """Return the id of the file's last run (of that spider). Raises `RunMismatch` if none."""
    row = connection.execute(
        "SELECT max(id) FROM crawl_run WHERE spider = :name OR :name IS NULL", {"name": spider}
    ).fetchone()
    if row[0] is None:
        raise RunMismatch(f"no run{f' of {spider}' if spider else ''} in this file yet")
    return int(row[0])


def hosts(connection: sqlite3.Connection, run: int, limit: int = 20) -> list[HostReport]:
    """Return the hosts with the most requests."""
    return [
        HostReport(*row)
        for row in connection.execute(
            "SELECT host, count(*) FILTER (WHERE state = 'done'), "
            "count(*) FILTER (WHERE state = 'failed'), "
            "count(*) FILTER (WHERE state = 'skipped'), "
            "count(*) FILTER (WHERE state = 'queued'), avg(elapsed_ms) "
            f"FROM {requests_of(connection, run)} WHERE run = ? AND host != '' "
            "GROUP BY host ORDER BY count(*) DESC LIMIT ?",
            (run, limit),
        )
    ]


def errors(connection: sqlite3.Connection, run: int, limit: int = 10) -> list[ErrorReport]:
    """Return the latest failed requests, newest first; some have no more to say than why."""
    return [
        ErrorReport(*row)
        for row in connection.execute(
            "SELECT url, coalesce(reason, ''), coalesce(error, '') "
            f"FROM {requests_of(connection, run)} WHERE run = ? AND state = 'failed' "
            "ORDER BY finished_at DESC, id DESC LIMIT ?",
            (run, limit),
        )
    ]


def _reasons(
    connection: sqlite3.Connection, run: int, totals: Totals
) -> list[tuple[str, str, int]]:
    """Return how many requests are in a state for a reason, by state, and the most first."""
    found = connection.execute(
        f"SELECT state, reason, count(*) FROM {requests_of(connection, run)} "
        "WHERE run = ? AND reason IS NOT NULL GROUP BY 1, 2",
        (run,),
    ).fetchall()
    # Most requests have none, and SQLite would sort them all.
    without = Counter({state: getattr(totals, state) for state in _STATES})
    for state, _, number in found:
        without[state] -= number
    found += [(state, "", number) for state, number in without.items() if number > 0]
    return sorted(found, key=lambda one: (one[0], -one[2], one[1]))


def _resting(connection: sqlite3.Connection, run: int) -> list[tuple[str, int, int]]:
    """Return the hosts that rest: how many of their requests wait, and of these start requests."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < 3:
        return []  # a file of an earlier version, that is only read
    if not connection.execute("SELECT 1 FROM crawl_host WHERE resting > 0").fetchone():
        return []  # so it is nearly always, and then no request needs a look
    return connection.execute(
        "SELECT host, count(*), count(*) FILTER (WHERE parent IS NULL) "
        f"FROM {requests_of(connection, run)} WHERE run = ? AND state = 'queued' "
        "AND host IN (SELECT host FROM crawl_host WHERE resting > 0) "
        "GROUP BY host ORDER BY 2 DESC, 1",
        (run,),
    ).fetchall()


def _tables(connection: sqlite3.Connection, run: int) -> Iterator[TableReport]:
    for name in item_tables(connection):
        rows, fields = coverage(connection, name, run)
        if rows:
            yield TableReport(name, rows, fields)


def _phases(connection: sqlite3.Connection, run: int) -> list[Phase]:
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM crawl_request").fetchone()
    rows = connection.execute(
        f"SELECT {', '.join(f'{name}_ms' for name in _PHASES)} "
        f"FROM {requests_of(connection, run)} "
        "WHERE run = ? AND elapsed_ms IS NOT NULL AND id % ? = 0",
        (run, 1 + last // _SAMPLE),
    ).fetchall()
    found = []
    for name, column in zip(_PHASES, zip(*rows, strict=True), strict=False):
        values = sorted(value for value in column if value is not None)
        if values:
            p50, p90, p99 = (values[int(q * (len(values) - 1))] for q in (0.5, 0.9, 0.99))
            found.append(Phase(name, p50, p90, p99))
    return found
