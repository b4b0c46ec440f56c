"""How long something took: `timed`, as a decorator and as a block."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from time import perf_counter
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("crawler.timing")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one call or block took, in seconds, and whether it ended in an exception."""

    label: str
    seconds: float
    failed: bool


Report = Callable[[Timing], object]


class Timer:
    """What `timed("label")` gives: a block to time, or a decorator for a function.

    `seconds` is the time so far, and after the block the time it took. A timer may be used
    again, but not twice at once; a decorated function may, for every call has its own timer.
    """

    def __init__(self, label: str | None = None, report: Report | None = None) -> None:
        if report is not None and (not callable(report) or iscoroutinefunction(report)):
            raise TypeError(f"timed(report=...) takes a plain function, not {report!r}")
        self.label = label
        self._report = report or _log_timing
        self._started: float | None = None
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the block was entered, or that it took; 0 before that."""
        return self._seconds if self._started is None else perf_counter() - self._started

    def __enter__(self) -> Self:
        if self._started is not None:
            raise RuntimeError("this timer is running: call timed() anew for each block")
        self._started = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._seconds = self.seconds
        self._started = None
        self._report(Timing(self.label or "block", self._seconds, kind is not None))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.__exit__(kind)

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Return `function`, each call of it timed and reported."""
        if not callable(function):
            raise TypeError(f"timed takes a label or a function, not {function!r}")
        name = getattr(function, "__qualname__", repr(function))
        label, report = self.label or name, self._report
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(f"timed cannot time {name}, a generator: time the loop that reads it")
        if iscoroutinefunction(function):
            coroutine = cast(Callable[P, Any], function)

            @wraps(function)
            async def timed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with Timer(label, report):
                    return await coroutine(*args, **kwargs)

            return cast(Callable[P, R], timed_coroutine)

        @wraps(function)
        def timed_function(*args: P.args, **kwargs: P.kwargs) -> R:
            with Timer(label, report):
                return function(*args, **kwargs)

        return timed_function


@overload
def timed(label: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def timed(label: str | None = None, *, report: Report | None = None) -> Timer: ...
def timed(label: Any = None, *, report: Report | None = None) -> Any:
    """Time a function, a coroutine function, or a block, and report each time it ran.

        @timed                                  @timed("parse", report=print)
        async def fetch(url): ...               def parse(page): ...

        with timed("a block") as t: ...         async with timed("a block") as t: ...
        print(t.seconds)

    Each call gets its own `Timing`, which goes to `report`; by default to the log
    `crawler.timing`, at debug. A function's label is its name unless one is given.
    Exceptions and cancellation pass through, and count as `failed`. Waiting counts: this is
    the clock on the wall, by `time.perf_counter`. Raises `TypeError` for wrong arguments, and for
    a generator function.
    """
    if label is None or isinstance(label, str):
        return Timer(label, report)
    return Timer(None, report)(label)


def _log_timing(timing: Timing) -> None:
    outcome = " and failed" if timing.failed else ""
    _log.debug("%s took %.6f s%s", timing.label, timing.seconds, outcome)
