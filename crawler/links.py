"""Where the links of a page lead: from selections to hrefs, from requests to the frontier."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Set
from datetime import date
from itertools import filterfalse, islice
from typing import Any, Self

from selectolax.lexbor import LexborNode

from crawler.errors import InvalidUrl
from crawler.hrefs import Links
from crawler.identity import Identifier, Identity
from crawler.pages import AROUND
from crawler.parameters import cleaner
from crawler.request import Callback, Request, is_plain, stands_for_url, to_record
from crawler.selection import Selector, SelectorList
from crawler.settings import Settings
from crawler.traps import Traps
from crawler.url import LONGEST_KNOWN, Scope, canonical, fingerprint, has_bad_port, is_web, redact
from storage.records import NewRequest, QueuedRequest, State

# Fingerprints remembered as stored: 100 bytes each, 20 MB in all.
_REMEMBERED = 200_000
# Bytes, about, for the links that are remembered as leading there.
_ROOM = 16 << 20
# Rows kept for a moment: 400 bytes each.
_MOST_ROWS = 4096
# How much of a url that is none goes into the file.
_SHOWN = 2000

# Reasons that another link to the same page may lift.
_FOUND_AGAIN = frozenset({"max_depth", "nofollow"})

# Links that are taken in one go: 10 µs each, when they have never been seen.
_LOOKED_AT = 400

# The elements whose `href` leads to a page.
_LINKING = frozenset({"a", "area", "link"})


def href_of(link: Any) -> str:
    """Return the url text of a link: a string, an element, or a selected attribute.

    Raises `ValueError` when there is none, naming what was given.
    """
    if isinstance(link, str):
        return link.strip(AROUND)
    if isinstance(link, SelectorList):
        if not link:
            raise ValueError("cannot follow an empty selection")
        link = link[0]
    href = _href(link)
    if href is None:
        raise ValueError(f"no url in {link!r}: select <a> elements, or ::attr(href)")
    return href


def hrefs(links: Iterable[Any]) -> Iterator[str]:
    """Yield the url text of each link that has one; other elements are passed over.

    Lexbor's own nodes are links too.
    """
    for link in links:
        # Most links by far; whatever else a link may be is for `_href`.
        if type(link) is LexborNode:
            href = link.attrs.sget("href", None) if link.tag in _LINKING else None
            if href is not None:
                yield href.strip(AROUND)
        elif isinstance(link, str):
            yield link.strip(AROUND)
        elif (href := _href(link)) is not None:
            yield href


def is_nofollow(link: Any) -> bool:
    """Tell whether a link is an element that says `rel=nofollow`."""
    if isinstance(link, SelectorList):
        link = link[0]
    root = getattr(link, "root", link)
    if isinstance(root, LexborNode):
        rel = root.attrs.get("rel")
    else:
        rel = None if isinstance(root, str) else link.attrib.get("rel")
    return "nofollow" in (rel or "").lower().split()


def _href(link: Any) -> str | None:
    root = getattr(link, "root", link)
    if isinstance(root, str):  # a selected attribute or text
        return root.strip(AROUND)
    if isinstance(root, LexborNode):
        value = root.attrs.sget("href", None) if root.tag in _LINKING else None
        return value.strip(AROUND) if value is not None else None
    if isinstance(link, Selector) or hasattr(link, "attrib"):  # parsel's, from xpath()
        value = link.attrib.get("href")
        return value.strip(AROUND) if value is not None else None
    if link is None:
        raise ValueError("cannot follow None: the selection found nothing")
    raise ValueError(f"cannot follow a {type(link).__name__}")


def _is_relative(url: str, base: str) -> bool:
    if url.lstrip(AROUND).lower().startswith(("http:", "https:")):
        return False  # a broken link, on a page whose scheme is, or its <base> is, another
    try:
        canonical(url, base)
    except ValueError:
        return False
    return True


def _invalid(url: str, method: str, parent: QueuedRequest, error: InvalidUrl) -> NewRequest:
    """Return the row of what is no url; raises `ValueError` for a relative one."""
    shown = redact(url)[:_SHOWN]
    if _is_relative(url, parent.url):
        raise ValueError(
            f"relative url {shown[:200]!r}: use response.follow, which joins it"
        ) from error
    found = fingerprint(method, shown)
    depth = parent.depth + 1
    return NewRequest(found, shown, "", depth=depth, state="skipped", reason="invalid_url")


class Followed:
    """The requests for the pages that links lead to, each joined and made when it is asked for.

    Most links of a page lead where the crawl has long been, and of the others no more counts than
    their urls. Whoever is given all of them can take these, before a request is made of each.
    """

    __slots__ = ("_arguments", "_callback", "_pages", "_ready", "latest", "links")

    def __init__(
        self,
        pages: Iterable[str],
        links: Links,
        callback: Callback | None,
        arguments: dict[str, Any],
    ) -> None:
        self.links = links
        self.latest = ""  # the link, without its fragment, that the last request was made of
        self._pages = iter(pages)
        self._ready: deque[str] = deque()  # urls of those before the others that were looked at
        self._callback = callback
        self._arguments = arguments

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Request:
        ready = self._ready
        if ready:
            url = ready.popleft()
        else:
            self.latest = page = next(self._pages)
            url = self.links.to_page(page)
        if not self._arguments:
            return Request(url, self._callback)
        return Request(url, self._callback, **self._arguments)

    @property
    def is_bare(self) -> bool:
        """Whether of its requests no more counts than url and callback."""
        return not self._arguments

    def next_pages(self) -> list[str]:
        """Take out the next few links; none while there are urls to go on with."""
        return [] if self._ready else [*islice(self._pages, _LOOKED_AT)]

    def go_on_with(self, urls: Iterable[str]) -> None:
        """Make the next requests of these urls, before those of the others."""
        self._ready.extend(urls)


_NONE: frozenset[str] = frozenset()


class _Settled:
    """By directory, the links that lead to what is stored, until there is no more room.

    One look here does instead of three: where a link leads, which page that is, is it there.
    """

    def __init__(self) -> None:
        self.clear()

    def of(self, directory: str) -> Set[str]:
        return self._links.get(directory, _NONE)

    def add(self, directory: str, links: Collection[str]) -> None:
        if self._room < 0:
            self.clear()
        known = self._links.get(directory)
        if known is None:
            known = self._links[directory] = set()
            self._room -= len(directory) + 400  # with what Python needs for it
        known.update(links)
        self._room -= sum(map(len, links)) + 150 * len(links)

    def clear(self) -> None:
        self._links: dict[str, set[str]] = {}
        self._room = _ROOM


class Discovery:
    """Turns the requests that pages yield into rows for the frontier, each new one once.

    It remembers, up to a bound, what the store is known to have, so that the links which every
    page of a site repeats are not sent to it again and again. The store alone decides what is
    new: whatever is forgotten here, or was never seen, goes to it.
    """

    def __init__(self, settings: Settings) -> None:
        self.scope = Scope(())
        self._max_depth = settings.max_depth
        self._longest = settings.max_url_length or float("inf")
        self._is_trap = Traps(date.today().year).catch if settings.traps else None
        # How pages are told apart, and by which url they are fetched.
        self.identify = Identifier(cleaner(settings.strip_params, sessions=settings.traps))
        self._known = self.identify.known
        # The same for start requests, whose session the user may have meant.
        self.identify_start = Identifier(cleaner(settings.strip_params, sessions=False))
        self._stored: set[int] = set()
        self._settled = _Settled()
        # Rows of plain requests: before the first is stored, a link may be found many times.
        self._rows: dict[tuple[str, str | None, int], NewRequest] = {}

    def widen(self, scope: Scope) -> None:
        """Follow links within `scope` from now on."""
        self.scope = scope
        self._forget()  # what was offsite may not be any more
        self._rows.clear()

    def has(self, request: Request) -> bool:
        """Tell whether the store is known to have a request, and need not be given it again."""
        identity = self._known.get(request.url)
        return identity is not None and identity[2] in self._stored and stands_for_url(request)

    def unknown(self, pages: Iterable[str], links: Links) -> list[str]:
        """Return the urls that links without fragments lead to, of those the store may not have.

        `links` says where each leads; what counts is the page that a link asks for.
        """
        settled = self._settled.of(links.directory)
        # As `to_page` does; but most are known, and then a look into the dict is all.
        known, find = links.known.get, links.find_page
        identity_of, stored = self._known.get, self._stored
        unknown, found = [], []
        for page in filterfalse(settled.__contains__, pages):
            url = known(page) or find(page)
            identity = identity_of(url)
            if identity is None or identity[2] not in stored:
                unknown.append(url)
            elif page in links.known:  # and so depends on nothing but the directory
                found.append(page)
        if found:
            self._settled.add(links.directory, found)
        return unknown

    def record(
        self, request: Request, parent: QueuedRequest, position: int, *, nofollow: bool = False
    ) -> NewRequest:
        """Return the row for a request, skipped if it is off limits.

        `position` is its place among what the page yielded; `nofollow` says that the page, or
        the link, asks not to be followed. Raises `ValueError` when its payload cannot be kept
        as JSON.
        """
        if is_plain(request):
            return self.link(request.url, request.callback, parent, nofollow=nofollow)
        try:
            identity = self.identify(request.url)
        except InvalidUrl as error:
            return _invalid(request.url, request.method, parent, error)
        depth = parent.depth + 1
        record = to_record(
            request, depth=depth, position=position, parent=parent.fingerprint, identity=identity
        )
        url, reason = self._judge(identity, depth, nofollow=nofollow)
        if reason is not None:
            return record._replace(url=url, state="skipped", reason=reason)
        return record

    def link(
        self, url: str, callback: str | None, parent: QueuedRequest, *, nofollow: bool = False
    ) -> NewRequest:
        """Return the row of what nothing is asked for but to be fetched, as of nearly all links.

        It is that of `Request(url, callback)`, which need not be made for it.
        """
        depth = parent.depth + 1
        key = (url, callback, depth)
        row = None if nofollow else self._rows.get(key)
        if row is None:
            try:
                identity = self.identify(url)
            except InvalidUrl as error:
                return _invalid(url, "GET", parent, error)  # for another page it may be one
            shown, reason = self._judge(identity, depth, nofollow=nofollow)
            state: State = "queued" if reason is None else "skipped"
            _, host, found = identity
            row = NewRequest(
                found, shown, host, "GET", None, None, callback, 0, depth, state, reason
            )
            if len(url) <= LONGEST_KNOWN and not nofollow:
                if len(self._rows) >= _MOST_ROWS:
                    self._rows.clear()
                self._rows[key] = row
        return row

    def _judge(self, identity: Identity, depth: int, *, nofollow: bool) -> tuple[str, str | None]:
        """Return the url as its row has it, and the reason for which it is not followed, if any."""
        url, host, _ = identity
        if not is_web(url):
            return url[:_SHOWN], "scheme"
        if has_bad_port(host):
            return url[:_SHOWN], "bad_port"
        admitted = self.scope.admits(host)
        if not admitted and not self.scope.may_grow:
            return url[:_SHOWN], "offsite"
        if len(url) > self._longest:
            return url[:_SHOWN], "url_too_long"
        if self._is_trap is not None and self._is_trap(url):
            return url, "trap"
        if nofollow:
            return url, "nofollow"
        if self._max_depth is not None and depth > self._max_depth:
            return url, "max_depth"
        # The last reason: when a start request names the site, the row is as it should be.
        return url, None if admitted else "offsite"

    def lasting(self, records: Iterable[NewRequest]) -> Iterator[int]:
        """Yield the fingerprints of those requests that need not be found again.

        What was too deep may be found on a shorter way, and by a link to be followed; and what was
        offsite may be so no more, since the page that found it was read.
        """
        admits = self.scope.admits
        return (
            record.fingerprint
            for record in records
            if record.reason not in _FOUND_AGAIN
            and (record.reason != "offsite" or not admits(record.host))
        )

    def stored(self, fingerprints: Iterable[int]) -> None:
        """Remember requests whose commit has returned."""
        if len(self._stored) > _REMEMBERED:
            self._forget()
        self._stored.update(fingerprints)

    def _forget(self) -> None:
        self._stored.clear()
        self._settled.clear()
