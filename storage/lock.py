"""One writer per file: a lock beside it that names the process which holds it."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from storage.errors import StoreError


def holder(database: Path) -> int | None:
    """Return the process that writes the file now, or None.

    Only the kernel knows: who is named in a lock file may have died with it, and then another
    process may have the number.
    """
    try:
        fd = os.open(_lock_path(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go as the file is closed
    except BlockingIOError:
        named = _read(fd).partition("\n")[0]
        return int(named) if named.isdecimal() else None
    finally:
        os.close(fd)
    return None


def _real(database: Path) -> Path:
    # Two names of one file are one lock: SQLite follows links too.
    return Path(os.path.realpath(database))


def _lock_path(database: Path) -> Path:
    database = _real(database)
    return database.with_name(database.name + ".lock")


# Another one after each start of the machine.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Seconds before each try for a lock that is taken.
_PAUSES = (0.0, 0.01, 0.1)


class FileLock:
    """Holds `PATH.lock` for this process, until `release` or the end of the process.

    The kernel drops the lock with the process, however it dies, so a lock file that a crash
    left behind stops nobody.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._file = _real(database)  # wherever the process goes to meanwhile
        self._path = _lock_path(database)
        self._fd: int | None = None
        self._left = ""  # what was in a lock file that a crash left behind

    def acquire(self) -> None:
        """Take the lock; raises `StoreError` naming the holder's pid when somebody has it."""
        while self._fd is None:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _take(fd):
                holder = _read(fd).partition("\n")[0] or "unknown"
                os.close(fd)
                raise StoreError(
                    f"{self._database} is in use by another run (process {holder}): "
                    "wait for it, stop it, or choose another --db"
                )
            # The last holder removes the file as it lets go; a lock on a removed file is void.
            if self._still_there(fd):
                self._fd = fd
            else:
                os.close(fd)
        try:
            self._left = _read(self._fd)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            self.release()  # the disk is full, say: nobody shall be kept out by a failure
            raise

    def keep(self) -> None:
        """Take the lock again when its file was removed: whoever comes now would not see it.

        Raises `StoreError` when somebody has come already.
        """
        if self._fd is not None and not self._still_there(self._fd):
            os.close(self._fd)
            self._fd = None
            self.acquire()
            self.vouch()

    def vouch(self) -> None:
        """Note beside the pid that the file was found whole.

        A process may die at any time without harm to it, as long as the machine does not: what it
        wrote is with the kernel.
        """
        if self._fd is not None and (mark := self._mark()):
            os.pwrite(self._fd, f"{os.getpid()}\n{mark}\n".encode(), 0)

    @property
    def is_vouched(self) -> bool:
        """Whether a process that crashed vouched for this very file, and the machine still runs."""
        mark = self._mark()
        return bool(mark) and self._left.partition("\n")[2].strip() == mark

    def _mark(self) -> str:
        try:
            file = self._file.stat()
            return f"{_BOOT.read_text().strip()} {file.st_dev} {file.st_ino}"
        except OSError:
            return ""  # no Linux: then nobody can tell

    def release(self) -> None:
        """Let go; does nothing when the lock is not held."""
        if self._fd is not None:
            if self._still_there(self._fd):  # else it is somebody else's
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


def _take(fd: int) -> bool:
    """Take the lock, unless another run has it; who only looks for its `holder` lets go at once."""
    for pause in _PAUSES:
        time.sleep(pause)
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _read(fd: int) -> str:
    return os.pread(fd, 256, 0).decode(errors="replace").strip()
