"""From permission to an answer: a contact, a place under the semaphore, and then the fetcher."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from crawler.contact import Contact
from crawler.errors import FetchError
from crawler.fetcher import Fetcher
from crawler.request import Request
from crawler.response import Response


class Passage:
    """The only way to the fetcher in a crawl, for pages and for robots.txt alike.

    The semaphore `slots` bounds the fetches in flight.
    """

    def __init__(self, fetcher: Fetcher, slots: asyncio.Semaphore) -> None:
        self._fetcher = fetcher
        self._slots = slots

    async def fetch(
        self,
        request: Request,
        contact: Contact,
        refuse: Callable[[Request, str], Awaitable[None]] | None = None,
        *,
        first: int | None = None,
        max_redirects: int | None = None,
    ) -> Response:
        """Return the response, once the host may be asked; its url is canonical.

        `refuse` is asked about each redirect's target, and may raise. The rest is as in
        `Fetcher.fetch`, and whatever `Contact` raises. When the fetch has ended, the host is free.
        """
        arrived = time.perf_counter()
        await contact.enter(request.url)
        slots, held = self._slots, False

        async def hop(url: str, target: str) -> None:
            nonlocal held
            contact.answered(None)
            slots.release()  # nobody waits for a host while holding what others wait for
            held = False
            if refuse is not None:
                await refuse(request, target)
            await contact.hop(url, target)
            held = await slots.acquire()
            contact.begin()

        try:
            held = await slots.acquire()
            contact.begin()  # not before: those who wait for a slot would all be off at once
            phases = request.phases
            phases.queue = (phases.queue or 0.0) + time.perf_counter() - arrived
            try:
                response = await self._fetcher.fetch(
                    request, hop, url=request.url, first=first, max_redirects=max_redirects
                )
            except FetchError as error:
                contact.failed(error, request.url)
                raise
            contact.answered(response)
            return response
        finally:
            if held:
                slots.release()
            contact.leave()
