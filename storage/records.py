"""The plain rows that cross the border between `crawler` and `storage`.

Tuples and small dataclasses only: they can be pickled, sent to another process, and
committed to any store. Times are seconds since the epoch, durations say their unit.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

State = Literal["queued", "done", "failed", "skipped"]


class Column(NamedTuple):
    """One field of an item model. `kind` is what a later version of the model is held to."""

    name: str
    kind: str  # integer, real, text, boolean, bytes, datetime, json ...
    sql_type: str  # INTEGER, REAL, TEXT or BLOB


@dataclass(frozen=True, slots=True)
class Table:
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


class Timings(NamedTuple):
    """Where the time of one visit went, in milliseconds; None for a phase that did not happen."""

    queue_ms: float | None = None  # from the scheduler's hand to the worker's
    ttfb_ms: float | None = None  # connecting, sending, and waiting for the headers
    body_ms: float | None = None  # reading and decoding the body
    parse_ms: float | None = None  # the spider's callback
    elapsed_ms: float | None = None  # the whole fetch, middleware included


@dataclass(slots=True)
class Visit:
    """All that came of one request: committed as a whole, or not at all.

    `state` is final, or `queued` for a retry, with `not_before` as the earliest next try.
    """

    id: int
    host: str
    state: State
    reason: str | None = None
    status: int | None = None
    attempts: int = 0
    not_before: float | None = None
    final_url: str | None = None  # where redirects led, when that is not the request's own URL
    size: int | None = None  # bytes of the decoded body
    timings: Timings = field(default=Timings())
    error: str | None = None  # a traceback, for `crawler status --errors`
    finished_at: float = 0.0
    items: list[ItemRow] = field(default_factory=list)
    requests: list[NewRequest] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Run:
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

    hosts: set[str] = field(default_factory=set)  # hosts that may have new work
    added: int = 0  # requests that were new and are queued
    skipped: int = 0  # requests that were new and are skipped
    items: int = 0
    refused: dict[int, str] = field(default_factory=dict)  # visit id -> why its items failed


class HostRecord(NamedTuple):
    """What is remembered of a host between processes."""

    host: str
    next_at: float | None = None  # no contact before this time
    robots: str | None = None  # JSON: origin -> its robots.txt
