"""The cookies of a run: read when it goes on, kept as they change, forgotten when it is over.

Each function is a part of its caller's transaction.
"""

import sqlite3
from collections.abc import Sequence

from storage.records import CookieRecord

_SAVE = """
INSERT INTO crawl_cookie
    (run, jar, domain, path, name, host_only, value, secure, expires, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, jar, domain, path, name, host_only) DO UPDATE SET
    value = excluded.value, secure = excluded.secure, expires = excluded.expires,
    created = excluded.created
"""
_FORGET = (
    "DELETE FROM crawl_cookie WHERE run = ? AND jar = ? AND domain = ? AND path = ? "
    "AND name = ? AND host_only = ?"
)
_LOAD = (
    "SELECT jar, domain, path, name, host_only, value, secure, expires, created "
    "FROM crawl_cookie WHERE run = ?"
)


def keep(connection: sqlite3.Connection, run: int, cookies: Sequence[CookieRecord]) -> None:
    """Write down cookies that are new or have changed; those that are gone are forgotten."""
    if not cookies:
        return
    connection.executemany(_SAVE, [(run, *cookie) for cookie in cookies if cookie.expires != 0])
    gone = [(run, *cookie[:5]) for cookie in cookies if cookie.expires == 0]
    connection.executemany(_FORGET, gone)


def load(connection: sqlite3.Connection, run: int) -> list[CookieRecord]:
    """Return the cookies of a run."""
    return [
        CookieRecord(jar, domain, path, name, bool(host_only), value, bool(secure), *times)
        for jar, domain, path, name, host_only, value, secure, *times in connection.execute(
            _LOAD, (run,)
        )
    ]


def forget(connection: sqlite3.Connection, run: int) -> None:
    """Forget the cookies of a run that nobody will go on with: they may be keys to an account."""
    connection.execute("DELETE FROM crawl_cookie WHERE run = ?", (run,))
