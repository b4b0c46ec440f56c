"""A worker: takes a request, fetches it, has it parsed, hands over the visit."""

import asyncio
import logging
import time
from collections.abc import Mapping
from copy import copy

from pydantic import BaseModel

from crawler.backlog import Backlog
from crawler.callbacks import Methods, is_of_user_code, name_of, trace_of
from crawler.contact import Contact, Courtesy
from crawler.door import VISITING
from crawler.errors import DropRequest, FetchError, KnownPage, RetryLater, UsageError, users_line
from crawler.inbox import Inbox
from crawler.lanes import FetchJob, Job, RefusedJob, RobotsJob
from crawler.logs import get_logger
from crawler.middleware import Handler
from crawler.parsing import Parser
from crawler.places import KEPT, PLACE, Place
from crawler.request import Request, from_record
from crawler.response import Response
from crawler.spider import Failure, Spider, handled_statuses
from crawler.url import origin_of, redact
from storage import StoreError
from storage.clock import steady_time
from storage.records import QueuedRequest, Visit

log = get_logger("crawler.worker")


class Worker:
    """What all workers of a run share; `work` is the coroutine that runs N times.

    `handler` is the middleware around the fetcher, `parser` the spider's part of a visit. A user's
    error costs its page, never the run; but a callback that is not there any more would cost all
    the requests that were queued for it.
    """

    def __init__(
        self,
        spider: Spider,
        handler: Handler,
        courtesy: Courtesy,
        parser: Parser,
        models: Mapping[str, type[BaseModel]],
        backlog: Backlog,
    ) -> None:
        self._spider = spider.name
        self._methods = Methods(spider)
        self._handler = handler
        self._house = courtesy
        self._parser = parser
        self._models = models
        self._backlog = backlog
        self._debugging = logging.getLogger("crawler.worker").isEnabledFor(logging.DEBUG)
        self._handled = handled_statuses(spider)

    async def work(self, jobs: "asyncio.Queue[Job | None]", visits: Inbox) -> None:
        """Serve jobs until a None comes; waits when the committer is behind."""
        while (job := await jobs.get()) is not None:
            if isinstance(job, FetchJob):
                place = Place()
                try:
                    visit = await self._visit(job, place)
                finally:
                    place.give_back()
            elif isinstance(job, RobotsJob):
                await self._ask_robots(job)
                continue
            else:
                visit = await self._refuse(job)
            await visits.put(visit)
            del visit  # of 20 MB for a sitemap, and the next job may be long in coming

    async def _ask_robots(self, job: RobotsJob) -> None:
        try:
            await self._house.learn(job.origin, job.lane.gate)
        finally:
            self._house.scheduler.robots_learned(job.lane)

    async def _refuse(self, job: RefusedJob) -> Visit:
        row = job.row
        error = FetchError(job.reason, f"no robots.txt could be had of {origin_of(row.url)}")
        visit = Visit(row.id, row.host, "failed", job.reason, attempts=row.attempts)
        visit.error = str(error)
        try:
            request = from_record(row, self._models)
        except (ValueError, LookupError):
            return visit  # what it holds is of no use, but nor is it for what has happened
        await self._parser.parse(Failure(request, job.reason, error), row, visit)
        return visit

    # ── one request ─────────────────────────────────────────────────────────────────────

    async def _visit(self, job: FetchJob, place: Place) -> Visit:
        row = job.row
        visit = Visit(row.id, row.host, "failed", attempts=row.attempts + 1)
        with Contact(self._house, job.gate, row.url) as contact:
            try:
                request = self._request(row)
            except ValueError as error:
                visit.reason, visit.error = "bad_request", str(error)
                return visit
            request.phases.queue = time.monotonic() - job.queued_at
            request.contact = contact
            outcome = await self._fetch(request, contact, place, visit)
        # The host's slot is free again: parsing takes our time, not the host's.
        if outcome is not None:
            if place.rank or KEPT.get() is not None:
                KEPT.set(place)  # until the worker's next page
            if isinstance(outcome, Response) and not self._backlog.has_room(len(outcome.body)):
                await self._backlog.room()
            await self._parser.parse(outcome, row, visit)
            self._backlog.brought(visit)
        visit.timings = request.phases
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

    def _request(self, row: QueuedRequest) -> Request:
        """Return the request of a row; raises `ValueError` when it cannot be read.

        What the spider has no more, and had when it yielded the request, ends the run.
        """
        try:
            request = from_record(row, self._models)
            self._methods.check(request)
        except LookupError as error:
            raise UsageError(
                f"{error}, and a run of {self._spider} that is unfinished has requests for it: "
                "give the spider back what it had, or begin anew with --fresh"
            ) from error
        return request

    async def _fetch(
        self, request: Request, contact: Contact, place: Place, visit: Visit
    ) -> Response | Failure | None:
        """Return the response or the final failure; None when the visit says it all."""
        visiting, placed = VISITING.set(contact), PLACE.set(place)
        try:
            response = await self._handler(request)
        except RetryLater as later:
            visit.state, visit.reason, visit.status = "queued", later.reason, later.status
            visit.not_before = steady_time() + later.delay
            visit.attempts -= not later.counts
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
            at = {"at": line} if (line := users_line(error)) else {}
            log.error("middleware_error", url=redact(request.url), error=name_of(error), **at)
            return Failure(request, visit.reason, error)
        finally:
            VISITING.reset(visiting)
            PLACE.reset(placed)
        if response.request.id != request.id:
            # A middleware answered by itself: maybe with what it gives to others, too.
            response = copy(response)
            response.request = request
        visit.status, visit.size = response.status, len(response.body)
        if not (response.ok or self._is_handled(request, response.status)):
            visit.reason = f"http_{response.status}"
            return Failure(request, visit.reason, None, response)
        return response

    def _is_handled(self, request: Request, status: int) -> bool:
        return status in self._handled or status in request.handle_status

    def _page_of(self, url: str) -> int:
        """Return the fingerprint of the page that a link to `url` would ask for."""
        return self._house.discovery.identify(url)[2]
