"""What the commands show on a terminal, which is as wide as it is."""

import asyncio
import os
import pty
import re
import sys

from tests.crawler.cli.project import ENVIRONMENT, Project, shop_pages
from tests.site import serve


async def test_on_a_terminal_progress_is_shown_and_disappears(project: Project) -> None:
    async with serve(shop_pages(40)) as site:
        project.shop(site.url)
        shown, status = await on_a_terminal(project, "run", "shop", "--set", "delay=0.01")
    assert status == 0
    for label in ("done", "queued", "failed", "skipped", "items", "pages/s", "in flight", "hosts"):
        assert f"{label} " in shown.partition("pages by state")[0], label
    assert "got http://127.0.0.1" in shown  # logs are printed above
    assert "\x1b[?25l" in shown  # the cursor is hidden meanwhile
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "shop, run 1: finished" in shown


async def test_on_a_terminal_a_table_is_no_wider_than_it(project: Project) -> None:
    async with serve(shop_pages(2)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop")
    shown, status = await on_a_terminal(project, "query", "shop", "SELECT * FROM crawl_request")
    assert status == 0
    assert "row 3" in shown  # too many columns: each row from top to bottom
    assert max(len(line) for line in shown.splitlines()) < 200


async def test_on_a_narrow_terminal_a_long_name_leaves_room_for_the_value(project: Project) -> None:
    async with serve(shop_pages(2)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop")
    sql = "SELECT url, url, url, replace('a_value', '_', ' ') || '' || '' FROM crawl_request"
    shown, status = await on_a_terminal(project, "query", "shop", sql, columns=40)
    assert status == 0
    assert "a value" in shown
    assert max(len(line) for line in re.sub(r"\x1b\[\d*m", "", shown).splitlines()) <= 40


async def on_a_terminal(project: Project, *arguments: str, columns: int = 80) -> tuple[str, int]:
    """What a command shows on a terminal, and its exit status."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "crawler", *arguments),
        cwd=project.path,
        env=ENVIRONMENT | {"TERM": "xterm-256color", "COLUMNS": str(columns)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    shown = b""
    while True:
        try:
            part = await loop.run_in_executor(None, os.read, ours, 1 << 16)
        except OSError:  # EIO: nobody has the other end open any more
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return shown.decode(), await process.wait()
