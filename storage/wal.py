"""The write-ahead log beside a crawl's file: whose it is, and how long it gets."""

import logging
import os
import sqlite3
from pathlib import Path

from storage.errors import StoreError

log = logging.getLogger("crawler.storage")

# Pages of log (of 4 KiB) after which it is written back, at most. A new request changes some page
# of the index of identities, at random, and each checkpoint writes all that were changed; commits
# wait for it, and soon the crawl does. With a million requests known the default of 1,000 halves
# the speed, 4,096 take a quarter of it, 16,384 take 6 %, and beyond 32,768 (129 MiB) next to
# nothing is gained.
LONGEST = 32_768
# Of a small file the pages are soon all in it, several times: then to write it back is little, and
# at the end, where everybody waits for that, as little is left. To remove the log then took 1.4 ms
# for each MiB on a file system that tells its disk what is free.
_SHORTEST, _TIMES_THE_FILE = 512, 4
# A log of so many bytes, and of twice as many each time, is worth a line in the crawl's own.
_HELD_UP = 1 << 29
# The byte of a file's header that says how it is read, and that it is without a log.
_HEADER, _NO_LOG = 20, 1


class WriteAheadLog:
    """The log of an open crawl file, kept in proportion to it; for the database thread."""

    def __init__(self, path: Path, place: Path) -> None:
        """`path` is what the file is called, `place` where it is."""
        self._path = path
        self._file = log_of(place)
        self._bound = LONGEST
        self._held_up = _HELD_UP

    def look(self, connection: sqlite3.Connection) -> None:
        """Bound it by what the file has become, and see whether it grows all the same."""
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        bound = min(max(_SHORTEST, _TIMES_THE_FILE * pages), LONGEST)
        if bound != self._bound:
            self._bound = bound
            connection.execute(f"PRAGMA wal_autocheckpoint = {bound}").fetchall()
        self._see_to_growth()

    def _see_to_growth(self) -> None:
        """Say so when it grows and grows: somebody's transaction still reads what was before.

        Until it ends SQLite cannot write the log back into the file, and begin it again.
        """
        try:
            size = self._file.stat().st_size
        except OSError:
            return
        if size >= self._held_up:
            self._held_up = 2 * size
            log.warning(
                "log_held_up",
                extra={
                    "file": str(self._path),
                    "log_mib": size >> 20,
                    "hint": "another program reads the file in one long transaction: end it",
                },
            )


def log_of(path: Path) -> Path:
    """Return where SQLite keeps the log of a file: it follows links."""
    return Path(f"{os.path.realpath(path)}-wal")


def check_log(path: Path) -> None:
    """Raise `StoreError` when the log beside a file is that of another, which was there before.

    SQLite would take what is in it for the file's own. A file that has a log says so in its header
    (https://sqlite.org/fileformat.html, 1.3.3); a copy by `crawler backup` says that it has none.
    """
    file = log_of(path)
    try:
        if not file.stat().st_size:
            return
        with path.open("rb") as whole:
            header = whole.read(_HEADER)
    except OSError:
        return  # there is none; or SQLite says better what is wrong
    if len(header) == _HEADER and header[-1] == _NO_LOG:
        raise StoreError(
            f"{file.name}, beside {path}, is of another file that was there before: remove it, and "
            f"{file.name.removesuffix('wal')}shm, or it would damage this one"
        )
