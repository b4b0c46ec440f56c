"""A directory with spiders, and the command line run in it as a user would."""

import asyncio
import io
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from crawler.cli import main
from storage.reader import open_reader
from storage.report import last_run
from tests.child import sitecustomize as child

# What the crawler is told by the machine that runs the tests is not to change them. The path
# has the module that keeps it on this machine.
ENVIRONMENT = {"PYTHONPATH": str(Path(child.__file__).parent)} | {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CRAWLER_", "_CRAWLER_"))
    and name not in ("COLUMNS", "FORCE_COLOR", "PYTHONPATH")
}

# A command that takes longer than this (seconds) hangs.
PATIENCE = 60

# Follows every link of a site; what it takes from a page is in the page's title.
SHOP = '''
from crawler import Item, Request, Spider


class Page(Item):
    title: str
    price: float | None = None


class Shop(Spider):
    """Every page of the shop."""

    name = "shop"
    start_urls = [{url!r}]

    def parse(self, response):
        self.logger.info("got %s", response.url, size=len(response.body))
        title = response.css("title::text").get("")
        yield Page(title=title, price=1.5 if title != "page 1" else None)
        yield from response.follow_all("a")
'''


def page(number: int, *links: str) -> str:
    """HTML with the title `page NUMBER`, and links."""
    anchors = " ".join(f'<a href="{link}">{link}</a>' for link in links)
    return f"<html><title>page {number}</title><body>{anchors}</body></html>"


def shop_pages(number: int) -> dict[str, Any]:
    """A front page that links to `number` pages, which link back."""
    paths = [f"/{n}" for n in range(1, number + 1)]
    return {"/": page(0, *paths)} | {path: page(int(path[1:]), "/") for path in paths}


@dataclass(frozen=True, slots=True)
class Result:
    """What one command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on standard error; fails the test when there are more, or none."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("crawler: error: "), self.err
        return lines[0]

    @property
    def json(self) -> Any:
        """The last line of standard output, read."""
        return json.loads(self.out.splitlines()[-1])


class Project:
    """A directory to run the command line in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started: list[Process] = []

    def write(self, name: str, text: str) -> Path:
        """Put a file into the project."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def shop(self, url: str) -> None:
        """Put in a spider called `shop` that crawls the site at `url`."""
        self.write("spiders/shop.py", SHOP.format(url=url))

    async def start(
        self, *arguments: str, stdout: int | IO[bytes] = PIPE, **environment: str
    ) -> Process:
        """Start a command, its output in pipes."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "crawler", *arguments),
            cwd=self.path,
            env=ENVIRONMENT | environment,
            stdin=PIPE,
            stdout=stdout,
            stderr=PIPE,
        )
        self._started.append(process)
        return process

    async def end(self) -> None:
        """End what a test that failed has left running."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def crawler(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run a command to its end."""
        process = await self.start(*arguments, **environment)
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    def here(self, *arguments: str) -> Result:
        """Run a command within this process: a tenth of the time, for a table of cases."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.path), redirect_stdout(out), redirect_stderr(err):
            status = main(arguments)
        return Result(status, out.getvalue(), err.getvalue())

    def rows(self, sql: str, db: str = "data/shop.db") -> list[Any]:
        """What a query finds in a crawl's file."""
        connection = open_reader(self.path / db)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    async def until_done(self, number: int, db: str = "data/shop.db") -> None:
        """Wait until so many pages of the last run are committed."""
        async with asyncio.timeout(PATIENCE):
            while not self._done(number, self.path / db):
                await asyncio.sleep(0.02)

    def _done(self, number: int, db: Path) -> bool:
        if not db.is_file() or db.stat().st_size == 0:
            return False
        try:
            connection = open_reader(db)
        except Exception:  # noqa: BLE001 - it is being made just now
            return False
        try:
            query = "SELECT count(*) >= ? FROM crawl_request WHERE run = ? AND state = 'done'"
            return bool(connection.execute(query, (number, last_run(connection))).fetchone()[0])
        except Exception:  # noqa: BLE001 - no run in it yet
            return False
        finally:
            connection.close()
