"""Where the links of a page lead: joined once for all pages of a directory."""

import re
from functools import lru_cache

from crawler.url import LONGEST_KNOWN, canonical, is_web, noted

_ROOM = 16 << 20  # bytes, about, for what is remembered


class Links:
    """Returns `canonical(href, base)`, where there is such a url, for the links of one page.

    What a link without a scheme leads to depends on the base up to its last `/`, if only it does
    not begin with its `?` or `#`. So for what the pages of a directory repeat, which most links
    are, a look into a dict does instead of 4 µs of parsing. And what is plain, because it is made
    of nothing that the standard would change or read otherwise, is only put together: each call
    of the parser gives up the interpreter's lock four times.
    """

    __slots__ = ("_base", "_ways", "directory", "known")

    def __init__(self, base: str) -> None:
        """`base` is absolute; it may have a fragment.

        `known` is what was found before in its `directory`, which is "" where none counts.
        """
        self._base = base
        # Most pages are in a directory of which others have been seen.
        directory = base[: base.rfind("/") + 1]
        found = None if "?" in base or "#" in base else _LINKS.known(directory)
        if found is None:
            directory = _directory_of(base)
            found = _LINKS.of(directory) if directory else ({}, {})
        self.directory = directory
        self.known, self._ways = found

    def to(self, href: str) -> str:
        """Return where a link leads.

        What is not a URL at all goes on as it is, and is skipped with its reason: so one broken
        link does not cost the page.
        """
        return self.known.get(href) or self.find(href)

    def to_page(self, page: str) -> str:
        """Return where a link leads that had a fragment, or may have had one.

        White space before a fragment is part of the url; at its end it would not be.
        """
        return self.known.get(page) or self.find_page(page)

    def find_page(self, page: str) -> str:
        """Return the same for one that is not `known`."""
        return self.find(f"{page}#" if page[-1:].isspace() else page)

    def find(self, href: str) -> str:
        """Return the same for one that is not `known`."""
        try:
            if not href and self.directory:
                return canonical(self._base.partition("#")[0])  # mostly the page's own, known so
            if not self.directory or len(href) > LONGEST_KNOWN:
                return canonical(href, self._base)
            if plain := _PLAIN_PATH.fullmatch(href):
                way, rest = plain.groups()
                url = noted((self._ways.get(way) or self._go(way)) + rest)
            elif not _depends_on_directory(href):
                return canonical(href, self._base)
            elif _PLAIN_URL.fullmatch(href):
                url = noted(href)
            else:
                url = canonical(href, self.directory)
        except ValueError:
            return href
        self.known[href] = url
        _LINKS.room -= len(href) + len(url) + 200  # with what Python needs for them
        if _LINKS.room < 0:
            _LINKS.clear()
        return url

    def _go(self, way: str) -> str:
        """Return the directory that `/`, or any number of `../`, leads to."""
        directory = self.directory
        _LINKS.room -= len(way) + len(directory) + 200
        if way == "/":
            directory = directory[: directory.index("/", len("https://")) + 1]
        for _ in range(len(way) // len("../")):
            directory = _above(directory)
        self._ways[way] = directory
        return directory


# Letters, digits and marks that mean nothing, in segments that do not begin with a dot.
_MEANT = r"A-Za-z0-9_~!$&'()*+,;=@\-"
_SEGMENT = f"[{_MEANT}][{_MEANT}.]*+"
_SEGMENTS = rf"{_SEGMENT}(?:/{_SEGMENT})*+/?"
_QUERY = r"(?:\?[A-Za-z0-9_.~!$&()*+,/:;=?@%-]++)?"
_PLAIN_PATH = re.compile(rf"(/|(?:\.\./)*+)({_SEGMENTS}{_QUERY})")
# A host whose last label is of letters is no IPv4 address; one in punycode would be looked into.
_LABEL = "[a-z0-9]++(?:-[a-z0-9]++)*+"
_PLAIN_URL = re.compile(rf"https?://(?:{_LABEL}\.)*+[a-z]{{2,20}}+/(?:{_SEGMENTS})?{_QUERY}")


def _above(directory: str) -> str:
    """Return the directory that `..` means in one; above the root there is none."""
    at = directory.rindex("/", 0, -1)
    return directory[: at + 1] if at > len("https:/") else directory


def _depends_on_directory(href: str) -> bool:
    """Tell whether of a base no more counts than its directory, or nothing."""
    if href[:1] in _OF_PAGE or href[0] <= " ":
        return False
    return ":" not in href or href.startswith(("http://", "https://"))


_OF_PAGE = "?#"  # and "", which is in every text


def _directory_of(base: str) -> str:
    """Return what counts of a base for most links; "" where no such thing does."""
    if not is_web(base):
        return ""
    path = base.partition("#")[0].partition("?")[0]
    if path.rfind("/") < len("https://"):  # `http://host`, of a response made by hand
        path = canonical(path)
    return _directory(path[: path.rindex("/") + 1])


@lru_cache(maxsize=256)
def _directory(path: str) -> str:
    return canonical(path)  # as it is already, but for a response that somebody made by hand


# Where the links of a directory's pages lead, and where `/` and `../` do.
_Known = tuple[dict[str, str], dict[str, str]]


class _KnownLinks:
    """What links lead to, by the directory of their page, until there is no more room."""

    def __init__(self) -> None:
        self.room = _ROOM
        self._by_directory: dict[str, _Known] = {}

    def known(self, directory: str) -> _Known | None:
        return self._by_directory.get(directory)

    def of(self, directory: str) -> _Known:
        known = self._by_directory.get(directory)
        if known is None:
            known = self._by_directory[directory] = {}, {}
            self.room -= len(directory) + 400
        return known

    def clear(self) -> None:
        self._by_directory.clear()  # pages at work keep theirs
        self.room = _ROOM


_LINKS = _KnownLinks()
