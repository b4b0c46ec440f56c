"""Selections with parsel's habits (`::text`, `::attr()`, `.get()`, `.re()`), on lexbor's parser.

A query is read once, in three steps, and kept:

- it is cut at its commas into branches, each with its pseudo-element taken off;
- what parsel's dialect has and lexbor lacks is rewritten (`[a!=b]`, `:matches()`, `:disabled` ...);
- a branch is also cut at its combinators, because parsel begins a nested query at the node
  while lexbor, like a browser, looks for ancestors in the whole document.

Most queries then are one call of lexbor. The results are in document order, without duplicates.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from html.entities import name2codepoint
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, cast, overload

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

if TYPE_CHECKING:
    import parsel

    ParselList = parsel.SelectorList[parsel.Selector]

Regex = str | re.Pattern[str]

_TEXT = "::text"  # what a branch wants, where the name of an attribute may stand as well

_ESCAPE = r"\\(?:[0-9a-fA-F]{1,6}[ \t\r\n\f]?|[^\n\r\f0-9a-fA-F])"
_NAME = rf"(?:[-\w]|[^\x00-\x7f]|{_ESCAPE})+"
_STRING = r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
_TOKEN = re.compile(
    rf"""
      (?P<space>[ \t\r\n\f]+)
    | (?P<comment>/\*.*?\*/)
    | (?P<string>{_STRING})
    | (?P<attribute>\[(?:[^\]\["'\\]|{_STRING}|\\.)*\])
    | (?P<pseudo>::?{_NAME}\(?)
    | (?P<close>\))
    | (?P<combinator>[>+~])
    | (?P<comma>,)
    | (?P<word>[.\#]?{_NAME}|[*|])
    """,
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE = re.compile(
    rf"\[\s*(?P<name>{_NAME})\s*(?P<operator>[~|^$*!]?=)"
    rf"\s*(?P<value>{_STRING}|{_NAME})\s*(?P<flag>[isIS]?)\s*\]",
    re.DOTALL,
)
_WITH_SELECTORS = re.compile(r":(?:not|is|where|has)\(", re.IGNORECASE)

_CONTROLS = ":is(input,button,select,textarea)"
_CAN_BE_DISABLED = ":is(input,button,select,textarea,fieldset,optgroup,option)"
_DISABLED = (
    f":is({_CAN_BE_DISABLED}[disabled],optgroup[disabled] option,"
    f"fieldset[disabled] {_CONTROLS}:not(fieldset[disabled] > legend:first-of-type *))"
)
# Where lexbor's answer is not cssselect's, or there is none.
_PSEUDO_CLASSES = {
    ":disabled": _DISABLED,
    ":enabled": f"{_CAN_BE_DISABLED}:not({_DISABLED})",
    ":checked": ":is(option[selected],input[checked]:is([type=checkbox s],[type=radio s]))",
    ":link": ":is(a,area,link)[href]",
    ":visited": ":not(*)",
    ":target": ":not(*)",
}


class _Token(NamedTuple):
    kind: str
    text: str
    inside: "tuple[_Token, ...]" = ()  # between the parentheses of a functional pseudo-class


_ANY = _Token("word", "*")


@dataclass(frozen=True, slots=True)
class _Step:
    combinator: str  # to the step before; "" for the first, "//" for below or at it
    css: str  # one compound selector
    contains: tuple[str, ...]  # texts that its elements have


@dataclass(frozen=True, slots=True)
class _Branch:
    css: str
    steps: tuple[_Step, ...]
    wanted: str | None  # None: elements; _TEXT: their text nodes; else: this attribute
    scoped: bool  # begins with :scope
    native: bool  # lexbor alone can answer it for a whole document


@dataclass(frozen=True, slots=True)
class _Query:
    css: str
    branches: tuple[_Branch, ...]
    native: bool  # all branches are, and want the same
    union: bool  # lexbor may name a node more than once
    relative: bool  # has combinators: what lies above a node must not count


def _tokens(query: str) -> Iterator[_Token]:
    position = 0
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None or match.lastgroup is None:
            raise ValueError(f"unexpected {query[position]!r}")
        position = match.end()
        if match.lastgroup != "comment":
            yield _Token(match.lastgroup, match.group())


def _folded(tokens: Iterator[_Token], nested: bool = False) -> Iterator[_Token]:
    """The tokens, with everything between two parentheses put into one."""
    for token in tokens:
        if token.kind == "close":
            if nested:
                return
            raise ValueError("unexpected ')'")
        if token.kind == "pseudo" and token.text.endswith("("):
            name = token.text[:-1].lower()
            yield _Token("function", name, tuple(_folded(tokens, nested=True)))
        else:
            yield token
    if nested:
        raise ValueError("a ')' is missing")


def _cut_at_commas(tokens: Iterable[_Token]) -> list[list[_Token]]:
    parts: list[list[_Token]] = [[]]
    for token in tokens:
        if token.kind == "comma":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _css(token: _Token) -> str:
    """The token as lexbor understands it."""
    if token.kind == "attribute":
        return _ATTRIBUTE.sub(_attribute_css, token.text)
    if token.kind == "pseudo" and token.text.startswith("::"):
        raise ValueError(f"{token.text} must be the end of a selector")
    if token.kind == "pseudo":
        return _PSEUDO_CLASSES.get(token.text.lower(), token.text)
    if token.kind == "function":
        if token.text in {"::attr", ":contains"}:
            raise ValueError(f"{token.text}() cannot be inside of parentheses")
        name = ":is" if token.text == ":matches" else token.text
        return f"{name}({''.join(map(_css, token.inside))})"
    return token.text


def _attribute_css(match: re.Match[str]) -> str:
    name, operator, value, flag = match.groups()
    # Without the flag a browser ignores case in `type`, `rel` and others; parsel never does.
    flag = flag or "s"
    if operator != "!=":
        return f"[{name}{operator}{value} {flag}]"
    exists = f"[{name}]" if value in {'""', "''"} else ""
    return f"{exists}:not([{name}={value} {flag}])"


def _argument(token: _Token) -> str:
    """The one string or name between a token's parentheses, without quotes and escapes."""
    values = [inner for inner in token.inside if inner.kind != "space"]
    if len(values) != 1 or values[0].kind not in {"string", "word"}:
        raise ValueError(f"{token.text}() takes one string")
    text = values[0].text
    if values[0].kind == "string":
        text = text[1:-1].replace("\\\n", "")
    return re.sub(_ESCAPE, _unescape, text)


def _unescape(match: re.Match[str]) -> str:
    escaped = match.group()[1:].rstrip(" \t\r\n\f") or " "
    try:
        return chr(int(escaped, 16))
    except (ValueError, OverflowError):
        return escaped


def _step(combinator: str, tokens: list[_Token]) -> _Step:
    if not tokens:
        raise ValueError("a part of it is empty")
    contains = [t for t in tokens if t.kind == "function" and t.text == ":contains"]
    css = "".join(_css(token) for token in tokens if token not in contains)
    return _Step(combinator, css or "*", tuple(map(_argument, contains)))


def _wanted(tokens: list[_Token]) -> tuple[str | None, list[_Token]]:
    """What the branch is to give, and the branch without saying so."""
    last = tokens[-1] if tokens else _Token("", "")
    if not last.text.startswith("::"):
        return None, tokens
    # `::text` stands for `*::text`, also after a combinator or a space.
    if len(tokens) == 1 or tokens[-2].kind in {"space", "combinator"}:
        tokens = [*tokens[:-1], _ANY, last]
    if last.kind == "pseudo" and last.text.lower() == _TEXT:
        return _TEXT, tokens[:-1]
    if last.kind == "function" and last.text == "::attr":
        return _argument(last), tokens[:-1]
    raise ValueError(f"unknown pseudo-element {last.text}")


def _compounds(tokens: list[_Token]) -> list[tuple[str, list[_Token]]]:
    """The compound selectors, each with the combinator before it."""
    compounds: list[tuple[str, list[_Token]]] = [("", [])]
    for token in tokens:
        combinator, compound = compounds[-1]
        if token.kind not in {"space", "combinator"}:
            compound.append(token)
        elif compound:
            compounds.append((token.text if token.kind == "combinator" else " ", []))
        elif token.kind == "combinator":
            if combinator != " ":
                raise ValueError(f"unexpected {token.text!r}")
            compounds[-1] = (token.text, [])
    return compounds


def _branch(tokens: list[_Token]) -> _Branch:
    wanted, tokens = _wanted(_stripped(tokens))
    compounds = _compounds(tokens)
    first = compounds[0][1]
    scope = [t for t in first if t.kind == "pseudo" and t.text.lower() == ":scope"]
    if scope:
        compounds[0] = ("", [t for t in first if t not in scope] or [_ANY])
    if wanted is not None and compounds[-1] == (" ", [_ANY]):
        compounds[-1] = ("//", [_ANY])  # to parsel, the texts in "a *::text" are also a's own
    steps = tuple(_step(*compound) for compound in compounds)
    css = "".join(step.combinator + step.css for step in steps)
    if steps[-1].combinator == "//":
        above = css.removesuffix("//*")
        css = f"{above},{above} *"
    # Of the elements above or before, lexbor tries only the nearest with `:not()` and its like.
    tried_once = any(_WITH_SELECTORS.search(step.css) for step in steps[:-1])
    native = not (scope or tried_once or any(step.contains for step in steps))
    return _Branch(css, steps, wanted, bool(scope), native)


def _stripped(tokens: list[_Token]) -> list[_Token]:
    first, last = 0, len(tokens)
    while first < last and tokens[first].kind == "space":
        first += 1
    while last > first and tokens[last - 1].kind == "space":
        last -= 1
    return tokens[first:last]


@lru_cache(maxsize=1024)
def _compiled(query: str) -> _Query:
    try:
        branches = tuple(map(_branch, _cut_at_commas(_folded(_tokens(query)))))
        css = ",".join(branch.css for branch in branches)
        # Every step is tried, so that a mistake does not depend on what a page contains.
        LexborHTMLParser("").css(",".join([css, *(s.css for b in branches for s in b.steps)]))
    except (ValueError, SelectolaxError) as error:
        raise ValueError(f"not a CSS selector: {query!r} ({error})") from None
    native = all(b.native for b in branches) and len({b.wanted for b in branches}) == 1
    return _Query(css, branches, native, "," in css, any(len(b.steps) > 1 for b in branches))


def _related(node: LexborNode, combinator: str, earlier: set[int]) -> bool:
    """Whether the combinator leads from one of the earlier nodes to this one."""
    if combinator == "//":
        return node.mem_id in earlier or _related(node, " ", earlier)
    upwards = combinator in {" ", ">"}
    other = node.parent if upwards else node.prev
    while other is not None:
        if other.mem_id in earlier:
            return True
        if combinator == ">" or (combinator == "+" and other.is_element_node):
            return False
        other = other.parent if upwards else other.prev
    return False


def _compound_matches(step: _Step, top: LexborNode) -> list[LexborNode]:
    found = top.css(step.css)
    if not step.contains:
        return found
    # `:lexbor-contains` looks at one text node at a time, but "1<b>2</b>" contains "12".
    return [n for n in found if all(text in n.text() for text in step.contains)]


def _stepwise(branch: _Branch, node: LexborNode) -> tuple[list[LexborNode], LexborNode]:
    """What the branch finds from this node on, and a node that has it all below it."""
    top = node
    found = _compound_matches(branch.steps[0], node)
    if branch.scoped:
        found = [n for n in found[:1] if n.mem_id == node.mem_id]
    for step in branch.steps[1:]:
        earlier = {n.mem_id for n in found}
        if step.combinator in {"+", "~"} and node.mem_id in earlier:
            top = node.parent or node  # as in parsel, the node's own siblings can be reached
        candidates = _compound_matches(step, top) if found else []
        found = [n for n in candidates if _related(n, step.combinator, earlier)]
    return found, top


def _select(query: _Query, node: LexborNode, whole: bool) -> list[LexborNode | str]:
    if query.native and (whole or not query.relative):
        found = node.css(query.css)
        if query.union:  # lexbor names a node once for every selector it matches
            found = [*{n.mem_id: n for n in found}.values()]
        return _values(found, query.branches[0].wanted)
    if len(query.branches) == 1:
        return _values(_stepwise(query.branches[0], node)[0], query.branches[0].wanted)
    top = node
    wanted: dict[int, set[str | None]] = {}
    for branch in query.branches:
        found, reached = _stepwise(branch, node)
        top = reached if reached.mem_id != node.mem_id else top
        for match in found:
            wanted.setdefault(match.mem_id, set()).add(branch.wanted)
    return _in_document_order(top, wanted)


def _values(found: list[LexborNode], wanted: str | None) -> list[LexborNode | str]:
    if wanted is None:
        return [*found]
    if wanted == _TEXT:
        return _texts(found)
    values = [node.attrs.sget(wanted, None) for node in found]
    return [value for value in values if value is not None]


def _texts(found: list[LexborNode]) -> list[LexborNode | str]:
    """The text nodes that are children of the nodes found, in document order.

    One node after the other gives that order, save where a node has text after a child in
    which there are further matches.
    """
    result: list[LexborNode | str] = []
    position = 0
    while position < len(found):
        node = found[position]
        position += 1
        texts: list[LexborNode | str] = []
        child, elements_before, mixed = node.first_child, False, False
        while child is not None:
            text = child.text_content
            if text is None:
                elements_before = True
            else:
                texts.append(text)
                mixed = elements_before
            child = child.next
        if mixed and position < len(found) and _is_inside(found[position], node):
            inside = {n.mem_id for n in node.traverse()}
            start = position - 1
            while position < len(found) and found[position].mem_id in inside:
                position += 1
            texts = _in_document_order(node, {n.mem_id: {_TEXT} for n in found[start:position]})
        result += texts
    return result


def _is_inside(node: LexborNode, outer: LexborNode) -> bool:
    beside = outer.parent
    limit = {outer.mem_id} if beside is None else {outer.mem_id, beside.mem_id}
    above = node.parent
    while above is not None and above.mem_id not in limit:
        above = above.parent
    return above is not None and above.mem_id == outer.mem_id


def _in_document_order(
    top: LexborNode, wanted: dict[int, set[str | None]]
) -> list[LexborNode | str]:
    result: list[LexborNode | str] = []
    for node in top.traverse(include_text=True):
        text = node.text_content
        if text is not None:
            parent = node.parent
            if parent is not None and _TEXT in wanted.get(parent.mem_id, ()):
                result.append(text)
        elif kinds := wanted.get(node.mem_id):
            if None in kinds:
                result.append(node)
            if kinds - {None, _TEXT}:
                result += [value or "" for name, value in node.attrs.items() if name in kinds]
    return result


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


class _Page:
    """What the selections of one document share: its trees, each made when it is asked for."""

    __slots__ = ("_text", "_tree", "_twins")

    def __init__(self, text: str | None, tree: LexborHTMLParser | None) -> None:
        self._text = text
        self._tree = tree
        self._twins: dict[int, Any] | None = None

    def root(self) -> LexborNode:
        if self._tree is None:
            self._tree = LexborHTMLParser(self._text or "")
        root = self._tree.root
        if root is None:
            raise ValueError("a selection needs a document; this tree has none")
        return root

    def twin(self, node: LexborNode) -> Any:
        """The same element in a tree of lxml's."""
        if self._twins is None:
            root = self.root()
            # What is in a <template> is not in lexbor's tree, but would be in lxml's.
            twins = _lxml_root(root).xpath("//*[not(ancestor::template)]")
            nodes = [n for n in root.traverse() if n.is_element_node]
            same = [_tag(n) for n in nodes] == [twin.tag for twin in twins]
            self._twins = {n.mem_id: t for n, t in zip(nodes, twins, strict=True)} if same else {}
        if node.mem_id in self._twins:
            return self._twins[node.mem_id]
        # libxml2 makes another tree of this page: then the element by itself, out of its context.
        alone = _lxml_root(node)
        return next((e for e in alone.iter("*") if e.tag == _tag(node)), alone)


def _lxml_root(node: LexborNode) -> Any:
    return _parsel().Selector(text=node.html or "").root


def _tag(node: LexborNode) -> str:
    return (node.tag or "").lower()  # SVG has capitals, lost on libxml2


def _parsel() -> Any:
    try:
        import parsel
    except ImportError:
        message = "response.xpath() needs the xpath extra: pip install 'crawler[xpath]'"
        raise ImportError(message) from None
    return parsel


class Selector:
    """One thing selected: a document, an element, a text, or the value of an attribute.

    Made from `text`, which is parsed when first needed, or from a `tree` parsed already.
    """

    __slots__ = ("_page", "_query", "_root")

    _page: _Page
    _query: str | None
    _root: LexborNode | str | None

    def __init__(self, text: str | None = None, *, tree: LexborHTMLParser | None = None) -> None:
        if text is None and tree is None:
            raise ValueError("Selector() needs a text or a tree; SelectorList() is an empty one")
        self._page = _Page(text, tree)
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
        result = SelectorList()
        compiled = _compiled(query)
        root = self.root
        if isinstance(root, str):
            return result
        page = self._page
        for value in _select(compiled, root, self._query is None):
            selector = _new(Selector)
            selector._root = value
            selector._query = query
            selector._page = page
            result.append(selector)
        return result

    def xpath(self, query: str, **arguments: Any) -> "ParselList":
        """What parsel's `.xpath()` finds from here; the results are parsel's own.

        The tree is the one that `.css()` sees, with `tbody` and all that HTML adds. On a page that
        libxml2 cannot read as that tree, an element has nothing around it. ImportError without
        the `xpath` extra, ValueError if the query is no XPath.
        """
        root = self.root
        start = root if isinstance(root, str) else self._page.twin(root)
        found = _parsel().Selector(root=start, type="html").xpath(query, **arguments)
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
        return {name: value or "" for name, value in root.attributes.items()}

    def re(self, regex: Regex, replace_entities: bool = True) -> list[str]:
        """All matches in `.get()`: the group `extract`, else all groups, else the whole match.

        Entities in them become characters, `&lt;` and `&amp;` aside, as in parsel.
        """
        pattern = re.compile(regex)
        text = self.get()
        if "extract" in pattern.groupindex:
            match = pattern.search(text)
            found = [match["extract"]] if match and match["extract"] is not None else []
        else:
            found = []
            for groups in pattern.findall(text):
                found += groups if isinstance(groups, tuple) else [groups]
        return [_ENTITY.sub(_replace_entity, s) for s in found] if replace_entities else found

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
        return cast("ParselList", _parsel().SelectorList(found))

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
        return [match for selector in self for match in selector.re(regex, replace_entities)]

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
