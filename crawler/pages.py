"""The pages that the links of a page lead to, before anybody joins them with its url.

`_pages.c` does most of it, and takes 14 µs for the 100 links of a manual's page where this takes
33. It is there if there was a C compiler when the package was installed.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

# What the URL standard takes from both ends: less than what Python calls white space.
AROUND = "".join(map(chr, range(0x21)))
_SPACE = re.compile("[\x00-\x20]")

# None where there is white space in them, so that somebody has to look where.
compiled: Callable[[list[str]], dict[str, None] | None] | None = None
with suppress(ImportError):
    from crawler._pages import pages as compiled


def pages_of(urls: list[str]) -> Iterable[str]:
    """Return the urls without their fragments, and without what is around them, each once.

    Most links of a page are there several times, or differ only in their fragment.
    """
    pages = None if compiled is None else compiled(urls)
    return pages_in_python(urls) if pages is None else pages


def pages_in_python(urls: list[str]) -> Iterable[str]:
    """Return the same."""
    pages = dict.fromkeys([url.partition("#")[0] if "#" in url else url for url in urls])
    if _SPACE.search("".join(pages)) is None:  # so it is nearly always
        return pages
    return dict.fromkeys([url.strip(AROUND).partition("#")[0] for url in dict.fromkeys(urls)])
