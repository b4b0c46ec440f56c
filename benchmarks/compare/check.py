"""Whether a contestant found what the site has."""

from collections.abc import Sequence

from benchmarks.compare.stored import Pages

_SHOWN = 3
_COUNTED = ("title", "h1")


def differences(expected: Pages, found: Pages) -> list[str]:
    """Return what is wrong, a line each: pages not found or made up, titles and h1 lost."""
    lines = []
    if missed := sorted(expected.keys() - found.keys()):
        lines.append(f"{len(missed)} pages not found: {_some(missed)}")
    if extra := sorted(found.keys() - expected.keys()):
        lines.append(f"{len(extra)} pages that the site has not: {_some(extra)}")
    for place, name in enumerate(_COUNTED):
        has, had = (sum(page[place] for page in pages.values()) for pages in (found, expected))
        if has != had:
            lines.append(f"{has} pages with {name}, not {had}")
    return lines


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_SHOWN]) + (", ..." if len(paths) > _SHOWN else "")
