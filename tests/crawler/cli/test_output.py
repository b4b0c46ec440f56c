"""Where a command writes to: a reader that leaves, a device that is full, a file that cannot be."""

from asyncio.subprocess import Process

import pytest

from tests.crawler.cli.project import Project, shop_pages
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
