"""What a crawl of a site must find, read from its files by other means than any contestant's.

    python -m benchmarks.compare.walk FOLDER

Prints one JSON object: for each page, whether it has a title and an h1. (A process of its own,
because what the runner holds in memory would count for its children.)
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

_ORIGIN = "http://site/"


class _Page(HTMLParser):
    """Notes the links of a page, and whether there is text right within its title and h1."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.has = {"title": False, "h1": False}
        self._open: list[str] = []
        self._seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a link, or the beginning of a title."""
        if tag == "a":
            self.links.update(value for name, value in attrs if name == "href" and value)
        if self._open or (tag in self.has and tag not in self._seen):
            self._open.append(tag)
            self._seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of what is open."""
        if tag in self._open:
            del self._open[self._open.index(tag) :]

    def handle_data(self, data: str) -> None:
        """Note text that is right within a title."""
        if len(self._open) == 1 and data.strip():
            self.has[self._open[0]] = True


def walk(folder: Path) -> dict[str, list[bool]]:
    """Return the path of every page that can be reached: whether it has a title, and an h1."""
    found: dict[str, list[bool]] = {}
    todo = ["index.html"]
    seen = {_ORIGIN + todo[0]}
    while todo:
        name = todo.pop()
        path = folder / unquote(name)
        if path.suffix != ".html" or not path.is_file():
            continue
        page = _Page()
        page.feed(path.read_text(errors="replace"))
        found[f"/{name}"] = [page.has["title"], page.has["h1"]]
        for href in page.links:
            try:
                url = urljoin(_ORIGIN + name, href)
            except ValueError:
                continue
            linked = urlsplit(url)._replace(fragment="").geturl()
            if linked.startswith(_ORIGIN) and linked not in seen:
                seen.add(linked)
                todo.append(linked.removeprefix(_ORIGIN))
    return found


if __name__ == "__main__":
    print(json.dumps(walk(Path(sys.argv[1]))))
