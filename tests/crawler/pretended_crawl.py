"""The scheduler between a real store and a real committer, with workers that only pretend."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crawler.committer import Committer
from crawler.contact import Contact, Courtesy
from crawler.lanes import FetchJob, Job, RefusedJob, RobotsJob
from crawler.links import Discovery
from crawler.places import Places
from crawler.request import Request
from crawler.response import Response
from crawler.rulebook import Rulebook
from crawler.scheduler import Scheduler
from crawler.settings import Settings
from crawler.throttle import HostGate, Throttle
from crawler.url import Scope, fingerprint
from storage.records import Committed, NewRequest, QueuedRequest, Run, Totals, Visit
from storage.sqlite import SqliteStore

# A test that waits for longer hangs: nothing here takes a second.
HANGS = 5.0

Outcome = Callable[[QueuedRequest], Awaitable[Visit]]


def page(host: str, number: int, **fields: Any) -> NewRequest:
    url = f"http://{host}/{number}"
    return NewRequest(fingerprint("GET", url), url, host, **fields)


def pages(host: str, how_many: int, **fields: Any) -> list[NewRequest]:
    return [page(host, number, **fields) for number in range(how_many)]


async def done(row: QueuedRequest) -> Visit:
    return Visit(row.id, row.host, "done", attempts=row.attempts + 1)


class Crawl:
    """A run without spider and network: `outcome` says what comes of each request."""

    def __init__(
        self,
        store: SqliteStore,
        run: Run,
        *,
        workers: int = 8,
        outcome: Outcome = done,
        robots: Callable[[Request], Awaitable[Response]] | None = None,
        max_pages: int | None = None,
        **given_settings: Any,
    ) -> None:
        self.settings = Settings(**{"robots": robots is not None, **given_settings})
        self.store, self.run = store, run
        self.throttle = Throttle(self.settings)
        self.jobs: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=workers)
        self.outcome = outcome
        self.robots_asked: list[str] = []
        self.contacts: list[tuple[str, float, int]] = []  # host, when, how many inside with it
        self.handed: list[QueuedRequest] = []  # in the order that workers took them
        self.inside: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()  # of the scheduler's statistics
        self.committed: list[Visit] = []

        async def fetch(request: Request, **limits: Any) -> Response:
            assert robots is not None
            with Contact(self.house, of_rules=True) as contact:
                await contact.enter(request.url)
                contact.begin()
                self.robots_asked.append(request.url)
                return await robots(request)

        self.rulebook = Rulebook(fetch, "crawler", retries=2, backoff=0.0)
        self.scheduler = Scheduler(
            store,
            run,
            self.jobs,
            self.throttle,
            self.rulebook,
            concurrency=workers,
            max_pages=max_pages,
        )
        self.committer = Committer(
            store, run, self._heard, self.scheduler.memory.take_news, list, size=workers
        )
        self.workers = workers
        self.house = self.courtesy()
        self._watch_contacts()

    def _heard(self, visits: Sequence[Visit], committed: Committed) -> None:
        self.committed += visits
        self.scheduler.committed(visits, committed)
        if self.scheduler.reached_max_pages:
            self.scheduler.stop()

    async def go(self, finished: int = 0) -> None:
        """Run until the scheduler has nothing more to hand out and all is committed."""
        async with asyncio.timeout(HANGS), asyncio.TaskGroup() as group:
            group.create_task(self.committer.run())
            workers = [group.create_task(self._work()) for _ in range(self.workers)]
            await self.scheduler.run(self.committer.inbox, finished)
            for _ in workers:
                await self.jobs.put(None)
            await asyncio.wait(workers)
            await self.committer.inbox.put(None)

    async def _work(self) -> None:
        while (job := await self.jobs.get()) is not None:
            for name, count in self.scheduler.statistics().items():
                self.peak[name] = max(self.peak[name], count)
            if isinstance(job, RobotsJob):
                await self._ask_robots(job)
            elif isinstance(job, RefusedJob):
                row, reason = job.row, job.reason
                visit = Visit(row.id, row.host, "failed", reason, attempts=row.attempts)
                await self.committer.inbox.put(visit)
            else:
                await self.committer.inbox.put(await self._visit(job))

    async def _ask_robots(self, job: RobotsJob) -> None:
        await self.house.learn(job.origin, job.lane.gate)
        self.scheduler.robots_learned(job.lane)

    async def _visit(self, job: FetchJob) -> Visit:
        self.handed.append(job.row)
        with Contact(self.house, job.gate, job.row.url) as contact:
            await contact.enter(job.row.url)
            contact.begin()
            return await self.outcome(job.row)

    def _watch_contacts(self) -> None:
        """Note every contact that is begun, with the time that the gate hears of."""
        begun, left = self.scheduler.begun, self.scheduler.left

        def note_begun(gate: HostGate, now: float) -> None:
            self.inside[gate.host] += 1
            self.contacts.append((gate.host, now, self.inside[gate.host]))
            begun(gate, now)

        def note_left(gate: HostGate, *, begun: bool = True) -> None:
            self.inside[gate.host] -= 1
            left(gate, begun=begun)

        self.scheduler.begun = note_begun  # type: ignore[method-assign]
        self.scheduler.left = note_left  # type: ignore[method-assign]

    def urls(self) -> list[str]:
        return [row.url for row in self.handed]

    def courtesy(self) -> Courtesy:
        discovery = Discovery(Settings())
        discovery.scope = Scope(["*"])
        return Courtesy(self.scheduler, self.throttle, self.rulebook, discovery, Places())


@asynccontextmanager
async def crawling(
    path: Path, requests: Iterable[NewRequest], *, fresh: bool = False, **options: Any
) -> AsyncIterator[Crawl]:
    async with SqliteStore(path) as store:
        run = await store.begin_run("test", {}, fresh=fresh, tables=[])
        await store.seed(run, list(requests), last=True)
        yield Crawl(store, run._replace(seeded=True, resumed=True), **options)


async def totals(crawl: Crawl) -> Totals:
    return await crawl.store.totals(crawl.run)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crawl.db"
