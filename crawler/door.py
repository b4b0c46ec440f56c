"""The way every request takes: middleware, permission, a free slot, and then the fetcher."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from crawler.contact import Contact, Courtesy
from crawler.errors import DropRequest, FetchError, InvalidUrl, KnownPage, RetryLater
from crawler.identity import identify
from crawler.middleware import Handler, Middleware, around, compose
from crawler.passage import Passage
from crawler.request import Request
from crawler.response import Response
from crawler.url import redact

# Whether another request than the one of that id stands for the page of a fingerprint.
Stands = Callable[[int, int], Awaitable[bool]]

_NAMED = {"private_address": " (a start URL, or allow_private, names the hosts that may be)"}

# The contact of the visit whose middleware is running, if any.
VISITING: ContextVar[Contact | None] = ContextVar("visiting", default=None)


class Door:
    """`fetch` is what workers and spiders call.

    The crawl's `own` middleware is around the user's.
    """

    def __init__(
        self,
        passage: Passage,
        courtesy: Courtesy,
        middleware: Sequence[Middleware],
        stands: Stands,
        *,
        own: Sequence[Middleware] = (),
    ) -> None:
        self._passage = passage
        self._stands = stands
        self._courtesy = courtesy
        self.fetch: Handler = compose(middleware, self._pass)
        for layer in reversed(own):
            self.fetch = around(layer, self.fetch)

    async def _pass(self, request: Request) -> Response:
        contact = request.contact
        if isinstance(contact, Contact) and not contact.over:
            _take_up(request, contact)
            return await self._passage.fetch(request, contact, self._refuse_known)
        # A middleware's own request, or a spider's (which may be that of a page it has, again).
        # What the visit holds meanwhile might be the very slot that this one waits for.
        if (outer := VISITING.get()) is not None:
            outer.release()
        with Contact(self._courtesy) as contact:
            _take_up(request, contact)
            return await self._passage.fetch(request, contact)

    async def _refuse_known(self, request: Request, target: str) -> None:
        """Raise `KnownPage` when the crawl has visited the page of a redirect, or will."""
        once = request.id and request.method == "GET" and not request.dont_filter
        if once:
            page = self._courtesy.discovery.identify(target)[2]
            if await self._stands(page, request.id):
                raise KnownPage(target)

    async def fetch_now(self, request: Request) -> Response:
        """`Spider.fetch`: the same way, for a caller that waits. So here a retry does sleep."""
        while True:
            try:
                return await self.fetch(request)
            except RetryLater as later:
                request.attempts += later.counts
                await asyncio.sleep(later.delay)
            except DropRequest as drop:  # else nobody could tell what it is about
                drop.args = (f"{drop.reason}: {redact(request.url)}{_NAMED.get(drop.reason, '')}",)
                raise


def _take_up(request: Request, contact: Contact) -> None:
    """Make the request's url canonical: that of a visit is, unless a middleware has changed it."""
    if request.url == contact.url:
        return
    try:
        request.url, host, _ = identify(request.url)
    except InvalidUrl as error:
        raise FetchError("invalid_url", str(error)) from error
    if not host:
        raise DropRequest("scheme")
