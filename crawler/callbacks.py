"""Running a spider's callback: from whatever shape it has to a stream of what it yields."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from crawler.request import Request
from crawler.spider import Spider

# After so many results of a plain generator, the other coroutines get their turn.
PAUSE_EVERY = 100
# What a callback gets to clean up after it was cancelled (seconds), before it is left behind.
_LAST_WORDS = 1.0


class CallbackError(Exception):
    """A callback that must be ended from outside; `reason` is the page's reason code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def callback_of(spider: Spider, name: str | None) -> Callable[..., Any]:
    """Return the spider's method of that name (`parse` by default).

    Raises `LookupError` when it has none, as when the spider changed since the request was kept.
    """
    method = getattr(spider, name or "parse", None)
    if not callable(method):
        raise LookupError(f"{type(spider).__name__} has no method {name!r}")
    return method  # type: ignore[no-any-return]


async def run_callback(
    result: Any, take: Callable[[Any], None], *, timeout: float, most: int
) -> None:
    """Give each thing that a callback yields to `take`.

    `result` is what calling it returned: a generator (sync or async), a coroutine, an iterable,
    a single item or request, or None. Raises `CallbackError` when it takes longer than `timeout`
    seconds in all, yields more than `most`, or calls `sys.exit`; and whatever it raises itself.
    When cancelled, so is the callback.
    """
    taken = 0

    def count(output: Any) -> None:
        nonlocal taken
        taken += 1
        if taken > most:
            raise CallbackError("too_many_results", f"the callback yields more than {most:,}")
        take(output)

    if inspect.isawaitable(result) or isinstance(result, AsyncIterator):
        await _bounded(_take_async(result, count), timeout)
    else:
        await _take_plain(result, count, timeout)


async def _take_plain(result: Any, take: Callable[[Any], None], timeout: float) -> None:
    """Walk a plain iterable; it is looked at the clock between two of its results only."""
    if result is None or isinstance(result, Request | BaseModel | dict):
        take(result)
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    for number, output in enumerate(result, 1):
        take(output)
        if not number % PAUSE_EVERY:
            await asyncio.sleep(0)
            if loop.time() > deadline:
                raise CallbackError("callback_timeout", f"not done after {timeout:g} s")


async def _take_async(result: Any, take: Callable[[Any], None]) -> None:
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterator):
        async for output in result:
            take(output)
    else:
        await _take_plain(result, take, float("inf"))


async def _bounded(work: Awaitable[None], timeout: float) -> None:
    """Await user code for so long, and not a moment more, whatever it does with cancellation.

    It has a task of its own: code that swallows `CancelledError` can then be left behind,
    while its page fails and the worker goes on.
    """
    task = asyncio.ensure_future(_without_exit(work))
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=_LAST_WORDS)
        raise
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_LAST_WORDS)
        raise CallbackError("callback_timeout", f"not done after {timeout:g} s")
    if task.cancelled():
        raise CallbackError("spider_error", "the callback cancelled itself")
    task.result()


async def _without_exit(work: Awaitable[None]) -> None:
    # In a task SystemExit would stop the whole event loop, not only this page.
    try:
        await work
    except SystemExit as error:
        raise CallbackError(
            "spider_error", f"the callback called sys.exit({error.code})"
        ) from error
