"""Where the links of a page lead: from selections to hrefs, from requests to the frontier."""

from collections.abc import Iterable, Iterator
from typing import Any

from selectolax.lexbor import LexborNode

from crawler.errors import InvalidUrl
from crawler.request import Request, to_record
from crawler.selection import Selector, SelectorList
from crawler.url import Scope, fingerprint, is_web, redact
from storage.records import NewRequest, QueuedRequest

# How much of a url that is none goes into the file.
_SHOWN = 2000

# Which attribute of an element holds the page it leads to.
_LINKING = {"a": "href", "area": "href", "link": "href"}


def href_of(link: Any) -> str:
    """Return the url text of a link: a string, an element, or a selected attribute.

    Raises `ValueError` when there is none, naming what was given.
    """
    if isinstance(link, str):
        return link.strip()
    if isinstance(link, SelectorList):
        if not link:
            raise ValueError("cannot follow an empty selection")
        link = link[0]
    href = _href(link)
    if href is None:
        raise ValueError(f"no url in {link!r}: select <a> elements, or ::attr(href)")
    return href


def hrefs(links: Iterable[Any]) -> Iterator[str]:
    """Yield the url text of each link that has one; other elements are passed over."""
    for link in links:
        href = link.strip() if isinstance(link, str) else _href(link)
        if href is not None:
            yield href


def _href(link: Any) -> str | None:
    root = getattr(link, "root", link)
    if isinstance(root, str):  # a selected attribute or text
        return root.strip()
    if isinstance(root, LexborNode):
        name = _LINKING.get(root.tag or "")
        value = root.attrs.get(name) if name else None
        return value.strip() if value is not None else None
    if isinstance(link, Selector) or hasattr(link, "attrib"):  # parsel's, from xpath()
        value = link.attrib.get("href")
        return value.strip() if value is not None else None
    raise ValueError(f"cannot follow a {type(link).__name__}")


def record_of(
    request: Request, parent: QueuedRequest, position: int, scope: Scope, max_depth: int | None
) -> NewRequest:
    """Return the frontier row for a request that a page yielded, skipped if it is off limits.

    `position` is its place among what the page yielded. Raises `ValueError` when its payload
    cannot be kept as JSON.
    """
    depth = parent.depth + 1
    try:
        record = to_record(request, depth=depth, position=position, parent=parent.fingerprint)
    except InvalidUrl:
        url = redact(request.url)[:_SHOWN]
        identity = fingerprint(request.method, url)
        return NewRequest(identity, url, "", depth=depth, state="skipped", reason="invalid_url")
    if not is_web(record.url):
        return record._replace(state="skipped", reason="scheme")
    if not scope.admits(record.host):
        return record._replace(state="skipped", reason="offsite")
    if max_depth is not None and depth > max_depth:
        return record._replace(state="skipped", reason="max_depth")
    return record
