"""The plain rows that cross the border between `crawler` and `storage`.

Tuples and small dataclasses only: they can be pickled, sent to another process, and
committed to any store. Times are seconds since the epoch, durations say their unit.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

State = Literal["queued", "done", "failed", "skipped"]
Finish = Literal["finished", "stopped", "limit", "failed"]


class Column(NamedTuple):
    """One field of an item model. `kind` is what a later version of the model is held to."""

    name: str
    kind: str  # integer, real, text, boolean, bytes, datetime, json ...
    sql_type: str  # INTEGER, REAL, TEXT or BLOB


class Table(NamedTuple):
    """Where the items of one model go."""

    name: str
    columns: tuple[Column, ...]


class ItemRow(NamedTuple):
    """One item, already turned into the values of its table's columns."""

    table: Table
    values: tuple[Any, ...]
    url: str


class NewRequest(NamedTuple):
    """A request on its way into the frontier; `state` is `queued`, or `skipped` with a reason.

    The order of the fields is the order of the columns in the insert statement.
    """

    fingerprint: int
    url: str
    host: str
    method: str = "GET"
    body: bytes | None = None
    payload: str | None = None  # JSON: headers, meta, cb_kwargs, errback ... None when all empty
    callback: str | None = None
    priority: int = 0
    depth: int = 0
    state: State = "queued"
    reason: str | None = None


class QueuedRequest(NamedTuple):
    """A request of the frontier that may be fetched now."""

    id: int
    fingerprint: int
    url: str
    host: str
    method: str
    body: bytes | None
    payload: str | None
    callback: str | None
    priority: int
    depth: int
    attempts: int


@dataclass(slots=True, eq=False)
class Timings:
    """Where the time of one visit went, in seconds; None for a phase that did not happen."""

    queue: float | None = None  # from the scheduler's hand to the worker's
    ttfb: float | None = None  # connecting, sending, and waiting for the headers
    body: float | None = None  # reading and decoding the body
    parse: float | None = None  # the spider's callback
    elapsed: float | None = None  # the whole fetch, redirects and middleware included


_NONE = Timings()


@dataclass(slots=True)
class Visit:
    """All that came of one request: committed as a whole, or not at all.

    `state` is final, or `queued` for a retry, with `not_before` (by `storage.clock`) as the
    earliest next try.
    """

    id: int
    host: str
    state: State
    reason: str | None = None
    status: int | None = None
    attempts: int = 0
    not_before: float | None = None
    final_url: str | None = None  # where redirects led, when that is not the request's own URL
    alias: int | None = None  # fingerprint of that page, when it must not be visited again
    unread: bool = False  # that page was not fetched, because another request stands for it
    canonical_url: str | None = None  # what the page names as such, when that is another
    content: int | None = None  # 64-bit hash of the body, when it counts as a duplicate's
    size: int | None = None  # bytes of the decoded body
    timings: Timings = _NONE
    error: str | None = None  # a traceback, for `crawler status --errors`
    items: list[ItemRow] = field(default_factory=list)
    requests: list[NewRequest] = field(default_factory=list)


class Run(NamedTuple):
    """One execution of a spider, as the file knows it."""

    id: int
    spider: str
    arguments: dict[str, str]
    resumed: bool  # an earlier process began it
    seeded: bool  # every start request is in the frontier
    base_pages: int = 0  # pages and items that earlier limits were spent on
    base_items: int = 0


@dataclass(slots=True)
class Committed:
    """What a commit changed, for those who may speak of it only now."""

    hosts: dict[str, int] = field(default_factory=dict)  # with new work -> its highest priority
    added: int = 0  # requests that were new and are queued, or were skipped before
    lifted: int = 0  # of those, the ones that were skipped before
    skipped: int = 0  # requests that were new and are skipped
    aliases: int = 0  # requests that were new, and lead where a redirect had been before
    items: int = 0
    refused: dict[int, str] = field(default_factory=dict)  # visit id -> why its items failed
    aliased: set[int] = field(default_factory=set)  # visits to a page another request stands for
    again: set[int] = field(default_factory=set)  # visits put back: nobody stands for that page
    dropped: set[int] = field(default_factory=set)  # visits whose request was settled before


@dataclass(slots=True)
class Totals:
    """A run's requests by state, and its items."""

    queued: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    items: int = 0
    pages: int = 0  # of those done or failed, the ones that count against a limit


class HostRecord(NamedTuple):
    """What is remembered of a host between processes."""

    host: str
    next_at: float | None = None  # no contact before this time
    robots: str | None = None  # JSON: origin -> its robots.txt
    resting: int = 0  # failures in a row to answer, while it is left alone for them


class CookieRecord(NamedTuple):
    """A cookie of a run. Its first five fields are its identity.

    The order of the fields is the order of the columns in the insert statement.
    """

    jar: str  # empty unless a request names another
    domain: str
    path: str
    name: str
    host_only: bool  # for that very host, not for its subdomains
    value: str
    secure: bool  # over https only
    expires: float | None  # None: with the run; 0: it is gone, and to be forgotten
    created: float


class Want(NamedTuple):
    """The scheduler's wish for more of one host's requests."""

    host: str
    limit: int
    held: frozenset[int]  # ids it has in memory already, queued or in flight
    first: bool  # True: also tell what is remembered of the host


class HostWork(NamedTuple):
    """The answer to a `Want`."""

    host: str
    requests: list[QueuedRequest]
    more: bool  # there may be further requests that could run now
    next_due: float | None  # the earliest retry that waits, by `storage.clock`
    remembered: HostRecord | None  # what earlier processes left, when asked for


class Phase(NamedTuple):
    """How long one phase of the fetches took, in milliseconds, over a run."""

    name: str
    p50: float
    p90: float
    p99: float


class TableReport(NamedTuple):
    """The items of one table in a run; `coverage` is field -> how many are not null."""

    name: str
    rows: int
    coverage: dict[str, int]


class HostReport(NamedTuple):
    """One host's share of a run."""

    host: str
    done: int
    failed: int
    skipped: int
    queued: int
    mean_ms: float | None  # of its fetches


class ErrorReport(NamedTuple):
    """A request that failed, and the traceback or text that was kept of it."""

    url: str
    reason: str
    error: str


class Report(NamedTuple):
    """What a run did, read from the file."""

    run: int
    spider: str
    arguments: dict[str, str]
    started_at: str
    finished_at: str | None
    finish: str | None
    totals: Totals
    reasons: list[tuple[str, str, int]]  # state, reason, requests
    tables: list[TableReport]
    phases: list[Phase]
    bytes: int
    starts: int  # start requests, and how many of them failed
    starts_failed: int  # or wait for a host that rests, or are to a port that is refused
    resting: list[tuple[str, int]]  # hosts that rest or are given up, and their queued requests
