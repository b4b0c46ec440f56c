"""`crawler selftest` and `crawler backup`, as they are typed."""

import asyncio
import signal

import pytest

from tests.crawler.cli.project import PATIENCE, Project, shop_pages
from tests.site import serve


async def test_selftest_tells_of_each_round_and_ends_with_0_when_all_is_right(
    project: Project,
) -> None:
    result = await project.crawler("selftest", "--kills", "3", "--pages", "20", "--seed", "3")
    assert result.status == 0, result.err
    assert "3 kills" in result.out
    assert "0 lost, 0 duplicated, 0 in a wrong state" in result.out
    assert "round 1:" in result.err


ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


@pytest.mark.parametrize("number", ENDS)
async def test_a_selftest_that_is_ended_leaves_neither_processes_nor_files(
    project: Project, number: signal.Signals
) -> None:
    (project.path / "tmp").mkdir()
    process = await project.start(
        *("selftest", "--kills", "1000", "--pages", "50"), TMPDIR=str(project.path / "tmp")
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        assert (await process.stderr.readline()).startswith(b"round 1: ")
        process.send_signal(number)
        _, err = await process.communicate()  # once nobody is left that could say something
    assert b"Traceback" not in err
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert list((project.path / "tmp").iterdir()) == []


async def test_a_backup_is_an_ordinary_crawl_file(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop", "--json")
    made = await project.crawler("backup", "shop", "copy.db")
    assert made.status == 0
    assert made.err.startswith("wrote ")
    first = await project.crawler("query", "shop", "select count(*) from crawl_request")
    second = await project.crawler(
        "query", "shop", "select count(*) from crawl_request", "--db", "copy.db"
    )
    assert first.out == second.out
    again = await project.crawler("backup", "shop", "copy.db")
    assert (again.status, "there already" in again.error) == (2, True)
