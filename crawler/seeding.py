"""Start requests: from the spider into the frontier, and what they make reachable."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from pydantic import BaseModel

from crawler.callbacks import Methods, is_of_user_code, name_of
from crawler.cookies import Cookies
from crawler.errors import CrawlerError, InvalidUrl, UsageError
from crawler.guard import Guard
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.progress import Progress
from crawler.request import Request, to_record
from crawler.rulebook import Rulebook
from crawler.scheduler import Scheduler
from crawler.spider import Spider, given_scope, has_no_start, listed_urls, start_requests
from crawler.url import Scope, has_bad_port, is_web, origin_of, redact
from storage import Store
from storage.records import NewRequest, Run, Visit

log = get_logger("crawler.seeding")

# Start requests go into the store in batches: the first is small, so that fetching begins at
# once, the others are big enough to be quick.
_FIRST_BATCH, _BATCH = 10, 500

# While `start` waits for something, what it has yielded is handed on after so long (seconds): it
# may wait for the very page, and what comes as a trickle need not be a transaction each.
_AT_ONCE = 0.02


class Seeder:
    """Puts a run's start requests into the frontier, each once, however often it is cut short.

    The hosts that they name are the run's default scope, and may be private addresses. Plain
    `start_urls` name them beforehand. When a `start` names one later, pages may have had links
    there: with the last start request the store queues them, and `revise` those of visits that were
    on their way to it.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        spider: Spider,
        guard: Guard,
        discovery: Discovery,
        scheduler: Scheduler,
        rulebook: Rulebook,
        progress: Progress,
        cookies: Cookies,
    ) -> None:
        self._store = store
        self._run = run
        self._spider = spider
        self._methods = Methods(spider)
        self._guard = guard
        self._discovery = discovery
        self._scheduler = scheduler
        self._rulebook = rulebook
        self._progress = progress
        self._cookies = cookies
        self._hosts: set[str] = set()
        self._named: list[str] = []  # of these, those since the scope was looked at
        self._around = Scope.around(())  # the sites of all the others
        self._complete = run.seeded  # all hosts have been named
        self._begun = run.resumed  # pages may have been fetched
        self._gathered: list[NewRequest] = []  # yielded, and not in the store yet
        self._some = asyncio.Event()  # set when there are such
        self._adding = asyncio.Lock()
        self._grew = False  # the default scope did, since then

    async def remember(self) -> None:
        """Take up what the start requests of an earlier process named."""
        for host in await self._store.start_hosts(self._run) if self._run.resumed else ():
            self._hosts.add(host)
            self._named.append(host)
            # A host shows no default port, and does not say which scheme's it is.
            self._guard.name(f"http://{host}/")
            self._guard.name(f"https://{host}/")
        if not self._complete:
            self._foresee()
        self._widen_scope()

    def _foresee(self) -> None:
        """Name the hosts of plain `start_urls` before links lead there."""
        urls = listed_urls(self._spider)
        for url in urls or ():
            with suppress(ValueError):  # what cannot be one is told in its turn
                found, host, _ = self._discovery.identify_start(Request(url).url)
                if is_web(found):
                    self._name(found, host)
        self._complete = urls is not None

    async def seed(self) -> None:
        """Run the spider's `start`, unless it came to its end before.

        Raises `UsageError` for a start request that cannot be one.
        """
        if self._run.seeded:
            return
        if has_no_start(self._spider):
            raise UsageError(f"{self._spider.name} has nothing to start with: give it start_urls")
        position, size = 0, _FIRST_BATCH
        async for request in self._start():
            self._gathered.append(self._record(request, position))
            self._some.set()
            position += 1
            if len(self._gathered) >= size:
                await self._hand_on()
                size = _BATCH
        await self._hand_on(last=True)
        self._complete = True
        self._widen_scope()
        self._scheduler.seeded()
        if not position:
            log.warning("no_start_requests", spider=self._spider.name)

    async def hand_on(self) -> None:
        """Hand on what `start` has yielded while it waits; until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_AT_ONCE)
            await self._hand_on()

    async def _hand_on(self, *, last: bool = False) -> None:
        async with self._adding:
            records = self._gathered[:]
            self._some.clear()
            if records or last:
                await self._add(records, last=last)
            # Only now: a second time does no harm, and who was cancelled may not have added them.
            del self._gathered[: len(records)]

    async def _start(self) -> AsyncIterator[Request]:
        """Yield the start requests; `sys.exit` in `start` is an error too, and ends no loop."""
        try:
            async for request in start_requests(self._spider):
                yield request
        except (KeyboardInterrupt, GeneratorExit, Exception):
            raise
        except BaseException as error:
            if not is_of_user_code(error):
                raise
            name = self._spider.name
            raise CrawlerError(f"start() of {name} raised {name_of(error)}") from error

    def _record(self, request: Request, position: int) -> NewRequest:
        name = self._spider.name
        if not isinstance(request, Request):
            raise UsageError(f"start() of {name} yields Requests, not {_no_request(request)}")
        try:
            self._methods.check(request)
            identity = self._discovery.identify_start(request.url)
            record = to_record(request, depth=0, position=position, identity=identity)
        except InvalidUrl as error:
            hint = "" if "://" in request.url else ", which begins with http:// or https://"
            raise UsageError(f"start request of {name}: {error}{hint}") from error
        except (LookupError, ValueError) as error:
            shown = redact(request.url)[:200]
            raise UsageError(f"start request of {name} for {shown}: {error}") from error
        if not is_web(record.url):
            raise UsageError(f"start request of {name}: {record.url[:200]} is not http or https")
        if has_bad_port(record.host):
            # Not an error of the run: `start` may have it from a list of a million.
            log.warning("start_request_refused", url=record.url[:200], reason="bad_port")
            return record._replace(state="skipped", reason="bad_port")
        return record

    async def _add(self, records: Sequence[NewRequest], *, last: bool) -> None:
        for record in records:
            self._name(record.url, record.host)
        if self._named:
            self._grew |= self._begun and self._has_default_scope
            self._widen_scope()
        # `start` may have logged in, and is not run again once all it yields is in the store.
        news = self._cookies.take_news()
        # Earlier processes may have found links to what had not been named, and this one names it.
        late = self._grew or (self._run.resumed and self._has_default_scope)
        added = await self._store.seed(
            self._run,
            records,
            last=last,
            cookies=news,
            admits=self._discovery.scope.admits if last and late else None,
        )
        self._begun = True
        self._progress.added(added)
        self._scheduler.added(added.hosts)

    def _name(self, url: str, host: str) -> None:
        if host not in self._hosts:
            self._guard.name(url)
            self._rulebook.forget(origin_of(url))
            self._hosts.add(host)
            self._named.append(host)

    @property
    def _has_default_scope(self) -> bool:
        return not self._spider.allowed_domains

    def _widen_scope(self) -> None:
        # Only the new ones are looked at: with each batch all of a million would take for ever.
        self._around = self._around.grown(self._named, may_grow=not self._complete)
        self._named.clear()
        scope = given_scope(self._spider) or self._around
        if scope != self._discovery.scope:
            self._discovery.widen(scope)

    def revise(self, visits: Sequence[Visit]) -> None:
        """Queue the links of visits that were offsite when their page was read, and are no more."""
        if not self._grew:
            return
        admits = self._discovery.scope.admits
        for visit in visits:
            visit.requests = [
                request._replace(state="queued", reason=None)
                if request.reason == "offsite" and admits(request.host)
                else request
                for request in visit.requests
            ]


def _no_request(output: object) -> str:
    """Return what `start` yields that is no request, and what to do instead."""
    hint = ""
    if isinstance(output, dict | BaseModel):
        hint = ": items are yielded by callbacks"
    elif isinstance(output, str):
        hint = ": write Request(url)"
    elif isinstance(output, list | tuple):
        hint = ": write yield for each"
    return f"{type(output).__name__}{hint}"
