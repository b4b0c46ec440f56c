"""The engine: a run from its first word to its last, driven and watched from outside."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from crawler.address import address_of, refuse_in_child
from crawler.callbacks import end_hook, is_of_user_code, name_of
from crawler.cookies import Cookies
from crawler.errors import UsageError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.house import House, Stop
from crawler.logs import get_logger
from crawler.markup import BUDGET
from crawler.models import expected_items, item_models, tables_of
from crawler.progress import Progress, Snapshot
from crawler.scrapy_names import hook_not_called
from crawler.scrapy_settings import translated
from crawler.settings import Settings, load_settings
from crawler.spider import Spider, check_attributes
from crawler.summary import Summary, summarise
from crawler.throttle import Throttle
from crawler.watchdog import Watchdog
from storage import Store, StoreError, open_store
from storage.records import Finish, Report, Run, Totals

log = get_logger("crawler.engine")


def default_path(name: str) -> Path:
    """Return where a spider's crawl is kept when nobody says otherwise."""
    return Path("data") / f"{name}.db"


async def run(
    spider: type[Spider],
    *,
    db: str | Path | None = None,
    fresh: bool = False,
    arguments: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    **settings: Any,
) -> Summary:
    """Run a spider to its end and return what came of it.

    An unfinished run in `db` (default `data/NAME.db`) is resumed, unless `fresh`. `arguments`
    are the spider's, `config` is a TOML file, `settings` override every other source.
    Works inside a running event loop, any number of times. When cancelled, what is in flight
    is given up, what is committed stays, and the run can be resumed.
    Raises `UsageError` for what cannot be run and `storage.StoreError` when the file cannot be
    used.
    """
    crawl = Crawl(
        spider, db=db, fresh=fresh, arguments=arguments, config=config, overrides=settings
    )
    return await crawl.run()


class Crawl:
    """One run that can be watched and stopped from outside: what the command line drives.

    Takes what `crawler.run` takes. `overrides` are settings as a mapping, whose values may be
    text; those among the keywords win. `store` makes the store for the path.
    """

    def __init__(
        self,
        spider: type[Spider],
        *,
        db: str | Path | None = None,
        fresh: bool = False,
        arguments: Mapping[str, Any] | None = None,
        config: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        store: Callable[[Path], Store] = open_store,
        **settings: Any,
    ) -> None:
        _check(spider, db, arguments, config)
        self.spider_class = spider
        self.path = Path(db) if db is not None else default_path(spider.name)
        older, ignored = translated(spider)
        self.settings: Settings = load_settings(
            Path(config) if config is not None else None,
            {**older, **spider.settings},
            {**(overrides or {}), **settings},
        )
        if ignored:
            log.warning("custom_settings_ignored", spider=spider.name, names=ignored)
        self._open_store = store
        self._fresh = fresh
        self._arguments = _kept(arguments or {})
        self._models = item_models(spider)
        self._throttle = Throttle(self.settings)
        self._progress: Progress | None = None
        self._stop = Stop()
        # Set once the run is known, a new one or resumed; or when it has failed before that.
        self.begun = asyncio.Event()
        self.run_record: Run | None = None
        self.summary: Summary | None = None  # once it is over, also when the run has failed
        refuse_in_child()
        if self.settings.processes > 1:
            address_of(spider)
        if "name" in self._arguments:
            raise UsageError("argument 'name' would hide the spider's own name")
        # What is wrong with it is told before a file is made.
        self._spider: Spider | None = _made(spider, self._arguments)
        check_attributes(self._spider)

    @property
    def resumed(self) -> bool:
        """Whether the run was begun by an earlier process; known once it has begun."""
        return self.run_record is not None and self.run_record.resumed

    # ── from outside ────────────────────────────────────────────────────────────────────

    def stop(self, finish: Finish = "stopped") -> None:
        """End the run in good order: fetch nothing new, commit what is in flight."""
        self._stop.ask(finish)

    def snapshot(self) -> Snapshot | None:
        """Return how far the run is; None before it begins."""
        progress = self._progress
        if progress is None:
            return None
        slowest, statistics = self._throttle.slowest(), self._throttle.statistics()
        totals = progress.totals
        return Snapshot(
            done=totals.done,
            failed=totals.failed,
            skipped=totals.skipped,
            queued=totals.queued,
            items=totals.items,
            in_flight=statistics["in_flight"],
            hosts=statistics["hosts"],
            slowest_host=slowest.host if slowest else None,
            slowest_seconds=slowest.latency if slowest else None,
            pages_per_second=progress.rate,
            seconds_left=progress.seconds_left,
            elapsed=progress.elapsed,
        )

    # ── the run ─────────────────────────────────────────────────────────────────────────

    async def run(self) -> Summary:
        """Run to the end; see `crawler.run`. Run again, it goes on from there, or begins anew."""
        try:
            async with self._open_store(self.path) as store:
                try:
                    return await self._run(store)
                finally:
                    self._stop = Stop()  # that wish is fulfilled
        finally:
            self.begun.set()  # nobody is to wait for the beginning of a run that has failed

    async def _run(self, store: Store) -> Summary:
        run = await store.begin_run(
            self.spider_class.name,
            self._arguments,
            fresh=self._fresh,
            tables=tables_of(self._models.values()),
            make=tables_of(expected_items(self._models.values())),
        )
        self.run_record = run
        totals = await store.totals(run) if run.resumed else Totals()
        self._progress = progress = Progress(totals)
        self.begun.set()
        try:
            guard = Guard(self.settings.allow_private)
            kept = await store.cookies(run) if run.resumed else ()
            cookies = Cookies(kept, on=self.settings.cookies)
            async with Fetcher(self.settings, guard, self._throttle, cookies) as fetcher:
                finish = await self._crawl(store, run, progress, fetcher, guard, cookies)
                fetcher.hang_up()  # its connections come to their end while the account is taken
                report = await store.report(run)
        except asyncio.CancelledError:
            await asyncio.shield(store.finish_run(run, "stopped"))
            raise
        except StoreError:
            raise  # it cannot be written down either; the file says: unfinished
        except BaseException:
            await self._end(store, run, progress, "failed", await store.report(run))
            raise
        return await self._end(store, run, progress, finish, report)

    async def _end(
        self, store: Store, run: Run, progress: Progress, finish: Finish, report: Report
    ) -> Summary:
        # After the account, which takes a while in a large file: a crash after the last word
        # has the same command begin a new run.
        await store.finish_run(run, finish)
        self.summary = summarise(
            report,
            finish,
            self.path,
            resumed=run.resumed,
            pages=progress.pages,
            seconds=progress.elapsed,
        )
        return self.summary

    async def _crawl(
        self,
        store: Store,
        run: Run,
        progress: Progress,
        fetcher: Fetcher,
        guard: Guard,
        cookies: Cookies,
    ) -> Finish:
        spider, self._spider = self._spider, None
        if spider is None or run.arguments != self._arguments:
            spider = _made(self.spider_class, run.arguments)
        house = House(
            self.settings,
            store,
            run,
            spider,
            self._models,
            fetcher,
            guard,
            self._throttle,
            cookies,
            progress,
            self._stop,
        )
        failure: BaseException | None = None
        budget = BUDGET.set(self.settings.parse_budget)
        try:
            async with Watchdog():
                await house.run()
        except BaseExceptionGroup as group:
            self._stop.ask("failed")
            failure = _cause(group)
        except asyncio.CancelledError:
            self._stop.ask("stopped")
            raise
        finally:
            await self._close(spider)
            spider._fetch = None
            BUDGET.reset(budget)
        if failure is not None:
            raise failure  # not within the handler: with the cause that it came with, and no other
        # A limit that is just enough, or a stop after the last page, leaves nothing to go on with.
        return "finished" if house.drained else self._stop.finish

    async def _close(self, spider: Spider) -> None:
        """Call the spider's `closed`; what becomes of it changes nothing about the run."""
        try:
            timeout = self.settings.callback_timeout
            await end_hook(spider.closed(self._stop.finish), timeout=timeout)
        except BaseException as error:
            if not is_of_user_code(error):
                raise
            log.error("closed_error", error=name_of(error))


def _made(spider: type[Spider], arguments: Mapping[str, Any]) -> Spider:
    """Return the spider; raises `UsageError` when its `__init__` takes other arguments."""
    try:
        inspect.signature(spider).bind(**arguments)
    except TypeError as error:
        hint = "-a NAME=VALUE gives one"
        raise UsageError(f"{spider.name} takes other arguments: {error} ({hint})") from error
    return spider(**arguments)


def _kept(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as whoever goes on with the run finds them: a tuple has become a list."""
    given = dict(arguments)
    try:
        kept: dict[str, Any] = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"arguments are kept with the run, as JSON: {error} (give it as text)"
        ) from error
    return given if kept == given else kept


def _check(spider: object, db: object, arguments: object, config: object) -> None:
    """Raise `UsageError` for what a program has passed by mistake: types are not checked there."""
    if isinstance(spider, Spider):
        raise UsageError(f"{type(spider).__name__}() is a spider: pass the class, not an instance")
    if not (isinstance(spider, type) and issubclass(spider, Spider)):
        raise UsageError(f"{spider!r} is no spider: pass the class, one that inherits from Spider")
    if not isinstance(spider.name, str | None):
        raise UsageError(f"{spider.__name__} has a name that is no text: {spider.name!r}")
    if not spider.name:
        raise UsageError(f"{spider.__name__} has no name: give it one (name = 'books')")
    if said := hook_not_called(spider):
        raise UsageError(said)
    if not isinstance(spider.settings, Mapping):
        shown = f"{spider.settings!r}"
        raise UsageError(f"settings of {spider.name} are a dict, {{name: value}}, not {shown}")
    for name, path in (("db", db), ("config", config)):
        if not isinstance(path, str | PathLike | None):
            raise UsageError(f"{name} is the path of a file, not {path!r}")
    if isinstance(db, str | PathLike) and Path(db).is_dir():
        raise UsageError(f"db is the path of a file, and {Path(db)} is a directory")
    if not (arguments is None or isinstance(arguments, Mapping)):
        raise UsageError(f"arguments are a dict, {{name: value}}, not {arguments!r}")
    if not all(isinstance(name, str) for name in arguments or ()):
        raise UsageError(f"the names of arguments are text, not as in {arguments!r}")


def _cause(error: BaseException) -> BaseException:
    """Return the error behind the groups that our own task groups made of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
