"""Stopping a run by a signal, and going on with it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.crawler.cli.project import PATIENCE, Project, page
from tests.site import serve

PAGES = 30
HELD = 20  # from this page on nobody is answered before the gate opens


@asynccontextmanager
async def half_a_site(project: Project) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A site that answers for its first pages, and for all others when the gate is open."""
    gate = asyncio.Event()

    async def held(request: Any) -> str:
        await gate.wait()
        return page(int(request.path[1:]), "/")

    paths = [f"/{n}" for n in range(1, PAGES + 1)]
    pages: dict[str, Any] = {"/": page(0, *paths)}
    pages |= {path: page(int(path[1:]), "/") for path in paths[: HELD - 1]}
    pages |= dict.fromkeys(paths[HELD - 1 :], held)
    async with serve(pages) as site:
        project.shop(site.url)
        yield site.url, gate
        gate.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_stopped_run_is_resumed_and_has_every_page_once(
    project: Project, number: signal.Signals
) -> None:
    quiet = ["--log-level", "warning", "--set", "grace=0.1"]
    async with half_a_site(project) as (_, gate):
        process = await project.start("run", "shop", "--db", "c.db", "--json", *quiet)
        await project.until_done(HELD, "c.db")
        process.send_signal(number)
        out, err = await process.communicate()
        assert process.returncode == 128 + number
        lines = err.decode().splitlines()
        assert lines[0].startswith("stopping: 8 in flight get up to 0.1 s; again to stop at once")
        again = "crawler run shop --db c.db --set grace=0.1"
        assert lines[-1] == f"stopped: {PAGES - HELD + 1} queued; go on with: {again}"
        assert b'"finish": "stopped"' in out.splitlines()[-1]
        status = await project.crawler("status", "shop", "--db", "c.db", "--json")
        assert status.json["finish"] == "stopped"
        assert status.json["queued"] == PAGES - HELD + 1

        gate.set()
        second = await project.crawler("run", "shop", "--db", "c.db", "--json", *quiet)
    assert second.status == 0
    told = f"resuming run 1 of shop: {HELD} done, {PAGES - HELD + 1} queued"
    assert second.err.splitlines()[0] == told
    assert (second.json["run"], second.json["done"], second.json["resumed"]) == (1, PAGES + 1, True)
    titles = project.rows("SELECT title FROM page ORDER BY title", "c.db")
    assert titles == sorted((f"page {n}",) for n in range(PAGES + 1))


async def test_ctrl_c_while_the_command_is_being_loaded_is_no_error(project: Project) -> None:
    project.write("click.py", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    result = await project.crawler("run", "shop")  # it finds modules here first
    assert (result.status, result.err) == (130, "")


async def test_a_second_signal_ends_the_process_at_once(project: Project) -> None:
    async with half_a_site(project) as (_, gate):
        process = await project.start("run", "shop", "--log-level", "error")
        assert process.stderr is not None
        await project.until_done(HELD)
        process.send_signal(signal.SIGTERM)
        assert (await process.stderr.readline()).startswith(b"stopping: ")
        process.send_signal(signal.SIGINT)  # the gate is shut: only this can end it
        assert await process.wait() == 130
        gate.set()
        second = await project.crawler("run", "shop", "--json")
    assert (second.status, second.json["done"]) == (0, PAGES + 1)


async def test_a_second_signal_ends_a_process_whose_spider_holds_the_loop(
    project: Project,
) -> None:
    async with serve({"/": page(0)}) as site:
        project.write(
            "spiders/stuck.py",
            "from crawler import Spider\n\nclass Stuck(Spider):\n    name = 'stuck'\n"
            f"    start_urls = [{site.url!r}]\n    def parse(self, response):\n"
            "        print('stuck', flush=True)\n        while True: pass\n",
        )
        process = await project.start("run", "stuck")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"stuck\n"
        process.send_signal(signal.SIGINT)
        while not await gone(process):
            process.send_signal(signal.SIGINT)
    assert process.returncode == 130


async def gone(process: asyncio.subprocess.Process) -> bool:
    """Whether the process ends within a moment."""
    try:
        async with asyncio.timeout(0.1):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def test_what_comes_while_a_process_is_suspended_is_not_late(project: Project) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def held(_: object) -> str:
        asked.set()
        await gate.wait()
        return "<title>held</title>"

    async with serve({"/": held}) as site:
        project.shop(site.url)
        options = ["--set", "timeout=0.5", "--set", "retries=0", "--set", "robots=false"]
        process = await project.start("run", "shop", "--json", *options)
        await asked.wait()
        process.send_signal(signal.SIGSTOP)
        gate.set()
        await asyncio.sleep(2.0)  # the length of the suspension, not a wait for something
        process.send_signal(signal.SIGCONT)
        out, err = await process.communicate()
    assert b'"done": 1, "failed": 0' in out, err


async def test_status_and_query_work_while_the_crawl_runs(project: Project) -> None:
    async with half_a_site(project) as (_, gate):
        process = await project.start("run", "shop", "--log-level", "error", "--json")
        await project.until_done(HELD)
        status = await project.crawler("status", "shop", "--json")
        assert (status.json["running"], status.json["finish"]) == (True, None)
        assert (status.json["done"], status.json["items"]) == (HELD, HELD)
        shown = await project.crawler("status", "shop")
        assert f"(process {process.pid})" in shown.out
        count = await project.crawler(
            "query", "shop", "SELECT count(*) FROM page", "--format", "csv"
        )
        assert count.out.split() == ["count(*)", str(HELD)]
        exported = await project.crawler("export", "shop", "-o", "-")
        assert len(exported.out.splitlines()) == HELD
        gate.set()
        await process.communicate()
    assert process.returncode == 0


async def test_ctrl_c_interrupts_a_long_query(project: Project) -> None:
    async with half_a_site(project) as (_, gate):
        gate.set()
        await project.crawler("run", "shop")
    # So many rows that some get through the buffer, of 128 KiB, and then a sum without end.
    endless = (
        "WITH RECURSIVE few(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM few LIMIT 50000), "
        "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT i FROM few UNION ALL SELECT sum(i % 2) FROM n"
    )
    process = await project.start("query", "shop", endless, "--format", "csv")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await process.stdout.readline() == b"i\r\n"
    while await says_more(process.stdout):
        pass
    process.send_signal(signal.SIGINT)  # SQLite has the thread, and does not give it back
    async with asyncio.timeout(PATIENCE):
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


async def says_more(stream: asyncio.StreamReader) -> bool:
    """Whether something comes within a moment."""
    try:
        async with asyncio.timeout(0.3):
            return bool(await stream.read(1 << 16))
    except TimeoutError:
        return False
