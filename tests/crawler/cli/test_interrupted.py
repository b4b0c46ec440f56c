"""A signal while a file is written: nothing of it is left, and what happened is told."""

import asyncio
import signal
import sqlite3
from asyncio.subprocess import Process
from contextlib import closing
from pathlib import Path

import pytest

from tests.crawler.cli.project import PATIENCE, Project, shop_pages
from tests.site import serve

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ROWS = 500_000  # so many that they take a second or more


async def big(project: Project) -> None:
    """Make a crawl's file with many items."""
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        assert (await project.crawler("run", "shop")).status == 0
    with closing(sqlite3.connect(project.path / "data/shop.db")) as connection, connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) "
            "INSERT INTO page (_run, _url, _at, title) "
            "SELECT 1, 'u', 't', hex(zeroblob(100)) FROM n",
            (ROWS,),
        )


async def half_written(project: Project, process: Process) -> None:
    """Wait until there is something of a file, under the name that it has meanwhile."""
    async with asyncio.timeout(PATIENCE):
        while not any(map(_size, project.path.glob("out/*.part"))):
            assert process.returncode is None
            await asyncio.sleep(0.005)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # an empty one is made first, to see whether that can be done
        return 0


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_leaves_nothing_of_half_a_file(
    project: Project, number: signal.Signals
) -> None:
    await big(project)
    (project.path / "out").mkdir()
    for command in (
        ["export", "shop", "-o", "out/pages.csv"],
        ["backup", "shop", "out/copy.db"],
    ):
        process = await project.start(*command)
        await half_written(project, process)
        process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            _, err = await process.communicate()
        assert (process.returncode, err) == (128 + number, b"")
        assert list((project.path / "out").iterdir()) == []


MANY = """
from crawler import Spider

class Many(Spider):
    name = "many"
    start_urls = [{url!r} + f"{{n}}" for n in range(1, 6)]

    def parse(self, response):
        for n in range(60_000):
            yield {{"n": n}}
"""


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_run_whose_export_is_interrupted_says_that_its_items_are_there(
    project: Project, number: signal.Signals
) -> None:
    async with serve(shop_pages(5)) as site:
        project.write("spiders/many.py", MANY.format(url=site.url))
        (project.path / "out").mkdir()
        process = await project.start("run", "many", "-o", "out/many.jsonl", "--json")
        await half_written(project, process)
        process.send_signal(number)
        out, err = await process.communicate()
    assert process.returncode == 128 + number
    assert b'"finish": "finished"' in out.splitlines()[-1]
    assert err.decode().splitlines() == [
        f"crawler: error: interrupted by {number.name}: out/many.jsonl is not written; "
        "the items are in data/many.db"
    ]
    assert list((project.path / "out").iterdir()) == []
