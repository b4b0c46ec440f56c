"""Steps of the interpreter that a page takes on the loop's thread, by module and by function.

    make bench-opcodes

They say where the work is, and what a change saves, however busy the machine is; but not how long
a step takes: a call of the parser is one. The site is that of `make bench` with pages of 2 KB, or
one of its manuals (`SITE=postgresql`, `python`, `jdk`, where they are installed).
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, ClassVar

from benchmarks.compare.serving import serving
from benchmarks.compare.sites import DOCS, Site, synthetic
from crawler import Item, Request, Response, Spider, run
from crawler.watchdog import run_loop

PAGES = 3000  # of the made site
WARM = 100  # pages before the count begins
SHOWN = 40


class Steps:
    """Counts what the thread does from `begin` to `end`."""

    def __init__(self) -> None:
        self.by_code: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()  # with each time that a coroutine goes on

    def begin(self) -> None:
        """Count from the next call on."""
        sys.settrace(self._called)

    def end(self) -> None:
        """Count no more."""
        sys.settrace(None)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        code, by_code = frame.f_code, self.by_code
        self.calls[code] += 1

        def step(_frame: FrameType, event: str, _argument: Any) -> Any:
            if event == "opcode":
                by_code[code] += 1
            return step

        return step


class Page(Item):
    """What is kept of a page."""

    title: str | None
    h1: str | None


class Counted(Spider):
    """Follows every link, and counts from one page to another."""

    name = "counted"
    settings: ClassVar = {"concurrency": 64, "concurrency_per_host": 64}
    url, last = "", 0
    seen = 0
    steps = Steps()

    async def start(self) -> AsyncIterator[Request]:
        """Begin at the first page."""
        yield Request(self.url)

    def parse(self, response: Response) -> Iterator[Item | Request]:
        """An item, and all links."""
        type(self).seen += 1
        if self.seen == WARM:
            self.steps.begin()
        elif self.seen == self.last:
            self.steps.end()
        if response.content_type == "text/html":
            yield Page(title=response.css("title::text").get(), h1=response.css("h1::text").get())
            yield from response.follow_all("a")


def show(steps: Steps, pages: int) -> None:
    """Print the counts for each page."""
    modules: Counter[str] = Counter()
    for code, count in steps.by_code.items():
        modules["/".join(Path(code.co_filename).parts[-2:])] += count
    print(f"steps a page: {steps.by_code.total() / pages:,.0f}, over {pages:,} pages")
    for module, count in modules.most_common(SHOWN):
        print(f"{count / pages:9.1f}  {module}")
    print("\n    steps     calls")
    for code, count in steps.by_code.most_common(SHOWN):
        place = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
        print(f"{count / pages:9.1f} {steps.calls[code] / pages:9.2f}  {code.co_qualname}  {place}")


def chosen(folder: Path) -> Site:
    """Return the site that is to be crawled."""
    key = os.environ.get("SITE") or "synthetic"
    site = next((site for site in DOCS if site.key == key and site.present), None)
    if site is None and key != "synthetic":
        sys.exit(f"there is no site {key!r} here: {', '.join(s.key for s in DOCS if s.present)}")
    return site or synthetic(folder, PAGES)


def main() -> None:
    """Crawl, and print what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = chosen(folder)
        pages = sum(1 for _ in site.folder.rglob("*.html"))
        Counted.last = pages * 9 // 10  # at the end fewer are on their way at once
        with serving([site], folder) as urls:
            Counted.url = urls[site.key]
            run_loop(run(Counted, db=folder / "crawl.db"))
        show(Counted.steps, Counted.last - WARM)


if __name__ == "__main__":
    main()
