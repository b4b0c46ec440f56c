"""Who is measured: how each is started, in which environment, and where it leaves its pages."""

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare.stored import Pages, read_json_folder, read_jsonl, read_sqlite

_PROGRAMS = Path(__file__).parent / "contestants"
_LARGE = 30_000  # bytes from which the threaded loop parses in a thread


@dataclass(frozen=True, slots=True)
class Peer:
    """A package that is measured beside ours, in an environment of its own."""

    name: str
    requirement: str


SCRAPY = Peer("scrapy", "scrapy[aiohttp]")
CRAWLEE = Peer("crawlee", "crawlee[parsel]")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that follows every link of a site, and stores url, title and h1 of each page."""

    key: str
    title: str
    program: str
    arguments: tuple[str, ...]  # `{start}` and `{output}` are filled in
    output: str  # the name of the file or folder it writes
    read: Callable[[Path], Pages]
    peer: Peer | None = None  # whose environment it runs in; None: ours

    def command(self, python: Path, start: str, folder: Path) -> list[str]:
        """Return what to run to crawl the site at `start`, with the output in `folder`."""
        filled = [
            argument.format(start=start, output=folder / self.output) for argument in self.arguments
        ]
        program = str(_PROGRAMS / self.program)
        if self.program == "site_spider.py":  # the real command, as a user would type it
            return [str(python.with_name("crawler")), "run", program, *filled]
        return [str(python), program, *filled]


_OURS = ("--db", "{output}", "-a", "url={start}", "--json")
_START = ("{start}", "{output}")

CRAWLER = Contestant("crawler", "crawler", "site_spider.py", _OURS, "crawl.db", read_sqlite)
BARE = Contestant("bare", "bare loop", "bare_loop.py", _START, "bare.db", read_sqlite)
CONTESTANTS = (
    CRAWLER,
    BARE,
    Contestant(
        "bare-threads",
        "bare loop, parsing in threads",
        "bare_loop.py",
        (*_START, str(_LARGE)),
        "bare.db",
        read_sqlite,
    ),
    Contestant(
        "scrapy", "Scrapy", "scrapy_spider.py", (*_START, "reactor"), "s.jsonl", read_jsonl, SCRAPY
    ),
    Contestant(
        "scrapy-reactorless",
        "Scrapy, reactorless",
        "scrapy_spider.py",
        (*_START, "reactorless"),
        "s.jsonl",
        read_jsonl,
        SCRAPY,
    ),
    Contestant(
        "crawlee-memory",
        "Crawlee, in memory",
        "crawlee_site.py",
        (*_START, "memory"),
        "c.jsonl",
        read_jsonl,
        CRAWLEE,
    ),
    Contestant(
        "crawlee-disk",
        "Crawlee, on disk",
        "crawlee_site.py",
        (*_START, "disk"),
        "c",
        read_json_folder,
        CRAWLEE,
    ),
)


def our_versions() -> str:
    """Return the versions of what the crawler and the bare loop are made of."""
    names = ("aiohttp", "uvloop", "selectolax", "ada-url")
    python = ".".join(map(str, sys.version_info[:3]))
    return ", ".join(
        [f"Python {python}", *(f"{name} {importlib.metadata.version(name)}" for name in names)]
    )
