"""Every error the crawler raises, in one tree.

    CrawlerError
    ├── UsageError            the caller asked for something that cannot be: exit status 2
    │   ├── SettingsError     an unknown or impossible setting
    │   └── SpiderError       no such spider, or one that cannot be loaded
    ├── FetchError            a request that got no usable response; carries a reason code
    ├── InvalidUrl            a request's url is none (also a ValueError)
    ├── ParseBudgetError      a page that would cost too much to parse
    ├── RetryLater            not a failure yet: try this request again after a while
    ├── DropRequest           a middleware's way to skip a request, with a reason code
    └── KnownPage             a redirect leads to a page that another request stands for

    storage.StoreError        the store could not be read or written: exit status 75
    └── storage.RunMismatch   the file and this command do not fit together: exit status 2

The text of an error is one line that says what is wrong and what to do. `users_line` says where in
the user's own code any error came from, `did_you_mean` what a wrong name was meant to be.
"""

import os
import traceback
from collections.abc import Iterable
from importlib import import_module

import storage

# Directories whose code is not the user's: crawler, storage and Python's standard library. What
# is installed is in one of the others, wherever that is.
_NOT_USERS = tuple(
    os.path.dirname(os.path.abspath(file)) + os.sep
    for file in (__file__, storage.__file__, traceback.__file__)
)
_YIELDED = "yielded at "
_INSTALLED = frozenset({"site-packages", "dist-packages"})


class CrawlerError(Exception):
    """The root of everything the crawler raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Let pickle make the error anew from what it holds, whatever its constructor takes."""
        return _made_anew, (type(self), self.args, self.__dict__)


def _made_anew(
    kind: type[CrawlerError], arguments: tuple[object, ...], values: dict[str, object]
) -> CrawlerError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(values)
    return error


class UsageError(CrawlerError):
    """The caller asked for something that cannot be done; nothing was started."""


class SettingsError(UsageError):
    """A setting is unknown, or its value is impossible."""


class SpiderError(UsageError):
    """There is no such spider, or it cannot be loaded."""


class FetchError(CrawlerError):
    """A request that got no usable response.

    `reason` is the short code that ends up in the frontier (`timeout`, `connection`, ...).
    `retryable` says whether another try may help, and `after` how many seconds that has to wait
    at least; the retry middleware decides. `unreachable` says that no connection with the host
    could be had, `silent` that there was one, and no answer on it in time.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        retryable: bool = False,
        after: float = 0.0,
        unreachable: bool = False,
        silent: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.retryable = retryable
        self.after = after
        self.unreachable = unreachable
        self.silent = silent


class InvalidUrl(CrawlerError, ValueError):
    """A request's url is not one."""


class ParseBudgetError(CrawlerError):
    """A page that would take too long, or too much memory, to parse: it was not.

    Out of a callback, it makes the page `failed` with the reason `parse_budget`.
    """

    reason = "parse_budget"


class RetryLater(CrawlerError):
    """Put the request back into the frontier and take it up again after `delay` seconds.

    Raised by the retry middleware, so that nobody sleeps while holding a worker. It counts as a
    try unless `counts` is False.
    """

    def __init__(
        self, delay: float, reason: str, *, status: int | None = None, counts: bool = True
    ) -> None:
        super().__init__(f"again in {delay:.3g} s: {reason}")
        self.delay = delay
        self.reason = reason
        self.status = status
        self.counts = counts


class DropRequest(CrawlerError):
    """Raised by a middleware: the request ends as `skipped` with this reason code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KnownPage(CrawlerError):
    """A redirect leads to `url`, which the crawl has visited, or will: it is not fetched again."""

    def __init__(self, url: str) -> None:
        super().__init__(f"another request stands for {url}")
        self.url = url


def yielded_at(filename: str, line: int) -> str:
    """Return the note by which `users_line` knows where something wrong was yielded."""
    return f"{_YIELDED}{os.path.relpath(filename)}:{line}"


def users_line(error: BaseException) -> str:
    """Return where in the user's own code an error was raised, the line nearest to it: `x.py:7`.

    Or, when it was raised about what that code yielded, where it did so. Empty when it has to do
    with no line of the user's.
    """
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, str) and note.startswith(_YIELDED):
            return note.removeprefix(_YIELDED)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_users(frame.filename):
            return f"{os.path.relpath(frame.filename)}:{frame.lineno}"
    return ""


def _is_users(filename: str) -> bool:
    """Return whether code of this file is neither ours, nor Python's, nor a library's.

    Frozen and compiled modules have no whole path; what came from a pipe is the user's.
    """
    if not os.path.isabs(filename):
        return filename == "<stdin>"
    return not (filename.startswith(_NOT_USERS) or _INSTALLED & set(filename.split(os.sep)))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the question whether another name was meant; "" when none comes close."""
    near = import_module("difflib").get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
