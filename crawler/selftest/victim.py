"""The crawl that is killed: a spider for the synthetic site, and a store that dies on cue."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawler.item import Item
from crawler.request import Request
from crawler.response import Response
from crawler.spider import Spider
from storage.records import Committed, CookieRecord, HostRecord, Run, Visit
from storage.sqlite import SqliteStore

# Where a crawl may be killed, beside any moment at all.
FAILPOINTS = (
    "during_schema",
    "before_begin",
    "after_items",
    "before_commit",
    "after_commit",
    "during_checkpoint",
    "before_the_end",
)


_LAST_WORD = "UPDATE crawl_run SET finish = '"  # as SQLite tells it, with its value


class Found(Item):
    """What each page of the synthetic site holds a few of."""

    key: str
    hash: str


class Victim(Spider):
    """Keeps every item and follows every link."""

    name = "victim"
    allowed_domains = ("127.0.0.1",)
    url = ""

    async def start(self) -> Any:
        """Begin at the first page."""
        yield Request(f"{self.url}p/0")

    def parse(self, response: Response) -> Any:
        """Take the items and the links."""
        for element in response.css("li.item"):
            yield Found(key=element.attrib["data-key"], hash=element.attrib["data-hash"])
        yield from response.follow_all("a")


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class Failpoint:
    """Calls `act` when the named point of the commit path is passed for the n-th time."""

    name: str
    nth: int
    act: Callable[[], None] = die
    passed: int = 0
    _after_items: bool = False

    def reach(self, name: str) -> None:
        """Count a point that is being passed."""
        if name == self.name:
            self.passed += 1
            if self.passed == self.nth or name == "before_the_end":  # there is one
                self.act()

    def trace(self, statement: str) -> None:
        """See a statement that SQLite is about to run."""
        if self._after_items and not statement.startswith('INSERT INTO "'):
            self._after_items = False
            self.reach("after_items")
        if statement.startswith('INSERT INTO "'):
            self._after_items = True
        elif statement.startswith("BEGIN"):
            self.reach("before_begin")
        elif statement.startswith("COMMIT"):
            self.reach("before_commit")
        elif statement.startswith(_LAST_WORD):
            self.reach("before_the_end")
        elif statement.startswith("CREATE"):
            self.reach("during_schema")


def killing(store: type[SqliteStore], failpoint: Failpoint) -> Callable[[Path], SqliteStore]:
    """Return a factory of stores of that kind that pass the failpoint."""

    class Killing(store):  # type: ignore[misc, valid-type]
        def _connect(self) -> sqlite3.Connection:
            connection: sqlite3.Connection = super()._connect()
            connection.set_trace_callback(failpoint.trace)
            return connection

        async def commit(
            self,
            run: Run,
            visits: Sequence[Visit],
            hosts: Iterable[HostRecord] = (),
            cookies: Sequence[CookieRecord] = (),
        ) -> Committed:
            committed: Committed = await super().commit(run, visits, hosts, cookies)
            failpoint.reach("after_commit")
            if failpoint.name == "during_checkpoint":
                await self._run(lambda connection: _checkpoint(connection, failpoint))
            return committed

    return Killing


def _checkpoint(connection: sqlite3.Connection, failpoint: Failpoint) -> None:
    """Write the log back into the file, with the point being passed somewhere meanwhile."""

    def reach_soon() -> None:
        time.sleep(random.random() * 0.001)  # noqa: S311
        failpoint.reach("during_checkpoint")

    thread = threading.Thread(target=reach_soon)
    thread.start()
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    thread.join()
