"""A crawl file, opened to be read: while the crawl goes on, and never changed by it."""

import sqlite3
from pathlib import Path

from storage.errors import RunMismatch, StoreError
from storage.health import damaged


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that can only read the crawl file; the caller closes it.

    Writers are not held up, nor waited for. Raises `RunMismatch` when there is no such file or
    it is not a crawl's, `StoreError` when it cannot be read.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise RunMismatch(f"{path} {what}: run the spider first, or name its file with --db")
    connection = None
    try:
        # as_uri quotes what means something in a URI: ?, # and %.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10.0
        )
        _confine(connection, path)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise explain_read_error(error, path) from error
        raise
    return connection


def explain_read_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the one-line error for what SQLite said while the file was being read."""
    text = str(error)
    if "not a database" in text:
        return RunMismatch(f"{path} is not an SQLite file: name the crawl's file with --db")
    if "malformed" in text:
        return StoreError(damaged(path, text))
    return StoreError(f"{path} cannot be read ({text}): check its permissions, or try again")


def _confine(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA query_only = ON")
    # Whoever made the file may have put functions into its views.
    connection.execute("PRAGMA trusted_schema = OFF")
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE name IN ('crawl_run', 'crawl_table')"
        )
    }
    if len(tables) < 2:
        raise RunMismatch(
            f"{path} is an SQLite file, but not a crawl's: name the crawl's file with --db"
        )
