"""What came back, after redirects and decoding."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy
from propcache.api import cached_property  # in C; that of functools takes four times as long
from selectolax.lexbor import LexborHTMLParser

from crawler.charset import charset_of, decode_text
from crawler.errors import ParseBudgetError
from crawler.hrefs import Links
from crawler.links import Followed, href_of, hrefs, is_nofollow
from crawler.markup import Look, parse, parse_aside, try_aside, utf8
from crawler.pages import pages_of
from crawler.request import Callback, Request
from crawler.selection import Selector, SelectorList
from crawler.survey import binary
from crawler.url import join
from crawler.xml_text import for_html
from storage.records import Timings

# How files begin that are no markup, whatever their Content-Type says (as in the MIME Sniffing
# standard, sections 6 and 7; only what no text begins with).
_NO_MARKUP = re.compile(
    rb"%PDF-|%!PS-Adobe-|\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|\x00\x00[\x01\x02]\x00"
    rb"|RIFF.{4}(?:WEBP|WAVE|AVI )|OggS\x00|ID3[\x02-\x04]|\x1aE\xdf\xa3|.{4}ftyp|wOF[F2]"
    rb"|\x1f\x8b\x08|PK(?:\x03\x04|\x05\x06)|Rar!\x1a\x07|7z\xbc\xaf'\x1c|BZh[1-9]1AY&SY"
    rb"|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|\x7fELF|SQLite format 3\x00",
    re.DOTALL,
)
# Where one in sixteen bytes of the beginning is such as no text has, and more than a few are, it is
# no markup: 9 MB of noise take 0.4 s and 150 MB to parse.
_BEGINNING, _PART, _FEW = 1024, 16, 16

# What `<base href>` may not be (HTML standard section 4.2.3).
_NO_BASE = ("data:", "javascript:")


@lru_cache(maxsize=256)
def _is_markup_type(content_type: str) -> bool:
    return "html" in content_type or "xml" in content_type


@lru_cache(maxsize=256)
def _is_xml_type(content_type: str) -> bool:
    return "xml" in content_type and "html" not in content_type


class Response:
    """A page: its final `url`, `status`, `headers`, `body`, and the ways to read it.

    Parsing happens once, when first asked for. On a page that is neither HTML nor XML every
    selection is empty.
    """

    # Whether `rel=nofollow` of links counts: the setting `robots_meta`.
    heeds_nofollow = False
    # What came of parsing ahead.
    _spare: LexborHTMLParser | None = None
    _refusal: ParseBudgetError | None = None

    def __init__(
        self,
        url: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        request: Request | None = None,
        redirects: tuple[str, ...] = (),
    ) -> None:
        self.url = url
        self.status = status
        # What aiohttp gives is a mapping of that kind already.
        self.headers: Mapping[str, str] = (
            headers if isinstance(headers, CIMultiDictProxy) else CIMultiDict(headers or {})
        )
        self.body = body.encode() if isinstance(body, str) else body  # text: made by hand
        self.request = request if request is not None else Request(url)
        self.redirects = redirects  # the urls that led here, the request's own first

    @property
    def meta(self) -> dict[str, Any]:
        """The request's `meta`."""
        return self.request.meta

    @property
    def cb_kwargs(self) -> dict[str, Any]:
        """The request's `cb_kwargs`."""
        return self.request.cb_kwargs

    @property
    def phases(self) -> Timings:
        """How long each phase of the fetch took."""
        return self.request.phases

    @property
    def elapsed(self) -> float:
        """Seconds from sending the request to the last byte, redirects included."""
        return self.phases.elapsed or 0.0

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    # ── text ────────────────────────────────────────────────────────────────────────────

    @cached_property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters; empty when none was sent."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @cached_property
    def encoding(self) -> str:
        """The character encoding by which `text` is decoded."""
        return charset_of(self.body, self.headers.get("Content-Type"))

    @cached_property
    def text(self) -> str:
        """The body as text; bytes that are invalid in its encoding become U+FFFD."""
        return decode_text(self.body, self.encoding)

    def json(self) -> Any:
        """Return the body read as JSON; raises `ValueError` when it is not."""
        try:
            return json.loads(self.body)
        except UnicodeDecodeError:  # JSON is UTF-8, but what says that it is not may be right
            if self.encoding == "utf-8":
                raise
            return json.loads(self.text)

    # ── selections ──────────────────────────────────────────────────────────────────────

    @cached_property
    def is_markup(self) -> bool:
        """Whether this is a page with elements to select: HTML or XML.

        The Content-Type says so; but what begins as a PDF, an image or an archive is none, nor
        is noise.
        """
        if _NO_MARKUP.match(self.body) or self._is_noise():
            return False
        if self.content_type:
            return _is_markup_type(self.content_type)
        return self.body.lstrip()[:1] == b"<"

    def _is_noise(self) -> bool:
        head = self.body[:_BEGINNING]
        strange = binary(head)
        if strange <= _FEW or strange * _PART <= len(head):
            return False
        # In UTF-16 every second byte of an English page is a NUL.
        return not self.encoding.startswith("utf-16")

    @cached_property
    def tree(self) -> LexborHTMLParser:
        """The selectolax parser itself; of an empty page when this is not HTML or XML.

        Raises `ParseBudgetError` for a page that would cost too much to parse.
        """
        if self._refusal is not None:
            raise self._refusal
        tree, self._spare = self._spare, None
        if tree is not None:
            return tree
        return parse(self._page, self._look) if self.is_markup else parse("")

    @property
    def is_costly(self) -> bool:
        """Whether parsing this page may take long, so that it is tried before."""
        return self.is_markup and self._look.is_suspicious

    async def try_ahead(self) -> None:
        """Find out on another thread whether `tree` would cost too much, for it to raise that."""
        if self.is_markup:
            try:
                await try_aside(self._page, self._look)
            except ParseBudgetError as error:
                self._refusal = error

    async def parse_ahead(self) -> None:
        """Parse what `tree` is then to return, on another thread, if that is not busy.

        To be called once at most, after `try_ahead` and before `tree`.
        """
        if self.is_markup and self._refusal is None:
            self._spare = await parse_aside(self._page, self._look)

    @cached_property
    def _page(self) -> bytes:
        """What is parsed: UTF-8 as it came, whether it is valid or not, or the text in it."""
        as_utf8 = self.encoding == "utf-8"
        page = self.body.removeprefix(BOM_UTF8) if as_utf8 else utf8(self.text)
        return for_html(page) if _is_xml_type(self.content_type) else page

    @cached_property
    def _look(self) -> Look:
        return Look(self._page)

    @cached_property
    def selector(self) -> Selector:
        """The whole page as a selection."""
        return Selector(tree=self.tree)

    def css(self, query: str) -> SelectorList:
        """Return what matches a CSS selector, `::text` and `::attr(name)` included.

        Raises `ValueError` for a selector that is not one.
        """
        return self.selector.css(query) if self.is_markup else SelectorList()

    def xpath(self, query: str, **variables: Any) -> Any:
        """Return what matches an XPath expression, as parsel does; needs the `xpath` extra."""
        return self.selector.xpath(query, **variables)

    # ── links ───────────────────────────────────────────────────────────────────────────

    @cached_property
    def base_url(self) -> str:
        """The url that links are relative to: the first `<base href>`, else the page's own.

        A base that is a `data:` or `javascript:` url does not count, nor does a second one.
        """
        if self.is_markup and self._look.has_base:
            found = (base.attrs.get("href") for base in self.tree.tags("base"))
            href = next((href for href in found if href is not None), None)
            if href:
                try:
                    url = join(self.url, href)
                    join(url, "x")  # nothing is relative to `about:blank`, or to a mail address
                except ValueError:
                    return self.url  # an impossible base is ignored, as browsers do
                if not url.startswith(_NO_BASE):
                    return url
        return self.url

    def urljoin(self, url: str) -> str:
        """Return `url` made absolute; raises `ValueError` when it cannot be."""
        return join(self.base_url, url)

    def follow(
        self, url: "str | Selector", callback: Callback | None = None, **arguments: Any
    ) -> Request:
        """Return a request for a link: a url, or a selection of an element or attribute.

        With the setting `robots_meta`, an element with `rel=nofollow` is not followed; a url or
        an attribute says nothing of its element. Raises `ValueError` when there is no url in it.
        """
        request = Request(self._links.to(href_of(url)), callback, **arguments)
        if self.heeds_nofollow:
            request.nofollow = is_nofollow(url)
        return request

    def follow_all(
        self,
        urls: "str | SelectorList | Iterable[str | Selector] | None" = None,
        callback: Callback | None = None,
        *,
        css: str | None = None,
        xpath: str | None = None,
        **arguments: Any,
    ) -> Iterator[Request]:
        """Yield a request for each page that links lead to: a CSS selector, a selection, or urls.

        A page that several of them lead to is yielded once; elements without a url are passed
        over. Raises `ValueError` when not exactly one of `urls`, `css` and `xpath` is given.
        """
        if (urls is not None) + (css is not None) + (xpath is not None) != 1:
            raise ValueError("follow_all takes one of: urls, css=, xpath=")
        query = urls if isinstance(urls, str) else css
        followed: set[str] | None = None
        if query == "a" and not self.heeds_nofollow:
            # So it is nearly always, and then nobody need look which of them are links.
            nodes = self.tree.tags("a") if self.is_markup else ()
            targets = [h for node in nodes if (h := node.attrs.sget("href", None)) is not None]
        else:
            found = self._found(query, xpath, urls)
            targets = list(hrefs(found))
            if self.heeds_nofollow:
                followed = {*pages_of([*hrefs(link for link in found if not is_nofollow(link))])}
        if followed is None:
            return Followed(pages_of(targets), self._links, callback, arguments)
        return self._marked(pages_of(targets), followed, callback, arguments)

    def _marked(
        self,
        pages: Iterable[str],
        followed: set[str],
        callback: Callback | None,
        arguments: dict[str, Any],
    ) -> Iterator[Request]:
        for page in pages:
            request = Request(self._links.to_page(page), callback, **arguments)
            request.nofollow = page not in followed
            yield request

    def _found(self, query: str | None, xpath: str | None, links: Any) -> Sequence[Any]:
        if xpath is not None:
            return list(self.xpath(xpath))
        if query is not None:
            return self.selector.nodes(query) if self.is_markup else ()
        return list(links)

    @cached_property
    def _links(self) -> Links:
        return Links(self.base_url)

    def __repr__(self) -> str:
        return f"<{self.status} {self.url}>"
