"""The commit path: what visits change, in one transaction on the database thread.

A group of visits is written together, by a few statements for all of them. Whatever keeps that
from working (a value that the file does not take, a request that was settled before) undoes it,
and they are written one by one, so that a visit which cannot be written fails alone.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from storage import bulk
from storage import cookies as jars
from storage.errors import RunMismatch
from storage.frontier import discover, stands
from storage.rarities import UNKNOWN, Rarities
from storage.records import Committed, CookieRecord, HostRecord, Run, Visit
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


class _NotTogether(Exception):
    """The visits of a group must be looked at one by one."""


def commit(
    connection: sqlite3.Connection,
    tables: ItemTables,
    run: Run,
    visits: Sequence[Visit],
    hosts: Iterable[HostRecord],
    cookies: Sequence[CookieRecord] = (),
    rarities: Rarities = UNKNOWN,
) -> Committed:
    """Commit a group of visits in one transaction; a visit whose items are refused fails alone.

    A visit whose request is not `queued` any more is dropped: its effects are in the file.
    """
    hosts = list(hosts)
    for visit in visits:
        if visit.alias is not None:
            rarities.aliases = True
        if visit.state == "skipped":
            rarities.skipped(visit.host, visit.reason)
    try:
        return _commit(connection, tables, run, visits, hosts, cookies, rarities, together=True)
    except (*_VALUE_ERRORS, _NotTogether):
        return _commit(connection, tables, run, visits, hosts, cookies, rarities, together=False)


def _commit(
    connection: sqlite3.Connection,
    tables: ItemTables,
    run: Run,
    visits: Sequence[Visit],
    hosts: Sequence[HostRecord],
    cookies: Sequence[CookieRecord],
    rarities: Rarities,
    *,
    together: bool,
) -> Committed:
    committed = Committed()
    try:
        with transaction(connection):
            for visit in visits:
                # Where a redirect led must be known before the next one is looked at.
                if not together or visit.alias is not None:
                    _apply(connection, tables, run, visit, committed, rarities)
            if together:
                plain = [visit for visit in visits if visit.alias is None]
                _apply_together(connection, tables, run, plain, committed, rarities)
            bulk.insert(connection, _SAVE_HOST, hosts, _SAVE_HOST_AGAIN)
            jars.keep(connection, run.id, cookies)
    except BaseException:
        tables.forget()
        raise
    return committed


_SAVE_HOST = "INSERT INTO crawl_host (host, next_at, robots, resting)"
_SAVE_HOST_AGAIN = """ON CONFLICT (host) DO UPDATE SET next_at = excluded.next_at,
    robots = coalesce(excluded.robots, robots), resting = excluded.resting"""

# What is said of a page whose host had the same body elsewhere.
_AGAIN = "duplicate_content"
_OUTCOME = (
    "state",
    "reason",
    "status",
    "attempts",
    "not_before",
    "final_url",
    "canonical_url",
    "content",
    "bytes",
    "queue_ms",
    "ttfb_ms",
    "body_ms",
    "parse_ms",
    "elapsed_ms",
    "error",
    "finished_at",
)


_SETTLE = (
    f"UPDATE crawl_request SET {', '.join(f'{name} = ?' for name in _OUTCOME)} "
    "WHERE id = ? AND state = 'queued'"
)
_COLUMN = {name: f"visit.column{place}" for place, name in enumerate((*_OUTCOME, "id", "host"), 1)}
_KEY = len(_OUTCOME)
# Only finished pages have a content. What is looked up is as it was before the statement.
_REASON = f"""CASE WHEN {_COLUMN["content"]} IS NOT NULL AND EXISTS (
    SELECT 1 FROM crawl_request AS other WHERE other.run = crawl_request.run
        AND other.host = {_COLUMN["host"]} AND other.content = {_COLUMN["content"]}
        AND other.id != crawl_request.id
) THEN '{_AGAIN}' ELSE {_COLUMN["reason"]} END"""
# No SQL function may be in it, for then OR FAIL is for nothing (see `frontier`).
_SETTLE_ALL = (
    "UPDATE OR FAIL crawl_request SET "
    + ", ".join(f"{name} = {_REASON if name == 'reason' else _COLUMN[name]}" for name in _OUTCOME)
    + " FROM ("
)
_OF_ALL = f") AS visit WHERE id = {_COLUMN['id']} AND crawl_request.state = 'queued'"


def _outcome(visit: Visit, now: str) -> tuple[object, ...]:
    """The values of `_OUTCOME`, and the request's id."""
    took = visit.timings
    return (
        visit.state,
        visit.reason,
        visit.status,
        visit.attempts,
        visit.not_before,
        visit.final_url,
        visit.canonical_url,
        visit.content,
        visit.size,
        _milliseconds(took.queue),
        _milliseconds(took.ttfb),
        _milliseconds(took.body),
        _milliseconds(took.parse),
        _milliseconds(took.elapsed),
        visit.error,
        None if visit.state == "queued" else now,
        visit.id,
    )


def _milliseconds(seconds: float | None) -> float | None:
    """Return a time as the file has it: to the microsecond."""
    return None if seconds is None else int(seconds * 1e6 + 0.5) / 1000


# ── all at once ─────────────────────────────────────────────────────────────────────────────


def _apply_together(
    connection: sqlite3.Connection,
    tables: ItemTables,
    run: Run,
    visits: Sequence[Visit],
    committed: Committed,
    rarities: Rarities,
) -> None:
    """Write visits whose effects do not depend on each other; raises `_NotTogether` if they do."""
    now = now_iso()
    rows = [(*_outcome(visit, now), visit.host) for visit in _without_duplicates(visits)]
    if bulk.change(connection, _SETTLE_ALL, rows, _OF_ALL, key=_KEY) != len(rows):
        raise _NotTogether
    items = [item for visit in visits for item in visit.items]
    if items:
        for table in {id(item.table): item.table for item in items}.values():
            tables.ensure(connection, table, run.spider)
        tables.insert(connection, run.id, now, items)
        committed.items += len(items)
    found = [(visit.id, request) for visit in visits for request in visit.requests]
    discover(connection, run.id, found, committed, rarities)


def _without_duplicates(visits: Sequence[Visit]) -> list[Visit]:
    """Return the visits, those marked of whose body another one of their host has the same."""
    first: set[tuple[str, int]] = set()
    marked = []
    for visit in visits:
        if visit.content is not None:
            page = (visit.host, visit.content)
            if page in first:
                visit = replace(visit, reason=_AGAIN)
            first.add(page)
        marked.append(visit)
    return marked


# ── one by one ──────────────────────────────────────────────────────────────────────────────


def _apply(
    connection: sqlite3.Connection,
    tables: ItemTables,
    run: Run,
    visit: Visit,
    committed: Committed,
    rarities: Rarities,
) -> None:
    before = (committed.added, committed.lifted, committed.skipped, committed.aliases)
    connection.execute("SAVEPOINT visit")
    try:
        if visit.alias is not None:
            visit = _redirected(connection, run.id, visit, committed)
        if visit.content is not None and _is_known(connection, run.id, visit):
            visit = replace(visit, reason=_AGAIN)
        if not settle(connection, visit):
            connection.execute("ROLLBACK TO visit")  # nor does it stand for a redirect's page
            committed.dropped.add(visit.id)
        else:
            if visit.items:
                for table in {row.table for row in visit.items}:
                    tables.ensure(connection, table, run.spider)
                tables.insert(connection, run.id, now_iso(), visit.items)
            found = [(visit.id, request) for request in visit.requests]
            discover(connection, run.id, found, committed, rarities)
            committed.items += len(visit.items)
    except _VALUE_ERRORS as error:
        connection.execute("ROLLBACK TO visit")
        tables.forget()
        committed.added, committed.lifted, committed.skipped, committed.aliases = before
        committed.refused[visit.id] = f"{type(error).__name__}: {error}"
        _refuse(connection, visit, committed.refused[visit.id])
    connection.execute("RELEASE visit")


def settle(connection: sqlite3.Connection, visit: Visit) -> bool:
    """Write the visit's outcome on its request; False when that was settled before."""
    return connection.execute(_SETTLE, _outcome(visit, now_iso())).rowcount == 1


def _is_known(connection: sqlite3.Connection, run: int, visit: Visit) -> bool:
    """Say whether another page of the host had the same body; only finished pages have one."""
    known = "SELECT 1 FROM crawl_request WHERE run = ? AND host = ? AND content = ? AND id != ?"
    found = connection.execute(known, (run, visit.host, visit.content, visit.id))
    return found.fetchone() is not None


def _redirected(
    connection: sqlite3.Connection, run: int, visit: Visit, committed: Committed
) -> Visit:
    """Return the visit as it is to be settled: for the page that redirects led it to, or an alias.

    One request stands for a page, and the others have no effects of their own.
    """
    assert visit.alias is not None
    if stands(connection, run, visit.alias, visit.id):
        committed.aliased.add(visit.id)
        return replace(visit, reason="alias", content=None, items=[], requests=[])
    if visit.unread:
        # Whoever was to stand for the page has become an alias meanwhile, as when two pages
        # redirect to each other: this request is to follow its redirect after all.
        committed.again.add(visit.id)
        committed.hosts.setdefault(visit.host, 0)
        return replace(visit, state="queued", reason=None, content=None)
    connection.execute(
        "INSERT INTO crawl_alias (run, fingerprint, request) VALUES (?, ?, ?)",
        (run, visit.alias, visit.id),
    )
    return visit


def _refuse(connection: sqlite3.Connection, visit: Visit, why: str) -> None:
    connection.execute(
        "UPDATE crawl_request SET state = 'failed', reason = 'item_error', status = ?, "
        "attempts = ?, not_before = NULL, error = ?, finished_at = ? "
        "WHERE id = ? AND state = 'queued'",
        (visit.status, visit.attempts, why, now_iso(), visit.id),
    )
