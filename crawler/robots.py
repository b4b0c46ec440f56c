"""Which pages of an origin a crawler may fetch: robots.txt by RFC 9309.

Where the RFC leaves a choice, or real files stray from it, this module reads as Google's
parser does, with two exceptions. An escape that must be decoded to match (`%7Ejoe` for `~joe`,
section 2.2.2) closes pages but never opens them: Google does not decode, and where the two
readings part, the one that keeps us out wins. And `Crawl-delay`, which Google ignores,
belongs to its group and ends the group's list of agents, as its writers mean it.

Matching walks a pattern's literal pieces from left to right, so a hostile pattern costs no
backtracking.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote

from crawler.url import with_upper_escapes

MAX_BYTES = 500 * 1024  # of a robots.txt are read (RFC 9309, 2.5); what follows is ignored
MAX_AGE = 24 * 3600.0  # seconds that an answer may be used (2.4)
_STEP = 1000  # lines that are read, or made ready, in one go: 2 ms
_RULE = 400  # bytes, about, that a rule takes beside its pattern
MAX_CRAWL_DELAY = 60.0  # seconds; a file that asks for more gets this

_FIELDS = {
    name: meant
    for meant, names in {
        "user-agent": ("user-agent", "useragent", "user agent"),
        "allow": ("allow",),
        # The misspellings that Google's parser honours.
        "disallow": ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"),
        "crawl-delay": ("crawl-delay", "crawldelay", "crawl delay"),
        "sitemap": ("sitemap", "site-map"),
    }.items()
    for name in names
}

_LINE_END = re.compile(r"[\r\n]+")
_UNDECODED = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8, as `surrogateescape` has it
_LEADING_TOKEN = re.compile(r"[\w.-]+", re.ASCII)
# `name`, `name/1.0 ...` or `name (comment)`; a browser-like agent names itself in the comment.
_PRODUCT = re.compile(r"\s*([\w.-]+)\s*(?:$|[/(])", re.ASCII)
_COMPATIBLE = re.compile(r"\bcompatible;\s*([\w.-]+)", re.ASCII | re.IGNORECASE)

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What stands for itself in a path, on both sides of a comparison. The quote is not among them,
# because the URL standard escapes it in a query only.
_KEPT = "!()+,/:;=?@[]&%"
_NOTHING_TO_ESCAPE = re.compile(r"[\w.~!()+,/:;=?@\[\]&-]*", re.ASCII).fullmatch


class RobotsRules:
    """The rules of one origin's robots.txt, for any agent.

    `text` is the file; `RobotsRules(rules.text)` has the same rules, so it is what to store.
    Nothing in a file is an error: what cannot be understood is passed over.

    What is ready to be matched takes up to 25 times as much as the text. It is made when first
    asked for, and can be let go.
    """

    __slots__ = ("_by_agent", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._by_agent: dict[str, _AgentRules] = {}

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the rules in `body`; only its first `MAX_BYTES` count."""
        if len(body) > MAX_BYTES:
            body = body[:MAX_BYTES]
            # Half a line would be another rule: `/private/x` cut to `/`.
            body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
        # NULs are padding, and would make another field of the one that they stand before.
        plain = body.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf")
        text = plain.decode("utf-8", "surrogateescape")
        return cls(_UNDECODED.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text))

    def allowed(self, agent: str, url: str) -> bool:
        """Tell whether `agent` may fetch the canonical http(s) `url`.

        `agent` is a product token or a whole User-Agent string. The longest matching pattern
        decides, an `allow` among equals; no match means yes (RFC 9309, 2.2.2).
        """
        if not self.text:
            return True
        target = _target(url)
        if target.startswith("/robots.txt") and target.partition("?")[0] == "/robots.txt":
            return True
        return self._rules_of(agent).allowed(target)

    def crawl_delay(self, agent: str) -> float | None:
        """Return the seconds `agent` is asked to wait between requests, if it is asked to.

        At most `MAX_CRAWL_DELAY`. Not part of the RFC.
        """
        return self._rules_of(agent).delay

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The addresses of sitemaps that it lists, as written."""
        return _drained(_read_in_steps(self.text))[1]

    @property
    def weight(self) -> int:
        """How many bytes, about, are taken by what is ready to be matched."""
        return sum(rules.weight for rules in self._by_agent.values())

    def let_go(self) -> None:
        """Forget what is ready to be matched, until it is asked for again."""
        self._by_agent.clear()

    def prepare(self, agent: str) -> Generator[None, None, None]:
        """Make ready what the file says to `agent`; yields now and then, to let others go on."""
        if agent in self._by_agent:
            return
        by_token, _ = yield from _read_in_steps(self.text)
        groups = by_token.get(product_token(agent)) or by_token.get("*") or []
        made: list[_Rule] = []
        for number, (allow, pattern) in enumerate(_written(groups)):
            if number % _STEP == 0:
                yield
            made += _compiled(allow, pattern)
        self._by_agent[agent] = _AgentRules(made, groups)

    def _rules_of(self, agent: str) -> "_AgentRules":
        if agent not in self._by_agent:
            _drained(self.prepare(agent))
        return self._by_agent[agent]


def rules_for_status(status: int, body: bytes) -> RobotsRules | None:
    """Return the rules that an answer to `/robots.txt` stands for (RFC 9309, 2.3.1).

    2xx: the file. 3xx (redirects that lead nowhere) and 4xx: there is no file, all is allowed.
    429 and 5xx: None, it is not known; until a later try tells, nothing may be fetched.
    """
    if 200 <= status < 300:
        return RobotsRules.parse(body)
    if 300 <= status < 500 and status != 429:
        return ALLOW_ALL
    return None


def product_token(agent: str) -> str:
    """Return the lower-case name that a robots.txt uses for `agent`, a token or User-Agent.

    `crawler` for `crawler/0.1 (+https://...)`, `foobot` for `Mozilla/5.0 (compatible;
    FooBot/1.0)`. Empty for what no group can name, such as `Foo Bar`: only `*` speaks to it.
    """
    found = _COMPATIBLE.search(agent) or _PRODUCT.match(agent)
    return found[1].lower() if found else ""


# ── reading the file ────────────────────────────────────────────────────────────────────────


@dataclass(slots=True, eq=False)
class _Group:
    """User-agent lines and the rules under them; `complete` once a rule was seen."""

    rules: list[tuple[bool, str]] = field(default_factory=list)  # is it `allow`, and its pattern
    delay: float | None = None
    complete: bool = False


_T = TypeVar("_T")


def _drained(steps: Generator[None, None, _T]) -> _T:
    """Return what the steps come to, all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: _T = end.value
            return found


def _read_in_steps(
    text: str,
) -> Generator[None, None, tuple[dict[str, list[_Group]], tuple[str, ...]]]:
    """Return the groups by the agents they name, and the sitemaps."""
    by_token: dict[str, list[_Group]] = {}
    sitemaps: list[str] = []
    group: _Group | None = None
    for number, (name, value) in enumerate(_lines(text)):
        if number % _STEP == 0:
            yield
        if name == "sitemap":
            if value:
                sitemaps.append(value)
        elif name == "user-agent":
            if group is None or group.complete:
                group = _Group()
            groups = by_token.setdefault(_named(value), [])
            if group not in groups[-1:]:
                groups.append(group)
        elif group is not None:  # a rule above the first user-agent is nobody's
            group.complete = True
            if name == "crawl-delay":
                group.delay = _longer(group.delay, _seconds(value))
            elif value:
                group.rules.append((name == "allow", value))
    by_token.pop("", None)
    return by_token, tuple(sitemaps)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines that mean something, as the field's proper name and its value."""
    for line in _LINE_END.split(text):
        line = line.partition("#")[0].strip()
        name, colon, value = line.partition(":")
        if not colon:
            words = line.split()
            if len(words) != 2:
                continue
            name, value = words  # the colon was forgotten
        known = _FIELDS.get(name.strip().lower())
        if known is not None:
            yield known, value.strip()


def _named(value: str) -> str:
    """Return whom a user-agent line names: `*`, or a token up to the first odd character."""
    if value.split(maxsplit=1)[:1] == ["*"]:
        return "*"
    found = _LEADING_TOKEN.match(value)
    return found[0].lower() if found else ""


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return min(seconds, MAX_CRAWL_DELAY) if seconds >= 0 else None  # not below 0, and not NaN


def _longer(one: float | None, other: float | None) -> float | None:
    return max((delay for delay in (one, other) if delay is not None), default=None)


# ── matching ────────────────────────────────────────────────────────────────────────────────


class _Rule(NamedTuple):
    """One pattern, cut at its asterisks."""

    size: int  # octets of the pattern: the longer is the more specific
    allow: bool
    head: str  # what the target begins with
    pieces: tuple[str, ...] | None  # what follows somewhere, in this order; None: nothing may
    tail: str | None  # what it ends with, after all pieces; None: anything

    def matches(self, target: str) -> bool:
        if self.pieces is None:
            return target == self.head
        if not target.startswith(self.head):
            return False
        at = len(self.head)
        for piece in self.pieces:
            # The leftmost place leaves most room for the rest, so the first try is enough.
            at = target.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return self.tail is None or target.endswith(self.tail, at)

    @property
    def is_prefix(self) -> bool:
        """Whether it matches whatever begins with its head."""
        return self.pieces == () and self.tail is None

    @property
    def longest(self) -> str:
        """The longest text that is in all it matches."""
        return max(self.head, *(self.pieces or ()), self.tail or "", key=len)


class _AgentRules:
    """All rules for one agent, most specific first."""

    __slots__ = ("_closed", "_patterns", "_rules", "delay", "weight")

    def __init__(self, rules: list[_Rule], groups: list[_Group]) -> None:
        rules.sort(key=lambda rule: (rule.size, rule.allow), reverse=True)
        self._rules = rules
        self.weight = sum(_RULE + rule.size for rule in rules)
        # Most pages lie under no disallowed prefix, and one call in C tells. A pattern such as
        # `/*?sort=` begins as all pages do: of those, what is in few pages is looked for.
        closed = [rule for rule in rules if not rule.allow]
        self._closed = tuple(dict.fromkeys(rule.head for rule in closed if rule.is_prefix))
        self._patterns = [(rule.longest, rule) for rule in closed if not rule.is_prefix]
        self.delay: float | None = None
        for group in groups:
            self.delay = _longer(self.delay, group.delay)

    def allowed(self, target: str) -> bool:
        written = plain = target
        if not _NOTHING_TO_ESCAPE(target):
            escaped = _escaped(target)
            plain = _decoded(escaped)
            # Only a canonical URL, which is ASCII, is taken for what an `allow` means.
            written = escaped if target.isascii() else target
        if not self._is_closed(plain):
            return True
        for rule in self._rules:
            if rule.matches(written if rule.allow else plain):
                return rule.allow
        return True

    def _is_closed(self, plain: str) -> bool:
        """Whether the page is disallowed, but for what a more specific rule may allow."""
        return plain.startswith(self._closed) or any(
            rule.matches(plain) for longest, rule in self._patterns if longest in plain
        )


def _written(groups: list[_Group]) -> dict[tuple[bool, str], None]:
    return dict.fromkeys(rule for group in groups for rule in group.rules)


def _compiled(allow: bool, pattern: str) -> Iterator[_Rule]:
    anchored = pattern.endswith("$")
    # An asterisk is special everywhere, a dollar sign at the end only.
    stars = "*".join(_escaped(piece) for piece in pattern.removesuffix("$").split("*"))
    plain = _decoded(stars)
    size = len(plain) + anchored
    yield _rule(size, allow, stars if allow else plain, anchored)
    folder, slash, page = stars.rpartition("/")
    if allow and slash and page in ("index.html", "index.htm"):
        # As Google has it: who opens the index page opens the folder that shows it.
        yield _rule(size - len(page) + 1 - anchored, True, folder + slash, anchored=True)


def _rule(size: int, allow: bool, pattern: str, anchored: bool) -> _Rule:
    head, *pieces = pattern.split("*")
    if anchored and not pieces:
        return _Rule(size, allow, head, None, None)
    tail = pieces.pop() if anchored else None
    return _Rule(size, allow, head, tuple(filter(None, pieces)), tail)


def _target(url: str) -> str:
    """Return path and query of `url`."""
    if not url.startswith("/"):
        scheme = url.find("://")
        slash = url.find("/", scheme + 3 if scheme >= 0 else 0)
        url = url[slash:] if slash >= 0 else "/"
    return url.partition("#")[0]


def _escaped(text: str) -> str:
    """Return `text` in ASCII, with escapes in upper case and nothing else that differs."""
    if _NOTHING_TO_ESCAPE(text):  # so it is with nearly all
        return text
    return with_upper_escapes(quote(text, safe=_KEPT, errors="replace"))


def _decoded(escaped: str) -> str:
    """Return `escaped` with its unreserved characters as themselves (RFC 9309, 2.2.2)."""
    return _ESCAPE.sub(_unreserved, escaped) if "%" in escaped else escaped


def _unreserved(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0]


ALLOW_ALL = RobotsRules("")
