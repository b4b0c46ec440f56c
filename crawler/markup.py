"""The one way from text to a tree, closed to pages that would cost too much.

lexbor takes 10 ns for a byte of an ordinary page, but it can be made to take hours, or all the
memory there is, and nothing can stop it once it runs. What does that, with selectolax 1.0.2:

    20,000 nested <ul><li>         0.7 s for 100 KB, four times that for twice the size
    100,000 nested <div>            12 s for 500 KB: start and end tags look at all that is open
    20,000 attributes of one tag   0.5 s: each is compared with all the others
    <p><b a=1><b a=2> ... <p>x<p>x  over 3 GB for 100 KB: the <b> are made anew in every <p>
    100,000 different tag names      1 s: they share the slots of a table that does not grow
    <select> and 10,000 <option>   0.6 s, for events that nobody listens to: these are switched off

A look at the text (1 µs for 2 KB, 50 for 100 KB of manual) tells which pages cannot be such. The
others are parsed on trial, in a process that may die of it (`trial.py`): of 11,836 pages of
manuals, one in 150.
"""

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import cache, cached_property

from selectolax.lexbor import LexborHTMLParser

from crawler.errors import ParseBudgetError
from crawler.survey import survey
from crawler.trial import TRIAL
from crawler.trial_child import MEMORY, OPTIONS

# The run's setting `parse_budget`, in seconds of CPU.
BUDGET: ContextVar[float] = ContextVar("parse_budget", default=1.0)

# Bytes of a page that only formatting can make costly: with whatever else, it takes 0.6 s.
_SMALL = 65_536
# Above this, attributes alone could take too much memory.
_LARGE = 1 << 20
# So many tags are harmless, however they are nested: 0.6 s at worst.
_FEW_TAGS = 20_000
# Nodes that formatting elements may multiply to: 100 bytes each.
_MULTIPLIED = 1_000_000
_BLOCK = 32_768
# The thread that parses is given a page of more bytes, or a suspicious one, whatever it has to do,
# and no more than these of others.
_ENOUGH = 1 << 19

_WS = rb"\t\n\f\r "
_NAME = rb"[^%b/>][^%b/>=]*+" % (_WS, _WS)
# Whatever the state in which a tokenizer comes to a place within a tag, the tag ends after it;
# or else it is in a quoted value all the time, where there are no attributes.
_VALUE = rb"""(?:"[^"]*+"|'[^']*+'|(?!["'])[^%b>]*+)""" % _WS
_IS = rb"[%b]*+=[%b]*+" % (_WS, _WS)
_REST = rb"(?:[%b/]++|%b(?:%b%b|(?![%b]*+=)))*+>" % (_WS, _NAME, _IS, _VALUE, _WS)
_TAG_ENDS = (
    _REST,
    rb"[^%b>]*+%b" % (_WS, _REST),
    rb"(?:[%b]*+=)?+[%b]*+%b%b" % (_WS, _WS, _VALUE, _REST),
)
_QUOTES = (b'"', b"'")


class Look:
    """What the bytes of a page tell of it before it is parsed.

    `is_suspicious`: it may be costly to parse, however unlikely. `has_base`: it may have a
    `<base href>`.
    """

    __slots__ = ("has_base", "is_suspicious")

    def __init__(self, page: bytes) -> None:
        tags, formatting, self.has_base = survey(page)
        self.is_suspicious = _is_suspicious(page, tags, formatting)


def _is_suspicious(page: bytes, tags: int, formatting: int) -> bool:
    size = len(page)
    if size > _LARGE:
        return True
    if size > _SMALL and (tags > _FEW_TAGS or _has_long_tag(page)):
        return True
    # The most that n tags can make is when half of them are made anew in each of the others. And
    # of equal ones three are made anew at most (HTML standard section 13.2.4.3).
    return tags * tags > 4 * _MULTIPLIED and 3 * formatting * tags > _MULTIPLIED


def parse(page: str | bytes, look: Look | None = None) -> LexborHTMLParser:
    """Return the tree of an HTML or XML text; bytes are UTF-8, and may be invalid in places.

    `look` is what is known of it. Entities of an XML document are not expanded: it is read as
    HTML, which has none of its own. Raises `ParseBudgetError` when the tree would cost more than
    the setting `parse_budget` allows; to find that out may block for as many seconds.
    """
    page = utf8(page)
    if (look or Look(page)).is_suspicious:
        _try(page, BUDGET.get())
    return _parse(page)


async def try_aside(page: bytes, look: Look) -> None:
    """Raise `ParseBudgetError` when `parse` would; the event loop goes on meanwhile."""
    if look.is_suspicious:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(_trial_thread(), _try, page, BUDGET.get())


async def parse_aside(page: bytes, look: Look) -> LexborHTMLParser:
    """Return the tree of what has been tried, from another thread.

    So the event loop goes on: lexbor needs no interpreter. But where the thread has enough to do
    already, to wait for it takes longer, and so what takes a moment only is parsed here, at once.
    When cancelled, the thread still parses to the end.
    """
    size = len(page)
    if size <= _ENOUGH < size + _THREAD.given and not look.is_suspicious:
        return _parse(page)
    _THREAD.given += size
    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_THREAD.executor, _parse, page)
    finally:
        _THREAD.given -= size


def _parse(page: bytes) -> LexborHTMLParser:
    return LexborHTMLParser(page, options=OPTIONS)


def _try(page: bytes, budget: float) -> None:
    if not TRIAL.survives(page, budget):
        raise ParseBudgetError(
            f"to parse this page of {len(page):,} bytes takes more than {budget:g} s, or more than"
            f" {int(MEMORY * budget) >> 20} MiB (setting parse_budget)"
        )


def utf8(page: str | bytes) -> bytes:
    """Return a text as what is parsed; bytes are that."""
    if isinstance(page, bytes):
        return page
    try:
        return page.encode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot hold
        return page.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


@cache
def _trial_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="trial")  # there is one child to wait for


class _Thread:
    """The thread that parses, and the bytes it was given to parse, but has not yet returned.

    There is one: two of them and the event loop are more than two cores, and the loop waits.
    """

    def __init__(self) -> None:
        self.given = 0

    @cached_property
    def executor(self) -> ThreadPoolExecutor:
        """The thread, which is started with the first page."""
        return ThreadPoolExecutor(1, thread_name_prefix="parse")


_THREAD = _Thread()


def _forget_threads() -> None:
    """Begin anew in a process that was forked: no thread is there, and who waited for one."""
    global _THREAD
    _THREAD = _Thread()
    _trial_thread.cache_clear()


os.register_at_fork(after_in_child=_forget_threads)


def _has_long_tag(page: bytes) -> bool:
    """Whether some block of the page may lie within one tag, as with tens of thousands of
    attributes."""
    return not all(
        _ends_tag(page, start, start + _BLOCK) for start in range(0, len(page) - _BLOCK + 1, _BLOCK)
    )


@cache
def _tag_ends() -> tuple[re.Pattern[bytes], ...]:
    return tuple(map(re.compile, _TAG_ENDS))  # at the first large page: it takes 2 ms


def _ends_tag(page: bytes, start: int, end: int) -> bool:
    """Whether a tag that is open where a block begins ends within it, or has no attributes there,
    whatever the tokenizer's state."""
    states = _tag_ends()
    if not all(state.match(page, start, end) for state in states):
        return False
    for quote in _QUOTES:  # in a value that may end with it
        place = page.find(quote, start, end)
        if place >= 0 and not states[0].match(page, place + 1, end):
            return False
    return True
