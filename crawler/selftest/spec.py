"""A synthetic site, given by a seed: every page, link and item of it can be computed.

A spider that follows every link from `/p/0` and keeps every `li.item` must end with exactly
what `SiteSpec.expected` says, however often the network failed or the crawl was killed.

Pages are numbered and form a tree, so that each is reachable: page i links to its children
`i * BRANCHES + 1 ...`. Cross links to any page come on top, and a few links are there twice:
with a fragment, or spelt differently but the same URL by the WHATWG standard.

What a page may be, beside plain:

    fails_once  500 at first, then well       cut_once    ends early at first, then well
    slow        takes `slow_seconds`          missing     404 for ever (a leaf: it has no links)
    moved       every link to it is `/r/<i>`, which redirects to `/p/<i>`
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from html import escape
from random import Random

BRANCHES = 3
MOST_ITEMS = 4
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty")

# Spellings of one URL: fragments, HTML character references, and what the URL parser removes
# (dot segments, also percent-encoded ones; tabs and newlines; spaces at both ends) or turns
# (backslashes). `{0}` is the path without its first slash.
_ODD = (
    "/{0}#part",
    "/{0}#",
    "&#47;{0}",
    "/./{0}",
    "/x/../{0}",
    "/x/%2E%2e/{0}",
    "  /{0}\n",
    "/\t{0}",
    "\\{0}",
    "../{0}",
)


class Kind(StrEnum):
    """What happens when a page is asked for."""

    PLAIN = "plain"
    FAILS_ONCE = "fails_once"
    CUT_ONCE = "cut_once"
    MOVED = "moved"
    SLOW = "slow"
    MISSING = "missing"


@dataclass(frozen=True)
class Expected:
    """What a complete crawl from `/p/0` leaves. Paths, since the port is only known later."""

    items: list[tuple[str, str]]  # (data-key, data-hash), sorted; no key is there twice
    states: dict[str, str]  # path of every request in the frontier -> "done" or "failed"
    reasons: dict[str, str]  # path -> reason, of those that failed
    links: dict[str, set[str]]  # path -> paths that its page links to
    hits: dict[str, int]  # path -> requests that an undisturbed crawl sends to it


@dataclass(frozen=True)
class SiteSpec:
    """A site as a pure function of these numbers; shares are of all pages but the first."""

    seed: int
    pages: int
    cross_links: int = 2  # links of a page to any other page, beside those to its children
    fails_once: float = 0.06
    cut_once: float = 0.06
    moved: float = 0.06
    slow: float = 0.04
    missing: float = 0.06
    slow_seconds: float = 0.05
    odd_links: float = 0.1  # the share of links that are there again in an odd spelling

    def kind(self, i: int) -> Kind:
        """What page i is."""
        lot = self._random("kind", i).random()
        for kind in (Kind.FAILS_ONCE, Kind.CUT_ONCE, Kind.MOVED, Kind.SLOW):
            lot -= getattr(self, kind)  # a kind's value is the name of the field with its share
            if lot < 0 and i > 0:
                return kind
        # Only leaves can be missing, and they are about a share of 1 - 1/BRANCHES.
        missing = self.missing * BRANCHES / (BRANCHES - 1)
        return Kind.MISSING if lot < missing and i > 0 and self._is_leaf(i) else Kind.PLAIN

    def path(self, i: int) -> str:
        """The path by which other pages link to page i."""
        return f"/r/{i}" if self.kind(i) is Kind.MOVED else f"/p/{i}"

    def links(self, i: int) -> list[str]:
        """The paths that page i links to, each once."""
        children = range(i * BRANCHES + 1, min((i + 1) * BRANCHES + 1, self.pages))
        random = self._random("links", i)
        crossing = [random.randrange(self.pages) for _ in range(self.cross_links)]
        return list(dict.fromkeys(self.path(j) for j in (*children, *crossing)))

    def hrefs(self, i: int) -> list[str]:
        """The `href` attributes of page i as they stand in its source."""
        random = self._random("hrefs", i)
        hrefs = self.links(i)
        odd = [
            random.choice(_ODD).format(path[1:])
            for path in hrefs
            if random.random() < self.odd_links
        ]
        again = [path for path in hrefs if random.random() < self.odd_links]
        return hrefs + odd + again

    def items(self, i: int) -> list[tuple[str, str, str]]:
        """(key, hash, text) of each item on page i."""
        random = self._random("items", i)
        texts = [
            " ".join(random.choices(_WORDS, k=6)) for _ in range(random.randint(0, MOST_ITEMS))
        ]
        return [(f"{i}-{n}", content_hash(f"{i}-{n}", text), text) for n, text in enumerate(texts)]

    def html(self, i: int) -> str:
        """The source of page i."""
        items = "\n".join(
            f'<li class="item" data-key="{key}" data-hash="{digest}">{escape(text)}</li>'
            for key, digest, text in self.items(i)
        )
        links = "\n".join(f'<a href="{href}">go</a>' for href in self.hrefs(i))
        return (
            f"<!doctype html>\n<html><head><title>Page {i}</title></head>\n<body>"
            f"<h1>Page {i}</h1>\n<ul>\n{items}\n</ul>\n<nav>\n{links}\n</nav></body></html>\n"
        )

    def expected(self) -> Expected:
        """What a crawl that follows every link and keeps every item must end with."""
        result = Expected(items=[], states={}, reasons={}, links={}, hits={})
        for i in range(self.pages):
            path, kind = self.path(i), self.kind(i)
            result.states[path] = "failed" if kind is Kind.MISSING else "done"
            result.hits[path] = 2 if kind in (Kind.FAILS_ONCE, Kind.CUT_ONCE) else 1
            if kind is Kind.MOVED:
                result.hits[f"/p/{i}"] = 1
            if kind is Kind.MISSING:
                result.reasons[path] = "http_404"
                continue
            result.links[path] = set(self.links(i))
            result.items.extend((key, digest) for key, digest, _ in self.items(i))
        result.items.sort()
        return result

    def _is_leaf(self, i: int) -> bool:
        return i * BRANCHES + 1 >= self.pages

    def _random(self, purpose: str, i: int) -> Random:
        return Random(f"{self.seed} {purpose} {i}")  # noqa: S311


def content_hash(key: str, text: str) -> str:
    """The `data-hash` of an item: whoever has its key and text can check it."""
    return blake2b(f"{key} {text}".encode(), digest_size=8).hexdigest()
