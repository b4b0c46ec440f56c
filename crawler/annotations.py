"""What a page says about itself to crawlers: its canonical url, and whether to follow its links.

It says so in its headers and in its `<head>`, which is read here by a scan from left to right
of its first bytes, without a tree: most callbacks have made one by now, but what is looked for
stands at the beginning. Nothing here raises, whatever the page holds.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from html import unescape

from multidict import CIMultiDict

from crawler.errors import ParseBudgetError
from crawler.response import Response
from crawler.robots import product_token
from crawler.url import canonical

# Bytes in which a page must have said it. To search 126 KB through would cost 50 µs.
_WINDOW = 32 * 1024

# Up to the end of a tag; a quote that is never closed ends it too. Possessive, so no way back.
_INSIDE = re.compile(rb"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+")
_ATTRIBUTE = re.compile(r"([^\s=/>\"']++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>\"']++)))?+")
# What is between these is no element. All are looked for in lower case.
_HIDING = ((b"<!--", b"-->"), (b"<script", b"</script"), (b"<style", b"</style"))
# So many mentions are looked at, that a page made of them costs no more than a few others.
_MENTIONS = 32

# `<url>; name=value; name="value", <url> ...` (RFC 8288, section 3).
_LINK = re.compile(r"<([^<>]*+)>((?:[^,\"]++|\"(?:[^\"\\]++|\\.)*+\")*+)")
_LINK_PARAMETER = re.compile(
    r";\s*+([^\s=;,\"]++)\s*+=\s*+(?:\"((?:[^\"\\]++|\\.)*+)\"|([^\s;,]++))"
)

# Directives of X-Robots-Tag that have a value of their own; any other name with a colon is an
# agent's.
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)
_STAY = frozenset({"nofollow", "none"})


def canonical_of(response: Response) -> str | None:
    """Return the page's canonical url by its own word (rel=canonical), when that is another.

    The `Link` header counts first. It is in canonical form, and http or https.
    """
    for href, base in _canonicals(response):
        try:
            url = canonical(href, base)
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            return url if url != response.url else None
    return None


def _canonicals(response: Response) -> Iterator[tuple[str, str]]:
    for value in _header(response, "Link"):
        for url, parameters in _LINK.findall(value):
            rel = next(
                (a or b for n, a, b in _LINK_PARAMETER.findall(parameters) if n.lower() == "rel"),
                "",
            )
            if "canonical" in rel.lower().split():
                yield url, response.url
    for attributes in _elements(response, b"<link", b"canonical"):
        if "canonical" in attributes.get("rel", "").lower().split():
            yield attributes.get("href", "").strip(), _base_of(response)


def _base_of(response: Response) -> str:
    try:
        return response.base_url
    except ParseBudgetError:
        return response.url  # the callback did without a tree, too


def forbids_following(response: Response, agent: str) -> bool:
    """Tell whether the page asks `agent`, or every robot, not to follow its links.

    `nofollow` or `none` in an `X-Robots-Tag` header or in `<meta name=robots>`; of several that
    apply the strictest counts.
    """
    token = product_token(agent)
    for value in _header(response, "X-Robots-Tag"):
        if not _STAY.isdisjoint(_directives(value, token)):
            return True
    return any(
        not _STAY.isdisjoint(_said_to(token, attributes))
        for name in {"robots", token} - {""}
        for attributes in _elements(response, b"<meta", name.encode())
    )


def _said_to(token: str, attributes: Mapping[str, str]) -> Iterable[str]:
    """Return the directives of a `<meta>`, if it speaks to every robot or to that one."""
    if attributes.get("name", "").strip().lower() not in ("robots", token):
        return ()
    return attributes.get("content", "").lower().replace(",", " ").split()


def _directives(value: str, token: str) -> Iterator[str]:
    """Yield what an X-Robots-Tag says to the agent of that token, in lower case."""
    ours = True
    for part in value.lower().split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _WITH_VALUE:
            ours, part = name.strip() in ("*", "robots", token), rest
        if ours:
            yield part.strip()


def _header(response: Response, name: str) -> Iterable[str]:
    headers = response.headers
    if name not in headers:
        return ()
    # What aiohttp gives, and what a middleware makes, may have several of a name.
    return CIMultiDict(headers).getall(name)


def _elements(response: Response, tag: bytes, word: bytes) -> Iterator[dict[str, str]]:
    """Yield the attributes of the tags in a page's head that have a word in them."""
    body = response.body
    end = body.find(b"</head", 0, _WINDOW)
    head = body[: end if end >= 0 else _WINDOW].lower()
    place = head.find(word)
    if place < 0 or not response.is_markup:
        return
    for _ in range(_MENTIONS):
        start = head.rfind(tag, 0, place)
        if start >= 0 and not _is_hidden(head, start):
            inside = _INSIDE.match(body, start + len(tag), len(head))
            if inside is not None and inside.end() > place:
                yield _attributes(inside[0].decode("utf-8", "replace"))
        place = head.find(word, place + 1)
        if place < 0:
            return


def _is_hidden(head: bytes, place: int) -> bool:
    """Tell whether what stands there is in a comment, in a script, or in the page's body."""
    return head.rfind(b"<body", 0, place) >= 0 or any(
        (opened := head.rfind(opening, 0, place)) >= 0 and head.find(closing, opened, place) < 0
        for opening, closing in _HIDING
    )


def _attributes(tag: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(tag):
        value = "".join(values)
        found.setdefault(name.lower(), unescape(value) if "&" in value else value)
    return found
