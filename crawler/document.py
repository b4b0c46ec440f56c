"""What the selections of one document share: its trees, and what is known of them."""

from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.css import Query
from crawler.markup import parse
from crawler.matching import names_of

# Pages have no more elements within each other, and these no more names, save those that are made
# to cost much. What is above the elements of one part of a page is kept at hand.
_MOST_ABOVE, _MOST_NAMES, _MOST_KNOWN = 64, 200, 256


class Document:
    """What the selections of one document share: its trees, each made when it is asked for."""

    __slots__ = ("_above", "_lxml", "_text", "_tree", "_twins")

    def __init__(self, text: str | None, tree: LexborHTMLParser | None) -> None:
        self._text = text
        self._tree = tree
        self._lxml: Any = None
        self._twins: dict[int, Any] | None = None
        self._above: dict[int, frozenset[str] | None] = {}

    def root(self) -> LexborNode:
        """The element that has all others below it."""
        if self._tree is None:
            self._tree = parse(self._text or "")
        root = self._tree.root
        if root is None:
            raise ValueError("a selection needs a document; this tree has none")
        return root

    def is_alone(self, query: Query, node: LexborNode) -> bool:
        """Whether nothing above an element can be part of what a query finds from it on.

        Then lexbor answers at once: step by step it takes twice as long.
        """
        if query.begins is None:
            return False
        parent = node.parent
        if parent is None:
            return True
        names = self._names(parent)
        return names is not None and not any(begins <= names for begins in query.begins)

    def _names(self, node: LexborNode) -> frozenset[str] | None:
        """Return the names of an element and of all above it; None when these are too many.

        They are as they were when first asked for, whatever somebody does to the tree since.
        """
        known = self._above
        place = node.mem_id
        if place in known:  # mostly it was asked for by the element before
            return known[place]
        path = []
        above: LexborNode | None = node
        while above is not None and above.mem_id not in known:
            path.append(above)
            if len(path) > _MOST_ABOVE:
                return None
            above = above.parent
        names = frozenset() if above is None else known[above.mem_id]
        if len(known) > _MOST_KNOWN:
            known.clear()
        for one in reversed(path):
            if names is not None:
                names |= names_of(one)
                names = names if len(names) <= _MOST_NAMES else None
            known[one.mem_id] = names
        return names

    def twin(self, node: LexborNode) -> Any:
        """The same element in a tree of lxml's."""
        root = self.root()
        if self._lxml is None:
            self._lxml = _lxml_root(root)
        if node.mem_id == root.mem_id:
            return self._lxml
        if self._twins is None:
            # What is in a <template> is not in lexbor's tree, but would be in lxml's. With `//*`
            # libxml2 would have to sort what it finds, in time by the square of its number.
            twins = self._lxml.xpath("descendant-or-self::*[not(ancestor::template)]")
            nodes = [n for n in root.traverse() if n.is_element_node]
            same = [_tag(n) for n in nodes] == [twin.tag for twin in twins]
            self._twins = {n.mem_id: t for n, t in zip(nodes, twins, strict=True)} if same else {}
        if node.mem_id in self._twins:
            return self._twins[node.mem_id]
        # libxml2 makes another tree of this page: then the element by itself, out of its context.
        alone = _lxml_root(node)
        return next((e for e in alone.iter("*") if e.tag == _tag(node)), alone)


def _lxml_root(node: LexborNode) -> Any:
    return parsel().Selector(text=node.html or "").root


def _tag(node: LexborNode) -> str:
    return (node.tag or "").lower()  # SVG has capitals, lost on libxml2


def parsel() -> Any:
    """Return the package parsel; raises `ImportError`, with what to install, without it."""
    try:
        import parsel as package
    except ImportError:
        message = "response.xpath() needs the xpath extra: pip install 'crawler[xpath]'"
        raise ImportError(message) from None
    return package
