"""The statements behind the frontier: what runs on the database thread.

Each function is one transaction, whole or not at all. They know SQLite and plain records,
nothing of asyncio: `sqlite.py` hands them to the thread.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from storage import cookies as jars
from storage.errors import RunMismatch
from storage.records import (
    Committed,
    CookieRecord,
    HostRecord,
    HostWork,
    NewRequest,
    QueuedRequest,
    Run,
    Visit,
    Want,
)
from storage.tables import ItemTables
from storage.transaction import now_iso, transaction

# Errors that one visit's values can cause. Anything else (disk full, I/O) ends the group.
_VALUE_ERRORS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    RunMismatch,  # a model that does not fit its table, first seen in mid-run
    ValueError,
)


# ── into the frontier ───────────────────────────────────────────────────────────────────────

_INSERT = """
INSERT INTO crawl_request (run, parent, fingerprint, url, host, method, body, payload, callback,
    priority, depth, state, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, fingerprint) """

_INSERT_SETTLED = _INSERT + "DO NOTHING"

# What was skipped because of where it was found is taken up after all when the reason is gone:
# a shorter way leads there, or a start request names it.
_INSERT_QUEUED = (
    _INSERT
    + """DO UPDATE SET state = 'queued', reason = NULL, depth = excluded.depth,
    parent = excluded.parent, callback = excluded.callback, payload = excluded.payload,
    priority = excluded.priority
WHERE crawl_request.state = 'skipped'
    AND crawl_request.reason IN ('max_depth', 'offsite', 'private_address')"""
)


def seed(
    connection: sqlite3.Connection,
    run: int,
    requests: Sequence[NewRequest],
    last: bool,
    cookies: Sequence[CookieRecord] = (),
) -> Committed:
    """Add start requests; `last` says that there are no more. Adding one twice adds it once."""
    committed = Committed()
    with transaction(connection):
        connection.executemany(
            "INSERT OR IGNORE INTO crawl_start (run, host) VALUES (?, ?)",
            {(run, request.host) for request in requests},
        )
        _discover(connection, run, None, requests, committed)
        jars.keep(connection, run, cookies)
        if last:
            connection.execute("UPDATE crawl_run SET seeded = 1 WHERE id = ?", (run,))
    return committed


def start_hosts(connection: sqlite3.Connection, run: int) -> set[str]:
    """Return the hosts that the run's start requests named."""
    return {
        host for (host,) in connection.execute("SELECT host FROM crawl_start WHERE run = ?", (run,))
    }


def _discover(
    connection: sqlite3.Connection,
    run: int,
    parent: int | None,
    requests: Sequence[NewRequest],
    committed: Committed,
) -> None:
    visited = _aliases(connection, run, requests)
    queued, skipped, aliases = [], [], []
    for request in requests:
        if request.fingerprint in visited:
            aliases.append((run, parent, *request._replace(state="done", reason="alias")))
        elif request.state == "queued":
            queued.append((run, parent, *request))
        else:
            skipped.append((run, parent, *request))
    if added := _insert(connection, _INSERT_QUEUED, queued):
        committed.added += added
        for row in queued:
            host, priority = row[4], row[9]
            committed.hosts[host] = max(committed.hosts.get(host, priority), priority)
    committed.skipped += _insert(connection, _INSERT_SETTLED, skipped)
    committed.aliases += _insert(connection, _INSERT_SETTLED, aliases)


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Return how many of `rows` were new."""
    if not rows:
        return 0
    before = connection.total_changes
    connection.executemany(statement, rows)
    return connection.total_changes - before


def _aliases(connection: sqlite3.Connection, run: int, requests: Sequence[NewRequest]) -> set[int]:
    """Return the fingerprints among `requests` of pages that a redirect has visited."""
    if not connection.execute("SELECT 1 FROM crawl_alias WHERE run = ? LIMIT 1", (run,)).fetchone():
        return set()  # so it is on most sites, and then no link needs a look
    known = "SELECT 1 FROM crawl_alias WHERE run = ? AND fingerprint = ?"
    return {
        request.fingerprint
        for request in requests
        if connection.execute(known, (run, request.fingerprint)).fetchone()
    }


# ── the commit path ─────────────────────────────────────────────────────────────────────────


def commit(
    connection: sqlite3.Connection,
    tables: ItemTables,
    run: Run,
    visits: Sequence[Visit],
    hosts: Iterable[HostRecord],
    cookies: Sequence[CookieRecord] = (),
) -> Committed:
    """Commit a group of visits in one transaction; a visit whose items are refused fails alone.

    A visit whose request is not `queued` any more is dropped: its effects are in the file.
    """
    committed = Committed()
    try:
        with transaction(connection):
            for visit in visits:
                _apply(connection, tables, run, visit, committed)
            connection.executemany(_SAVE_HOST, hosts)
            jars.keep(connection, run.id, cookies)
    except BaseException:
        tables.forget()
        raise
    return committed


def _apply(
    connection: sqlite3.Connection, tables: ItemTables, run: Run, visit: Visit, committed: Committed
) -> None:
    before = (committed.added, committed.skipped, committed.aliases)
    connection.execute("SAVEPOINT visit")
    try:
        if visit.alias is not None:
            visit = _redirected(connection, run.id, visit, committed)
        if not _settle(connection, visit):
            connection.execute("ROLLBACK TO visit")  # nor does it stand for a redirect's page
            committed.dropped.add(visit.id)
        else:
            if visit.items:
                for table in {row.table for row in visit.items}:
                    tables.ensure(connection, table, run.spider)
                tables.insert(connection, run.id, now_iso(), visit.items)
            _discover(connection, run.id, visit.id, visit.requests, committed)
            committed.items += len(visit.items)
    except _VALUE_ERRORS as error:
        connection.execute("ROLLBACK TO visit")
        tables.forget()
        committed.added, committed.skipped, committed.aliases = before
        committed.refused[visit.id] = f"{type(error).__name__}: {error}"
        _refuse(connection, visit, committed.refused[visit.id])
    connection.execute("RELEASE visit")


def _settle(connection: sqlite3.Connection, visit: Visit) -> bool:
    """Write the visit's outcome on its request; False when that was settled before."""
    cursor = connection.execute(
        "UPDATE crawl_request SET state = ?, reason = ?, status = ?, attempts = ?, "
        "not_before = ?, final_url = ?, bytes = ?, queue_ms = ?, ttfb_ms = ?, body_ms = ?, "
        "parse_ms = ?, elapsed_ms = ?, error = ?, finished_at = ? "
        "WHERE id = ? AND state = 'queued'",
        (
            visit.state,
            visit.reason,
            visit.status,
            visit.attempts,
            visit.not_before,
            visit.final_url,
            visit.size,
            *visit.timings,
            visit.error,
            None if visit.state == "queued" else now_iso(),
            visit.id,
        ),
    )
    return cursor.rowcount == 1


def _redirected(
    connection: sqlite3.Connection, run: int, visit: Visit, committed: Committed
) -> Visit:
    """Return the visit as it is to be settled: for the page that redirects led it to, or an alias.

    One request stands for a page, and the others have no effects of their own.
    """
    assert visit.alias is not None
    if stands(connection, run, visit.alias, visit.id):
        committed.aliased.add(visit.id)
        return replace(visit, reason="alias", items=[], requests=[])
    if visit.unread:
        # Whoever was to stand for the page has become an alias meanwhile, as when two pages
        # redirect to each other: this request is to follow its redirect after all.
        committed.again.add(visit.id)
        committed.hosts.setdefault(visit.host, 0)
        return replace(visit, state="queued", reason=None)
    connection.execute(
        "INSERT INTO crawl_alias (run, fingerprint, request) VALUES (?, ?, ?)",
        (run, visit.alias, visit.id),
    )
    return visit


def stands(connection: sqlite3.Connection, run: int, fingerprint: int, other_than: int) -> bool:
    """Say whether a request other than that one stands, or will stand, for a page.

    Nobody will visit a page that was skipped, or whose request is itself an alias; and
    redirects may lead back to their start.
    """
    statements = (
        "SELECT 1 FROM crawl_request WHERE run = ? AND fingerprint = ? AND id != ? "
        "AND state IN ('queued', 'done') AND reason IS NOT 'alias'",
        "SELECT 1 FROM crawl_alias WHERE run = ? AND fingerprint = ? AND request != ?",
    )
    found = (connection.execute(one, (run, fingerprint, other_than)) for one in statements)
    return any(cursor.fetchone() for cursor in found)


def _refuse(connection: sqlite3.Connection, visit: Visit, why: str) -> None:
    connection.execute(
        "UPDATE crawl_request SET state = 'failed', reason = 'item_error', status = ?, "
        "attempts = ?, not_before = NULL, error = ?, finished_at = ? "
        "WHERE id = ? AND state = 'queued'",
        (visit.status, visit.attempts, why, now_iso(), visit.id),
    )


_SAVE_HOST = """
INSERT INTO crawl_host (host, next_at, robots, resting) VALUES (?, ?, ?, ?)
ON CONFLICT (host) DO UPDATE SET next_at = excluded.next_at,
    robots = coalesce(excluded.robots, robots), resting = excluded.resting
"""


# ── out of the frontier ─────────────────────────────────────────────────────────────────────

_COLUMNS = "id, fingerprint, url, host, method, body, payload, callback, priority, depth, attempts"
_READY = (
    f"SELECT {_COLUMNS} FROM crawl_request WHERE run = ? AND host = ? AND state = 'queued' "
    "AND not_before IS NULL ORDER BY priority DESC, id LIMIT ?"
)
_DUE = (
    f"SELECT {_COLUMNS} FROM crawl_request WHERE run = ? AND host = ? AND state = 'queued' "
    "AND not_before IS NOT NULL AND not_before <= ? ORDER BY not_before LIMIT ?"
)
_NEXT_DUE = (
    "SELECT min(not_before) FROM crawl_request WHERE run = ? AND host = ? "
    "AND state = 'queued' AND not_before > ?"
)


def queued_hosts(connection: sqlite3.Connection, run: int) -> list[str]:
    """Return the hosts with queued requests: a walk of the indexes, one step a host."""
    hosts: set[str] = set()
    for waiting in ("IS NULL", "IS NOT NULL"):
        smallest = (
            "SELECT min(host) FROM crawl_request WHERE run = :run AND state = 'queued' "
            f"AND not_before {waiting}"
        )
        hosts.update(
            host
            for (host,) in connection.execute(
                f"WITH RECURSIVE walk (host) AS ({smallest} UNION ALL "
                f"SELECT ({smallest} AND host > walk.host) FROM walk WHERE walk.host IS NOT NULL) "
                "SELECT host FROM walk WHERE host IS NOT NULL",
                {"run": run},
            )
        )
    return sorted(hosts)


def ready(
    connection: sqlite3.Connection, run: int, wants: Sequence[Want], now: float | None = None
) -> list[HostWork]:
    """Return each wanted host's next requests, without those that are held in memory.

    `now` decides which retries are due; the clock's time by default.
    """
    now = time.time() if now is None else now
    return [_host_work(connection, run, want, now) for want in wants]


def _host_work(connection: sqlite3.Connection, run: int, want: Want, now: float) -> HostWork:
    remembered = None
    if want.first:
        record = connection.execute(
            "SELECT host, next_at, robots, resting FROM crawl_host WHERE host = ?", (want.host,)
        ).fetchone()
        remembered = HostRecord(*record) if record else None
    # What is held is still `queued` in the file, so as many rows more are read and left out.
    limit = want.limit + len(want.held)
    due = connection.execute(_DUE, (run, want.host, now, limit)).fetchall()
    fresh = connection.execute(_READY, (run, want.host, limit)).fetchall()
    (next_due,) = connection.execute(_NEXT_DUE, (run, want.host, now)).fetchone()
    rows = [QueuedRequest(*row) for row in (*due, *fresh) if row[0] not in want.held]
    return HostWork(
        host=want.host,
        requests=rows[: want.limit],
        more=len(rows) > want.limit or len(due) == limit or len(fresh) == limit,
        next_due=next_due,
        remembered=remembered,
    )
