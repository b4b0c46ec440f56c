"""The way every request takes: middleware, permission, a free slot, and then the fetcher."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

from crawler.body import KEPT
from crawler.contact import Contact, Courtesy
from crawler.errors import DropRequest, FetchError, InvalidUrl, KnownPage, RetryLater
from crawler.fetcher import Fetcher
from crawler.middleware import Handler, Middleware, around, compose
from crawler.request import Request, identify
from crawler.response import Response

P = ParamSpec("P")

# Whether another request than the one of that id stands for the page of a fingerprint.
Stands = Callable[[int, int], Awaitable[bool]]

# The contact of the visit whose middleware is running, if any.
VISITING: ContextVar[Contact | None] = ContextVar("visiting", default=None)


class Door:
    """`fetch` is what workers and spiders call; the semaphore `slots` bounds the fetches in flight.

    The crawl's `own` middleware is around the user's.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        courtesy: Courtesy,
        middleware: Sequence[Middleware],
        stands: Stands,
        *,
        own: Sequence[Middleware] = (),
        slots: asyncio.Semaphore,
    ) -> None:
        self._fetcher = fetcher
        self._stands = stands
        self._courtesy = courtesy
        self._slots = slots
        self.fetch: Handler = compose(middleware, self._pass)
        for layer in reversed(own):
            self.fetch = around(layer, self.fetch)

    async def _pass(self, request: Request) -> Response:
        contact = request.contact
        if isinstance(contact, Contact) and not contact.over:
            return await self._fetch(request, contact)
        # A middleware's own request, or a spider's (which may be that of a page it has, again).
        # What the visit holds meanwhile might be the very slot that this one waits for.
        if (outer := VISITING.get()) is not None:
            outer.release()
        with Contact(self._courtesy) as contact:
            return await self._fetch(request, contact)

    async def _fetch(self, request: Request, contact: Contact) -> Response:
        if request.url != contact.url:  # a middleware has changed it, or nobody knows it yet
            try:
                request.url, host, _ = identify(request.url)
            except InvalidUrl as error:
                raise FetchError("invalid_url", str(error)) from error
            if not host:
                raise DropRequest("scheme")
        arrived = time.perf_counter()
        await contact.begin(request.url)
        async with _Slot(self._slots) as slot:
            phases = request.phases
            phases.queue = (phases.queue or 0.0) + time.perf_counter() - arrived

            async def hop(url: str, target: str) -> None:
                contact.answered(None)
                slot.give_back()  # nobody waits for a host while holding what others wait for
                await self._refuse_known(request, target)
                await contact.hop(url, target)
                await slot.take()

            try:
                response = await self._fetcher.fetch(request, hop, url=request.url)
            except FetchError as error:
                contact.failed(error)
                raise
            contact.answered(response)
            return response

    async def _refuse_known(self, request: Request, target: str) -> None:
        """Raise `KnownPage` when the crawl has visited the page of a redirect, or will."""
        once = request.id and request.method == "GET" and not request.dont_filter
        if once:
            page = self._courtesy.discovery.identify(target)[2]
            if await self._stands(page, request.id):
                raise KnownPage(target)

    async def fetch_now(self, request: Request) -> Response:
        """`Spider.fetch`: the same way, for a caller that waits. So here a retry does sleep."""
        if (kept := KEPT.get()) is not None:
            kept.give_back()
        while True:
            try:
                return await self.fetch(request)
            except RetryLater as later:
                request.attempts += 1
                await asyncio.sleep(later.delay)


def within(
    slots: asyncio.Semaphore, fetch: Callable[Concatenate[Request, P], Awaitable[Response]]
) -> Callable[Concatenate[Request, P], Awaitable[Response]]:
    """Return `fetch` for those who do not come through the door: under the same semaphore."""

    async def fetch_within(request: Request, /, *args: P.args, **keywords: P.kwargs) -> Response:
        async with slots:
            return await fetch(request, *args, **keywords)

    return fetch_within


class _Slot:
    """One place under a semaphore, that can be given back and taken again in between."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._held = False

    async def __aenter__(self) -> Self:
        await self.take()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    async def take(self) -> None:
        await self._semaphore.acquire()
        self._held = True

    def give_back(self) -> None:
        if self._held:
            self._held = False
            self._semaphore.release()
