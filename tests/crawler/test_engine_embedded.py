"""Crawls in programs of other people: what these do with processes, threads and modules."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.crawler.cli.project import ENVIRONMENT, PATIENCE
from tests.crawler.links_site import linking
from tests.site import serve

# A page that is parsed in a thread, and one that is parsed on trial.
LARGE = linking("/") + "<p>text</p>" * 40_000
NESTED = "<ul><li>" * 15_000

PROGRAM = """
import asyncio, multiprocessing, sys
import crawler

class Links(crawler.Spider):
    name = "links"
    start_urls = [{url!r}, {url!r} + "nested"]

    def parse(self, response):
        yield {{"found": len(response.css("p, li"))}}

def crawl(db):
    summary = asyncio.run(crawler.run(Links, db=db, parse_budget=20))
    print(summary.done, flush=True)

{call}
"""


async def run(directory: Path, text: str) -> tuple[str, str]:
    """What a program says, and what is the matter with it."""
    (directory / "program.py").write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "program.py"), cwd=directory, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, wrong = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return said.decode(), wrong.decode()


async def test_a_process_that_has_crawled_may_be_forked_to_crawl(tmp_path: Path) -> None:
    call = """
crawl("one.db")
other = multiprocessing.get_context("fork").Process(target=crawl, args=("two.db",))
other.start()
other.join(20)
other.kill()
sys.exit(other.exitcode)
"""
    async with serve({"/": LARGE, "/nested": NESTED}) as site:
        said, wrong = await run(tmp_path, PROGRAM.format(url=site.url, call=call))
    assert said == "2\n2\n", wrong
