"""Where a command writes to: a reader that leaves, a device that is full, a file that cannot be."""

import asyncio
import shutil
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

from tests.crawler.cli.project import ENVIRONMENT, Project, shop_pages
from tests.site import serve

# ── standard output ─────────────────────────────────────────────────────────────────────────


async def with_a_reader_that_leaves(process: Process) -> tuple[str, int]:
    """What a command says on standard error, and its exit status, when nobody reads the rest."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout._transport.close()  # type: ignore[attr-defined]
    return (await process.stderr.read()).decode(), await process.wait()


@pytest.mark.parametrize(
    "arguments", [["status", "shop"], ["query", "shop"], ["list"], ["run", "shop"], ["--help"]]
)
async def test_a_reader_that_leaves_ends_a_command_silently(
    project: Project, arguments: list[str]
) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop")
        process = await project.start("--log-level", "error", *arguments)
        said, status = await with_a_reader_that_leaves(process)
    assert "Error" not in said
    assert "SystemExit" not in said
    assert status == 141


async def test_a_reader_of_the_demo_may_leave(project: Project) -> None:
    process = await project.start("--log-level", "error", "demo", "--db", "d.db")
    said, status = await with_a_reader_that_leaves(process)
    assert said.startswith("a bookshop is open on ")
    assert len(said.splitlines()) == 1
    assert status == 141


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
async def test_a_command_works_though_its_standard_streams_are_closed(
    project: Project, closed: str, processes: str
) -> None:
    command = ("sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "crawler")
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        process = await asyncio.create_subprocess_exec(
            *command, "run", "shop", "--processes", processes, cwd=project.path, env=ENVIRONMENT
        )
        assert await process.wait() == 0
    found = await project.crawler("query", "shop", "SELECT count(*) FROM crawl_request")
    assert "2" in found.out


CHILD = """
import atexit, os
from crawler import Spider

class Child(Spider):
    name = "child"
    start_urls = [{url!r}]

    def parse(self, response):
        atexit.register(os.mkdir, "ended")
        same = [os.path.sameopenfile(number, self.null) for number in range(3)]
        yield {{"null": same}}

    null = os.open(os.devnull, os.O_RDWR)
"""


async def test_in_child_processes_they_lead_nowhere_either(project: Project) -> None:
    async with serve(shop_pages(0)) as site:
        project.write("spiders/child.py", CHILD.format(url=site.url))
        command = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "crawler")
        process = await asyncio.create_subprocess_exec(
            *command, "run", "child", "--processes", "2", cwd=project.path, env=ENVIRONMENT
        )
        assert await process.wait() == 0
    assert project.rows("SELECT data FROM item", "data/child.db") == [
        ('{"null":[true,true,true]}',)
    ]
    assert (project.path / "ended").exists()  # it was not broken off


# As a disk that is full: Linux has it, and macOS has not.
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@needs_full
async def test_standard_output_that_takes_no_more_is_one_line(project: Project) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop")
        for arguments in (
            *(["status", "shop"], ["status", "shop", "--json"], ["list"], ["run", "shop"]),
            *(["query", "shop"], ["query", "shop", "--format", "csv"], ["--help"]),
            *(["query", "shop", "--format", "json"], ["export", "shop", "-o", "-"]),
            ["fetch", site.url],
        ):
            with FULL.open("wb") as full:
                command = ["--log-level", "error", *arguments]
                process = await project.start(*command, stdout=full)
                _, said = await process.communicate()
            assert said.decode().splitlines()[-1] == (
                "crawler: error: cannot write to standard output: No space left on device: "
                "make room, or send it elsewhere"
            ), arguments
            assert "Traceback" not in said.decode()
            assert process.returncode == 1


async def with_a_full_log(project: Project, *arguments: str) -> tuple[int | None, str]:
    """The exit status of a command whose standard error takes nothing, and its output."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" 2>/dev/full', "sh", sys.executable, "-m", "crawler", *arguments),
        cwd=project.path,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@needs_full
async def test_a_log_that_takes_no_more_changes_nothing_about_a_run(project: Project) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        run = ("run", "shop", "--json")
        for limit in ("1", "2"):  # the second one says that it goes on
            status, out = await with_a_full_log(
                project, *run, "--set", f"max_pages={limit}", "-o", "pages.csv"
            )
            assert (status, out.count("\n")) == (0, 1)
            assert (project.path / "pages.csv").exists()
    assert await with_a_full_log(project, "run", "nobody") == (2, "")


WRITER = """
from crawler import Spider

class Writer(Spider):
    name = "writer"

    async def start(self):
        with open("/dev/full", "w") as file:
            file.write("x")
        yield
"""


@needs_full
async def test_a_full_disk_of_the_spiders_own_is_not_taken_for_it(project: Project) -> None:
    project.write("spiders/writer.py", WRITER)
    result = await project.crawler("--log-level", "error", "run", "writer")
    assert "No space left on device, at spiders/writer.py:8 (run again with -v" in result.error
    assert result.status == 1


# ── characters ──────────────────────────────────────────────────────────────────────────────


async def test_a_terminal_without_a_title_s_characters_shows_them_escaped(project: Project) -> None:
    old = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    async with serve({"/": "<title>Dvo\u0159\u00e1k</title>"}) as site:
        project.shop(site.url)
        assert (await project.crawler("run", "shop", "-a", "tag=\u0159", **old)).status == 0
        process = await project.start("query", "shop", "SELECT title FROM page", **old)
        out, err = await process.communicate()
        assert b"Dvo\\u0159\xe1k" in out, err
        assert r"tag=\u0159" in (await project.crawler("status", "shop", **old)).out
        for form in ("csv", "json"):  # for programs: as it is
            shown = await project.crawler(
                "query", "shop", "SELECT title FROM page", "--format", form, **old
            )
            assert "Dvo\u0159\u00e1k" in shown.out


# ── a file ──────────────────────────────────────────────────────────────────────────────────

# Nobody may make a file there, also not root.
UNWRITABLE = "/proc/pages.jsonl"


@pytest.mark.parametrize("out", [UNWRITABLE, "spiders/shop.py/pages.csv", "/dev/null/x.parquet"])
async def test_a_file_that_cannot_be_written_is_told_before_anything_is_fetched(
    project: Project, out: str
) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop", "-o", out)
        assert not site.hits
    assert f" {out}: " in result.error
    assert result.status == 2
    assert not (project.path / "data").exists()


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_file_that_cannot_be_written_after_all_costs_no_summary(
    project: Project, as_json: bool
) -> None:
    pages = shop_pages(3)
    target = project.write("out/pages.csv", "").parent

    def last(_: Any) -> Any:
        shutil.rmtree(target)
        return "<title>last</title>"

    async with serve(pages | {"/3": last}) as site:
        project.shop(site.url)
        options = ["--json"] if as_json else []
        result = await project.crawler(
            *("--log-level", "error", "run", "shop", "-o", "out/pages.csv", *options)
        )
    assert "cannot export to out/pages.csv: there is no directory " in result.error
    assert result.error.endswith("; the items are in data/shop.db")
    assert result.status == 1
    if as_json:
        assert (result.json["done"], result.json["finish"]) == (4, "finished")
    else:
        assert "4 done, 0 failed" in result.out
    assert len(project.rows("SELECT * FROM page")) == 4


async def test_where_no_file_can_be_written_the_status_is_2(project: Project) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop")
        for command in (
            ["export", "shop", "-o", UNWRITABLE],
            ["fetch", site.url, "-o", UNWRITABLE],
            ["backup", "shop", "nowhere/shop.db"],
        ):
            result = await project.crawler(*command)
            assert f"cannot write {command[-1]}: " in result.error
            assert result.status == 2


GOES = """
import os
from crawler import Spider

class Goes(Spider):
    name = "goes"
    start_urls = [{url!r}]

    def parse(self, response):
        os.chdir("/")
        yield {{"url": response.url}}
        yield from response.follow_all("a")
"""


async def test_paths_are_meant_from_where_the_command_was_given_wherever_the_spider_goes(
    project: Project,
) -> None:
    async with serve(shop_pages(2)) as site:
        project.write("spiders/goes.py", GOES.format(url=site.url))
        result = await project.crawler("run", "goes", "-o", "goes.jsonl", "--json")
    assert (result.status, result.json["done"]) == (0, 3), result.err
    assert len((project.path / "goes.jsonl").read_text().splitlines()) == 3
