"""The pool of child processes that do the spider's part of the visits.

The network, the file and every decision about hosts stay with this process, the owner. A page is
given to the child that has the fewest. When a child dies or hangs, another takes its place; its
pages, which are still here, are suspect, and each is tried once more alone, in a ward of its own.
So a page that kills its process pays for itself only.
"""

import asyncio
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from crawler import log_transfer
from crawler.address import address_of
from crawler.backoff import backoff_delay
from crawler.callbacks import is_of_user_code, name_of, trace_of
from crawler.channel import Message, packed
from crawler.children import Child, ChildLost
from crawler.ending import end
from crawler.errors import CrawlerError
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.messages import (
    Say,
    Start,
    Work,
    fill,
    plain_request,
    plain_response,
    portable,
    request_of,
    work_of,
)
from crawler.middleware import Handler
from crawler.places import KEPT, Place
from crawler.response import Response
from crawler.settings import Settings
from crawler.spider import Failure, Spider
from crawler.trial import TRIAL
from crawler.url import redact
from storage.clock import steady_time
from storage.records import NewRequest, QueuedRequest, Table, Visit

log = get_logger("crawler.pool")

# A child that dies before it has loaded the spider is started again so often, after a while that
# doubles (seconds).
_STARTS = 5
_PAUSE = 0.1
# What children get to end when they are told to (seconds).
_TO_LEAVE = 5.0
# What a middleware gets that a callback's own fetch goes through (seconds).
_LAST_WORDS = 1.0


class _Crew:
    """Children that do the same work, each with the task that keeps it."""

    def __init__(self) -> None:
        self.children: dict[Child, asyncio.Task[None] | None] = {}
        self._arrived = asyncio.Event()

    def join(self, child: Child) -> None:
        """Take in a child that is ready, kept by the task that calls."""
        self.children[child] = asyncio.current_task()
        self._arrived.set()

    async def least_busy(self) -> Child:
        """Return the child with the fewest pages, and no silent one; wait until there is one."""
        while not self.children:
            self._arrived.clear()
            await self._arrived.wait()
        return min(self.children, key=lambda child: child.claim)


class Pool:
    """A `Parser` whose pages are parsed in child processes. Entered while the run lasts.

    `fetch` serves what callbacks ask for by `Spider.fetch`.
    """

    def __init__(
        self,
        spider: type[Spider],
        arguments: dict[str, str],
        settings: Settings,
        discovery: Discovery,
        fetch: Handler,
    ) -> None:
        self._settings = settings
        self._discovery = discovery
        self._fetch = fetch
        self._start = Start(
            address_of(spider), sys.path[:], sys.argv[:], settings, arguments, log_transfer.levels()
        )
        self._crew, self._ward = _Crew(), _Crew()
        self._alone = asyncio.Lock()  # of who is in the ward
        self._suspects: set[int] = set()  # rows that were with a child that was lost
        self._tables: dict[Table, Table] = {}
        self._fetches: dict[tuple[Child, int], asyncio.Task[None]] = {}
        self._keepers = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._ward_is_kept = False
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._keepers.__aenter__()
        for _ in range(self._settings.processes):
            self._keep(self._crew)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        try:
            if kind is None:
                await self._dismiss()
        finally:
            for task in self._tasks:
                task.cancel()
            TRIAL.end()  # a middleware may have parsed something
            await end(list(self._fetches.values()), within=_LAST_WORDS)
            await self._keepers.__aexit__(kind, error, trace)

    async def _dismiss(self) -> None:
        """Let the children end by themselves, and wait for that a while."""
        leaving = {**self._crew.children, **self._ward.children}
        for child in leaving:
            child.dismiss()
        if tasks := [task for task in leaving.values() if task is not None]:
            await asyncio.wait(tasks, timeout=_TO_LEAVE)

    # ── pages ───────────────────────────────────────────────────────────────────────────

    async def parse(self, outcome: Response | Failure, row: QueuedRequest, visit: Visit) -> None:
        """See `Parser`."""
        if isinstance(outcome, Failure) and outcome.request.errback is None:
            return
        try:
            work = work_of(outcome, row)
        except Exception as error:  # noqa: BLE001 (of what a middleware left in `meta`)
            visit.state, visit.reason, visit.error = "failed", "middleware_error", trace_of(error)
            log.error("middleware_error", url=redact(row.url), error=name_of(error))
            return
        lost = None
        if row.id not in self._suspects:
            lost = await self._try(self._crew, work, outcome, visit)
            if lost is None:
                return
            self._suspects.add(row.id)
        if not self._ward_is_kept:
            self._keep(self._ward)
            self._ward_is_kept = True
        async with self._alone:
            lost = await self._try(self._ward, work, outcome, visit)
        if lost is not None:
            self._blame(lost, row, visit)
        if visit.state != "queued":
            self._suspects.discard(row.id)

    async def _try(
        self, crew: _Crew, work: Work, outcome: Response | Failure, visit: Visit
    ) -> ChildLost | None:
        """Have a child of the crew do its part; return how it was lost, if it was."""
        child = await crew.least_busy()
        try:
            done = await child.parse(work, self._discovery.scope)
        except ChildLost as lost:
            return lost
        outcome.request.phases.parse = fill(visit, done, self._tables)
        return None

    def _blame(self, lost: ChildLost, row: QueuedRequest, visit: Visit) -> None:
        """The page was alone with the child that was lost."""
        visit.state, visit.reason, visit.error = "failed", lost.reason, str(lost)
        if lost.reason == "crashed" and row.attempts < self._settings.retries:
            visit.state = "queued"
            delay = backoff_delay(row.attempts + 1, base=self._settings.backoff)
            visit.not_before = steady_time() + delay
        else:
            log.error(lost.reason, url=redact(row.url), error=str(lost))

    def stored(self, records: Iterable[NewRequest]) -> None:
        """See `Parser`."""
        fingerprints = list(self._discovery.lasting(records))
        for child in (*self._crew.children, *self._ward.children):
            child.stored(fingerprints)

    # ── children ────────────────────────────────────────────────────────────────────────

    def _keep(self, crew: _Crew) -> None:
        self._tasks.append(self._keepers.create_task(self._keep_one(crew), name="keeper"))

    async def _keep_one(self, crew: _Crew) -> None:
        """See to it that there is a child, until the pool is closed.

        Raises `SpiderError` when the spider cannot be loaded there, `CrawlerError` when no child
        lives to tell.
        """
        failed = 0
        while not self._closed:
            child = await Child.start(self._start, self._asked)
            try:
                lost = await child.arrive()
                failed += 1
                if lost is None:
                    failed = 0
                    crew.join(child)
                    lost = await child.last(self._settings.hang_timeout)
            finally:
                crew.children.pop(child, None)
                child.end()
                self._forget_fetches(child)
            if self._closed:
                return
            log.warning(
                "child_lost", pid=child.pid, reason=lost.reason, pages=child.load, error=str(lost)
            )
            child.lose(lost)
            if failed == _STARTS:
                raise CrawlerError(f"no child process comes to load the spider: {lost}")
            if failed:
                await asyncio.sleep(_PAUSE * 2**failed)

    # ── what callbacks fetch ────────────────────────────────────────────────────────────

    def _asked(self, child: Child, message: Message, kept: Place | None) -> None:
        if message[0] == Say.FETCH and not self._closed:
            _, number, _, asked = message
            task = asyncio.create_task(self._answer(child, number, asked, kept), name="fetch")
            self._fetches[child, number] = task
        elif (known := self._fetches.get((child, message[1]))) is not None:
            known.cancel()

    async def _answer(self, child: Child, number: int, asked: Message, kept: Place | None) -> None:
        KEPT.set(kept)
        request = request_of(asked)
        try:
            response = await self._fetch(request)
            told = plain_request(response.request), plain_response(response)
            child.answer(packed((Say.ANSWER, number, None, *told)), response.body)
        except BaseException as error:
            if not is_of_user_code(error):
                raise
            child.answer(packed((Say.ANSWER, number, portable(error), None, None)), b"")
        finally:
            self._fetches.pop((child, number), None)

    def _forget_fetches(self, child: Child) -> None:
        for (whose, _), task in self._fetches.items():
            if whose is child:
                task.cancel()
