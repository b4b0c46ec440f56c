"""`crawler demo`: the whole thing, without a network."""

import signal

from crawler.demo.site import BOOKS, LISTINGS
from tests.crawler.cli.project import Project


async def test_the_demo_crawls_the_shop_and_shows_rows(project: Project) -> None:
    result = await project.crawler("demo")
    assert result.status == 0
    assert f"{BOOKS + LISTINGS} done" in result.out
    assert "subtitle      160 of 240     66%" in result.out
    rows = result.out.partition("crawler query demo 'SELECT title")[2].splitlines()
    assert len(rows) == 1 + 2 + 5
    listed = await project.crawler("query", "demo", "--format", "csv")
    assert f"book,{BOOKS}" in listed.out.split()
    assert (await project.crawler("status", "demo", "--json")).json["spider"] == "books"


async def test_the_shop_stays_open_until_ctrl_c(project: Project) -> None:
    process = await project.start("demo", "--keep", "--db", "d.db")
    assert process.stderr is not None
    while b"stays open on " not in (line := await process.stderr.readline()):
        assert line
    url = line.split()[5].decode()
    assert (await project.crawler("fetch", url)).status == 0
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130
