"""Selections with parsel's habits (`::text`, `::attr()`, `.get()`, `.re()`), on lexbor's parser."""

import html
import re
from collections.abc import Callable
from html.entities import name2codepoint
from typing import TYPE_CHECKING, Any, SupportsIndex, cast, overload

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.css import Query, read_query
from crawler.document import Document, parsel
from crawler.matching import first, select

if TYPE_CHECKING:
    from parsel import Selector as ParselSelector
    from parsel import SelectorList as ParselSelectors

    ParselList = ParselSelectors[ParselSelector]

Regex = str | re.Pattern[str]

_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z0-9]+))(;?)")


def _replace_entity(match: re.Match[str]) -> str:
    """The character an entity stands for; `&lt;` and `&amp;` stay, as in parsel."""
    decimal, hexadecimal, name, semicolon = match.groups()
    if name and name.lower() in {"lt", "amp"}:
        return match.group()
    if name:
        code = name2codepoint.get(name) or name2codepoint.get(name.lower())
    else:
        code = int(decimal) if decimal else int(hexadecimal, 16)
    if code is None or code > 0x10FFFF:
        return "" if semicolon else match.group()
    return html.unescape(f"&#{code};")  # knows what HTML makes of 0, 0x80 and the like


# What `select` and `first` are given.
_Search = tuple[Query, LexborNode, bool, bool]


class Selector:
    """One thing selected: a document, an element, a text, or the value of an attribute.

    Made from `text`, which is parsed when first needed, or from a `tree` parsed already.
    """

    __slots__ = ("_page", "_query", "_root")

    _page: Document
    _query: str | None
    _root: LexborNode | str | None

    def __init__(self, text: str | None = None, *, tree: LexborHTMLParser | None = None) -> None:
        if text is None and tree is None:
            raise ValueError("Selector() needs a text or a tree; SelectorList() is an empty one")
        if not (text is None or isinstance(text, (str, bytes))):
            kind = type(text).__name__
            raise ValueError(
                f"a Selector is made from text, not from {kind}: write response.css(…)"
            )
        self._page = Document(text, tree)
        self._query = None
        self._root = None

    @property
    def root(self) -> LexborNode | str:
        """The lexbor node; of a text or attribute, the string."""
        if self._root is None:
            self._root = self._page.root()
        return self._root

    def css(self, query: str) -> "SelectorList":
        """What the query finds at and below this element, in document order.

        CSS selectors with parsel's `::text` and `::attr(name)`. ValueError if it is not one.
        A text or attribute has nothing below it.
        """
        search = self._search(query)
        return SelectorList() if search is None else _Pending(search, query, self._page)

    def nodes(self, query: str) -> list[LexborNode | str]:
        """What `.css()` finds, without a `Selector` around each: lexbor's nodes, and texts."""
        search = self._search(query)
        return [] if search is None else select(*search)

    def _search(self, text: str) -> _Search | None:
        """Return how to look for a query; None where there is nothing to be found."""
        query = read_query(text)
        root = self.root if self._root is None else self._root
        if isinstance(root, str):
            return None
        whole = self._query is None
        alone = query.native and (whole or not query.relative or self._page.is_alone(query, root))
        return query, root, whole, alone

    def xpath(self, query: str, **arguments: Any) -> "ParselList":
        """What parsel's `.xpath()` finds from here; the results are parsel's own.

        The tree is the one that `.css()` sees, with `tbody` and all that HTML adds. On a page that
        libxml2 cannot read as that tree, an element has nothing around it. ImportError without
        the `xpath` extra, ValueError if the query is no XPath.
        """
        root = self.root
        start = root if isinstance(root, str) else self._page.twin(root)
        found = parsel().Selector(root=start, type="html").xpath(query, **arguments)
        return cast("ParselList", found)

    def get(self, default: str | None = None) -> str:
        """The element's HTML, the text, or the attribute's value; never `default`."""
        root = self.root
        return root if isinstance(root, str) else root.html or ""

    def getall(self) -> list[str]:
        """The same as `.get()`, in a list."""
        return [self.get()]

    extract = get

    @property
    def attrib(self) -> dict[str, str]:
        """The element's attributes; one without a value has "". AttributeError on a text."""
        root = self.root
        if isinstance(root, str):
            raise AttributeError("a text has no attributes; select the element without ::text")
        return _attributes(root)

    def re(self, regex: Regex, replace_entities: bool = True) -> list[str]:
        """All matches in `.get()`: the group `extract`, else all groups, else the whole match.

        Entities in them become characters, `&lt;` and `&amp;` aside, as in parsel.
        """
        return _matches(self.get(), regex, replace_entities)

    @overload
    def re_first(
        self, regex: Regex, default: None = None, replace_entities: bool = True
    ) -> str | None: ...
    @overload
    def re_first(self, regex: Regex, default: str, replace_entities: bool = True) -> str: ...
    def re_first(
        self, regex: Regex, default: str | None = None, replace_entities: bool = True
    ) -> str | None:
        """The first of `.re()`, or the default."""
        return next(iter(self.re(regex, replace_entities)), default)

    def __bool__(self) -> bool:
        return bool(self.root) if isinstance(self.root, str) else True

    def __str__(self) -> str:
        return self.get()

    def __repr__(self) -> str:
        text = self.get()
        data = text if len(text) <= 40 else text[:37] + "..."
        return f"<{type(self).__name__} query={self._query!r} data={data!r}>"


_new = Selector.__new__


def _attributes(node: LexborNode) -> dict[str, str]:
    return {name: value or "" for name, value in node.attributes.items()}


def _matches(text: str, regex: Regex, replace_entities: bool) -> list[str]:
    pattern = re.compile(regex)
    if "extract" in pattern.groupindex:
        match = pattern.search(text)
        found = [match["extract"]] if match and match["extract"] is not None else []
    else:
        found = []
        for groups in pattern.findall(text):
            found += groups if isinstance(groups, tuple) else [groups]
    return [_ENTITY.sub(_replace_entity, s) for s in found] if replace_entities else found


class SelectorList(list[Selector]):
    """Selectors, in document order; without any, `.css()` and all else find nothing."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Selector: ...
    @overload
    def __getitem__(self, index: slice) -> "SelectorList": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "Selector | SelectorList":
        if isinstance(index, slice):
            return SelectorList(super().__getitem__(index))
        return super().__getitem__(index)

    def css(self, query: str) -> "SelectorList":
        """What the query finds in each, one after the other."""
        return SelectorList(found for selector in self for found in selector.css(query))

    def xpath(self, query: str, **arguments: Any) -> "ParselList":
        """What parsel's `.xpath()` finds from each; the results are parsel's own."""
        found = (match for selector in self for match in selector.xpath(query, **arguments))
        return cast("ParselList", parsel().SelectorList(found))

    @overload
    def get(self, default: None = None) -> str | None: ...
    @overload
    def get(self, default: str) -> str: ...
    def get(self, default: str | None = None) -> str | None:
        """`.get()` of the first, or the default."""
        return self[0].get() if self else default

    def getall(self) -> list[str]:
        """`.get()` of each."""
        return [selector.get() for selector in self]

    extract = getall
    extract_first = get

    @property
    def attrib(self) -> dict[str, str]:
        """The first element's attributes; empty if there is none."""
        return self[0].attrib if self else {}

    def re(self, regex: Regex, replace_entities: bool = True) -> list[str]:
        """`.re()` of each, one after the other."""
        return [
            match for text in self.getall() for match in _matches(text, regex, replace_entities)
        ]

    @overload
    def re_first(
        self, regex: Regex, default: None = None, replace_entities: bool = True
    ) -> str | None: ...
    @overload
    def re_first(self, regex: Regex, default: str, replace_entities: bool = True) -> str: ...
    def re_first(
        self, regex: Regex, default: str | None = None, replace_entities: bool = True
    ) -> str | None:
        """The first match in any, or the default."""
        matches = (match for selector in self for match in selector.re(regex, replace_entities))
        return next(matches, default)


_UNREAD = Selector(text="")
_append = list.append


class _Pending(SelectorList):
    """What a search finds, while nobody has asked for more than the first of it, or for texts.

    To go through a page of 100 KB takes 200 µs; its title is found in 8. Whatever else a list is
    asked makes this the list it stands for.
    """

    _found: list[LexborNode | str] | None = None

    def __init__(self, search: _Search, query: str, page: Document) -> None:
        # Code written in C, such as pydantic's, looks into a list without asking it: what it finds
        # there must be no empty one.
        _append(self, _UNREAD)
        self._search = search
        self._about = query, page

    def _all(self) -> list[LexborNode | str]:
        if self._found is None:
            self._found = select(*self._search)
        return self._found

    def get(self, default: str | None = None) -> Any:
        """See `SelectorList`."""
        found = first(*self._search)
        if found is None:
            return default
        return found if isinstance(found, str) else found.html or ""

    def getall(self) -> list[str]:
        """See `SelectorList`."""
        return [one if isinstance(one, str) else one.html or "" for one in self._all()]

    extract = getall
    extract_first = get

    def re_first(
        self, regex: Regex, default: str | None = None, replace_entities: bool = True
    ) -> Any:
        """See `SelectorList`."""
        text = self.get()
        if text is None:
            return default
        matches = _matches(text, regex, replace_entities) or self.re(regex, replace_entities)
        return matches[0] if matches else default

    @property
    def attrib(self) -> dict[str, str]:
        """See `SelectorList`."""
        found = first(*self._search)
        if isinstance(found, LexborNode):
            return _attributes(found)
        return {} if found is None else _selector(found, *self._about).attrib

    def __bool__(self) -> bool:
        return first(*self._search) is not None

    def __radd__(self, other: list[Any]) -> list[Any]:
        # A list that is added to another is read without being asked.
        return other + self[:]


def _selector(root: LexborNode | str, query: str, page: Document) -> Selector:
    selector = _new(Selector)
    selector._root = root
    selector._query = query
    selector._page = page
    return selector


def _looking(name: str) -> Callable[..., Any]:
    """Return the method of that name for a `_Pending`: it looks, and then is a plain list."""

    def method(self: _Pending, *arguments: Any, **keywords: Any) -> Any:
        found = [_selector(one, *self._about) for one in self._all()]
        vars(self).clear()
        self.__class__ = SelectorList  # type: ignore[assignment]
        self[:] = found
        return getattr(self, name)(*arguments, **keywords)

    return method


_OF_LISTS = (
    "append clear copy count extend index insert pop remove reverse sort __len__ __iter__"
    " __getitem__ __setitem__ __delitem__ __contains__ __reversed__ __repr__ __eq__ __ne__ __lt__"
    " __le__ __gt__ __ge__ __add__ __iadd__ __mul__ __rmul__ __imul__ __reduce_ex__"
)
for _name in _OF_LISTS.split():
    setattr(_Pending, _name, _looking(_name))
_Pending.__name__ = SelectorList.__name__  # as messages call it
