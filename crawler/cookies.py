"""The cookies of a crawl: what servers asked to be told again (RFC 6265bis, draft 22, 5.7 and 5.8).

There is a jar for each name that a request gives in `meta["cookiejar"]`, and the one without a
name for all others. Within a jar the cookies of a site are on one shelf, so that a request looks
at a few cookies and not at all. Changes are noted as plain records for the store to keep.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crawler.request import Request
from crawler.set_cookie import accepted, domain_match, path_match
from crawler.url import host_of, name_of, path_of, site_of
from storage.records import CookieRecord

# The RFC's own figures; what goes is told at `_evict`.
MOST_OF_SITE, MOST_OF_JAR = 50, 3000
# Over all jars: 40 MB if every cookie is as large as it may be.
MOST_OF_ALL = 10_000
# Set-Cookie headers of one response that are looked at.
MOST_OF_RESPONSE = 100
# Bytes of a Cookie header: with its name, what Apache (8,190) and nginx (8,192) still accept.
LONGEST_HEADER = 8000

Key = tuple[str, str, str, bool]  # what a cookie is known by within its jar
Shelf = dict[Key, CookieRecord]  # the one that was set longest ago is first


@dataclass(slots=True)
class _Jar:
    """One session; the shelf that was used longest ago is first."""

    shelves: dict[str, Shelf] = field(default_factory=dict)
    size: int = 0


class Cookies:
    """The jars of one crawl, in memory; `kept` is what the store has of them.

    When not `on`, nothing is received and nothing sent but what a request brings itself.
    """

    def __init__(
        self,
        kept: Iterable[CookieRecord] = (),
        *,
        on: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._on = on
        self._clock = clock
        self._jars: dict[str, _Jar] = {}  # the one that was used longest ago is first
        self._size = 0
        self._last = 0.0  # when the youngest cookie was made
        self._news: dict[tuple[str, str, str, str, bool], CookieRecord] = {}
        now = clock()
        for cookie in sorted(kept, key=lambda cookie: cookie.created):
            if _is_over(cookie, now):
                self._note(_gone(cookie))
            else:
                self._put(cookie)

    def jar_of(self, request: Request) -> str | None:
        """Return the name of the jar that a request uses; None when it wants none."""
        if not self._on:
            return None
        meta = request.meta
        if not meta:
            return ""
        if meta.get("dont_merge_cookies"):
            return None
        name = meta.get("cookiejar")
        # SQLite cannot hold a lone surrogate.
        return "" if name is None else str(name).encode("utf-8", "replace").decode()

    # ── from servers, and from the spider ───────────────────────────────────────────────

    def receive(self, jar: str, url: str, headers: Sequence[str]) -> None:
        """Take up the Set-Cookie headers of a response at `url` (canonical)."""
        now = self._clock()
        for text in headers[:MOST_OF_RESPONSE]:
            cookie = accepted(text, url, now, jar)
            if cookie is None:
                continue
            shelf = self._shelf(jar, site_of(cookie.domain))
            if url.startswith("https:") or not _overlays_secure(cookie, shelf, now):
                self._replace(cookie, shelf, now)

    def give(self, request: Request, url: str, headers: dict[str, str]) -> None:
        """Take up the cookies that a request brings: for its host, and with the run.

        A request without a jar has them in its `headers`, and nobody else has.
        """
        jar = self.jar_of(request)
        if jar is None:
            _add(headers, request.cookies.items())
            return
        host, secure, now = name_of(host_of(url)), url.startswith("https:"), self._clock()
        for name, value in request.cookies.items():
            cookie = CookieRecord(jar, host, "/", name, True, value, secure, None, now)
            self._replace(cookie, self._shelf(jar, site_of(host)), now)

    def _shelf(self, jar: str, site: str) -> Shelf:
        """Return what there is of a site; a new shelf is put up with its first cookie only."""
        found = self._jars.get(jar)
        return found.shelves.get(site, {}) if found else {}

    def _replace(self, cookie: CookieRecord, shelf: Shelf, now: float) -> None:
        """Store `cookie` in place of the one of its name, if any; one that is over just removes."""
        old = shelf.get(_key(cookie))
        if _is_over(cookie, now):
            if old is not None:
                self._remove(old)
            return
        # No two are made at once, so that their order is the same after a restart.
        created = max(cookie.created, self._last + 1e-6) if old is None else old.created
        cookie = cookie._replace(created=created)
        if cookie != old:
            self._note(cookie)
        self._put(cookie)

    def _put(self, cookie: CookieRecord) -> None:
        jar = self._jars.setdefault(cookie.jar, _Jar())
        shelf = jar.shelves.setdefault(site_of(cookie.domain), {})
        self._last = max(self._last, cookie.created)
        if shelf.pop(_key(cookie), None) is None:
            jar.size += 1
            self._size += 1
        shelf[_key(cookie)] = cookie
        self._evict(jar, shelf)

    def _remove(self, cookie: CookieRecord) -> None:
        jar = self._jars[cookie.jar]
        site = site_of(cookie.domain)
        del jar.shelves[site][_key(cookie)]
        jar.size -= 1
        self._size -= 1
        if not jar.shelves[site]:
            del jar.shelves[site]
        if not jar.shelves:
            del self._jars[cookie.jar]
        self._note(_gone(cookie))

    def _evict(self, jar: _Jar, shelf: Shelf) -> None:
        """Make room: of a site one cookie; of a jar, or of all, the site used longest ago."""
        if len(shelf) > MOST_OF_SITE:
            now = self._clock()
            self._remove(min(shelf.values(), key=lambda one: (not _is_over(one, now), one.secure)))
        if jar.size > MOST_OF_JAR:
            self._clear(next(iter(jar.shelves.values())))
        if self._size > MOST_OF_ALL:
            longest_ago = next(iter(self._jars.values()))
            self._clear(next(iter(longest_ago.shelves.values())))

    def _clear(self, shelf: Shelf) -> None:
        for cookie in list(shelf.values()):
            self._remove(cookie)

    # ── to servers ──────────────────────────────────────────────────────────────────────

    def with_ours(self, jar: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers with what a jar has for `url` (canonical); the same if it has nothing.

        A Cookie header that is there already stays, and its names win. What makes the header
        longer than servers accept is left out: longer paths and older cookies go first, so that
        a login stays when a page of the site piles up cookies behind it.
        """
        if jar in self._jars and (found := self._matching(jar, url)):
            if len(found) > 1:
                found.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
            headers = dict(headers)
            _add(headers, [(cookie.name, cookie.value) for cookie in found])
        return headers

    def _matching(self, jar: str, url: str) -> list[CookieRecord]:
        host = name_of(host_of(url))
        site = site_of(host)
        shelves = self._jars[jar].shelves
        shelf = shelves.get(site)
        if shelf is None:
            return []
        if len(shelves) > 1:
            shelves[site] = shelves.pop(site)
        if len(self._jars) > 1:
            self._jars[jar] = self._jars.pop(jar)
        path, https, now = path_of(url), url.startswith("https:"), self._clock()
        found, over = [], []
        for cookie in shelf.values():
            if _is_over(cookie, now):
                over.append(cookie)
            elif (
                cookie.secure <= https
                and (
                    host == cookie.domain
                    or (not cookie.host_only and domain_match(host, cookie.domain))
                )
                and path_match(path, cookie.path)
            ):
                found.append(cookie)
        for cookie in over:
            self._remove(cookie)
        return found

    # ── to the store ────────────────────────────────────────────────────────────────────

    def _note(self, cookie: CookieRecord) -> None:
        self._news[cookie[:5]] = cookie

    def take_news(self) -> Sequence[CookieRecord]:
        """Return what the store should keep, or forget, since the last call."""
        if not self._news:
            return ()
        news, self._news = self._news, {}
        return list(news.values())


def _key(cookie: CookieRecord) -> Key:
    return cookie[1:5]


def _is_over(cookie: CookieRecord, now: float) -> bool:
    return cookie.expires is not None and cookie.expires <= now


def _gone(cookie: CookieRecord) -> CookieRecord:
    return cookie._replace(value="", expires=0.0)


def _overlays_secure(cookie: CookieRecord, shelf: Shelf, now: float) -> bool:
    """Whether a cookie that came over http would hide one that is for https only (step 16)."""
    return any(
        other.secure
        and other.name == cookie.name
        and not _is_over(other, now)
        and (domain_match(cookie.domain, other.domain) or domain_match(other.domain, cookie.domain))
        and path_match(cookie.path, other.path)
        for other in shelf.values()
    )


def _add(headers: dict[str, str], cookies: Iterable[tuple[str, str]]) -> None:
    """Add cookies to the Cookie header, those that it does not name yet, as long as they fit."""
    field_name = next((name for name in headers if name.lower() == "cookie"), "Cookie")
    given = headers.get(field_name, "").strip("; ")
    named = {part.partition("=")[0].strip() for part in given.split(";")} if given else set()
    parts = [given] if given else []
    room = LONGEST_HEADER - len(given.encode("utf-8", "replace"))
    for name, value in cookies:
        part = f"{name}={value}" if name else value
        size = len(part) if part.isascii() else len(part.encode())
        if name not in named and size + 2 <= room:
            room -= size + 2
            parts.append(part)
    if parts:
        headers[field_name] = "; ".join(parts)
