"""The proof: crawls that are killed again and again, and must end as if nothing had happened.

Each round has a site of its own, in a process of its own. A crawl of it runs in a forked child
(so that a start costs milliseconds), which is killed with SIGKILL at a random moment or at a
failpoint; then another child goes on with the same file, until one of them finishes. In some rounds
each may take a part of the pages only, and ends at that limit, if it is not killed before.

With `processes`, a crawl has child processes of its own. Some of them are killed meanwhile, which
the crawl survives; and when the crawl is killed, none of them may be left.
"""

import asyncio
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from crawler.engine import Crawl
from crawler.selftest.killing import Killing, signals_as_usual, signals_held_back
from crawler.selftest.site import SiteServer
from crawler.selftest.spec import SiteSpec
from crawler.selftest.verdict import Verdict, judge
from crawler.selftest.victim import FAILPOINTS, Failpoint, Victim, killing
from storage.sqlite import SqliteStore

CONCURRENCY = 16
# Half of the kills come at a random moment, the others at a failpoint.
WAYS = ("random",) * len(FAILPOINTS) + FAILPOINTS
_KILLS_A_ROUND = 12
# Every so many rounds, one with a delay between contacts: fewer pages, as it takes longer.
_POLITE_EVERY, _POLITE_PAGES, _DELAY = 5, 20, 0.1
# And one in which every command may take no more than a part of the pages.
_LIMITED_EVERY, _PARTS = 3, 4
# Random moments are spread over so many seconds; children take a while to arrive.
_SPAN, _SPAN_WITH_CHILDREN = 0.3, 1.0
# How the process of a crawl ends that came to an end of some kind.
_STATUS = {"finished": 0, "limit": 3}
# And children are killed so often during one crawl, at random moments, but at most.
_CHILD_KILLS = 2


@dataclass(frozen=True, slots=True)
class Round:
    """One site, crawled to its end through several kills."""

    number: int
    seed: int
    kills: Counter[str]  # how it was killed -> how often
    verdict: Verdict
    seconds: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What the commands of a round have in common."""

    processes: int = 1
    delay: float = 0.0  # seconds between contacts
    max_pages: int | None = None  # of each command


def prove(
    kills: int,
    pages: int,
    seed: int,
    *,
    processes: int = 1,
    store: type[SqliteStore] = SqliteStore,
    ways: Sequence[str] = WAYS,
    report: Callable[[Round], None] | None = None,
) -> list[Round]:
    """Return the rounds that it took to kill that many crawls of sites with that many pages.

    The same `seed` gives the same sites and the same plan of kills, each done in one of `ways`.
    Each crawl has so many `processes`; with more than one, children are killed, too.
    `store` is there so that tests can show the proof failing.
    """
    rounds: list[Round] = []
    killed = 0
    while killed < kills:
        number = len(rounds) + 1
        polite = number % _POLITE_EVERY == 0
        spec = SiteSpec(seed=seed + number, pages=min(pages, _POLITE_PAGES) if polite else pages)
        most = min(_KILLS_A_ROUND, kills - killed)
        terms = Terms(
            processes,
            delay=_DELAY if polite else 0.0,
            max_pages=None if number % _LIMITED_EVERY else max(1, pages // _PARTS),
        )
        done = _round(number, spec, most, terms, store, ways)
        killed += done.kills.total()
        rounds.append(done)
        if report is not None:
            report(done)
    return rounds


def _round(
    number: int,
    spec: SiteSpec,
    kills: int,
    terms: Terms,
    store: type[SqliteStore],
    ways: Sequence[str],
) -> Round:
    dice = random.Random(spec.seed)  # noqa: S311
    started = time.monotonic()
    died: Counter[str] = Counter()
    with (
        signals_held_back(),
        TemporaryDirectory(prefix="crawler-selftest-") as folder,
        _served(spec) as site,
    ):
        database = Path(folder) / "victim.db"
        span = _SPAN if terms.processes == 1 else _SPAN_WITH_CHILDREN
        finished = False
        while not finished:
            plan = dice.choice(ways) if died.total() < kills else "none"
            # Mostly early passes: a crawl whose commits are large has few of them.
            failpoint = Failpoint(plan, dice.randint(1, dice.choice((3, 8, 24))))
            moment = dice.random() * span if plan == "random" else None
            of_children = None
            if terms.processes > 1:
                of_children = [dice.random() * span for _ in range(dice.randint(0, _CHILD_KILLS))]
            crawl = _begin(site.url, database, terms, killing(store, failpoint))
            kill = Killing(crawl, moment, of_children)
            alive = _has_ended(kill.await_exit(), site.url, terms)
            if kill.children_killed:
                died["child"] += kill.children_killed
            # A limit may have ended it; and killed after the very last commit, it is over as well.
            finished = _is_finished(database)
            if not alive:
                died[plan] += 1
        hits, arrivals = site.counts()
        verdict = judge(
            database,
            spec,
            hits,
            arrivals,
            kills=died.total(),
            concurrency=CONCURRENCY,
            delay=terms.delay,
        )
    return Round(number, spec.seed, died, verdict, time.monotonic() - started)


def _is_finished(database: Path) -> bool:
    if not database.exists():
        return False
    # Killed as it was made, the file has a journal to be rolled back, which a reader may not do.
    with closing(sqlite3.connect(database)) as connection:
        if not connection.execute("PRAGMA application_id").fetchone()[0]:
            return False  # killed before its tables were made
        row = connection.execute("SELECT finish FROM crawl_run").fetchone()
        return row is not None and row[0] == "finished"


# ── the crawl, in a child ───────────────────────────────────────────────────────────────────


def _begin(
    url: str,
    database: Path,
    terms: Terms,
    store: Callable[[Path], SqliteStore],
) -> int:
    """Return the number of a process that crawls."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be_the_child(url, database, terms, store)
    return child


def _has_ended(status: int, url: str, terms: Terms) -> bool:
    """Return whether a crawl came to its end, or its limit; False when it was killed.

    Raises `RuntimeError` when it failed.
    """
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    limited = terms.max_pages is not None and os.waitstatus_to_exitcode(status) == _STATUS["limit"]
    if status and not limited:
        raise RuntimeError(f"the crawl of {url} failed (wait status {status})")
    return True


def _be_the_child(
    url: str,
    database: Path,
    terms: Terms,
    store: Callable[[Path], SqliteStore],
) -> None:
    code = 1
    try:
        signals_as_usual()
        crawl = Crawl(
            Victim,
            db=database,
            arguments={"url": url},
            overrides={
                "backoff": 0.01,
                "retries": 20,
                "delay": terms.delay,
                "max_pages": terms.max_pages,
                "concurrency": CONCURRENCY,
                "concurrency_per_host": CONCURRENCY,
                "processes": terms.processes,
            },
            store=store,
        )
        summary = asyncio.run(crawl.run())
        code = _STATUS.get(summary.finish, 1)
    finally:
        os._exit(code)  # never back into the parent's code


# ── the site, in another ────────────────────────────────────────────────────────────────────


class _Site:
    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def counts(self) -> tuple[Counter[str], list[float]]:
        """Return requests by path, and when each came."""
        self._pipe.send("counts")
        hits, arrivals = self._pipe.recv()
        return Counter(hits), arrivals


@contextmanager
def _served(spec: SiteSpec) -> Iterator[_Site]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(spec, here, there), daemon=True
    )
    process.start()
    try:
        yield _Site(here.recv(), here)
    finally:
        process.kill()  # it holds signals back, as we do
        process.join()


def _serve(spec: SiteSpec, other_end: Connection, pipe: Connection) -> None:
    other_end.close()  # so that it ends with the process that asks, and we hear of it
    asyncio.run(_serve_to_the_end(spec, pipe))


async def _serve_to_the_end(spec: SiteSpec, pipe: Connection) -> None:
    async with SiteServer(spec) as server:

        def answer() -> None:
            try:
                pipe.recv()
                pipe.send((dict(server.hits), [moment for moment, _ in server.arrivals]))
            except (EOFError, OSError):
                os._exit(1)  # nobody is there any more

        asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
        with suppress(OSError):
            pipe.send(server.url)
        await asyncio.Event().wait()
