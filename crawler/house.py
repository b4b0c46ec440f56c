"""The house: the coroutines of one run, and the only place that knows all of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING

from pydantic import BaseModel

from crawler.backlog import Backlog
from crawler.committer import Committer
from crawler.contact import Contact, Courtesy
from crawler.cookies import Cookies
from crawler.door import Door
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.lanes import Job
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.middleware.retry import retry
from crawler.middleware.timing import timing
from crawler.parsing import OwnParser, Parser
from crawler.passage import Passage
from crawler.progress import Progress
from crawler.request import Request
from crawler.response import Response
from crawler.rulebook import Rulebook
from crawler.scheduler import Scheduler
from crawler.seeding import Seeder
from crawler.settings import Settings
from crawler.spider import Spider, bound_middleware
from crawler.staff import Staff
from crawler.throttle import Throttle
from crawler.worker import Worker
from storage import Store
from storage.records import Committed, Finish, Run, Visit

if TYPE_CHECKING:
    from crawler.pool import Pool

log = get_logger("crawler.house")


@dataclass(slots=True)
class Stop:
    """Somebody's wish that a run ends, and how it then counts as ended."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    finish: Finish = "finished"

    def ask(self, finish: Finish) -> None:
        """Ask for the end; the first to ask says why."""
        if not self.asked.is_set():
            self.finish = finish
            self.asked.set()


class House:
    """The coroutines of one run, built on the floors below and joined together."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        run: Run,
        spider: Spider,
        models: Mapping[str, type[BaseModel]],
        fetcher: Fetcher,
        guard: Guard,
        throttle: Throttle,
        cookies: Cookies,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self._settings = settings
        self._throttle = throttle
        self._progress = progress
        self._stop = stop
        self._max_items = _total(settings.max_items, run.base_items)
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=settings.concurrency)
        self._discovery = Discovery(settings)
        passage = Passage(fetcher, asyncio.Semaphore(settings.concurrency))

        async def ask(
            request: Request, /, *, first: int | None, max_redirects: int | None
        ) -> Response:
            with Contact(courtesy, of_rules=True) as contact:
                return await passage.fetch(
                    request, contact, first=first, max_redirects=max_redirects
                )

        rulebook = Rulebook(ask, settings.agent, retries=settings.retries, backoff=settings.backoff)
        self._scheduler = Scheduler(
            store,
            run,
            self._jobs,
            throttle,
            rulebook,
            concurrency=settings.concurrency,
            max_pages=_total(settings.max_pages, run.base_pages),
            max_pages_per_host=settings.max_pages_per_host,
        )
        self._seeder = Seeder(
            store, run, spider, guard, self._discovery, self._scheduler, rulebook, progress, cookies
        )
        courtesy = Courtesy(self._scheduler, throttle, rulebook, self._discovery, fetcher.places)
        door = Door(
            passage,
            courtesy,
            bound_middleware(spider),
            partial(store.stands, run),
            own=[timing, retry(settings)],
        )
        spider._fetch = door.fetch_now
        self._backlog = Backlog()
        self._parser: Parser = OwnParser(spider, self._discovery, settings, self._backlog)
        if settings.processes > 1:
            # With all that it takes to have children: most crawls need not wait for that.
            pool: type[Pool] = import_module("crawler.pool").Pool
            self._parser = pool(
                type(spider), run.arguments, settings, self._discovery, door.fetch_now
            )
        self._worker = Worker(spider, door.fetch, courtesy, self._parser, models, self._backlog)
        self._committer = Committer(
            store,
            run,
            self._committed,
            self._scheduler.memory.take_news,
            cookies.take_news,
            size=settings.concurrency,
            revise=self._seeder.revise,
        )

    async def run(self) -> None:
        """Run every coroutine until the frontier is drained or the run is stopped.

        A failure of any of them cancels the rest; what was committed stays.
        """
        await self._seeder.remember()
        self._look_at_limits()  # a resumed run may have reached one
        visits = self._committer.inbox
        totals = self._progress.totals
        async with self._parser, Staff() as staff, asyncio.TaskGroup() as group:
            committer = group.create_task(self._committer.run(), name="committer")
            workers = [
                staff.hire(self._worker.work(self._jobs, visits), name=f"worker-{number}")
                for number in range(self._settings.concurrency)
            ]
            seeder = staff.hire(self._seeder.seed(), name="seeder")
            seeds = group.create_task(self._seeder.hand_on(), name="seeds")
            roll_call = group.create_task(staff.watch(), name="roll call")
            helpers = [
                group.create_task(self._watch_for_stop(), name="stop"),
                group.create_task(self._throttle.measure_lag(), name="lag"),
            ]
            await self._scheduler.run(visits, totals.pages)
            if not self._scheduler.drained:
                self._stop.ask("limit")  # hosts that were given up are left with their requests
            for helper in helpers:
                helper.cancel()
            await staff.dismiss([seeder])
            seeds.cancel()
            await self._dismiss(workers, staff)
            roll_call.cancel()
            await visits.put(None)
            await committer

    @property
    def drained(self) -> bool:
        """Whether everything is done that there was to do."""
        return self._scheduler.drained

    async def _watch_for_stop(self) -> None:
        """Stop the scheduler when somebody asks, or when the time is up."""
        try:
            async with asyncio.timeout(self._settings.max_seconds):
                await self._stop.asked.wait()
        except TimeoutError:
            self._stop.ask("limit")
        self._scheduler.stop()

    async def _dismiss(self, workers: "list[asyncio.Task[None]]", staff: Staff) -> None:
        """Send the workers home; when stopped, what is in flight gets `grace` seconds."""
        stopped = self._stop.asked.is_set()
        if stopped:
            while not self._jobs.empty():
                self._jobs.get_nowait()  # still `queued` in the file
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(self._send_home(len(workers)))
            _, late = await asyncio.wait(workers, timeout=self._settings.grace if stopped else None)
            sender.cancel()
            await staff.dismiss(late)

    async def _send_home(self, workers: int) -> None:
        for _ in range(workers):
            await self._jobs.put(None)

    def _committed(self, visits: Sequence[Visit], committed: Committed) -> None:
        """Tell everybody who waits for a commit, now that it has returned."""
        self._backlog.stored(visits)
        self._progress.committed(visits, committed)
        self._scheduler.committed(visits, committed)
        for request, error in committed.refused.items():
            log.error("item_error", request=request, error=error)
        undone = committed.dropped | committed.aliased | committed.refused.keys()
        whole = [visit.requests for visit in visits if visit.id not in undone]
        self._parser.stored(chain.from_iterable(whole))
        self._look_at_limits()

    def _look_at_limits(self) -> None:
        items = self._progress.totals.items
        if self._scheduler.reached_max_pages or (
            self._max_items is not None and items >= self._max_items
        ):
            self._stop.ask("limit")


def _total(limit: int | None, base: int) -> int | None:
    """Return the run's total at which a limit is reached, when `base` went to earlier ones."""
    return None if limit is None else base + limit
