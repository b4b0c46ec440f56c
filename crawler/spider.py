"""What users subclass."""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from crawler.errors import SpiderError
from crawler.logs import get_logger
from crawler.middleware import Middleware
from crawler.request import Request
from crawler.response import Response
from crawler.url import Scope


@dataclass(frozen=True, slots=True)
class Failure:
    """What an errback is given: the request that failed for good, and why."""

    request: Request
    reason: str
    exception: BaseException | None = None
    response: Response | None = None

    if not TYPE_CHECKING:  # for whom any attribute would then be there

        def __getattr__(self, name: str) -> Any:
            # `check`, `value`, `type` … are Twisted's, and so Scrapy's.
            raise AttributeError(
                f"a Failure has no {name!r}: what happened is in its reason ('http_404', 'timeout' "
                "…), exception and response",
                name=name,
                obj=self,
            )


# So many start urls are looked at before a crawl begins: up to 12 µs each.
_MOST_LISTED = 2_000


class Spider:
    """Where to start, and how to parse. Subclass it, give it a `name`, write `parse`.

    Arguments of a run (`crawler run NAME -a key=value`) become attributes, as text.
    """

    name: str = ""
    start_urls: Sequence[str] = ()
    # Hosts that links may lead to, subdomains included. None, or empty: the sites of the
    # start requests; ["*"]: anywhere.
    allowed_domains: Sequence[str] | None = None
    settings: Mapping[str, Any] = {}
    # Statuses outside 2xx that go to the callback instead of failing the request.
    handle_status: Sequence[int] = ()
    # Plain `async def mw(request, call_next)`, outermost first; methods of the spider, or their
    # names, work too.
    middleware: Sequence[Callable[..., Awaitable[Response]] | str] = ()
    # Models that the spider yields but imports from elsewhere; its own module's are found.
    items: Sequence[type[BaseModel]] = ()

    _has_callbacks: ClassVar[bool] = True
    _fetch: "Callable[[Request], Awaitable[Response]] | None" = None
    _reserved: ClassVar[frozenset[str]] = frozenset({"settings", "logger", "middleware", "items"})

    def __init__(self, name: str | None = None, **arguments: Any) -> None:
        if name is not None:
            self.name = name
        for key, value in arguments.items():
            if key in self._reserved or callable(getattr(type(self), key, None)):
                raise SpiderError(f"argument {key!r} would hide the spider's own {key!r}")
            setattr(self, key, value)

    async def start(self) -> AsyncIterator[Request]:
        """Yield the requests to begin with: by default one for each of `start_urls`.

        A crawl that was cut short runs this again; requests it knows are not added twice.
        """
        for url in self.start_urls:
            yield Request(url)

    def parse(self, response: Response) -> Any:
        """Turn a page into items and requests: the callback of requests that name none."""
        raise NotImplementedError(f"{type(self).__name__} has no parse method")

    def closed(self, reason: str) -> Any:
        """Do what is to be done when a process ends its part of the run (may be async)."""

    async def fetch(self, request: Request | str) -> Response:
        """Return the response to a request made from within a callback, at once.

        It passes through the same door as every other fetch: robots.txt, politeness, limits
        and middleware, but not the spider's scope. Its status may be any; see `response.ok`. Raises
        `FetchError` when there is no answer, and `DropRequest` when it is not allowed.
        """
        if self._fetch is None:
            raise SpiderError("fetch() works only while the spider is being run")
        if not isinstance(request, Request):
            request = Request(request)
        return await self._fetch(request)

    @property
    def logger(self) -> Any:
        """A structlog logger that carries the spider's name."""
        return get_logger("crawler.spider").bind(spider=self.name)

    def log(self, message: str, level: int = logging.DEBUG, **values: Any) -> None:
        """Log a line, as `self.logger.log` does; spiders written for Scrapy call it."""
        self.logger.log(level, message, **values)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def bound_middleware(spider: Spider) -> list[Middleware]:
    """Return the spider's middleware, methods named in its class body bound to it.

    Raises `SpiderError` for one that cannot be called as a middleware is.
    """
    layers = spider.middleware or ()
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        # As it was given: a function in a class becomes a method when it is looked up there.
        kind = type(getattr_static(spider, "middleware")).__name__
        raise SpiderError(
            f"middleware of {spider.name} is a list of functions, not {kind}: put it into [ ]"
        )
    return [_bound(spider, layer) for layer in layers]


def _bound(spider: Spider, layer: Any) -> Middleware:
    if hasattr(layer, "process_request") or hasattr(layer, "process_response"):  # Scrapy's
        kind = getattr(layer, "__name__", type(layer).__name__)
        raise SpiderError(
            f"middleware {kind} of {spider.name} is not a function: write async def "
            "mw(request, call_next), which returns await call_next(request)"
        )
    name = layer if isinstance(layer, str) else getattr(layer, "__name__", "")
    own = getattr(type(spider), name, None) if name else None
    if isinstance(layer, str) or own is layer:
        layer = getattr(spider, name, None)
    if not callable(layer):
        raise SpiderError(f"middleware {name or layer!r} of {spider.name} is not a function")
    if not _takes_two(layer):
        wanted = "self, request, call_next" if inspect.ismethod(layer) else "request, call_next"
        raise SpiderError(
            f"middleware {name or layer!r} of {spider.name} takes other arguments than ({wanted})"
        )
    bound: Middleware = layer
    return bound


def _takes_two(layer: Callable[..., object]) -> bool:
    try:
        signature = inspect.signature(layer)
    except (TypeError, ValueError):
        return True  # built in: nobody can tell
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


def check_attributes(spider: Spider) -> None:
    """Raise `SpiderError` for what the spider's attributes cannot be: types are not checked."""
    bound_middleware(spider)
    given_scope(spider)
    handled_statuses(spider)
    if not _has_default_start(spider):
        return  # what it makes of its `start_urls` is its own affair
    urls, name = spider.start_urls, spider.name
    if isinstance(urls, str):
        raise SpiderError(f"start_urls of {name} is text: make it a list of urls")
    if not isinstance(urls, Iterable | None):
        raise SpiderError(f"start_urls of {name} is a list of urls, not {urls!r}")
    for url in listed_urls(spider) or ():
        if not isinstance(url, str):
            raise SpiderError(f"start_urls of {name} has {url!r}, which is no text")


def given_scope(spider: Spider) -> Scope | None:
    """Return what `allowed_domains` admits; None when it is left to the start requests."""
    domains, what = spider.allowed_domains, f"allowed_domains of {spider.name}"
    if isinstance(domains, str):
        raise SpiderError(f"{what} is text: make it a list")
    if not isinstance(domains, Iterable | None):
        raise SpiderError(f"{what} is a list of domains, not {domains!r}")
    if not domains:
        return None
    try:
        return Scope(domains)
    except ValueError as error:
        raise SpiderError(f"{what}: {error}") from error


def handled_statuses(spider: Spider) -> frozenset[int]:
    """Return the statuses outside 2xx that go to the callback; the second name is Scrapy's."""
    found: set[int] = set()
    for name in ("handle_status", "handle_httpstatus_list"):
        given = getattr(spider, name, None) or ()
        if not (isinstance(given, Iterable) and all(isinstance(one, int) for one in given)):
            raise SpiderError(f"{name} of {spider.name} is a list of numbers, not {given!r}")
        found.update(given)
    return frozenset(found)


def start_requests(spider: Spider) -> AsyncIterator[Request]:
    """Return the spider's start requests, also from a plain `start` or Scrapy's older name."""
    older = getattr(spider, "start_requests", None)
    if older is not None and type(spider).start is Spider.start:
        return _walk(older(), f"start_requests() of {spider.name}")
    return _walk(spider.start(), f"start() of {spider.name}")


async def _walk(requests: object, source: str) -> AsyncIterator[Request]:
    if isinstance(requests, AsyncIterator):
        async for request in requests:
            yield request
    elif isinstance(requests, Iterable):
        for request in requests:
            yield request
    else:
        if inspect.iscoroutine(requests):
            requests.close()
        kind = type(requests).__name__
        raise SpiderError(f"{source} yields its Requests, one by one, and does not return a {kind}")


def has_no_start(spider: Spider) -> bool:
    """Say whether the spider gives nothing to begin with, neither urls nor a `start`."""
    return _has_default_start(spider) and not spider.start_urls


def listed_urls(spider: Spider) -> Sequence[str] | None:
    """Return the urls of a spider that starts with no others; None when they cannot be foreseen.

    Nor can those of a property or an iterator, which may not be there a second time, or too many.
    """
    urls = getattr_static(spider, "start_urls")
    plain = isinstance(urls, list | tuple) and len(urls) <= _MOST_LISTED
    return urls if plain and _has_default_start(spider) else None


def _has_default_start(spider: Spider) -> bool:
    return type(spider).start is Spider.start and not hasattr(spider, "start_requests")
