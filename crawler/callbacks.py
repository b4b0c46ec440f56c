"""Running a spider's callback: from whatever shape it has to a stream of what it yields."""

import asyncio
import inspect
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from inspect import CO_ITERABLE_COROUTINE
from types import GeneratorType
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from crawler.ending import end
from crawler.errors import yielded_at
from crawler.links import Followed
from crawler.models import item_models
from crawler.payload import models_in
from crawler.request import Request, values_of
from crawler.spider import Spider

# What a callback may return by itself, instead of yielding it.
_SINGLE = (Request, BaseModel, dict)
# After so long (seconds) in a generator that never waits, the other coroutines get their turn.
_TURN = 0.01
# What a callback gets to clean up after it was cancelled (seconds), before it is left behind.
_LAST_WORDS = 1.0
# More characters of an error are no help in a line of the log; `trace_of` has more of them, but not
# all, for they may be a page's: `float(title)` repeats the title.
_LONGEST_NAME = 500
_LONGEST_TRACE = 32_000
# What pydantic says of these has no value that could be wrong.
_ABOUT_NAMES = frozenset({"missing", "extra_forbidden"})
_LONGEST_INPUT = 40


class Taker(Protocol):
    """Takes what a callback yields."""

    def take(self, output: Any) -> None:
        """Take one result; may raise."""

    def take_followed(self, followed: Followed, first: Request) -> int:
        """Take what `followed` has yielded last, and the next few, or leave out those known.

        They are like the `first` but for their urls. Returns how many of them it will not yield;
        may raise.
        """

    async def turn(self) -> None:
        """Let the other coroutines go on: the callback has run for a while."""


class CallbackError(Exception):
    """A callback that must be ended from outside; `reason` is the page's reason code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def callback_of(spider: Spider, name: str | None) -> Callable[..., Any]:
    """Return the spider's method of that name (`parse` by default).

    Raises `LookupError` when it has none.
    """
    method = getattr(spider, name or "parse", None)
    if not callable(method) or getattr(method, "__func__", None) is Spider.parse:
        hint = "" if name else ": it is called for requests that name no callback"
        raise LookupError(f"{type(spider).__name__} has no method {name or 'parse'!r}{hint}")
    return method  # type: ignore[no-any-return]


class Methods:
    """The spider's methods and models that requests name; each is looked for once."""

    def __init__(self, spider: Spider) -> None:
        self._spider = spider
        self._known: set[str | None] = set()
        self._models: dict[str, type[BaseModel]] | None = None

    def of(self, name: str | None) -> Callable[..., Any]:
        """Return the spider's method, as `callback_of` does; it may be another one each time."""
        if name in self._known:
            return getattr(self._spider, name or "parse")  # type: ignore[no-any-return]
        method = callback_of(self._spider, name)
        self._known.add(name)
        return method

    def check(self, request: Request) -> None:
        """Raise `LookupError` when the spider has not what a request will ask of it.

        It need not have `parse` for one of which nobody wants to know but that it failed.
        """
        callback, errback = request.callback, request.errback
        if callback not in self._known and (callback is not None or errback is None):
            self.of(callback)
        if errback is not None and errback not in self._known:
            self.of(errback)
        for values in values_of(request):
            for model in models_in(values):
                self._check_model(model)

    def _check_model(self, model: type[BaseModel]) -> None:
        spider, name = type(self._spider), model.__name__
        if self._models is None:
            self._models = item_models(spider)
        if self._models.get(name) is not model:
            raise LookupError(
                "an item in meta or cb_kwargs is read back by its model's name, and the module of "
                f"{spider.__name__} has no {name}: import it there by that name, or put it into "
                "`items`"
            )


def is_of_user_code(error: BaseException) -> bool:
    """Say whether an error that came out of user code is its own, and not that we are to end.

    Called where it was caught. A `KeyboardInterrupt` is always the user's wish.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, KeyboardInterrupt)


def trace_of(error: BaseException) -> str:
    """Return the traceback as text that any file can hold; of a long one, both its ends."""
    text = "".join(traceback.format_exception(error))
    if len(text) > _LONGEST_TRACE:
        half = _LONGEST_TRACE // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n… {left_out:,} characters are left out …\n{text[-half:]}"
    return text.encode(errors="backslashreplace").decode()  # its message may hold anything


def name_of(error: BaseException) -> str:
    """Return the error's type and what it says first, in one line that any file can hold.

    Also of one whose own `str` fails.
    """
    if isinstance(error, CallbackError):
        name = str(error)  # whoever raised it is none of the user's
    else:
        name = _invalid(error) if isinstance(error, ValidationError) else _beginning(error)
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 1] + "…"
    return name.encode(errors="backslashreplace").decode()


def _beginning(error: BaseException) -> str:
    # Before its type a SyntaxError shows the place, indented; after an error's text come notes.
    parts = traceback.format_exception_only(error)
    text = next((part for part in parts if not part.startswith(" ")), parts[-1])
    lines = [line for part in text.splitlines() if (line := part.strip())]
    # What ends in a colon is said in the next line.
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def _invalid(error: ValidationError) -> str:
    """Return which fields of which model are wrong, and how: pydantic takes several lines."""
    problems = "; ".join(
        ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
        + _got(problem)
        for problem in error.errors(include_url=False, include_context=False)
    )
    count = error.error_count()
    errors = "validation error" if count == 1 else "validation errors"
    return " ".join(f"ValidationError: {count} {errors} for {error.title}: {problems}".split())


def _got(problem: Mapping[str, Any]) -> str:
    """Return what a field was given: mostly None, which is what a selector finds in vain."""
    value = problem["input"]
    if not problem["loc"] or problem["type"] in _ABOUT_NAMES:
        return ""
    shown = type(value).__name__
    if value is None or type(value) in (str, bool, float):
        shown = repr(value)
    if len(shown) > _LONGEST_INPUT:
        shown = shown[: _LONGEST_INPUT - 1] + "…"
    return f" (got {shown})"


async def end_hook(result: Any, *, timeout: float) -> None:
    """Await what a hook of the spider returned, if it is to be awaited, for so long at most.

    Raises `CallbackError` when it takes longer, and whatever it raises itself.
    """
    if inspect.isawaitable(result):
        await _bounded(result, timeout)


def run_callback(
    result: Any, taker: Taker, *, timeout: float, most: int
) -> Coroutine[Any, Any, None]:
    """Give each thing that a callback yields to `taker`; to be awaited.

    `result` is what calling it returned: a generator (sync or async), a coroutine, an iterable,
    a single item or request, or None. Raises `CallbackError` when it takes longer than `timeout`
    seconds in all, yields more than `most`, or calls `sys.exit`; and whatever it raises itself.
    When cancelled, so is the callback.
    """
    # A generator nearly always; one can be awaited, too, if it is marked as a coroutine.
    if (type(result) is not GeneratorType or result.gi_code.co_flags & CO_ITERABLE_COROUTINE) and (
        inspect.isawaitable(result) or isinstance(result, AsyncIterator)
    ):
        return _bounded(_take_async(result, taker, most), timeout)
    return _take_plain(result, taker, timeout, most)


async def _take_plain(result: Any, taker: Taker, timeout: float, most: int) -> None:
    """Walk a plain iterable; the clock is looked at only after each of its results."""
    take = taker.take
    if result is None or isinstance(result, _SINGLE):
        take(result)
        return
    is_generator = type(result) is GeneratorType
    clock = time.monotonic
    now = clock()
    deadline = now + timeout
    look = min(now + _TURN, deadline)
    left = most
    for output in _whole(result) if is_generator else result:
        left -= 1
        try:
            # What `yield from` yields comes here as it is: nobody else sees what is left out.
            source = result.gi_yieldfrom if is_generator else result
            if type(source) is Followed:
                left -= taker.take_followed(source, output)
            else:
                take(output)
        except Exception as error:
            _note_line(error, result)
            raise
        if left < 0:
            raise _too_many(most)
        if clock() > look:
            if clock() > deadline:
                raise CallbackError("callback_timeout", f"not done after {timeout:g} s")
            paused = clock()
            await taker.turn()
            deadline += clock() - paused
            look = min(clock() + _TURN, deadline)


def _whole(callback: "GeneratorType[Any, None, Any]") -> Iterator[Any]:
    """Yield what a callback does; raises `TypeError` when it returns something besides."""
    returned = yield from callback
    if returned is not None:
        name, kind = callback.__name__, type(returned).__name__
        error = TypeError(f"{name} yields its results, and the {kind} it returns is lost: yield it")
        error.add_note(yielded_at(callback.gi_code.co_filename, callback.gi_code.co_firstlineno))
        raise error


async def _take_async(result: Any, taker: Taker, most: int) -> None:
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterator):
        clock = asyncio.get_running_loop().time
        resumed = clock()
        left = most
        async for output in result:
            left -= 1
            if left < 0:
                raise _too_many(most)
            try:
                taker.take(output)
            except Exception as error:
                _note_line(error, result)
                raise
            if clock() - resumed > _TURN:
                await asyncio.sleep(0)  # an async generator need not ever wait for anything
                resumed = clock()
    else:
        await _take_plain(result, taker, float("inf"), most)


def _note_line(error: Exception, source: Any) -> None:
    """Note on an error which line of a generator yielded what it is about: no traceback does."""
    while type(inner := getattr(source, "gi_yieldfrom", None)) is GeneratorType:
        source = inner
    frame = getattr(source, "gi_frame", None) or getattr(source, "ag_frame", None)
    if frame is not None:
        error.add_note(yielded_at(frame.f_code.co_filename, frame.f_lineno))


def _too_many(most: int) -> CallbackError:
    return CallbackError("too_many_results", f"the callback yields more than {most:,}")


async def _bounded(work: Awaitable[None], timeout: float) -> None:
    """Await user code for so long, and not a moment more, whatever it does with cancellation.

    It has a task of its own: code that swallows `CancelledError` can then be left behind,
    while its page fails and the worker goes on.
    """
    task = asyncio.create_task(_without_exit(work), name="callback")
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        await end([task], within=_LAST_WORDS)
        raise
    if not done:
        await end([task], within=_LAST_WORDS)
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
