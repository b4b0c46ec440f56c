"""Another try for what failed by accident: the decorator `retry`."""

import logging
import sys
from collections.abc import Callable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, ParamSpec, TypeVar, overload

import tenacity

from crawler.backoff import backoff_delay
from crawler.errors import FetchError

P = ParamSpec("P")
R = TypeVar("R")
On = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]

_log = logging.getLogger("crawler.retrying")

_AIOHTTP_FAULTS = ("ClientConnectionError", "ClientPayloadError")


def is_transient(error: Exception) -> bool:
    """Return whether another try may help: connection faults, timeouts, cut-off bodies.

    That is `OSError` with `TimeoutError`, aiohttp's `ClientConnectionError` and
    `ClientPayloadError`, and a `FetchError` that says it is `retryable`.
    """
    if isinstance(error, FetchError):
        return error.retryable
    # Importing aiohttp takes 200 ms; whoever raised its errors has done so.
    aiohttp = sys.modules.get("aiohttp")
    faults = tuple(getattr(aiohttp, name) for name in _AIOHTTP_FAULTS) if aiohttp else ()
    return isinstance(error, (OSError, *faults))


@overload
def retry(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry(
    *,
    on: On = is_transient,
    attempts: int = 4,
    backoff: float = 1.0,
    max_delay: float = 60.0,
    timeout: float | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def retry(
    function: Callable[..., Any] | None = None,
    /,
    *,
    on: On = is_transient,
    attempts: int = 4,
    backoff: float = 1.0,
    max_delay: float = 60.0,
    timeout: float | None = None,
) -> Any:
    """Return a coroutine function, or a plain one, that is tried again when it fails.

        @retry                                  @retry(on=(OSError, KeyError), attempts=6)
        async def login(): ...                  def read(): ...

    `on` says after which failures: exception types, or a function of the exception; without
    it, `is_transient` decides. `attempts` counts the first try. Before the second try it waits
    `backoff` seconds, then twice as long each time, at most `max_delay`, of which up to half is
    taken off at random. No try begins once `timeout` seconds would be over;
    one that is running is not interrupted. The last failure is raised as it is.

    Cancellation is never retried, whatever `on` says. Each retry is a debug line of the logger
    `crawler.retrying`, without the call's arguments. The tries are tenacity's: the decorated
    function has its `.retry` to adjust in tests. Raises `TypeError` and `ValueError` for wrong
    arguments as it decorates, and for a generator function, which would start over and yield twice.
    """
    _check(on, attempts, backoff, max_delay, timeout)
    stop = tenacity.stop_after_attempt(attempts)
    again = tenacity.retry(
        retry=tenacity.retry_if_exception(_only_exceptions(on)),
        stop=stop if timeout is None else stop | tenacity.stop_before_delay(timeout),
        wait=lambda state: backoff_delay(state.attempt_number, base=backoff, maximum=max_delay),
        before_sleep=_log_retry,
        reraise=True,
    )

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if not callable(function) or _is_exception_type(function):
            raise TypeError(f"retry takes a function, not {function!r}: write retry(on=...)")
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise TypeError(f"retry cannot retry {name}, a generator: it would yield twice")
        return again(function)

    return decorate if function is None else decorate(function)


def _check(on: Any, attempts: Any, backoff: Any, max_delay: Any, timeout: Any) -> None:
    kinds = on if isinstance(on, tuple) else (on,)
    if isinstance(on, type | tuple) and not all(map(_is_exception_type, kinds)):
        raise TypeError(f"retry(on=...) takes exception types, and {on!r} is not only that")
    if not isinstance(on, tuple) and (not callable(on) or iscoroutinefunction(on)):
        raise TypeError(
            f"retry(on=...) takes exception types, or a plain function of one, not {on!r}"
        )
    if not isinstance(attempts, int):
        raise TypeError(f"retry(attempts=...) takes a whole number, not {attempts!r}")
    seconds = {"backoff": backoff, "max_delay": max_delay}
    if timeout is not None:
        seconds["timeout"] = timeout
    for name, value in seconds.items():
        if not isinstance(value, int | float):
            raise TypeError(f"retry({name}=...) takes seconds, not {value!r}")
    # Asked for what they are to be, for a number that is none is not less than anything.
    if not (attempts >= 1 and backoff >= 0 and max_delay >= 0 and seconds.get("timeout", 1) > 0):
        raise ValueError("retry needs attempts >= 1, backoff and max_delay >= 0, timeout > 0")


def _is_exception_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _log_retry(state: tenacity.RetryCallState) -> None:
    # Never the arguments: one of them may be a password.
    name = getattr(state.fn, "__qualname__", repr(state.fn))
    error = state.outcome.exception() if state.outcome else None
    _log.debug(
        "%s failed (%r), try %d, again in %.3g s",
        name,
        error,
        state.attempt_number,
        state.upcoming_sleep,
    )


def _only_exceptions(on: On) -> Callable[[BaseException], bool]:
    """Return `on` as a predicate that is False for cancellation and for a request to exit."""
    if isinstance(on, (type, tuple)):
        kinds = on
        return lambda error: isinstance(error, Exception) and isinstance(error, kinds)
    predicate = on
    return lambda error: isinstance(error, Exception) and bool(predicate(error))
