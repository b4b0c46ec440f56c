"""One writer per file: a lock beside it that names the process which holds it."""

import fcntl
import os
from pathlib import Path

from storage.errors import StoreError


def holder(database: Path) -> int | None:
    """Return the process that writes the file now, or None."""
    try:
        pid = int(_lock_path(database).read_text().strip())
        os.kill(pid, 0)
    except PermissionError:
        return pid  # somebody else's, but alive
    except (OSError, ValueError):
        return None
    return pid


def _lock_path(database: Path) -> Path:
    # Two names of one file are one lock: SQLite follows links too.
    database = Path(os.path.realpath(database))
    return database.with_name(database.name + ".lock")


class FileLock:
    """Holds `PATH.lock` for this process, until `release` or the end of the process.

    The kernel drops the lock with the process, however it dies, so a lock file that a crash
    left behind stops nobody.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = _lock_path(database)
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises `StoreError` naming the holder's pid when somebody has it."""
        while self._fd is None:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(fd)
                raise StoreError(
                    f"{self._database} is in use by another run (process {holder}): "
                    "wait for it, stop it, or choose another --db"
                ) from None
            # The last holder removes the file as it lets go; a lock on a removed file is void.
            if self._still_there(fd):
                self._fd = fd
            else:
                os.close(fd)
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            self.release()  # the disk is full, say: nobody shall be kept out by a failure
            raise

    def release(self) -> None:
        """Let go; does nothing when the lock is not held."""
        if self._fd is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def _still_there(self, fd: int) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
