"""A real site: Python's documentation, as Debian's python3-doc has it, served on loopback.

What must be found is worked out in another way: the files are walked with the standard
library alone.
"""

from collections import deque
from functools import partial
from html.parser import HTMLParser
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import pytest

import crawler
from spiders.docs import DOWNLOADS, Docs
from tests.debian import need
from tests.site import serve

DOCS = Path("/usr/share/doc/python3-doc/html")


@pytest.fixture(scope="module")
def documentation() -> Path:
    """The directory of Python's documentation; in CI it is installed if need be."""
    need("python3-doc", DOCS.is_dir)
    return DOCS


class Anchors(HTMLParser):
    """Collects where the `<a>` elements of a page lead."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs.extend(value for name, value in attributes if name == "href" and value)


def walk(files: dict[str, Path]) -> tuple[set[str], set[str]]:
    """The paths that links lead to from `/`: those that are there, and those that are not."""
    there: set[str] = set()
    missing: set[str] = set()
    waiting = deque(["/"])
    while waiting:
        path = waiting.popleft()
        if path in there or path in missing:
            continue
        if path not in files:
            missing.add(path)
            continue
        there.add(path)
        if files[path].suffix == ".html":
            waiting.extend(links_of(files[path], path))
    return there, missing


def links_of(file: Path, path: str) -> set[str]:
    parser = Anchors()
    parser.feed(file.read_text(encoding="utf-8"))
    targets = set()
    for href in parser.hrefs:
        if urldefrag(href).url.lower().endswith(DOWNLOADS):
            continue
        parts = urlsplit(urljoin(f"http://docs.example{path}", href.strip()))
        if (parts.scheme, parts.netloc) == ("http", "docs.example"):
            targets.add((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    return targets


def files_of(directory: Path) -> dict[str, Path]:
    """Every file by the path of its url; the index is `/` too."""
    found = {
        "/" + quote(file.relative_to(directory).as_posix()): file
        for file in directory.rglob("*")
        if file.is_file()
    }
    return {"/": directory / "index.html", **found}


def answer(file: Path, _request: object) -> tuple[int, dict[str, str], bytes]:
    kind = guess_type(file.name)[0] or "application/octet-stream"
    return 200, {"Content-Type": kind}, file.read_bytes()


@pytest.mark.parametrize("processes", [1, 2])
async def test_every_page_that_links_lead_to_is_visited_exactly_once(
    documentation, db, rows, processes
):
    files = files_of(documentation)
    there, missing = walk(files)
    assert len(there) > 300
    async with serve({path: partial(answer, file) for path, file in files.items()}) as site:
        result = await crawler.run(Docs, db=db, arguments={"url": site.url}, processes=processes)
        hits = dict(site.hits)

    def paths(state: str) -> set[str]:
        return {
            path_of(url) for url in rows("SELECT url FROM crawl_request WHERE state = ?", state)
        }

    assert result.finish == "finished"
    assert paths("done") == there
    assert paths("failed") == missing
    assert hits == dict.fromkeys({path.partition("?")[0] for path in there | missing}, 1) | {
        "/robots.txt": 1
    }
    assert result.items == len({path for path in there if files[path].suffix == ".html"})
    assert set(result.reasons["skipped"]) <= {"offsite", "scheme"}


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


async def test_titles_and_headings_are_what_the_files_say(documentation, db, rows):
    library = documentation / "library"
    names = ["json", "asyncio", "sqlite3"]
    files = {f"/{name}.html": library / f"{name}.html" for name in names}
    async with serve({path: partial(answer, file) for path, file in files.items()}) as site:
        site.pages["/"] = "".join(f'<a href="{path}">x</a>' for path in files)
        await crawler.run(Docs, db=db, arguments={"url": site.url}, max_depth=1)
    found = dict(rows("SELECT _url, title FROM page WHERE title != ''"))
    assert {urlsplit(url).path: title.partition(" ")[0] for url, title in found.items()} == {
        f"/{name}.html": name for name in names
    }
