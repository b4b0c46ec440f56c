"""The tables of a crawl file that are the framework's own, and how the file is recognised."""

import re
import sqlite3
from collections.abc import Sequence

from storage.errors import RunMismatch
from storage.tables import REGISTRY_SQL
from storage.wal import LONGEST

# "craw" in ASCII: `file books.db` and we tell a crawl from any other SQLite database by it.
APPLICATION_ID = 0x63726177
# Counts up with every change of the tables below; a newer file is refused, never touched.
SCHEMA_VERSION = 3

_TABLES = """
CREATE TABLE crawl_run (
    id INTEGER PRIMARY KEY,
    spider TEXT NOT NULL,
    arguments TEXT NOT NULL,            -- JSON object, as given with -a
    started_at TEXT NOT NULL,
    finished_at TEXT,
    finish TEXT,                        -- finished, stopped, limit, failed; NULL while it runs
    seeded INTEGER NOT NULL DEFAULT 0,  -- 1: every start request is in the frontier
    base_pages INTEGER NOT NULL DEFAULT 0,  -- what earlier limits of this run were spent on
    base_items INTEGER NOT NULL DEFAULT 0
);

-- The hosts that the start requests named: the default scope, and the reachable addresses.
CREATE TABLE crawl_start (
    run INTEGER NOT NULL REFERENCES crawl_run(id),
    host TEXT NOT NULL,
    PRIMARY KEY (run, host)
) WITHOUT ROWID;

CREATE TABLE crawl_host (
    host TEXT PRIMARY KEY,
    next_at REAL,                       -- no contact before this time, seconds since the epoch
    resting INTEGER NOT NULL DEFAULT 0, -- failures in a row to answer, while it rests for them
    robots TEXT                         -- JSON: origin -> what its robots.txt said, and when
) WITHOUT ROWID;

CREATE TABLE crawl_request (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES crawl_run(id),
    fingerprint INTEGER NOT NULL,
    url TEXT NOT NULL,
    host TEXT NOT NULL,
    method TEXT NOT NULL,
    body BLOB,
    payload TEXT,                       -- JSON: headers, meta, cb_kwargs, errback ...
    callback TEXT,
    parent INTEGER REFERENCES crawl_request(id),
    depth INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    status INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL,                    -- a retry waits until then, seconds since the epoch
    final_url TEXT,                     -- where redirects led, when elsewhere
    canonical_url TEXT,                 -- what the page names as its rel=canonical, when elsewhere
    content INTEGER,                    -- 64-bit hash of the body, to know the same page again
    bytes INTEGER,
    elapsed_ms REAL,
    queue_ms REAL,
    ttfb_ms REAL,
    body_ms REAL,
    parse_ms REAL,
    finished_at TEXT,
    error TEXT                          -- the traceback of the spider's error
);

-- Pages that a redirect led to: whoever asks for one later finds it visited already.
CREATE TABLE crawl_alias (
    run INTEGER NOT NULL REFERENCES crawl_run(id),
    fingerprint INTEGER NOT NULL,       -- of the url where the redirect ended
    request INTEGER NOT NULL REFERENCES crawl_request(id),
    PRIMARY KEY (run, fingerprint)
) WITHOUT ROWID;

CREATE UNIQUE INDEX crawl_request_identity ON crawl_request (run, fingerprint);

-- What the scheduler reads: a host's next requests in order, and those that wait for a retry.
-- Both are partial, so that a finished request costs them nothing.
CREATE INDEX crawl_request_ready ON crawl_request (run, host, priority DESC, id)
    WHERE state = 'queued' AND not_before IS NULL;
CREATE INDEX crawl_request_waiting ON crawl_request (run, host, not_before)
    WHERE state = 'queued' AND not_before IS NOT NULL;
"""

# What came with schema 2, and what a file of schema 1 is given.
_SCHEMA_2 = """
CREATE INDEX crawl_request_content ON crawl_request (run, host, content)
    WHERE content IS NOT NULL;

-- The cookies of a run (RFC 6265bis section 5.7), so that a login survives a restart.
CREATE TABLE crawl_cookie (
    run INTEGER NOT NULL REFERENCES crawl_run(id),
    jar TEXT NOT NULL,                  -- '' unless a request names another
    domain TEXT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    host_only INTEGER NOT NULL,         -- 1: for that very host, not for its subdomains
    secure INTEGER NOT NULL,            -- 1: over https only
    expires REAL,                       -- seconds since the epoch; NULL: with the run
    created REAL NOT NULL,
    PRIMARY KEY (run, jar, domain, path, name, host_only)
) WITHOUT ROWID;
"""

# The tables that are the crawl's own.
_OWN = frozenset(
    re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", f"{_TABLES}{_SCHEMA_2}{REGISTRY_SQL}")
)

# By the version of the file: the statements that make the next version of it.
_UPGRADES = {
    1: "ALTER TABLE crawl_request ADD COLUMN canonical_url TEXT; "
    "ALTER TABLE crawl_request ADD COLUMN content INTEGER;" + _SCHEMA_2,
    2: "ALTER TABLE crawl_host ADD COLUMN resting INTEGER NOT NULL DEFAULT 0;",
}


def configure(connection: sqlite3.Connection) -> None:
    """Set what every writing connection needs; nothing here is kept in the file but WAL."""
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a committed visit survives a power cut too. Group commit makes it cheap.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cache_size = -65536")  # 64 MiB of pages
    connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST}")
    # A little more than that: it gives the disk back after a burst.
    connection.execute("PRAGMA journal_size_limit = 150000000")


def check_own(connection: sqlite3.Connection, path: object, *, kinds: Sequence[str]) -> None:
    """Raise `RunMismatch` when a crawl's own table is a view, or has triggers.

    No crawler makes such, and whoever uses the table runs what is in it, which need never end.
    `kinds` are those of "view" and "trigger" that matter.
    """
    for kind, name, table in connection.execute("SELECT type, name, tbl_name FROM sqlite_schema"):
        if kind in kinds and table.lower() in _OWN:
            raise RunMismatch(
                f"{path} has a {kind} {name[:100]!r} where a crawl has its own table: drop it, or "
                "choose another --db"
            )


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Recognise the file, or lay out a new one; a file that is not ours is left untouched.

    Raises `RunMismatch` when the file belongs to something else or to a newer crawler.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == 0 and objects == 0:
        # In an empty file there is nothing to undo: to say that it has a log takes a journal
        # otherwise, which is written, waited for and removed, five times as long.
        connection.execute("PRAGMA journal_mode = MEMORY")
        configure(connection)
        _create(connection)
        return
    if application != APPLICATION_ID:
        raise RunMismatch(f"{path} is an SQLite database of another program: choose another --db")
    version = refuse_newer(connection, path)
    check_own(connection, path, kinds=("view", "trigger"))
    configure(connection)
    if version < SCHEMA_VERSION:
        _upgrade(connection, version)


def refuse_newer(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of the file's tables.

    Raises `RunMismatch` when nobody here knows what is in them.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise RunMismatch(
            f"{path} was written by a newer crawler (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): upgrade the crawler package"
        )
    return int(version)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring an older file up to date: in one transaction, so that a crash leaves it old or new."""
    steps = " ".join(_UPGRADES[step] for step in range(version, SCHEMA_VERSION))
    connection.executescript(
        f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def _create(connection: sqlite3.Connection) -> None:
    # One transaction, identity included: a crash leaves an empty file or a whole one.
    connection.executescript(
        f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; "
        f"PRAGMA user_version = {SCHEMA_VERSION}; {_TABLES} {_SCHEMA_2} {REGISTRY_SQL}; COMMIT;"
    )
