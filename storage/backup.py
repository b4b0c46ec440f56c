"""A consistent copy of a crawl file, also while the crawl runs."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from storage.errors import RunMismatch, StoreError
from storage.reader import explain_read_error, open_reader

# Steps of SQLite's virtual machine between two looks for Ctrl-C: some ten milliseconds.
_STEPS = 100_000
# What SQLite says of the file that it writes: the other one is only read.
_OF_TARGET = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)


def backup(database: Path, target: Path) -> int:
    """Copy `database` to the new file `target` as it is at one moment; return its bytes.

    SQLite reads it in one transaction, so that a crawl which goes on writing neither waits nor
    shows in half. The copy is compact, and appears under its name only when it is complete.
    Raises `RunMismatch` when `target` is there already, or nowhere; `StoreError` when it cannot
    be read or written.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        if target.exists():
            raise FileExistsError
        if not target.resolve().parent.is_dir():
            raise RunMismatch(f"cannot write {target}: there is no such directory")
        with closing(open_reader(database)) as connection:
            part.unlink(missing_ok=True)
            part.touch(exist_ok=False)  # the system says better than SQLite why it cannot be
            connection.execute("PRAGMA query_only = OFF")  # it is about to write: elsewhere
            connection.set_progress_handler(lambda: 0, _STEPS)
            connection.execute("VACUUM INTO ?", (str(part),))
        os.link(part, target)  # fails, unlike a rename, if somebody made it meanwhile
        return target.stat().st_size
    except FileExistsError as error:
        raise RunMismatch(f"{target} is there already: a backup overwrites nothing") from error
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if getattr(error, "sqlite_errorcode", 0) in _OF_TARGET:
            raise StoreError(f"cannot write {target}: {error}") from error
        raise explain_read_error(error, database) from error
    finally:
        with suppress(OSError):  # what was in the way before this is what counts
            part.unlink(missing_ok=True)
