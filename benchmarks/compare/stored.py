"""Reads what the contestants stored."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

# The path of each page, and whether it has a title and an h1.
Pages = dict[str, list[bool]]


def read_sqlite(path: Path) -> Pages:
    """Return the pages of a table `page`, ours or the bare loop's."""
    with closing(sqlite3.connect(path)) as db:
        columns = {row[1] for row in db.execute("PRAGMA table_info(page)")}
        url = "_url" if "_url" in columns else "url"
        return _pages(db.execute(f"SELECT {url}, title, h1 FROM page"))


def read_jsonl(path: Path) -> Pages:
    """Return the pages of a file with a JSON object per line."""
    with path.open() as lines:
        return _pages(_row(json.loads(line)) for line in lines)


def read_json_folder(path: Path) -> Pages:
    """Return the pages of a folder with a JSON file per page, as Crawlee keeps them."""
    files = (file for file in path.glob("datasets/*/*.json") if not file.name.startswith("__"))
    return _pages(_row(json.loads(file.read_text())) for file in files)


def _row(item: dict[str, str | None]) -> tuple[str, str | None, str | None]:
    return item["url"] or "", item["title"], item["h1"]


def _pages(rows: Iterable[tuple[str, str | None, str | None]]) -> Pages:
    pages: Pages = {}
    for url, title, h1 in rows:
        path = urlsplit(urldefrag(url).url).path
        if path in pages:
            raise ValueError(f"{path} was stored twice")
        pages[path] = [bool(title and title.strip()), bool(h1 and h1.strip())]
    return pages
