"""What the processes of a crawl tell each other, as plain tuples.

owner → child                                    child → owner
START   settings, arguments, log levels          READY
PAGE    number, links stored, row, outcome       UNFIT   why the spider cannot be loaded
DROP    number                                   DONE    number, what came of the page
SCOPE   scope                                    FETCH   number, page, request
STORED  links                                    CANCEL  number
ANSWER  number, error, request, response         PONG
PING                                             LOG     the values of a log record
END
"""

import pickle
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from crawler.callbacks import name_of
from crawler.errors import CrawlerError
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.spider import Failure
from storage.records import ItemRow, NewRequest, QueuedRequest, Table, Timings, Visit


class Say:
    """The kinds of messages, the first thing in each. An enum's members would cost more."""

    START = 0
    READY = 1
    UNFIT = 2
    PAGE = 3
    DROP = 4
    DONE = 5
    SCOPE = 6
    FETCH = 7
    CANCEL = 8
    ANSWER = 9
    PING = 10
    PONG = 11
    LOG = 12
    END = 13
    STORED = 14


class Start(NamedTuple):
    """What a child is told first."""

    address: Any  # by which it finds the spider: `crawler.address.Address`
    path: list[str]  # sys.path
    argv: list[str]
    settings: Settings
    arguments: dict[str, str]
    levels: Mapping[str, int]  # of the loggers that have one of their own


class Work(NamedTuple):
    """One page for a child, as it is sent; made once, however often it is."""

    message: bytes  # row and outcome, pickled
    body: bytes


# ── requests and responses ──────────────────────────────────────────────────────────────────

_SENT = (
    "url",
    "headers",
    "cookies",
    "meta",
    "cb_kwargs",
    "body",
    "method",
    "callback",
    "errback",
    "priority",
    "dont_filter",
    "handle_status",
    "id",
    "depth",
    "attempts",
    "nofollow",
)


def plain_request(request: Request) -> tuple[Any, ...]:
    """Return a request as a tuple, what it took so far included."""
    phases = request.phases
    times = (phases.queue, phases.ttfb, phases.body, phases.parse, phases.elapsed)
    return (*(getattr(request, name) for name in _SENT), times)


def request_of(plain: tuple[Any, ...]) -> Request:
    """Return the request that `plain_request` was given."""
    request = Request.__new__(Request)
    return update(request, plain)


def update(request: Request, plain: tuple[Any, ...]) -> Request:
    """Make a request what it has become elsewhere, and return it."""
    for name, value in zip(_SENT, plain, strict=False):
        setattr(request, name, value)
    request.phases = Timings(*plain[-1])
    request.contact = None
    return request


def plain_response(response: Response) -> tuple[Any, ...]:
    """Return a response as a tuple, without its body and its request."""
    headers = tuple(response.headers.items())
    return response.url, response.status, headers, tuple(response.redirects)


def response_of(plain: tuple[Any, ...], body: bytes, request: Request) -> Response:
    """Return the response that `plain_response` was given."""
    url, status, headers, redirects = plain
    return Response(
        url,
        status=status,
        headers=CIMultiDictProxy(CIMultiDict(headers)),
        body=body,
        request=request,
        redirects=redirects,
    )


def portable(error: BaseException | None) -> BaseException | None:
    """Return an error that can be sent: itself, or one that says what it was."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (what we have just made)
    except Exception:  # noqa: BLE001 (whatever a user's class does)
        return CrawlerError(name_of(error)) if error is not None else None
    return error


# ── pages, on their way to a child ──────────────────────────────────────────────────────────


def work_of(outcome: Response | Failure, row: QueuedRequest) -> Work:
    """Return what a child needs to do the spider's part of a visit.

    Raises what pickle does for what a middleware has put into the request's `meta`.
    """
    response = outcome if isinstance(outcome, Response) else outcome.response
    failed = None
    if isinstance(outcome, Failure):
        failed = outcome.reason, portable(outcome.exception)
    message = (
        (row.id, row.fingerprint, row.url, row.host, row.depth, row.attempts),
        plain_request(outcome.request),
        plain_response(response) if response is not None else None,
        failed,
    )
    body = response.body if response is not None else b""
    return Work(pickle.dumps(message, pickle.HIGHEST_PROTOCOL), body)


def outcome_of(message: bytes, body: bytes) -> tuple[QueuedRequest, Response | Failure]:
    """Return what `work_of` was given, as far as the spider's part goes."""
    known, asked, answered, failed = pickle.loads(message)  # noqa: S301 (the owner's)
    request = request_of(asked)
    number, fingerprint, url, host, depth, attempts = known
    row = QueuedRequest(
        number,
        fingerprint,
        url,
        host,
        request.method,
        request.body,
        None,
        request.callback,
        request.priority,
        depth,
        attempts,
    )
    response = response_of(answered, body, request) if answered is not None else None
    if failed is None and response is not None:
        return row, response
    reason, error = failed
    return row, Failure(request, reason, error, response)


def packed_fingerprints(fingerprints: list[int]) -> bytes:
    """Return fingerprints as bytes."""
    return array("q", fingerprints).tobytes()


def fingerprints_of(data: bytes) -> "array[int]":
    """Return what `packed_fingerprints` was given."""
    return array("q", data)


# ── and what comes of them ──────────────────────────────────────────────────────────────────

_ItemsOfTable = tuple[Table, str, list[tuple[Any, ...]]]


def plain_visit(visit: Visit, parse: float | None) -> tuple[Any, ...]:
    """Return what the spider's part has made of a visit; `parse` are its seconds."""
    return (
        visit.state,
        visit.reason,
        visit.error,
        visit.final_url,
        visit.alias,
        visit.canonical_url,
        visit.content,
        parse,
        _plain_items(visit.items),
        [tuple(request) for request in visit.requests],
    )


def fill(visit: Visit, plain: tuple[Any, ...], tables: dict[Table, Table]) -> float | None:
    """Write down in a visit what came of it elsewhere; return the seconds of the callback.

    `tables` has those that were seen before: equal ones become one.
    """
    state, reason, error, final_url, alias, canonical_url, content, parse, items, requests = plain
    if state != "failed" or reason is not None:  # else: an errback has nothing to add
        visit.state, visit.reason, visit.error = state, reason, error
    visit.final_url, visit.alias = final_url, alias
    visit.canonical_url, visit.content = canonical_url, content
    for table, url, rows in items:
        known = tables.setdefault(table, table)
        visit.items.extend([ItemRow(known, values, url) for values in rows])
    visit.requests = list(map(NewRequest._make, requests))
    seconds: float | None = parse
    return seconds


def _plain_items(items: list[ItemRow]) -> list[_ItemsOfTable]:
    """Return the rows by what they have in common: a tuple costs a third of a row to send."""
    found: list[_ItemsOfTable] = []
    for table, values, url in items:
        if not found or found[-1][0] is not table or found[-1][1] != url:
            found.append((table, url, []))
        found[-1][2].append(values)
    return found
