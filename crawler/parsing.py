"""The spider's part of a visit: its callback or errback, and what the page says of itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from inspect import isasyncgenfunction, iscoroutinefunction
from types import TracebackType
from typing import Any, Protocol, Self

from crawler.annotations import canonical_of, forbids_following
from crawler.backlog import Backlog
from crawler.callbacks import (
    CallbackError,
    Methods,
    is_of_user_code,
    name_of,
    run_callback,
    trace_of,
)
from crawler.errors import ParseBudgetError, users_line
from crawler.harvest import Harvest
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.response import Response
from crawler.settings import Settings
from crawler.spider import Failure, Spider
from crawler.traps import content_of
from crawler.trial import TRIAL
from storage.records import NewRequest, QueuedRequest, Visit

log = get_logger("crawler.parsing")

# Of markup with larger bodies (bytes), so many are with their callbacks at once: text and tree of
# one take up to 20 times its size.
_LARGE_PAGE = 1 << 19
_LARGE_AT_ONCE = 1
# Pages of more bytes may be parsed on another thread: for fewer, to send them there takes as long.
# (But for those that are costly, whatever their size.)
_AHEAD = 262_144


class Parser(Protocol):
    """Does the spider's part of a visit, here or elsewhere."""

    async def parse(self, outcome: Response | Failure, row: QueuedRequest, visit: Visit) -> None:
        """Give what came of a request to the spider, and write down in `visit` what comes of it.

        A user's error costs the page, and is not raised. When cancelled, so is the callback.
        """

    def stored(self, records: Iterable[NewRequest]) -> None:
        """Learn that requests are in the store: their commit has returned."""

    async def __aenter__(self) -> Self:
        """Get ready; entered while the run lasts."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let everything go that was had."""


class OwnParser:
    """The parser that runs the spider's callbacks in this process."""

    def __init__(
        self,
        spider: Spider,
        discovery: Discovery,
        settings: Settings,
        backlog: Backlog | None = None,
    ) -> None:
        self._backlog = backlog or Backlog()
        self._spider = spider
        self._methods = Methods(spider)
        self._discovery = discovery
        # To ask the settings for one takes as long as a few calls.
        self._agent = settings.agent if settings.robots_meta else None
        self._knows_again = settings.traps
        self._timeout, self._most = settings.callback_timeout, settings.max_results
        self._large_pages = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._selects: dict[str | None, bool] = {}  # which callbacks had use for a tree

    async def parse(self, outcome: Response | Failure, row: QueuedRequest, visit: Visit) -> None:
        """See `Parser`."""
        try:
            if isinstance(outcome, Response):
                await self._parse(outcome, row, visit)
            else:
                await self._fail(outcome, row, visit)
        except BaseException as error:
            if not is_of_user_code(error):
                raise
            _spider_error(visit, error, outcome.request.url)

    def stored(self, records: Iterable[NewRequest]) -> None:
        """See `Parser`."""
        self._discovery.stored(self._discovery.lasting(records))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        TRIAL.end()

    async def _parse(self, response: Response, row: QueuedRequest, visit: Visit) -> None:
        request = response.request
        callback = self._methods.of(request.callback)
        nofollow = False
        if self._agent is not None:
            response.heeds_nofollow = True
            nofollow = forbids_following(response, self._agent)
        harvest = self._harvest(row, response.url, nofollow=nofollow)
        if len(response.body) > _LARGE_PAGE and response.is_markup:
            async with self._large_pages:
                await self._call(callback, response, harvest, visit)
        else:
            await self._call(callback, response, harvest, visit)
        visit.state, visit.reason = "done", None
        visit.canonical_url = canonical_of(response)
        if self._knows_again and not request.dont_filter:
            visit.content = content_of(response.body)
        if response.redirects:
            visit.final_url = response.url
            if request.method == "GET" and not request.dont_filter:
                visit.alias = self._discovery.identify(response.url)[2]

    def _harvest(self, row: QueuedRequest, url: str, *, nofollow: bool = False) -> Harvest:
        return Harvest(self._discovery, row, url, self._methods, self._backlog, nofollow=nofollow)

    async def _call(
        self, callback: Callable[..., Any], response: Response, harvest: Harvest, visit: Visit
    ) -> None:
        request = response.request
        ahead = self._selects.get(request.callback, True) and (
            len(response.body) > _AHEAD or response.is_costly
        )
        if ahead:
            await response.try_ahead()
        if self._backlog.is_busy:
            await self._backlog.start()
        started = time.perf_counter()
        with harvest:
            if ahead:
                if response.is_costly and not _waits(callback):
                    harvest.slow()
                await response.parse_ahead()
            await self._run(callback(response, **request.cb_kwargs), harvest)
        visit.items, visit.requests = harvest.items, harvest.requests
        request.phases.parse = time.perf_counter() - started
        self._selects[request.callback] = "tree" in response.__dict__

    async def _fail(self, failure: Failure, row: QueuedRequest, visit: Visit) -> None:
        if failure.request.errback is not None:
            errback = self._methods.of(failure.request.errback)
            with self._harvest(row, failure.request.url) as harvest:
                await self._run(errback(failure), harvest)
            visit.items, visit.requests = harvest.items, harvest.requests

    def _run(self, result: Any, harvest: Harvest) -> Awaitable[None]:
        return run_callback(result, harvest, timeout=self._timeout, most=self._most)


def _waits(callback: Callable[..., Any]) -> bool:
    return iscoroutinefunction(callback) or isasyncgenfunction(callback)


def _spider_error(visit: Visit, error: BaseException, url: str) -> None:
    """The page fails as a whole: none of its items and links are kept."""
    visit.state = "failed"
    visit.reason, visit.error = "spider_error", trace_of(error)
    if isinstance(error, CallbackError):
        visit.reason = error.reason
    elif isinstance(error, ParseBudgetError):
        visit.reason, visit.error = error.reason, str(error)  # wherever it was raised
    visit.items, visit.requests = [], []
    line = users_line(error)
    log.error(visit.reason, url=url, error=name_of(error), **({"at": line} if line else {}))
