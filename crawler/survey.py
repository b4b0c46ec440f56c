"""What the bytes of a page tell of its tags, before anybody parses them.

`_survey.c` says the same, and takes 36 µs for 100 KB of manual where this takes 120. It is there if
there was a C compiler when the package was installed.
"""

import re
from collections.abc import Callable
from contextlib import suppress

Survey = Callable[[bytes], tuple[int, int, bool]]
Binary = Callable[[bytes], int]
compiled: Survey | None = None
compiled_binary: Binary | None = None
with suppress(ImportError):
    from crawler._survey import binary as compiled_binary
    from crawler._survey import survey as compiled

# With so many tags a page is harmless, whatever these are: nobody looks which.
_HARMLESS = 2_000

_WS = rb"\t\n\f\r "
# A formatting element with attributes, or something like it; <span> is the commonest that is none.
_LIKE_FORMATTING = re.compile(rb"<[bcefistuBCEFISTU](?!pan)[a-zA-Z]{0,5}+[%b/][^>]*" % _WS)
_FORMATTING = re.compile(
    rb"<(?:b|big|code|em|font|i|s|small|strike|strong|tt|u)[%b/]" % _WS, re.IGNORECASE
)
# Of tags with a `>` between them, one that was cut within a value, whatever came before that.
_GOES_ON = re.compile(rb"""=[%b]*+(?:"[^">]*|'[^'>]*)(?:>|\Z)""" % _WS)
_BASE = re.compile(rb"<[bB][aA][sS][eE]")


def survey_in_python(page: bytes) -> tuple[int, int, bool]:
    """Return how many tags a page may have, how many different formatting elements, and a <base>.

    Each of them at most: what a comment has in it counts, too. Formatting elements (HTML standard
    section 13.2.4.3) are those with attributes, of more than 2,000 tags.
    """
    tags = page.count(b"<")
    if tags <= _HARMLESS:
        return tags, 0, _BASE.search(page) is not None
    found = _LIKE_FORMATTING.findall(page)
    different = set(found)
    has_base = any(map(_BASE.match, different))
    formatting = list(filter(_FORMATTING.match, different))
    if _GOES_ON.search(b">".join(formatting)):
        # What goes on after a `>` in a value need not be the same, however alike it begins.
        formatting = list(filter(_FORMATTING.match, found))
    return tags, len(formatting), has_base


# Bytes that no text has (MIME Sniffing standard, section 3, "binary data byte").
_BINARY = bytes((*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)))


def binary_in_python(page: bytes) -> int:
    """Return how many bytes there are that no text has."""
    return len(page) - len(page.translate(None, _BINARY))


survey: Survey = compiled or survey_in_python
binary: Binary = compiled_binary or binary_in_python
