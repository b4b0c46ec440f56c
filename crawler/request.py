"""What is to be fetched."""

import json as jsonlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Self
from urllib.parse import urlencode

from crawler import payload as payloads
from crawler.identity import Identity, identify
from crawler.logs import get_logger
from crawler.naming import name_of_callback
from crawler.scrapy_names import META
from crawler.url import fingerprint, redact
from storage.records import NewRequest, QueuedRequest, Timings

log = get_logger("crawler.request")


# What a Cookie header cannot hold: control characters, its own punctuation, lone surrogates.
# Text, for `re` to compile it when a request has cookies: that takes 1 ms.
_NOT_IN_VALUE = r"[\x00-\x1f\x7f;\ud800-\udfff]"
_NOT_IN_NAME = r"[\x00-\x20\x7f;=\ud800-\udfff]"

_NO_STATUS: frozenset[int] = frozenset()

_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_BODIES = frozenset({_JSON, _FORM})
_WITHOUT_FORM = frozenset({"GET", "HEAD"})  # the form is their query, as in browsers

# A spider's method, or its name. What it returns is the spider's business.
Callback = Callable[..., Any] | str


class Request:
    """One page to fetch, and what to do with it.

    `url` is absolute, or is made so by `response.follow`. `callback` and `errback` are methods
    of the spider (kept by name, so that the request can wait in the file); no callback means
    `parse`. `body` is bytes or text; `json` and `form` build one and its Content-Type, and make
    the method POST when none is given; a GET has its form in the query. `meta` and `cb_kwargs`
    are kept as JSON. Higher `priority` goes first within a host. `dont_filter` fetches the page
    even when the crawl has seen it. `handle_status` lists statuses outside 2xx that go to the
    callback. `cookies` are put into the request's jar, for its host: later requests send them.

    Raises `ValueError` when the url or an argument cannot be right.
    """

    __slots__ = (
        "attempts",
        "body",
        "callback",
        "cb_kwargs",
        "contact",
        "cookies",
        "depth",
        "dont_filter",
        "errback",
        "handle_status",
        "headers",
        "id",
        "meta",
        "method",
        "nofollow",
        "phases",
        "priority",
        "url",
    )

    def __init__(
        self,
        url: str,
        callback: Callback | None = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        cb_kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
        dont_filter: bool = False,
        errback: Callback | None = None,
        handle_status: Iterable[int] | None = None,
    ) -> None:
        if not isinstance(url, str):
            raise ValueError(f"a request's url is a string, not {type(url).__name__}")
        self.url = url
        self.headers = _headers(headers) if headers else {}
        self.cookies = _cookies(cookies) if cookies else {}
        self.meta: dict[str, Any] = dict(meta) if meta else {}
        self.cb_kwargs: dict[str, Any] = dict(cb_kwargs) if cb_kwargs else {}
        self.method = method.upper() if method else "GET"
        if form and method and self.method in _WITHOUT_FORM:
            self.url, form = f"{re.split('[?#]', url, maxsplit=1)[0]}?{_encoded(form)}", None
        self.body: bytes | None = None
        if body or json is not None or form:
            self.body = _body(body, json, form, self.headers)
            if not method and not body:
                self.method = "POST"
        self.callback = callback if callback is None else name_of_callback(callback)
        self.errback = errback if errback is None else name_of_callback(errback)
        if not isinstance(priority, int):
            raise ValueError(f"a priority is a whole number, not {priority!r}")
        self.priority = priority
        self.dont_filter = dont_filter
        self.handle_status = _statuses(handle_status) if handle_status else _NO_STATUS
        # Set by the crawl: the row in the frontier, how far from the start, tries so far.
        self.id = self.depth = self.attempts = 0
        self.nofollow = False  # the link says rel=nofollow, and `robots_meta` is on
        self.contact: object = None  # the permission it is being fetched under
        self.phases = Timings()

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some arguments changed, for a middleware or a callback."""
        arguments = {
            "url": self.url,
            "callback": self.callback,
            "method": self.method,
            "headers": self.headers,
            "cookies": self.cookies,
            "body": self.body,
            "meta": self.meta,
            "cb_kwargs": self.cb_kwargs,
            "priority": self.priority,
            "dont_filter": self.dont_filter,
            "errback": self.errback,
            "handle_status": self.handle_status,
        }
        if "json" in changes or "form" in changes:
            arguments["body"] = None
            arguments["headers"] = {k: v for k, v in self.headers.items() if v not in _BODIES}
            if self.method == "GET" and not self.body:
                arguments["method"] = None  # POST, as that of a new request
        copy = type(self)(**{**arguments, **changes})
        copy.id, copy.depth, copy.attempts = self.id, self.depth, self.attempts
        copy.phases, copy.contact, copy.nofollow = self.phases, self.contact, self.nofollow
        return copy

    def copy(self) -> Self:
        """Return the same request once more, to be changed."""
        return self.replace()

    def __repr__(self) -> str:
        return f"<{self.method} {redact(self.url)}>"


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    found = dict(headers)
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise ValueError(f"a header is text, unlike {name!r}: {value!r}")
    return found


def _cookies(cookies: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(cookies, Mapping):
        raise ValueError(f"cookies are a dict of names and values, not {type(cookies).__name__}")
    found = {str(name): str(value) for name, value in cookies.items()}
    for name, value in found.items():
        if not name or re.search(_NOT_IN_NAME, name) or re.search(_NOT_IN_VALUE, value):
            raise ValueError(f"no server could read the cookie {name!r}: {value[:80]!r}")
    return found


def _body(
    body: bytes | str | None, json: Any, form: Mapping[str, Any] | None, headers: dict[str, str]
) -> bytes | None:
    if sum((bool(body), json is not None, bool(form))) > 1:
        raise ValueError("a request has one body: give one of body, json and form")
    kind = None
    if json is not None:
        body, kind = jsonlib.dumps(json), _JSON
    elif form:
        body, kind = _encoded(form), _FORM
    elif not isinstance(body, bytes | bytearray | str):
        what = type(body).__name__
        raise ValueError(f"a body is bytes or text, not {what}: write json= or form= for values")
    if kind and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _encoded(form: Mapping[str, Any]) -> str:
    """Return a form as it is sent; a field that is None is left out."""
    pairs = form.items() if isinstance(form, Mapping) else form
    return urlencode([pair for pair in pairs if pair[1] is not None], doseq=True)


def _statuses(given: Iterable[int]) -> frozenset[int]:
    if not (isinstance(given, Iterable) and all(isinstance(one, int) for one in given)):
        raise ValueError(f"handle_status is a list of numbers, such as [404], not {given!r}")
    return frozenset(given)


# ── to and from the frontier ────────────────────────────────────────────────────────────────


def to_record(
    request: Request,
    *,
    depth: int,
    position: int,
    parent: int = 0,
    identity: Identity | None = None,
) -> NewRequest:
    """Return the row that puts `request` into the frontier; its url becomes canonical.

    `parent` is the fingerprint of the page that found it, and `position` its place there:
    together they are the identity of a `dont_filter` request, so that parsing the parent
    again (after a crash) adds it once. `identity` is that of its url, when the crawl has one
    of its own for it.
    Raises `InvalidUrl` for a url that is not one, `ValueError` for a payload that JSON cannot
    hold.
    """
    url, host, plain = identify(request.url) if identity is None else identity
    if request.dont_filter:
        plain = fingerprint("AGAIN", f"{parent} {position} {url}", request.body)
    elif request.method != "GET" or request.body:
        plain = fingerprint(request.method, url, request.body)
    return NewRequest(
        fingerprint=plain,
        url=url,
        host=host,
        method=request.method,
        body=request.body,
        payload=_payload(request),
        callback=request.callback,
        priority=request.priority,
        depth=depth,
    )


# What is kept beside the columns.
_KEPT = ("headers", "cookies", "meta", "cb_kwargs", "errback", "dont_filter")


def stands_for_url(request: Request) -> bool:
    """Tell whether a request is the one that its url has in a crawl, fetched once for all links."""
    return request.method == "GET" and not (request.dont_filter or request.body)


def values_of(request: Request) -> Iterable[dict[str, Any]]:
    """Return what a request carries along for its callback: `meta` and `cb_kwargs`, if any."""
    return filter(None, (request.meta, request.cb_kwargs))


def is_plain(request: Request) -> bool:
    """Tell whether of a request no more counts than its url and callback, and no more is kept."""
    return not (
        request.method != "GET" or request.body or request.priority or _has_payload(request)
    )


def _has_payload(request: Request) -> bool:
    # In a loop over names it takes four times as long, and nearly all requests have nothing.
    return bool(
        request.headers
        or request.cookies
        or request.meta
        or request.cb_kwargs
        or request.errback
        or request.dont_filter
        or request.handle_status
    )


def _payload(request: Request) -> str | None:
    if not _has_payload(request):
        return None
    for key in META.keys() & request.meta.keys():
        _tell_of(key)
    kept: dict[str, Any] = {name: v for name in _KEPT if (v := getattr(request, name))}
    if request.handle_status:
        kept["handle_status"] = sorted(request.handle_status)
    return payloads.dump(kept)


@cache
def _tell_of(key: str) -> None:
    """Tell, once, of a key of `meta` that does something in Scrapy and nothing here."""
    if key == "proxy":  # nobody wants a request sent without
        raise ValueError(f"meta[{key!r}] means nothing here: {META[key]}")
    log.warning("meta_ignored", key=key, instead=META[key])


def from_record(row: QueuedRequest, models: payloads.Models | None = None) -> Request:
    """Return the request that a row of the frontier holds.

    Raises `ValueError` when its payload cannot be read any more, as `payload.load` otherwise.
    """
    if not row.payload and row.method == "GET" and not row.body:  # as nearly all
        request = Request(row.url, row.callback)
        request.priority = row.priority
    else:
        extra: dict[str, Any] = payloads.load(row.payload, models) if row.payload else {}
        request = Request(
            row.url,
            row.callback,
            method=row.method,
            body=row.body,
            priority=row.priority,
            **extra,
        )
    request.id = row.id
    request.depth = row.depth
    request.attempts = row.attempts
    return request
