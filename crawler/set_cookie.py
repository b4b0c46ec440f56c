"""What one `Set-Cookie` header says, and whether its server may say so: RFC 6265bis, draft 22.

`accepted` is what of section 5.6 (parsing) and 5.7 (storing) needs no look at other cookies;
`cookies.py` does the rest. Left out on purpose, because a crawler runs no scripts and embeds
nothing: `HttpOnly`, and `SameSite`, since every request of a crawl is what a browser calls a
top-level navigation that nobody else's page began. No http address counts as secure, loopback
neither.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from crawler.url import host_of, is_address, is_public_suffix, name_of, path_of, site_of
from storage.records import CookieRecord

_LONGEST_PAIR = 4096  # bytes of name and value
_LONGEST_ATTRIBUTE = 1024  # bytes of an attribute's value
# The RFC sets no limit; a header of 64 KiB may hold as many semicolons.
_MOST_ATTRIBUTES = 64
_LONGEST_LIFE = 400 * 86_400.0  # seconds
_LONG_AGO = 0.0
# Characters of a date; a real one has 30. Cutting up thousands of long ones takes its time.
_LONGEST_DATE = 100

# Characters of a header whose words are remembered: most have fewer.
_LONGEST_REMEMBERED = 500

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = " \t"
_SECONDS = re.compile(r"-?[0-9]+")


class SetCookie(NamedTuple):
    """The words of one header; `domain` and `path` are empty when they say nothing."""

    name: str
    value: str
    domain: str
    path: str
    secure: bool
    expires: float | None  # seconds since the epoch; None: no end was given


def accepted(text: str, url: str, now: float, jar: str = "") -> CookieRecord | None:
    """Return the cookie that a response at `url` (canonical) sets by `text`; None when refused.

    A cookie that has expired is returned too: it removes the one of its name.
    """
    said = parsed(text, now)
    if said is None:
        return None
    name = name_of(host_of(url))
    reach = _reach(said.domain, name)
    secure_origin = url.startswith("https:")
    if reach is None or (said.secure and not secure_origin) or not _keeps_promise(said):
        return None
    domain, host_only = reach
    path = said.path or _default_path(url)
    return CookieRecord(
        jar, domain, path, said.name, host_only, said.value, said.secure, said.expires, now
    )


class _Words(NamedTuple):
    """The same, whenever it is said."""

    name: str
    value: str
    domain: str
    path: str
    secure: bool
    until: float | None  # seconds since the epoch
    lifetime: float | None  # seconds from now on; it counts before `until`


def parsed(text: str, now: float) -> SetCookie | None:
    """Return what a header says (section 5.6), or None when the whole of it is to be ignored."""
    words = _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _words(text)
    if words is None:
        return None
    expires = None if words.until is None else min(words.until, now + _LONGEST_LIFE)
    if words.lifetime is not None:
        expires = now + words.lifetime if words.lifetime > 0 else _LONG_AGO
    return SetCookie(*words[:5], expires)


def _words(text: str) -> _Words | None:
    if _CONTROL.search(text):
        return None
    pair, *attributes = text.split(";", _MOST_ATTRIBUTES)
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", name
    name, value = name.strip(_BLANK), value.strip(_BLANK)
    size = _bytes(name) + _bytes(value)
    if not 0 < size <= _LONGEST_PAIR:
        return None
    domain, path, secure = "", "", False
    until: float | None = None
    lifetime: float | None = None
    for attribute in attributes[:_MOST_ATTRIBUTES]:
        key, _, given = attribute.partition("=")
        given = given.strip(_BLANK)
        if len(given) > _LONGEST_ATTRIBUTE or _bytes(given) > _LONGEST_ATTRIBUTE:
            continue
        match key.strip(_BLANK).lower():
            case "domain":
                domain = given.removeprefix(".").lower()
            case "path":
                path = given if given.startswith("/") else ""
            case "secure":
                secure = True
            case "expires" if (date := cookie_date(given)) is not None:
                until = date
            case "max-age" if _SECONDS.fullmatch(given):
                lifetime = min(float(given), _LONGEST_LIFE)
    return _Words(name, value, domain, path, secure, until, lifetime)


# Most sites say the same with each page.
_remembered = lru_cache(maxsize=1024)(_words)


def domain_match(host: str, domain: str) -> bool:
    """Whether a host is `domain` or one of its subdomains (section 5.1.3)."""
    return host == domain or (host.endswith(f".{domain}") and not is_address(host))


def path_match(path: str, prefix: str) -> bool:
    """Whether a request's path lies in a cookie's (section 5.1.4)."""
    return path.startswith(prefix) and (
        len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/"
    )


def _reach(domain: str, host: str) -> tuple[str, bool] | None:
    """Return the domain of a cookie and whether it is for that very host; None: refused.

    As browsers do and the RFC only hints at, the domain must be within the host's own site:
    `amazonaws.com` is no public suffix, and yet no business of `bucket.s3.amazonaws.com`.
    """
    if not domain:
        return host, True
    if not domain.isascii():
        return None
    if is_address(host) or is_public_suffix(domain):
        return (host, True) if domain == host else None
    if not domain_match(host, domain) or site_of(domain) != site_of(host):
        return None
    return domain, False


def _keeps_promise(said: SetCookie) -> bool:
    """Whether a cookie is what the prefix of its name promises (section 5.7, steps 20 to 22)."""
    # A cookie without a name is sent as its value alone, and would look like another's name.
    promise = (said.name or said.value).lower()
    if not promise.startswith(("__secure-", "__host-")):
        return True
    if not said.name or not said.secure:
        return False
    return promise.startswith("__secure-") or (said.path == "/" and not said.domain)


def _default_path(url: str) -> str:
    """Return the directory of a url's path (section 5.1.4)."""
    return path_of(url).rpartition("/")[0] or "/"


def _bytes(text: str) -> int:
    """Return how long a text is on the wire; far too long when it cannot be sent at all.

    A byte that is not UTF-8 comes from aiohttp as a lone surrogate, which it cannot send back,
    and SQLite cannot hold.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return _LONGEST_PAIR + 1


# ── dates ───────────────────────────────────────────────────────────────────────────────────

_BETWEEN = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def cookie_date(text: str) -> float | None:
    """Return a date in seconds since the epoch, by section 5.1.1; None when it is none.

    Servers write dates in every way there is: the first token that looks like a time is the
    time, and so with day, month and year.
    """
    clock: tuple[int, int, int] | None = None
    day: int | None = None
    month: int | None = None
    year: int | None = None
    if len(text) > _LONGEST_DATE:
        return None
    for token in _BETWEEN.split(text):
        if clock is None and (found := _TIME.match(token)):
            clock = (int(found[1]), int(found[2]), int(found[3]))
        elif day is None and (found := _DAY.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.match(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    try:
        return datetime(year, month, day, *clock, tzinfo=UTC).timestamp()
    except ValueError:
        return None
