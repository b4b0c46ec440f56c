"""Runs: begun, gone on with, counted and finished. What runs on the database thread.

Each function is one transaction, whole or not at all; to begin a run is a part of one.
"""

import json
import sqlite3
from collections.abc import Sequence

from storage import cookies
from storage.clock import steady_time
from storage.errors import RunMismatch
from storage.records import Finish, Run, Totals
from storage.tables import item_tables
from storage.transaction import now_iso, transaction

# No retry waits for longer through a restart (seconds): a Retry-After counts for an hour at
# most, and a spider's own middleware hardly means more than a day.
_LONGEST_WAIT = 86_400.0


def begin_run(
    connection: sqlite3.Connection, spider: str, arguments: dict[str, str], fresh: bool
) -> Run:
    """Return the spider's unfinished run, or a new one; within the caller's transaction.

    Raises `RunMismatch` when the unfinished run was begun with other arguments.
    """
    last = connection.execute(
        "SELECT id, arguments, finish, seeded, base_pages, base_items FROM crawl_run "
        "WHERE spider = ? ORDER BY id DESC LIMIT 1",
        (spider,),
    ).fetchone()
    if last is not None and last[2] != "finished":
        if not fresh:
            return _resume(connection, spider, arguments, last)
        connection.execute(
            "UPDATE crawl_run SET finish = coalesce(finish, 'stopped'), "
            "finished_at = coalesce(finished_at, ?) WHERE id = ?",
            (now_iso(), last[0]),
        )
        cookies.forget(connection, last[0])
    cursor = connection.execute(
        "INSERT INTO crawl_run (spider, arguments, started_at) VALUES (?, ?, ?)",
        (spider, json.dumps(arguments), now_iso()),
    )
    assert cursor.lastrowid is not None
    return Run(cursor.lastrowid, spider, arguments, resumed=False, seeded=False)


def arguments_of(run: int, stored: str) -> dict[str, str]:
    """Return the arguments that a run was begun with.

    Raises `RunMismatch` when somebody has changed them to what is none.
    """
    try:
        found = json.loads(stored)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RunMismatch(
            f"the arguments of run {run} in crawl_run are no JSON object: put that right, or begin "
            "another run with --fresh"
        )
    return found


def _resume(
    connection: sqlite3.Connection,
    spider: str,
    arguments: dict[str, str],
    last: tuple[int, str, str | None, int, int, int],
) -> Run:
    run, stored, finish, seeded, base_pages, base_items = last
    began_with = arguments_of(run, stored)
    if arguments and arguments != began_with:
        given = " ".join(f"-a {key}={value}" for key, value in began_with.items())
        raise RunMismatch(
            f"run {run} of {spider} is unfinished and was begun with {given or 'no arguments'}: "
            "give the same to go on with it, or --fresh to abandon it"
        )
    if finish == "limit":
        # The limit that ended it was reached; going on means a new allowance.
        totals = count(connection, run)
        base_pages, base_items = totals.pages, totals.items
    connection.execute(
        "UPDATE crawl_run SET finish = NULL, finished_at = NULL, base_pages = ?, base_items = ? "
        "WHERE id = ?",
        (base_pages, base_items, run),
    )
    return Run(run, spider, began_with, True, bool(seeded), base_pages, base_items)


def forget_absurd_waits(connection: sqlite3.Connection, run: int) -> None:
    """Make retries due that wait for longer than any may: the clock was wrong when it was set."""
    with transaction(connection):
        connection.execute(
            "UPDATE crawl_request SET not_before = NULL "
            "WHERE run = ? AND state = 'queued' AND not_before > ?",
            (run, steady_time() + _LONGEST_WAIT),
        )


def finish_run(connection: sqlite3.Connection, run: int, finish: Finish) -> None:
    """Write down how the run ended."""
    with transaction(connection):
        connection.execute(
            "UPDATE crawl_run SET finish = ?, finished_at = ? WHERE id = ?",
            (finish, now_iso(), run),
        )
        if finish == "finished":
            cookies.forget(connection, run)


# Through the index of identities a row costs as much as so many rows of the whole table, for it
# lies anywhere in the file: 4.3 s for a million requests that are read in 0.2 s as they lie.
_INDEX_COST = 16


def requests_of(connection: sqlite3.Connection, run: int) -> str:
    """Return the table of requests as a FROM has it that reads all of one run: the quicker way."""
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM crawl_request").fetchone()
    most = last // _INDEX_COST
    few = "SELECT count(*) FROM (SELECT 1 FROM crawl_request WHERE run = ? LIMIT ?)"
    (rows,) = connection.execute(few, (run, most)).fetchone()
    return "crawl_request" if rows < most else "crawl_request NOT INDEXED"


# What counts against a limit on pages: not an alias that a link was entered as, but also a page
# that failed without a fetch, for want of a robots.txt.
_IS_PAGE = "(state = 'failed' OR state = 'done' AND attempts > 0)"


def host_pages(connection: sqlite3.Connection, run: int) -> dict[str, int]:
    """Return how many pages of each host were done or failed, as `count` has it."""
    return dict(
        connection.execute(
            f"SELECT host, count(*) FROM {requests_of(connection, run)} WHERE run = ? "
            f"AND {_IS_PAGE} GROUP BY host",
            (run,),
        ).fetchall()
    )


def queued(connection: sqlite3.Connection, run: int) -> int:
    """Return how many requests of the run are queued: a walk of two indexes."""
    return sum(
        connection.execute(
            "SELECT count(*) FROM crawl_request WHERE run = ? AND state = 'queued' "
            f"AND not_before {waiting}",
            (run,),
        ).fetchone()[0]
        for waiting in ("IS NULL", "IS NOT NULL")
    )


# Conditions and no GROUP BY, which would sort a million rows.
COUNTS = (
    "count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'done'), "
    "count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'skipped'), "
    f"count(*) FILTER (WHERE {_IS_PAGE})"
)


def totals_of(counts: Sequence[int]) -> Totals:
    """Return what `COUNTS` counts, without the items."""
    queued, done, failed, skipped, pages = counts
    return Totals(queued, done, failed, skipped, pages=pages)


def count(connection: sqlite3.Connection, run: int) -> Totals:
    """Return the run's requests by state and its items, counted from the tables."""
    counts = connection.execute(
        f"SELECT {COUNTS} FROM {requests_of(connection, run)} WHERE run = ?", (run,)
    ).fetchone()
    totals = totals_of(counts)
    for table in item_tables(connection):
        (number,) = connection.execute(
            f'SELECT count(*) FROM "{table}" WHERE _run = ?',
            (run,),
        ).fetchone()
        totals.items += number
    return totals
