"""Which file, and which run in it, a command is about."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from crawler.errors import SpiderError
from crawler.loading import source_of
from storage.errors import RunMismatch
from storage.reader import explain_read_error, open_reader
from storage.report import last_run


class CrawlFile(NamedTuple):
    """A crawl's file, opened to be read."""

    path: Path
    spider: str
    connection: sqlite3.Connection

    def run(self, wanted: int | None = None) -> int:
        """Return the wanted run, or the spider's last one. Raises `RunMismatch` if none."""
        if wanted is not None:
            return wanted
        try:
            return last_run(self.connection, self.spider)
        except RunMismatch:
            spiders = [
                str(name) for (name,) in self.connection.execute("SELECT spider FROM crawl_run")
            ]
            # data/demo.db holds a spider of another name: the file was asked for, so it counts.
            if self.path.stem == self.spider and len(set(spiders)) == 1:
                return last_run(self.connection)
            known = f"; it has runs of {', '.join(sorted(set(spiders)))}" if spiders else ""
            raise RunMismatch(f"no run of {self.spider} in {self.path} yet{known}") from None


@contextmanager
def crawl_file(name: str, db: Path | None) -> Iterator[CrawlFile]:
    """Give the file of the spider that `name` says, or `db`.

    Raises `SpiderError` for an unknown spider without a file, `RunMismatch` for no file, and
    `StoreError` when the file cannot be read.
    """
    if db is None and name.endswith(".db") and Path(name).is_file():
        db, name = Path(name), Path(name).stem  # the file itself is named
    spider = _spider_name(name, db)
    path = db if db is not None else Path("data") / f"{spider}.db"
    connection = open_reader(path)
    try:
        yield CrawlFile(path, spider, connection)
    except sqlite3.Error as error:
        raise explain_read_error(error, path) from error
    finally:
        connection.close()


def _spider_name(name: str, db: Path | None) -> str:
    is_path = name.endswith(".py") or ".py:" in name or "/" in name
    if not is_path and (db is not None or (Path("data") / f"{name}.db").is_file()):
        return name
    try:
        return source_of(name).name
    except SpiderError as error:
        if is_path or db is not None:
            raise
        if name.endswith(".db"):
            raise SpiderError(f"there is no file {name}, and no spider of that name") from None
        raise SpiderError(f"{error}; and there is no file data/{name}.db") from None
