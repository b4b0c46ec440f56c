"""Whether a crawl file can be trusted: where it lies, and whether it is whole."""

import os
import sqlite3
from pathlib import Path

from storage.errors import RunMismatch, StoreError

# A write-ahead log needs shared memory between processes, which these do not have
# (https://sqlite.org/wal.html): two writers could corrupt the file without a word.
_NETWORK = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)
# Reading the whole of a larger file would delay every start, by 4 s for each GB: it is checked only
# after a crash, and of those only after one that may have been the machine's.
_SMALL = 64 * 1024 * 1024


def check_filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raise `RunMismatch` when `path` is on a network file system (known on Linux only)."""
    kind = filesystem_of(path, mounts)
    if kind in _NETWORK:
        raise RunMismatch(
            f"{path} is on a network file system ({kind}), where SQLite cannot keep it safe: "
            "choose a --db on a local disk"
        )


def filesystem_of(path: Path, mounts: Path) -> str | None:
    """Return the type of the file system that holds `path`, by the longest mount point."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    place = Path(os.path.realpath(path)).parent
    found: tuple[str, str | None] = ("", None)
    for line in lines:
        _, point, kind, *_ = line.split(" ", 3)
        point = point.replace("\\040", " ")
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def check_whole(connection: sqlite3.Connection, path: Path, *, is_vouched: bool = False) -> None:
    """Raise `StoreError` when the file is damaged, saying how to save what can be saved.

    `is_vouched` says that it was whole when the machine was last started, or after.
    """
    if path.stat().st_size > _SMALL:
        unfinished = "SELECT 1 FROM crawl_run WHERE finish IS NULL"
        if is_vouched or not connection.execute(unfinished).fetchone():
            return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(damaged(path, str(verdict)))


def damaged(path: Path, what: str) -> str:
    """Return the line that says so, and what to do about it."""
    what = " ".join(what.split())[:200]
    return (
        f"{path} is damaged ({what}): restore a backup, or save what can be read with "
        f"`sqlite3 {path} .recover | sqlite3 recovered.db`"
    )
