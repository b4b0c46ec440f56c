"""Traps: places without end that a crawl would walk into, known by a link's url alone.

Each rule is a function of the url and of today's year. So nothing has to be remembered, and a
crawl that is resumed decides as it did before. What the rules cannot see (a counter in the
query that never stops) is bounded by `max_url_length`, `max_depth` and `max_pages_per_host`.
One page under many urls is told by its content (`content_of`), and only reported.

- **Words said again and again**: `/a/b/a/b/a/b/`, as relative links without their slash make
  it. `/en/en/` and `/2024/2024/` are real; map tiles and key-value paths (`/page/1/size/1/`)
  repeat single values.
- **Dates that nobody has written about**: a calendar has no end, but it is left by stepping
  over its edge. The edge is two years from now; and 1970 for the addresses of a calendar,
  1500 for others that say they are a date.
"""

import re
from collections.abc import Sequence

from xxhash import xxh3_64_digest

# A word so often in a row, or a sequence of words, is a loop.
_WORDS_IN_A_ROW, _SEQUENCES_IN_A_ROW = 4, 3
# Words of a path that were said in it before; a parameter that was given before, to the letter.
_SAID_AGAIN, _GIVEN_AGAIN = 6, 3
# What a path has at least to be looked at: the scheme's two slashes, the root's, and between words.
_SLASHES = 2 + _WORDS_IN_A_ROW

_YEARS_AHEAD = 2
_FIRST_YEAR, _FIRST_OF_CALENDARS = 1500, 1970
# `/2031/05/` and `2031-05` may be numbers of something else. So that few of those are hurt,
# only the strip beyond the edge is closed: nobody gets past it step by step.
_STRIP = 30
# A year of this millennium, which makes the search for it one for a `2`.
_YEAR_AND_MONTH = re.compile(r"(2[0-9]{3})[-/](?:0[1-9]|1[0-2])(?![0-9])")
# Addresses that say they are a date: a year or a date by name, and a calendar. These four are
# text, for `re` to compile them when they are needed: at each start it takes 2 ms.
_DATED_PARAMETER = r"""(?xia)
    (?: [\w.\[\]%-]*year | yr | jahr ) = ([0-9]{4,}) (?![\w.])
  | (?: [\w.\[\]%-]* (?: date | month | day | week ) | ym | m | d ) =
      (?: ([0-9]{4}) (?: - | / | %2F )
        | (?: [0-9]{1,2} (?: [-./] | %2F ) ){1,2} ([0-9]{4}) (?![0-9]) )
"""
_DATE_NAMES = ("year", "yr", "jahr", "date", "month", "day", "week", "ym", "y", "m", "d")
# `y=2031` and `m=203105` may be numbers of something else, too.
_NUMBER = r"""(?xia)
    y = ([0-9]{4}) (?![\w.])
  | (?: [\w.\[\]%-]* (?: date | month | day | week ) | ym | m | d ) =
      ([0-9]{4}) (?: 0[1-9] | 1[0-2] ) (?: [0-3][0-9] )? (?![\w.])
"""
_DATED_PATH = r"""(?xia)
    / [\w-]* (?: calend[ae]r | kalender ) [\w.-]* / (?: [a-z-]+ / )? ([0-9]{4,}) (?![\w.])
  | / (?: events? | agenda | schedule ) / (?: [a-z-]+ / )? ([0-9]{4})
      [-/] (?: 0?[1-9] | 1[0-2] ) (?![0-9])
"""
_CALENDAR = r"(?i)calend[ae]r|kalender|/(?:events?|agenda|schedule)(?![a-z])"


class Traps:
    """Knows the links that lead into a trap, in a given year."""

    def __init__(self, year: int) -> None:
        self._edge = year + _YEARS_AHEAD

    def catch(self, url: str) -> bool:
        """Tell whether the page of a canonical url is part of a place without end."""
        if url.count("/") >= _SLASHES and _loops(url.partition("?")[0].split("/")[3:]):
            return True
        if url.count("&") >= _GIVEN_AGAIN:
            given = url.partition("?")[2].split("&")
            if len(given) - len(set(given)) >= _GIVEN_AGAIN:
                return True
        if "=" in url and self._is_dated(url):
            return True
        # What a calendar is known by: a look for it costs a tenth of the pattern's search.
        if "alend" in url or "vent/" in url or "vents/" in url or "genda/" in url or "dule/" in url:
            dated = re.search(_DATED_PATH, url)
            if dated is not None and self._is_outside(dated, _FIRST_OF_CALENDARS):
                return True
        alone = _YEAR_AND_MONTH.search(url)
        while alone is not None:
            if not url[alone.start() - 1].isdigit() and self._in_strip(alone):
                return True
            alone = _YEAR_AND_MONTH.search(url, alone.end())
        return False

    def _is_dated(self, url: str) -> bool:
        """Tell whether a parameter of the url is a date beyond the edge."""
        path, _, query = url.partition("?")
        pairs = query.split("&")
        for pair in pairs:
            if not pair[-2:].isdigit():
                continue
            name, _, value = pair.partition("=")
            if len(value) < 4 or not name.lower().endswith(_DATE_NAMES):
                continue
            number = re.match(_NUMBER, pair)
            # Beside an `x=`, `y=` is a place on a map.
            on_map = name == "y" and any(other.startswith("x=") for other in pairs)
            if number is not None and not on_map and self._in_strip(number):
                return True
            if (dated := re.match(_DATED_PARAMETER, pair)) is not None:
                first = _FIRST_OF_CALENDARS if re.search(_CALENDAR, path) else _FIRST_YEAR
                if self._is_outside(dated, first):
                    return True
        return False

    def _in_strip(self, found: re.Match[str]) -> bool:
        return self._edge < int(_year(found)) <= self._edge + _STRIP

    def _is_outside(self, found: re.Match[str], first: int) -> bool:
        year = _year(found)
        return len(year) > 4 or not first <= int(year) <= self._edge


def _year(found: re.Match[str]) -> str:
    """Return the one of a pattern's groups that has the year."""
    return found[found.lastindex or 0]


def _loops(words: Sequence[str]) -> bool:
    """Tell whether a path goes in circles: the same words in a row, or very often in all."""
    again = len(words) - len(set(words))
    if again < _WORDS_IN_A_ROW - 1:
        return False
    if again >= _SAID_AGAIN:
        return True
    # A longer sequence would say more words again.
    for period in range(1, again // (_SEQUENCES_IN_A_ROW - 1) + 1):
        most = _WORDS_IN_A_ROW if period == 1 else _SEQUENCES_IN_A_ROW
        same = 0
        for here, there in zip(words, words[period:], strict=False):
            same = same + 1 if here == there else 0
            if same == period * (most - 1):
                return True
    return False


def content_of(body: bytes) -> int | None:
    """Return a 64-bit number by which the same page is known again; None for an empty one.

    XXH3, which goes through 126 KB in 1 µs, where SHA-1 takes 58 with the processor's help. Whoever
    makes two pages that collide gains a word in a report.
    """
    return int.from_bytes(xxh3_64_digest(body), "big", signed=True) if body else None
