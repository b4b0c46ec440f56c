"""A worker: takes a request, fetches it, has it parsed, hands over the visit."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from pydantic import BaseModel

from crawler.annotations import canonical_of, forbids_following
from crawler.body import PLACE, Place
from crawler.callbacks import (
    CallbackError,
    callback_of,
    is_of_user_code,
    name_of,
    run_callback,
    trace_of,
)
from crawler.contact import Contact, Courtesy
from crawler.door import VISITING
from crawler.errors import DropRequest, FetchError, KnownPage, ParseBudgetError, RetryLater
from crawler.harvest import Harvest
from crawler.lanes import FetchJob, Job, RobotsJob
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.middleware import Handler
from crawler.request import Request, from_record
from crawler.response import Response
from crawler.rulebook import Verdict
from crawler.settings import Settings
from crawler.spider import Failure, Spider
from crawler.traps import content_of
from crawler.url import redact
from storage import StoreError
from storage.records import QueuedRequest, Timings, Visit

log = get_logger("crawler.worker")

# Of markup with larger bodies (bytes), so many are with their callbacks at once: text and tree of
# one take up to 20 times its size.
_LARGE_PAGE = 1 << 19
_LARGE_AT_ONCE = 1


class Worker:
    """What all workers of a run share; `work` is the coroutine that runs N times.

    `handler` is the middleware around the fetcher. A user's error costs its page, never the run.
    """

    def __init__(
        self,
        spider: Spider,
        handler: Handler,
        courtesy: Courtesy,
        discovery: Discovery,
        models: Mapping[str, type[BaseModel]],
        settings: Settings,
    ) -> None:
        self._spider = spider
        self._handler = handler
        self._house = courtesy
        self._models = models
        self._settings = settings
        self._debugging = logging.getLogger("crawler.worker").isEnabledFor(logging.DEBUG)
        self._discovery = discovery
        self._large_pages = asyncio.Semaphore(_LARGE_AT_ONCE)
        # The second name is Scrapy's.
        older = getattr(spider, "handle_httpstatus_list", ())
        self._handled = frozenset((*spider.handle_status, *older))

    async def work(
        self, jobs: "asyncio.Queue[Job | None]", visits: "asyncio.Queue[Visit | None]"
    ) -> None:
        """Serve jobs until a None comes; waits when the committer is behind."""
        while (job := await jobs.get()) is not None:
            if isinstance(job, RobotsJob):
                await self._ask_robots(job)
            else:
                place = Place()
                try:
                    visit = await self._visit(job, place)
                finally:
                    place.give_back()
                await visits.put(visit)

    async def _ask_robots(self, job: RobotsJob) -> None:
        gate, delay = job.lane.gate, 0.0
        try:
            self._house.scheduler.begun(gate)
            verdict: Verdict = await self._house.rulebook.learn(job.origin)
            delay = self._house.rulebook.delay(verdict)
            if verdict.again:
                gate.cool_down(verdict.until - time.time(), time.monotonic())
        finally:
            self._house.scheduler.left(gate)
            self._house.scheduler.robots_learned(job.lane, delay)

    # ── one request ─────────────────────────────────────────────────────────────────────

    async def _visit(self, job: FetchJob, place: Place) -> Visit:
        row = job.row
        visit = Visit(row.id, row.host, "failed", attempts=row.attempts + 1)
        async with Contact(self._house, job.gate) as contact:
            try:
                request = from_record(row, self._models)
            except ValueError as error:
                visit.reason, visit.error = "bad_request", str(error)
                return visit
            request.phases.queue = time.monotonic() - job.queued_at
            request.contact = contact
            outcome = await self._fetch(request, contact, place, visit)
        # The host's slot is free again: parsing takes our time, not the host's.
        try:
            if isinstance(outcome, Response):
                await self._parse(outcome, row, visit)
            elif outcome is not None:
                await self._fail(outcome, row, visit)
        except BaseException as error:
            if not is_of_user_code(error):
                raise
            self._spider_error(visit, error, request.url)
        visit.timings = _timings(request)
        if self._debugging:
            log.debug(
                "page",
                url=row.url,
                state=visit.state,
                reason=visit.reason,
                status=visit.status,
                items=len(visit.items),
                requests=len(visit.requests),
            )
        return visit

    async def _fetch(
        self, request: Request, contact: Contact, place: Place, visit: Visit
    ) -> Response | Failure | None:
        """Return the response or the final failure; None when the visit says it all."""
        visiting, placed = VISITING.set(contact), PLACE.set(place)
        try:
            response = await self._handler(request)
        except RetryLater as later:
            visit.state, visit.reason, visit.status = "queued", later.reason, later.status
            visit.not_before = time.time() + later.delay
            return None
        except DropRequest as drop:
            visit.state, visit.reason = "skipped", drop.reason
            return None
        except KnownPage as known:
            visit.state, visit.reason, visit.final_url = "done", "alias", known.url
            visit.alias, visit.unread = self._page_of(known.url), True
            return None
        except FetchError as error:
            visit.reason, visit.error = error.reason, str(error)
            return Failure(request, error.reason, error)
        except StoreError:
            raise  # of the look-up before a redirect, and no middleware's: it ends the run
        except BaseException as error:
            if not is_of_user_code(error):
                raise
            visit.reason = "middleware_error"
            visit.error = trace_of(error)
            log.error("middleware_error", url=redact(request.url), error=name_of(error))
            return Failure(request, visit.reason, error)
        finally:
            VISITING.reset(visiting)
            PLACE.reset(placed)
        if response.request.id != request.id:
            response.request = request  # a middleware answered by itself
        visit.status, visit.size = response.status, len(response.body)
        if not (response.ok or self._is_handled(request, response.status)):
            visit.reason = f"http_{response.status}"
            return Failure(request, visit.reason, None, response)
        return response

    def _is_handled(self, request: Request, status: int) -> bool:
        return status in self._handled or status in request.handle_status

    # ── the spider's part ───────────────────────────────────────────────────────────────

    async def _parse(self, response: Response, row: QueuedRequest, visit: Visit) -> None:
        request = response.request
        callback = callback_of(self._spider, request.callback)
        nofollow = False
        if self._settings.robots_meta:
            response.heeds_nofollow = True
            nofollow = forbids_following(response, self._settings.agent)
        harvest = Harvest(self._discovery, row, response.url, nofollow=nofollow)
        is_large = len(response.body) > _LARGE_PAGE and response.is_markup
        async with self._large_pages if is_large else nullcontext():
            started = time.perf_counter()
            await self._collect(callback, (response,), request.cb_kwargs, harvest, visit)
            request.phases.parse = time.perf_counter() - started
        visit.state, visit.reason = "done", None
        visit.canonical_url = canonical_of(response)
        if self._settings.traps and not request.dont_filter:
            visit.content = content_of(response.body)
        if response.redirects:
            visit.final_url = response.url
            if request.method == "GET" and not request.dont_filter:
                visit.alias = self._page_of(response.url)

    def _page_of(self, url: str) -> int:
        """Return the fingerprint of the page that a link to `url` would ask for."""
        return self._discovery.identify(url)[2]

    async def _fail(self, failure: Failure, row: QueuedRequest, visit: Visit) -> None:
        if failure.request.errback is not None:
            errback = callback_of(self._spider, failure.request.errback)
            harvest = Harvest(self._discovery, row, failure.request.url)
            await self._collect(errback, (failure,), {}, harvest, visit)

    async def _collect(
        self,
        method: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        harvest: Harvest,
        visit: Visit,
    ) -> None:
        await run_callback(
            method(*arguments, **keywords),
            harvest.take,
            timeout=self._settings.callback_timeout,
            most=self._settings.max_results,
        )
        visit.items, visit.requests = harvest.items, harvest.requests

    def _spider_error(self, visit: Visit, error: BaseException, url: str) -> None:
        """The page fails as a whole: none of its items and links are kept."""
        visit.state = "failed"
        visit.reason, visit.error = "spider_error", trace_of(error)
        if isinstance(error, CallbackError):
            visit.reason = error.reason
        elif isinstance(error, ParseBudgetError):
            visit.reason, visit.error = error.reason, str(error)  # wherever it was raised
        visit.items, visit.requests = [], []
        log.error(visit.reason, url=url, error=name_of(error))


def _timings(request: Request) -> Timings:
    phases = request.phases
    return Timings(
        *(
            None if seconds is None else round(seconds * 1000, 3)
            for seconds in (phases.queue, phases.ttfb, phases.body, phases.parse, phases.elapsed)
        )
    )
