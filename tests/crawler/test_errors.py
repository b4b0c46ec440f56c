"""The error tree that `errors.py` draws is the one there is."""

import inspect
import pickle
import re

import pytest

from crawler import errors
from crawler.errors import (
    CrawlerError,
    DropRequest,
    FetchError,
    InvalidUrl,
    KnownPage,
    RetryLater,
)
from crawler.request import Request, to_record
from storage import errors as storage_errors
from storage.errors import RunMismatch, StoreError

_LINE = re.compile(r"(?P<rule>[ │├└─]*)(?P<name>[\w.]+)(?:   *\S.*)?$")


def drawn_tree() -> dict[str, str | None]:
    """Return name -> name of the parent, as drawn in the module's docstring."""
    assert errors.__doc__ is not None
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        if not line.startswith("    "):
            continue
        match = _LINE.fullmatch(line)
        assert match, f"not a line of the tree: {line!r}"
        indent, name = len(match["rule"]), match["name"].removeprefix("storage.")
        while above and above[-1][0] >= indent:
            above.pop()
        found[name] = above[-1][1] if above else None
        above.append((indent, name))
    return found


def real_tree() -> dict[str, str | None]:
    """Return name -> name of the parent, as the classes are."""
    classes = {
        name: kind
        for module in (errors, storage_errors)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseException) and kind.__module__ == module.__name__
    }
    return {
        name: next((base.__name__ for base in kind.__bases__ if base.__name__ in classes), None)
        for name, kind in classes.items()
    }


def test_the_drawn_tree_is_the_real_one() -> None:
    assert drawn_tree() == real_tree()


def test_every_error_of_the_crawler_has_the_same_root() -> None:
    ours = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind is not CrawlerError and kind.__module__ == errors.__name__
    ]
    assert len(ours) >= 7
    assert all(issubclass(kind, CrawlerError) for kind in ours)


def test_every_error_says_what_it_means() -> None:
    for name in real_tree():
        kind = getattr(errors, name, None) or getattr(storage_errors, name)
        assert inspect.cleandoc(kind.__doc__ or "").splitlines()[0].endswith(".")


def test_a_broken_url_is_a_value_error_too() -> None:
    assert issubclass(InvalidUrl, ValueError)
    with pytest.raises(ValueError, match="not an absolute URL"):
        to_record(Request("nowhere"), depth=0, position=1)


def test_a_fetch_error_carries_its_reason() -> None:
    error = FetchError("timeout", "no answer in 60 s", retryable=True)
    assert (error.reason, error.retryable, str(error)) == (
        "timeout",
        True,
        "timeout: no answer in 60 s",
    )
    assert str(FetchError("dns")) == "dns"
    assert not FetchError("dns").retryable


def test_a_retry_says_when_and_why() -> None:
    later = RetryLater(1.5, "http_503", status=503)
    assert (later.delay, later.reason, later.status) == (1.5, "http_503", 503)
    assert str(later) == "again in 1.5 s: http_503"


def test_a_dropped_request_carries_its_reason() -> None:
    assert DropRequest("robots").reason == "robots"


class OddError(FetchError):
    """A user's own, whose constructor takes something else."""

    def __init__(self, number: int) -> None:
        super().__init__("odd", f"number {number}", retryable=True)
        self.number = number


@pytest.mark.parametrize(
    "error",
    [
        StoreError("x"),
        RunMismatch("y"),
        DropRequest("robots"),
        FetchError("timeout", "in 60 s", retryable=True, after=3.0, unreachable=True),
        RetryLater(2.5, "http_503", status=503),
        KnownPage("http://a.example/"),
        InvalidUrl("no url"),
        OddError(3),
    ],
)
def test_what_crosses_processes_can_be_pickled(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert vars(copy) == vars(error)
