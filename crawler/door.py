"""The way every request takes: middleware, permission, a free slot, and then the fetcher."""

import asyncio
import time
from collections.abc import Sequence

from crawler.contact import Contact, Courtesy
from crawler.errors import DropRequest, FetchError, InvalidUrl, RetryLater
from crawler.fetcher import Fetcher
from crawler.middleware import Handler, Middleware, compose
from crawler.request import Request, identify
from crawler.response import Response


class Door:
    """`fetch` is what workers and spiders call; the semaphore bounds the fetches in flight."""

    def __init__(
        self,
        fetcher: Fetcher,
        courtesy: Courtesy,
        middleware: Sequence[Middleware],
        *,
        concurrency: int,
    ) -> None:
        self._fetcher = fetcher
        self._courtesy = courtesy
        self._slots = asyncio.Semaphore(concurrency)
        self.fetch: Handler = compose(middleware, self._pass)

    async def _pass(self, request: Request) -> Response:
        contact = request.contact
        if isinstance(contact, Contact):
            return await self._fetch(request, contact)
        async with Contact(self._courtesy) as contact:
            return await self._fetch(request, contact)

    async def _fetch(self, request: Request, contact: Contact) -> Response:
        try:
            request.url, host, _ = identify(request.url)  # a middleware may have changed it
        except InvalidUrl as error:
            raise FetchError("invalid_url", str(error)) from error
        if not host:
            raise DropRequest("scheme")
        arrived = time.perf_counter()
        await contact.begin(request.url)
        async with self._slots:
            waited = time.perf_counter() - arrived
            request.phases.queue = (request.phases.queue or 0.0) + waited
            return await self._fetcher.fetch(request, contact.hop)

    async def fetch_now(self, request: Request) -> Response:
        """`Spider.fetch`: the same way, for a caller that waits. So here a retry does sleep."""
        while True:
            try:
                return await self.fetch(request)
            except RetryLater as later:
                request.attempts += 1
                await asyncio.sleep(later.delay)
