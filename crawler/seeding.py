"""Start requests: from the spider into the frontier, and what they make reachable."""

from collections.abc import AsyncIterator, Callable, Sequence

from crawler.callbacks import is_of_user_code, name_of
from crawler.errors import CrawlerError, InvalidUrl, UsageError
from crawler.guard import Guard
from crawler.links import Discovery
from crawler.logs import get_logger
from crawler.progress import Progress
from crawler.request import Request, to_record
from crawler.rulebook import Rulebook
from crawler.scheduler import Scheduler
from crawler.spider import Spider, has_no_start, start_requests
from crawler.url import Scope, has_bad_port, is_web, origin_of, redact
from storage import Store
from storage.records import CookieRecord, NewRequest, Run

log = get_logger("crawler.seeding")

# Start requests go into the store in batches: the first is small, so that fetching begins at
# once, the others are big enough to be quick.
_FIRST_BATCH, _BATCH = 10, 500


class Seeder:
    """Puts a run's start requests into the frontier, each once, however often it is cut short.

    The hosts that they name are the run's default scope, and may be private addresses.
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
        cookie_news: Callable[[], Sequence[CookieRecord]],
    ) -> None:
        self._store = store
        self._run = run
        self._spider = spider
        self._guard = guard
        self._discovery = discovery
        self._scheduler = scheduler
        self._rulebook = rulebook
        self._progress = progress
        self._cookie_news = cookie_news
        self._hosts: set[str] = set()

    async def remember(self) -> None:
        """Take up what the start requests of an earlier process named."""
        for host in await self._store.start_hosts(self._run):
            self._hosts.add(host)
            # A host shows no default port, and does not say which scheme's it is.
            self._guard.name(f"http://{host}/")
            self._guard.name(f"https://{host}/")
        self._widen_scope()

    async def seed(self) -> None:
        """Run the spider's `start`, unless it came to its end before.

        Raises `UsageError` for a start request that cannot be one.
        """
        if self._run.seeded:
            return
        if has_no_start(self._spider):
            raise UsageError(f"{self._spider.name} has nothing to start with: give it start_urls")
        position = 0
        async for batch in _batches(self._start()):
            records = [self._record(request, position + n) for n, request in enumerate(batch)]
            position += len(records)
            await self._add(records, last=False)
        await self._add((), last=True)
        self._scheduler.seeded()
        if not position:
            log.warning("no_start_requests", spider=self._spider.name)

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
            raise UsageError(f"start() of {name} yields Requests, not {type(request).__name__}")
        try:
            record = to_record(request, depth=0, position=position)
        except InvalidUrl as error:
            raise UsageError(f"start request of {name}: {error}") from error
        except ValueError as error:
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
        named = len(self._hosts)
        for record in records:
            if record.host not in self._hosts:
                self._guard.name(record.url)
                self._rulebook.forget(origin_of(record.url))
                self._hosts.add(record.host)
        if len(self._hosts) > named:
            self._widen_scope()
        # `start` may have logged in, and is not run again once all it yields is in the store.
        news = self._cookie_news()
        added = await self._store.seed(self._run, records, last=last, cookies=news)
        self._progress.added(added)
        self._scheduler.added(added.hosts)

    def _widen_scope(self) -> None:
        domains = self._spider.allowed_domains
        try:
            self._discovery.widen(
                Scope(domains) if domains is not None else Scope.around(self._hosts)
            )
        except ValueError as error:
            raise UsageError(f"allowed_domains of {self._spider.name}: {error}") from error


async def _batches(requests: AsyncIterator[Request]) -> AsyncIterator[list[Request]]:
    batch: list[Request] = []
    size = _FIRST_BATCH
    async for request in requests:
        batch.append(request)
        if len(batch) >= size:
            yield batch
            batch, size = [], _BATCH
    if batch:
        yield batch
