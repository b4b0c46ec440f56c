"""Running a spider's callback: from whatever shape it has to a stream of what it yields."""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from pydantic import BaseModel

from crawler.request import Request
from crawler.spider import Spider

# After so many results of a plain generator, the other coroutines get their turn.
PAUSE_EVERY = 100


def callback_of(spider: Spider, name: str | None) -> Callable[..., Any]:
    """Return the spider's method of that name (`parse` by default).

    Raises `LookupError` when it has none, as when the spider changed since the request was kept.
    """
    method = getattr(spider, name or "parse", None)
    if not callable(method):
        raise LookupError(f"{type(spider).__name__} has no method {name!r}")
    return method  # type: ignore[no-any-return]


async def outputs(result: Any) -> AsyncIterator[Any]:
    """Yield what a callback gives: it may be a generator (sync or async), a coroutine, an
    iterable, a single item or request, or None."""
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterator):
        async for output in result:
            yield output
    elif result is None or isinstance(result, Request | BaseModel | dict):
        yield result
    else:
        for output in result:
            yield output
