"""CSS queries in parsel's dialect, read once and turned into what lexbor can answer.

- A query is cut at its commas into branches, each with its pseudo-element taken off;
- what parsel's dialect has and lexbor lacks is rewritten (`[a!=b]`, `:matches()`, `:disabled` ...);
- a branch is also cut at its combinators, because parsel begins a nested query at the node
  while lexbor, like a browser, looks for ancestors in the whole document.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

TEXT = "::text"  # what a branch wants, where the name of an attribute may stand as well

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

# Combinators that lead nowhere but to what is below an element.
_DOWNWARDS = frozenset({"", " ", ">", "//"})

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


class Step(NamedTuple):
    combinator: str  # to the step before; "" for the first, "//" for below or at it
    css: str  # one compound selector
    contains: tuple[str, ...]  # texts that its elements have


class Branch(NamedTuple):
    css: str
    steps: tuple[Step, ...]
    wanted: str | None  # None: elements; TEXT: their text nodes; else: this attribute
    scoped: bool  # begins with :scope
    native: bool  # lexbor alone can answer it for a whole document
    begins: frozenset[str] | None  # what the topmost element of a match has; None: it may be any


class Query(NamedTuple):
    css: str
    branches: tuple[Branch, ...]
    native: bool  # all branches are, and want the same
    union: bool  # lexbor may name a node more than once
    relative: bool  # has combinators: what lies above a node must not count
    begins: tuple[frozenset[str], ...] | None  # of each branch that has combinators


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


def _step(combinator: str, tokens: list[_Token]) -> Step:
    if not tokens:
        raise ValueError("a part of it is empty")
    contains = [t for t in tokens if t.kind == "function" and t.text == ":contains"]
    css = "".join(_css(token) for token in tokens if token not in contains)
    return Step(combinator, css or "*", tuple(map(_argument, contains)))


def _wanted(tokens: list[_Token]) -> tuple[str | None, list[_Token]]:
    """What the branch is to give, and the branch without saying so."""
    last = tokens[-1] if tokens else _Token("", "")
    if not last.text.startswith("::"):
        return None, tokens
    # `::text` stands for `*::text`, also after a combinator or a space.
    if len(tokens) == 1 or tokens[-2].kind in {"space", "combinator"}:
        tokens = [*tokens[:-1], _ANY, last]
    if last.kind == "pseudo" and last.text.lower() == TEXT:
        return TEXT, tokens[:-1]
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


def _branch(tokens: list[_Token]) -> Branch:
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
    return Branch(css, steps, wanted, bool(scope), native, _beginning(first, steps))


def _beginning(first: list[_Token], steps: tuple[Step, ...]) -> frozenset[str] | None:
    """Names, classes and ids, in lower case, that the topmost element of a match must all have."""
    if any(step.combinator not in _DOWNWARDS for step in steps):
        return None
    words = [token.text for token in first if token.kind == "word"]
    plain = not {"*", "|"}.intersection(words) and not any("\\" in word for word in words)
    return frozenset(map(str.lower, words)) if words and plain else None


def _stripped(tokens: list[_Token]) -> list[_Token]:
    first, last = 0, len(tokens)
    while first < last and tokens[first].kind == "space":
        first += 1
    while last > first and tokens[last - 1].kind == "space":
        last -= 1
    return tokens[first:last]


@lru_cache(maxsize=1024)
def read_query(query: str) -> Query:
    try:
        branches = tuple(map(_branch, _cut_at_commas(_folded(_tokens(query)))))
        css = ",".join(branch.css for branch in branches)
        # Every step is tried, so that a mistake does not depend on what a page contains.
        LexborHTMLParser("").css(",".join([css, *(s.css for b in branches for s in b.steps)]))
    except (ValueError, SelectolaxError) as error:
        raise ValueError(f"not a CSS selector: {query!r} ({error})") from None
    native = all(b.native for b in branches) and len({b.wanted for b in branches}) == 1
    begins = [branch.begins for branch in branches if len(branch.steps) > 1]
    known = tuple(names for names in begins if names is not None)
    return Query(
        css,
        branches,
        native,
        union="," in css,
        relative=bool(begins),
        begins=known if native and len(known) == len(begins) else None,
    )
