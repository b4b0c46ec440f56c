"""A crawl file, opened to be read: while the crawl goes on, and never changed by it."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from storage.errors import RunMismatch, StoreError
from storage.health import damaged
from storage.schema import check_own, refuse_newer
from storage.wal import check_log, log_of


class _Reader(sqlite3.Connection):
    """A connection that leaves no file behind when it is closed."""

    path: Path

    def close(self) -> None:
        """Close it; an empty log that is left beside the file goes away."""
        super().close()
        _take_log_away(self.path)


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that can only read the crawl file; the caller closes it.

    Writers are not held up, nor waited for. Raises `RunMismatch` when there is no such file or
    it is not a crawl's, or is one of a newer crawler; `StoreError` when it cannot be read.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise RunMismatch(f"{path} {what}: run the spider first, or name its file with --db")
    check_log(path)
    try:
        return _open(path, "mode=ro")
    except sqlite3.Error as error:
        log = log_of(path)
        if os.access(log.parent, os.W_OK):
            raise explain_read_error(error, path) from error
        if _size(log):
            raise StoreError(
                f"{path} cannot be read where it is: the last of it is in {log.name}, and its "
                "directory cannot be written, as SQLite needs for that: copy both elsewhere"
            ) from error
    # To read a file that has a log SQLite makes the log, and cannot. Without one the file is all
    # there is; that nobody writes meanwhile must be believed, for no lock is looked at.
    try:
        return _open(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise explain_read_error(error, path) from error


def _open(path: Path, how: str) -> sqlite3.Connection:
    # as_uri quotes what means something in a URI: ?, # and %.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        isolation_level=None,
        timeout=10.0,
        factory=_Reader,
    )
    connection.path = path
    try:
        _confine(connection, path)
    except BaseException:
        connection.close()
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
    refuse_newer(connection, str(path))
    check_own(connection, path, kinds=("view",))


def _take_log_away(path: Path) -> None:
    """Have SQLite remove an empty log, which it makes for a reader and leaves to a writer.

    The last connection to close does so, if it may write, under a lock that nobody else can have
    then: whoever has the file open, or opens it, keeps his log. One with pages in it, of a crawl
    that was cut short, stays for the crawl that goes on.
    """
    log = log_of(path)
    if not log.is_file() or _size(log):
        return
    with suppress(sqlite3.Error):
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=0.0)) as connection:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
