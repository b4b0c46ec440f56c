"""The one way from text to a tree, closed to pages that would cost too much.

lexbor takes 10 ns for a byte of an ordinary page, but it can be made to take hours, or all the
memory there is, and nothing can stop it once it runs. What does that, with selectolax 1.0.2:

    20,000 nested <ul><li>         0.7 s for 100 KB, four times that for twice the size
    100,000 nested <div>            12 s for 500 KB: start and end tags look at all that is open
    20,000 attributes of one tag   0.5 s: each is compared with all the others
    <p><b a=1><b a=2> ... <p>x<p>x  over 3 GB for 100 KB: the <b> are made anew in every <p>
    100,000 different tag names      1 s: they share the slots of a table that does not grow
    <select> and 10,000 <option>   0.6 s, for events that nobody listens to: these are switched off

A page is refused by an estimate: a cheap one that lets ordinary pages through (13 ns for a tag
when there are fewer than a thousand, else 50), or a model of what the parser will have open, in one
linear pass (0.7 µs for a tag). The model errs on the side of more: an end tag that might be ignored
ends nothing. Of 779 pages of manuals it refuses none; the costliest has a 30th of its budget.
"""

import re
from contextvars import ContextVar
from itertools import islice

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser

from crawler.errors import ParseBudgetError

# The run's setting `parse_budget`; each unit buys what follows, about a second of a slow machine.
BUDGET: ContextVar[float] = ContextVar("parse_budget", default=1.0)
# Nodes and attributes: 100 to 200 bytes each. The manual of Node.js on one page (8.4 MB) has
# 182,000 elements, is 650,000 by this count, and takes 111 MB.
NODES = 800_000
# For every tag, the elements that are open there: up to 6 ns each.
LEVELS = 100_000_000

# Characters of a page that only formatting can make costly: with whatever else, it takes 0.6 s.
_SMALL = 65_536
# Above this the model decides: attributes alone could take too much memory.
_LARGE = 1 << 20
# So many tags are harmless, however they are nested: 0.6 s at worst.
_FEW_TAGS = 20_000
# Nodes that formatting elements may multiply to before the model is asked.
_MULTIPLIED = 250_000
_BLOCK = 32_768


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WS = r"\t\n\f\r "
_VALUE = rf"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|(?!["'])[^{_WS}>]*+)"""
_NAME = rf"[^{_WS}/>][^{_WS}/>=]*+"
_ATTRIBUTE = rf"{_NAME}(?:[{_WS}]*+=[{_WS}]*+{_VALUE})?+"
_ATTRIBUTES = rf"(?:[{_WS}/]++|{_ATTRIBUTE})*+"
# What a page is made of, exactly as the HTML standard's tokenizer has it (section 13.2.5). Every
# alternative ends at the end of the text at the latest, so that nothing is read twice.
_TOKEN = re.compile(
    rf"""<(?:
      (/?)([a-zA-Z][^{_WS}/>]*+)({_ATTRIBUTES})(?:>|\Z)
    | !--(?:-?>|.*?(?:--!?>|\Z))
    | [!?/][^>]*+(?:>|\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
# Elements with nothing but text inside, and where they end.
_RAW_ENDS = {
    name: re.compile(rf"</{name}(?=[{_WS}/>])", re.IGNORECASE)
    for name in _words("script style textarea title xmp iframe noembed noframes")
}
_NAMES = re.compile(rf"({_NAME})(?:[{_WS}]*+=[{_WS}]*+{_VALUE})?+")
# A formatting element with attributes, or something like it; <span> is the commonest that is none.
_LIKE_FORMATTING = re.compile(rf"<[bcefistuBCEFISTU](?!pan)[a-zA-Z]{{0,5}}+[{_WS}/][^>]*")
# One that has nothing in it that could keep it from ending.
_BALANCED = r"""(?:[^<>"']++|"[^"<>]*+"|'[^'<>]*+')*+"""
_CLOSED = re.compile(
    rf"""<([bcefistuBCEFISTU][a-zA-Z]{{0,5}}+){_BALANCED}>
    (?:[^<]*+</?(?:span|a|abbr|cite|kbd|samp|sub|sup|var|img)(?=[{_WS}>]){_BALANCED}>){{0,40}}+
    [^<]*+</\1>""",
    re.VERBOSE,
)
# Whatever the state in which a tokenizer comes to a place within a tag, the tag ends after it;
# or else it is in a quoted value all the time, where there are no attributes.
_EXACT_VALUE = rf"""(?:"[^"]*+"|'[^']*+'|(?!["'])[^{_WS}>]*+)"""
_EXACT_REST = rf"(?:[{_WS}/]++|{_NAME}(?:[{_WS}]*+=[{_WS}]*+{_EXACT_VALUE}|(?![{_WS}]*+=)))*+>"
_TAG_NAME = re.compile("[a-zA-Z]+")
_TAG_ENDS = tuple(
    re.compile(pattern)
    for pattern in (
        _EXACT_REST,
        rf'[^"]*+(?:\Z|"{_EXACT_REST})',
        rf"[^']*+(?:\Z|'{_EXACT_REST})",
        rf"[^{_WS}>]*+{_EXACT_REST}",
        rf"(?:[{_WS}]*+=)?+[{_WS}]*+{_EXACT_VALUE}{_EXACT_REST}",
    )
)

_VOID = _words("area base br col embed hr img input link meta param source track wbr")
# These end where the next of their kind begins, or what is around them ends.
_TABLE_PARTS = _words("tr td th tbody thead tfoot caption colgroup")
_KIN = {
    "p": frozenset({"p"}),
    "li": frozenset({"p", "li"}),
    "dt": frozenset({"p", "dt", "dd"}),
    "dd": frozenset({"p", "dt", "dd"}),
    "option": frozenset({"option"}),
    "td": frozenset({"p", "li", "td", "th"}),
    "th": frozenset({"p", "li", "td", "th"}),
    "tr": frozenset({"p", "li", "td", "th", "tr", "caption", "colgroup"}),
    **dict.fromkeys(("tbody", "thead", "tfoot", "caption", "colgroup"), _TABLE_PARTS | {"p", "li"}),
}
_OPTIONAL_END = frozenset(_KIN)
_IN_TABLE = frozenset({"table", "tbody", "thead", "tfoot", "tr"})
# Their end tags also end paragraphs and list items inside; those of others do not.
_BLOCKS = _words(
    "address article aside blockquote center details dialog dir div dl fieldset figure footer"
    " form header hgroup main menu nav ol section select summary table ul"
)
_ENDS_P = _BLOCKS | _words("h1 h2 h3 h4 h5 h6 hr p pre")
_FORMATTING = _words("b big code em font i s small strike strong tt u")
_BOUNDARIES = _words("applet caption marquee math object svg table td template th tr tbody select")
_FOREIGN = frozenset({"svg", "math"})
# In these a <style> or <title> may be an element like others, and what is in it no mere text.
_NOT_RAW = _FOREIGN | {"frameset"}
# HTML that ends SVG and MathML; other names are foreign elements there, with no ends implied.
_NEVER_FOREIGN = _words("br embed hr img meta p li dd dt")
# What ends with its own `/>` in SVG and MathML; nothing of HTML does.
_SHAPES = _words(
    "animate animatetransform circle ellipse feblend fecolormatrix fecomposite feflood"
    " fegaussianblur femergenode feoffset g image line lineargradient path pattern polygon"
    " polyline rect stop symbol text tspan use mspace mi mn mo none mprescripts defs clippath mask"
    " filter radialgradient marker metadata style title desc"
)
_FREE_FORMATTING = 8
# What a step of the model's own through what is open counts for: it takes longer than lexbor's.
_STEP = 10
_REMEMBERED = 50_000
_SOME = 10_000


def parse(text: str) -> LexborHTMLParser:
    """Return the tree of an HTML or XML text.

    Entities of an XML document are not expanded: it is read as HTML, which has none of its own.
    Raises `ParseBudgetError` when the tree would cost more than the setting `parse_budget`
    allows.
    """
    if _is_suspicious(text):
        _Model(BUDGET.get()).read(text)
    return LexborHTMLParser(text, options=LexborDocumentOptions.WO_EVENTS)


def _is_suspicious(text: str) -> bool:
    """Whether the page may be costly; most pages are not, and are not looked at twice."""
    size = len(text)
    if size > _LARGE:
        return True
    tags = text.count("<")
    if size > _SMALL and (tags > _FEW_TAGS or _has_long_tag(text)):
        return True
    # The most that n tags can make is when half of them are made anew in each of the others.
    return tags * tags > 4 * _MULTIPLIED and 3 * _left_open(text, tags) * tags > _MULTIPLIED


def _left_open(text: str, tags: int) -> int:
    """How many different formatting elements with attributes may be left open: of equal ones,
    three are made anew at most (HTML standard section 13.2.4.3)."""
    different = _different_formatting(set(_LIKE_FORMATTING.findall(text)))
    if 3 * different * tags <= _MULTIPLIED:
        return different
    return _different_formatting(
        {m[0] for m in _LIKE_FORMATTING.finditer(text) if not _CLOSED.match(text, m.start())}
    )


def _different_formatting(tags: set[str]) -> int:
    return sum(_TAG_NAME.findall(tag[:8])[0].lower() in _FORMATTING for tag in tags)


def _has_long_tag(text: str) -> bool:
    """Whether some block of the text may lie within one tag, as with tens of thousands of
    attributes."""
    return not all(
        state.match(text, start, start + _BLOCK)
        for start in range(0, len(text) - _BLOCK + 1, _BLOCK)
        for state in _TAG_ENDS
    )


class _Model:
    """What the parser will have open, and what it will have made, tag by tag."""

    def __init__(self, budget: float) -> None:
        self._nodes = self._levels = 0
        self._most_nodes = int(NODES * budget)
        self._most_levels = int(LEVELS * budget)
        self._open: list[str] = []
        self._foreign = 0  # <svg>, <math> and <frameset> among what is open
        self._templates = 0  # the same of <template>
        self._in_shapes = False  # surely in SVG or MathML, where `/>` ends an element
        self._doubtful = False  # whether what looks like an end tag is one
        self._formatting: dict[str, list[str]] = {}  # the tags that may be made anew, by name
        self._made_anew = 0
        self._known: dict[str, tuple[int, int]] = {}  # attributes, and their cost
        self._names: set[str] = set()  # of tags and attributes
        self._raw_ends: dict[str, tuple[int, int]] = {}  # the last end tag that was looked for

    def read(self, text: str) -> None:
        """Go through a page; raises `ParseBudgetError` as soon as it is too much."""
        position: int | None = 0
        while position is not None:
            position = self._read_on(text, position)

    def _read_on(self, text: str, position: int) -> int | None:
        """Go on to the next element that holds text only; return where that ends."""
        stack, names = self._open, self._names
        for token in _TOKEN.finditer(text, position):
            end, name, attributes = token.groups()
            self._nodes += 1 if end else 2  # with the text after it
            self._levels += len(stack) + (len(names) >> 5)
            if attributes:
                self._count_attributes(attributes)
            if name is None:
                if self._foreign and token[0].startswith("<![CDATA["):
                    self._doubtful = True
            elif end:
                if stack and not self._doubtful:
                    self._end(name.lower())
            else:
                name = name.lower()
                if name in _RAW_ENDS and (after := self._after_raw(name, text, token.end())):
                    self._check(text)
                    return after
                self._start(name, attributes)
            if self._nodes > self._most_nodes or self._levels > self._most_levels:
                self._check(text)
        return None

    def _check(self, text: str) -> None:
        if self._nodes > self._most_nodes or self._levels > self._most_levels:
            raise ParseBudgetError(
                f"this page of {len(text):,} characters would cost too much to parse"
                f" (setting parse_budget): {self._open_or_many()}"
            )

    def _open_or_many(self) -> str:
        if self._levels > self._most_levels:
            return f"elements nested {len(self._open):,} deep, or too many attributes"
        return f"over {self._most_nodes:,} nodes"

    def _count_attributes(self, attributes: str) -> None:
        cost = self._known.get(attributes)
        if cost is None:
            cost = self._cost_of(attributes)
            if len(self._known) < _REMEMBERED:
                self._known[attributes] = cost
        nodes, levels = cost
        self._nodes += nodes
        self._levels += levels + nodes * (len(self._names) >> 5)

    def _cost_of(self, attributes: str) -> tuple[int, int]:
        """The attributes of a tag: how many, and what it takes to compare each with the others."""
        names: set[str] = set()
        count = levels = 0
        found = _NAMES.finditer(attributes)
        while some := [match[1] for match in islice(found, _SOME)]:
            count += len(some)
            names.update(some)
            levels = count * len(names) // 5
            if levels > self._most_levels or count > self._most_nodes:
                break
        self._names |= names
        return count, levels

    def _start(self, name: str, attributes: str) -> None:
        stack = self._open
        if name in _NOT_RAW:
            self._foreign += 1
            self._in_shapes = name in _FOREIGN
        elif self._in_shapes and name not in _SHAPES:
            self._in_shapes = False
        if name == "template":
            self._templates += 1
        if self._in_shapes and attributes.endswith("/"):
            if name in _FOREIGN:
                self._foreign -= 1
                self._in_shapes = bool(self._foreign)
            return
        if name in _VOID and (not self._foreign or name in _NEVER_FOREIGN):
            return
        if name in _ENDS_P and stack and stack[-1] == "p":
            stack.pop()
        if name in _KIN and (not self._foreign or name in _NEVER_FOREIGN):
            kin, keep = _KIN[name], len(stack)
            while keep and stack[keep - 1] in kin:
                keep -= 1
            if name in _TABLE_PARTS and not (keep and stack[keep - 1] in _IN_TABLE):
                return  # outside of tables there are no rows and cells
            del stack[keep:]
        elif name in _FORMATTING and attributes:
            alike = self._formatting.setdefault(name, [])
            if alike.count(attributes) < 3 or len(alike) > 100:
                alike.append(attributes)
                self._made_anew += 1
        if self._made_anew > _FREE_FORMATTING:
            self._nodes += self._made_anew
        self._names.add(name)
        stack.append(name)

    def _end(self, name: str) -> None:
        stack = self._open
        if stack[-1] != name:
            self._in_shapes = False  # it may end what SVG or MathML is in
        if name in _FORMATTING:
            self._end_formatting(name)
        if stack[-1] == name:
            stack.pop()
        elif name in _BLOCKS or name in _OPTIONAL_END:
            last = len(stack) - 1
            while last >= 0 and stack[last] in _OPTIONAL_END and stack[last] != name:
                last -= 1
            self._levels += _STEP * (len(stack) - last)
            if last < 0 or stack[last] != name:
                return
            del stack[last:]
        else:
            return
        if name in _NOT_RAW:
            self._foreign -= 1
            self._in_shapes = False
        elif name == "template":
            self._templates -= 1

    def _end_formatting(self, name: str) -> None:
        """Take the last of the name off the list, if nothing that is open keeps it there."""
        alike = self._formatting.get(name)
        if not alike:
            return
        for above in reversed(self._open):
            self._levels += _STEP
            if above == name:
                alike.pop()
                self._made_anew -= 1
                return
            if above in _BOUNDARIES:
                return

    def _after_raw(self, name: str, text: str, start: int) -> int | None:
        """Where a script or its like ends, unless it holds elements, as it may in SVG.

        In a template for columns it is passed over, and what is in it is not.
        """
        last, end = self._raw_ends.get(name, (-1, 0))
        if last < start:  # one that is far away is not looked for again and again
            found = _RAW_ENDS[name].search(text, start)
            last, end = found.span() if found else (len(text), len(text))
            self._raw_ends[name] = last, end
        unsure = self._foreign or self._templates
        if unsure and text.find("<", start, end) < last:
            self._doubtful = True
            return None
        if text.find("<!--", start, end) >= 0 and re.search("<script", text[start:end], re.I):
            self._doubtful = True  # in a comment in a script, a script may begin
        return end
