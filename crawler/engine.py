"""The engine: wires everything below for one run; the only place that knows all of it."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from crawler.committer import Committer
from crawler.contact import Contact, Courtesy
from crawler.errors import InvalidUrl, RetryLater, UsageError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.middleware import Handler, compose
from crawler.middleware.retry import retry
from crawler.middleware.timing import timing
from crawler.progress import Progress, Snapshot
from crawler.request import Request, to_record
from crawler.response import Response
from crawler.rulebook import Rulebook
from crawler.scheduler import Job, Scheduler
from crawler.settings import Settings, load_settings
from crawler.spider import Spider, item_models, start_requests
from crawler.summary import Summary, summarise
from crawler.throttle import Throttle
from crawler.url import Scope, is_web
from crawler.worker import Worker
from storage import Store, StoreError, open_store
from storage.records import Committed, Finish, NewRequest, Run, Totals, Visit
from storage.tables import table_of

log = get_logger("crawler.engine")

# Start requests go into the store in batches: big enough to be quick, small enough to start.
_SEED_BATCH = 500


def default_path(name: str) -> Path:
    """Return where a spider's crawl is kept when nobody says otherwise."""
    return Path("data") / f"{name}.db"


async def run(
    spider: type[Spider],
    *,
    db: str | Path | None = None,
    fresh: bool = False,
    arguments: Mapping[str, str] | None = None,
    config: str | Path | None = None,
    **settings: Any,
) -> Summary:
    """Run a spider to its end and return what came of it.

    An unfinished run in `db` (default `data/NAME.db`) is resumed, unless `fresh`. `arguments`
    are the spider's, `config` is a TOML file, `settings` override every other source.
    Works inside a running event loop, any number of times. When cancelled, the run stops as
    after Ctrl-C, and can be resumed.
    Raises `UsageError` for what cannot be run and `storage.StoreError` when the file cannot be
    used.
    """
    crawl = Crawl(
        spider, db=db, fresh=fresh, arguments=arguments, config=config, overrides=settings
    )
    return await crawl.run()


class Crawl:
    """One run that can be watched and stopped from outside: what the command line drives."""

    def __init__(
        self,
        spider: type[Spider],
        *,
        db: str | Path | None = None,
        fresh: bool = False,
        arguments: Mapping[str, str] | None = None,
        config: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        if not spider.name:
            raise UsageError(f"{spider.__name__} has no name: give it one (name = 'books')")
        self.spider_class = spider
        self.path = Path(db) if db is not None else default_path(spider.name)
        self.settings: Settings = load_settings(
            Path(config) if config is not None else None, spider.settings, overrides
        )
        self._fresh = fresh
        self._arguments = dict(arguments or {})
        self._models = item_models(spider)
        self._throttle = Throttle(self.settings)
        self._progress: Progress | None = None
        self._scheduler: Scheduler | None = None
        self._finish: Finish = "finished"
        self._stop_asked = asyncio.Event()
        self.resumed = False
        spider(**self._arguments)  # a wrong argument is told before a file is made

    # ── from outside ────────────────────────────────────────────────────────────────────

    def stop(self, finish: Finish = "stopped") -> None:
        """End the run in good order: fetch nothing new, commit what is in flight."""
        if not self._stop_asked.is_set():
            self._finish = finish
            self._stop_asked.set()

    def snapshot(self) -> Snapshot | None:
        """Return how far the run is; None before it begins."""
        progress, scheduler = self._progress, self._scheduler
        if progress is None or scheduler is None:
            return None
        slowest = self._throttle.slowest()
        totals = progress.totals
        return Snapshot(
            done=totals.done,
            failed=totals.failed,
            skipped=totals.skipped,
            queued=totals.queued,
            items=totals.items,
            in_flight=self._throttle.statistics()["in_flight"],
            hosts=self._throttle.statistics()["hosts"],
            slowest_host=slowest.host if slowest else None,
            slowest_seconds=slowest.latency if slowest else None,
            pages_per_second=progress.rate,
            seconds_left=progress.seconds_left,
            elapsed=progress.elapsed,
        )

    # ── the run ─────────────────────────────────────────────────────────────────────────

    async def run(self) -> Summary:
        """Run to the end; see `crawler.run`."""
        tables = {table.name: table for table in map(_table, self._models.values()) if table}
        async with open_store(self.path) as store:
            run = await store.begin_run(
                self.spider_class.name,
                self._arguments,
                fresh=self._fresh,
                tables=tables.values(),
            )
            self.resumed = run.resumed
            try:
                finish = await self._crawl(store, run)
            except asyncio.CancelledError:
                await asyncio.shield(store.finish_run(run, "stopped"))
                raise
            except StoreError:
                raise  # it cannot be written down either; the file says: unfinished
            except BaseException:
                await store.finish_run(run, "failed")
                raise
            await store.finish_run(run, finish)
            assert self._progress is not None
            return summarise(
                await store.report(run),
                finish,
                self.path,
                resumed=run.resumed,
                pages=self._progress.pages,
                seconds=self._progress.elapsed,
            )

    async def _crawl(self, store: Store, run: Run) -> Finish:
        spider = self.spider_class(**run.arguments)
        totals = await store.totals(run)
        async with AsyncExitStack() as stack:
            guard = Guard(self.settings.allow_private)
            fetcher = await stack.enter_async_context(Fetcher(self.settings, guard, self._throttle))
            parts = _Parts(self, store, run, spider, guard, fetcher, totals)
            self._scheduler, self._progress = parts.scheduler, parts.progress
            try:
                await _unwrapped(parts.run())
            finally:
                closing = spider.closed(self._finish)
                if inspect.isawaitable(closing):
                    await closing
        return self._finish


class _Parts:
    """The coroutines of one run and what they share, for as long as it lasts."""

    def __init__(
        self,
        crawl: Crawl,
        store: Store,
        run: Run,
        spider: Spider,
        guard: Guard,
        fetcher: Fetcher,
        totals: Totals,
    ) -> None:
        settings = crawl.settings
        self.crawl = crawl
        self.store = store
        self.run_record = run
        self.spider = spider
        self.guard = guard
        self.fetcher = fetcher
        self.settings = settings
        self.progress = Progress(totals)
        self.jobs: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=settings.concurrency)
        self.slots = asyncio.Semaphore(settings.concurrency)
        rulebook = Rulebook(
            fetcher.fetch, settings.agent, retries=settings.retries, backoff=settings.backoff
        )
        self.scheduler = Scheduler(
            store,
            run,
            self.jobs,
            crawl._throttle,
            rulebook,
            max_pages=_allowance(settings.max_pages, run.base_pages),
        )
        self.discovery = Discovery(settings.max_depth)
        self.courtesy = Courtesy(
            settings, self.scheduler, crawl._throttle, rulebook, self.discovery
        )
        self.handler: Handler = compose(
            [timing, retry(settings), *spider.middleware], self._through_the_door
        )
        spider._fetch = self._fetch_for_spider
        self.committer = Committer(
            store,
            run,
            self._committed,
            self.scheduler.take_host_news,
            size=2 * settings.concurrency,
        )
        self.worker = Worker(spider, self.handler, self.courtesy, self.discovery, crawl._models)
        self.start_hosts: set[str] = set()

    async def run(self) -> None:
        """Run every coroutine; return when the frontier is drained or the run was stopped."""
        for host in await self.store.start_hosts(self.run_record):
            self._name_host(host)
        self._set_scope()
        totals = self.progress.totals
        async with asyncio.TaskGroup() as group:
            committer = group.create_task(self.committer.run(), name="committer")
            # Twice as many workers as slots: one whose page is being parsed, or whose callback
            # awaits something, must not leave a slot unused.
            workers = [
                group.create_task(
                    self.worker.work(self.jobs, self.committer.queue), name=f"worker-{number}"
                )
                for number in range(2 * self.settings.concurrency)
            ]
            helpers = [
                group.create_task(self._seed(), name="seeder"),
                group.create_task(self._watch_for_stop(), name="stop"),
            ]
            await self.scheduler.run(self.committer.queue, totals.done + totals.failed)
            for helper in helpers:
                helper.cancel()
            await self._dismiss(workers)
            await self.committer.queue.put(None)
            await committer

    # ── beginning and end ───────────────────────────────────────────────────────────────

    async def _seed(self) -> None:
        """Put the start requests into the frontier, unless an earlier process did."""
        if self.run_record.seeded:
            return
        batch: list[NewRequest] = []
        position = 0
        async for request in start_requests(self.spider):
            position += 1
            batch.append(self._start_record(request, position))
            if len(batch) >= _SEED_BATCH:
                await self._add_seeds(batch, last=False)
                batch = []
        await self._add_seeds(batch, last=True)
        self.scheduler.seeded()
        if not position:
            log.warning("no_start_requests", spider=self.spider.name)

    def _start_record(self, request: Request, position: int) -> NewRequest:
        if not isinstance(request, Request):
            raise UsageError(
                f"start() of {self.spider.name} yields Requests, not {type(request).__name__}"
            )
        try:
            record = to_record(request, depth=0, position=position)
        except InvalidUrl as error:
            raise UsageError(f"start request of {self.spider.name}: {error}") from error
        if not is_web(record.url):
            raise UsageError(
                f"start request of {self.spider.name}: {record.url[:200]} is not http or https"
            )
        return record

    async def _add_seeds(self, batch: Sequence[NewRequest], *, last: bool) -> None:
        for record in batch:
            self.guard.name(record.url)
            self.start_hosts.add(record.host)
        self._set_scope()
        added = await self.store.seed(self.run_record, batch, last=last)
        self.progress.added(added)
        self.scheduler.added(added.hosts)

    def _name_host(self, host: str) -> None:
        """Take up a host that the start requests named, in an earlier process."""
        self.start_hosts.add(host)
        scheme = "https" if host.endswith(":443") else "http"
        self.guard.name(f"{scheme}://{host}/")
        self.guard.name(f"https://{host}/")

    def _set_scope(self) -> None:
        domains = self.spider.allowed_domains
        self.discovery.scope = (
            Scope(domains) if domains is not None else Scope.around(self.start_hosts)
        )

    async def _watch_for_stop(self) -> None:
        """Stop the scheduler when somebody asks, or when the time is up."""
        try:
            async with asyncio.timeout(self.settings.max_seconds):
                await self.crawl._stop_asked.wait()
        except TimeoutError:
            self.crawl.stop("limit")
        self.scheduler.stop()

    async def _dismiss(self, workers: "list[asyncio.Task[None]]") -> None:
        """Send the workers home; when stopped, what is in flight gets `grace` seconds."""
        stopped = self.crawl._stop_asked.is_set()
        if stopped:
            while not self.jobs.empty():
                self.jobs.get_nowait()  # still `queued` in the file
        sender = asyncio.ensure_future(self._send_home(len(workers)))
        try:
            _, late = await asyncio.wait(workers, timeout=self.settings.grace if stopped else None)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        finally:
            sender.cancel()

    async def _send_home(self, workers: int) -> None:
        for _ in range(workers):
            await self.jobs.put(None)

    # ── what happens all the time ───────────────────────────────────────────────────────

    async def _through_the_door(self, request: Request) -> Response:
        """The innermost handler: permission first, then the fetch, under the semaphore."""
        contact = request.contact
        if not isinstance(contact, Contact):
            async with Contact(self.courtesy) as own:
                request.contact = own
                return await self._through_the_door(request)
        await contact.begin(request.url)
        async with self.slots:
            return await self.fetcher.fetch(request, contact.hop)

    async def _fetch_for_spider(self, request: Request) -> Response:
        """`Spider.fetch`: the same way, at once; here a retry does wait with its caller."""
        while True:
            try:
                return await self.handler(request)
            except RetryLater as later:
                request.attempts += 1
                request.contact = None
                await asyncio.sleep(later.delay)

    def _committed(self, visits: Sequence[Visit], committed: Committed) -> None:
        self.progress.committed(visits, committed)
        self.scheduler.committed(visits, committed)
        for visit in visits:
            if visit.id in committed.refused:
                log.error("item_error", request=visit.id, error=committed.refused[visit.id])
            elif visit.id not in committed.dropped and visit.id not in committed.aliased:
                self.discovery.stored(visit.requests)
        limit = _allowance(self.settings.max_items, self.run_record.base_items)
        if self.scheduler.reached_max_pages or (
            limit is not None and self.progress.totals.items >= limit
        ):
            self.crawl.stop("limit")


def _allowance(limit: int | None, base: int) -> int | None:
    """Return the total at which a limit is reached, when `base` was spent on earlier ones."""
    return None if limit is None else base + limit


def _table(model: type[BaseModel]) -> Any:
    try:
        return table_of(model)
    except ValueError:
        return None  # not every model in a spider's module is an item


@asynccontextmanager
async def _first_of_group() -> AsyncIterator[None]:
    """Turn an exception group of our own task group into the error that caused it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _cause(group) from group


async def _unwrapped(work: Any) -> None:
    async with _first_of_group():
        await work


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
