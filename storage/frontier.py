"""The statements behind the frontier: what runs on the database thread.

Each function is one transaction, whole or not at all. They know SQLite and plain records,
nothing of asyncio: `sqlite.py` hands them to the thread.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from storage import bulk
from storage import cookies as jars
from storage.clock import steady_time
from storage.rarities import LIFTED, UNKNOWN, Rarities
from storage.records import (
    Committed,
    CookieRecord,
    HostRecord,
    HostWork,
    NewRequest,
    QueuedRequest,
    Want,
)
from storage.runs import requests_of
from storage.transaction import transaction

# ── into the frontier ───────────────────────────────────────────────────────────────────────

# OR FAIL: what a statement has changed when it fails is undone by whoever began the transaction, or
# the savepoint. Else SQLite keeps the old pages of each statement in a file, to undo it alone: with
# a million requests known it wrote more there than into the log.
_INSERT = """
INSERT OR FAIL INTO crawl_request (run, parent, fingerprint, url, host, method, body, payload,
    callback, priority, depth, state, reason)"""
_KNOWN = "ON CONFLICT (run, fingerprint) DO NOTHING"

# Of the rows of `_INSERT`. Not ON CONFLICT DO UPDATE, for which there is no OR FAIL.
_LIFT = """UPDATE OR FAIL crawl_request SET state = 'queued', reason = NULL,
    parent = found.column2, url = found.column4, payload = found.column8,
    callback = found.column9, priority = found.column10, depth = found.column11 FROM ("""
_OF_FOUND = f""") AS found
WHERE crawl_request.run = found.column1 AND crawl_request.fingerprint = found.column3
    AND crawl_request.state = 'skipped' AND crawl_request.reason IN {LIFTED}"""

# On most sites there are no aliases, and no link needs a look.
_HAS_ALIASES = "SELECT EXISTS (SELECT 1 FROM crawl_alias WHERE run = ?)"


def seed(
    connection: sqlite3.Connection,
    run: int,
    requests: Sequence[NewRequest],
    last: bool,
    cookies: Sequence[CookieRecord] = (),
    admits: Callable[[str], bool] | None = None,
    rarities: Rarities = UNKNOWN,
) -> Committed:
    """Add start requests; `last` says that there are no more. Adding one twice adds it once.

    With `admits`, which says it of a host, what was skipped as offsite and is so no more is queued.
    """
    committed = Committed()
    with transaction(connection):
        hosts = [(run, host) for host in {request.host for request in requests}]
        bulk.insert(connection, "INSERT OR IGNORE INTO crawl_start (run, host)", hosts)
        discover(connection, run, ((None, request) for request in requests), committed, rarities)
        if admits is not None:
            _lift_offsite(connection, run, admits, committed)
        jars.keep(connection, run, cookies)
        if last:
            connection.execute("UPDATE crawl_run SET seeded = 1 WHERE id = ?", (run,))
    return committed


# Links that nobody followed; what a redirect led offsite was asked for.
_OFFSITE = "run = :run AND state = 'skipped' AND reason = 'offsite' AND attempts = 0"


def _lift_offsite(
    connection: sqlite3.Connection, run: int, admits: Callable[[str], bool], committed: Committed
) -> None:
    """Queue the links that were skipped as offsite and are admitted, but for pages visited since.

    No index has them: it is a walk of the run's requests, with the names of their hosts in memory,
    and a second one when there is something to queue (2 million rows take 0.7 s, and 0.4).
    """
    requests = requests_of(connection, run)
    (found,) = connection.execute(
        "SELECT json_group_array(host) FROM "
        f"(SELECT DISTINCT host FROM {requests} WHERE {_OFFSITE})",
        {"run": run},
    ).fetchone()
    admitted = [host for host in json.loads(found) if admits(host)]
    if not admitted:
        return
    values = {"run": run, "hosts": json.dumps(admitted)}
    lifted = connection.execute(
        f"UPDATE {requests} SET state = 'queued', reason = NULL WHERE {_OFFSITE} "
        "AND host IN (SELECT value FROM json_each(:hosts)) "
        "AND NOT EXISTS (SELECT 1 FROM crawl_alias WHERE crawl_alias.run = :run "
        "AND crawl_alias.fingerprint = crawl_request.fingerprint)",
        values,
    ).rowcount
    committed.added += lifted
    committed.lifted += lifted
    (queued,) = connection.execute(
        "SELECT json_group_object(value, (SELECT max(priority) FROM crawl_request "
        "WHERE run = :run AND host = value AND state = 'queued' AND not_before IS NULL)) "
        "FROM json_each(:hosts)",
        values,
    ).fetchone()
    highest = json.loads(queued).items()
    committed.hosts.update((host, priority) for host, priority in highest if priority is not None)


def start_hosts(connection: sqlite3.Connection, run: int) -> set[str]:
    """Return the hosts that the run's start requests named."""
    return {
        host for (host,) in connection.execute("SELECT host FROM crawl_start WHERE run = ?", (run,))
    }


def discover(
    connection: sqlite3.Connection,
    run: int,
    found: Iterable[tuple[int | None, NewRequest]],
    committed: Committed,
    rarities: Rarities = UNKNOWN,
) -> None:
    """Add requests that are new, each with the id of the one that found it, in that order."""
    pages = _pages(found)
    if not pages:
        return
    visited = _aliases(connection, run, pages) if rarities.aliases else set()
    queued, skipped, aliases = [], [], []
    for fingerprint, (parent, request) in pages.items():
        if fingerprint in visited:
            aliases.append((run, parent, *request._replace(state="done", reason="alias")))
        elif request.state == "queued":
            queued.append((run, parent, *request))
        else:
            rarities.skipped(request.host, request.reason)
            skipped.append((run, parent, *request))
    new = bulk.insert(connection, _INSERT, queued, _KNOWN)
    lifted = 0
    if new < len(queued) and rarities.may_lift({row[4] for row in queued}):
        lifted = bulk.change(connection, _LIFT, queued, _OF_FOUND)
    if new or lifted:
        committed.added += new + lifted
        committed.lifted += lifted
        for row in queued:
            host, priority = row[4], row[9]
            committed.hosts[host] = max(committed.hosts.get(host, priority), priority)
    committed.skipped += bulk.insert(connection, _INSERT, skipped, _KNOWN)
    committed.aliases += bulk.insert(connection, _INSERT, aliases, _KNOWN)


def _pages(
    found: Iterable[tuple[int | None, NewRequest]],
) -> dict[int, tuple[int | None, NewRequest]]:
    """Return the requests by fingerprint, of several for one page the one that counts."""
    pages: dict[int, tuple[int | None, NewRequest]] = {}
    for one in found:
        parent, request = one
        known_parent, known = pages.setdefault(request.fingerprint, one)
        lifts = parent == known_parent or known.reason in LIFTED
        if lifts and request.state == "queued" and known.state == "skipped":
            pages[request.fingerprint] = one
    return pages


def _aliases(connection: sqlite3.Connection, run: int, fingerprints: Iterable[int]) -> set[int]:
    """Return those of the fingerprints whose pages a redirect has visited."""
    (has_aliases,) = connection.execute(_HAS_ALIASES, (run,)).fetchone()
    if not has_aliases:
        return set()
    known = (
        ") AS page CROSS JOIN crawl_alias ON crawl_alias.run = ? "
        "AND crawl_alias.fingerprint = page.column1"
    )
    rows = [(fingerprint,) for fingerprint in fingerprints]
    return set(bulk.select(connection, "SELECT page.column1 FROM (", rows, known, run))


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


# ── out of the frontier ─────────────────────────────────────────────────────────────────────

# One row of JSON with all requests: rows by themselves would each ask for the interpreter's lock
# (see `bulk`). A body is no JSON, and few requests have one; nor is a BLOB where somebody else put
# one in place of a text.
_TEXT = "iif(typeof({0}) = 'blob', hex({0}), {0})"
_ROW = (
    "json_array(id, fingerprint, "
    + ", ".join(map(_TEXT.format, ("url", "host", "method")))
    + ", body IS NOT NULL, "
    + ", ".join(map(_TEXT.format, ("payload", "callback")))
    + ", priority, depth, attempts)"
)
_BODY = QueuedRequest._fields.index("body")
# What is held in memory is still `queued` in the file.
_OF_HOST = (
    "FROM crawl_request WHERE run = :run AND host = :host AND state = 'queued' "
    "AND id NOT IN (SELECT value FROM json_each(:held)) "
)
_WORK = f"""SELECT
(SELECT json_group_array(json(request)) FROM (SELECT {_ROW} AS request {_OF_HOST}
    AND not_before IS NOT NULL AND not_before <= :now ORDER BY not_before LIMIT :limit)),
(SELECT json_group_array(json(request)) FROM (SELECT {_ROW} AS request {_OF_HOST}
    AND not_before IS NULL ORDER BY priority DESC, id LIMIT :limit)),
(SELECT min(not_before) FROM crawl_request
    WHERE run = :run AND host = :host AND state = 'queued' AND not_before > :now)"""


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

    `now` decides which retries are due; the time of `storage.clock` by default.
    """
    now = steady_time() if now is None else now
    return [_host_work(connection, run, want, now) for want in wants]


def _host_work(connection: sqlite3.Connection, run: int, want: Want, now: float) -> HostWork:
    remembered = None
    if want.first:
        record = connection.execute(
            "SELECT host, next_at, robots, resting FROM crawl_host WHERE host = ?", (want.host,)
        ).fetchone()
        remembered = HostRecord(*record) if record else None
    values = {
        "run": run,
        "host": want.host,
        "held": json.dumps(list(want.held)),
        "now": now,
        "limit": want.limit + 1,  # one more says that there are more
    }
    due, fresh, next_due = connection.execute(_WORK, values).fetchone()
    rows = [_request(connection, row) for row in (*json.loads(due), *json.loads(fresh))]
    return HostWork(
        host=want.host,
        requests=rows[: want.limit],
        more=len(rows) > want.limit,
        next_due=next_due,
        remembered=remembered,
    )


def _request(connection: sqlite3.Connection, row: list[Any]) -> QueuedRequest:
    has_body = row[_BODY]
    row[_BODY] = None
    if has_body:
        query = "SELECT body FROM crawl_request WHERE id = ?"
        (row[_BODY],) = connection.execute(query, (row[0],)).fetchone()
    return QueuedRequest._make(row)
