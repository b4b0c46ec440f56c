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
DENSE = "<p>x" * 25_000

PROGRAM = """
import asyncio, multiprocessing, sys
import crawler

class Links(crawler.Spider):
    name = "links"
    start_urls = [{url!r}, {url!r} + "dense"]

    def parse(self, response):
        yield {{"found": len(response.css("p"))}}

def crawl(db):
    summary = asyncio.run(crawler.run(Links, db=db))
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
    async with serve({"/": LARGE, "/dense": DENSE}) as site:
        said, wrong = await run(tmp_path, PROGRAM.format(url=site.url, call=call))
    assert said == "2\n2\n", wrong


async def test_a_program_that_leaves_its_crawl_behind_ends_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    left = """
async def leave():
    crawling = crawler.Crawl(Links, db="left.db")
    global task
    task = asyncio.create_task(crawling.run())
    await crawling.begun.wait()

loop = asyncio.new_event_loop()
loop.run_until_complete(leave())
loop.close()
print("left", flush=True)
"""
    async with serve({"/": LARGE, "/dense": ""}) as site:
        said, wrong = await run(tmp_path, PROGRAM.format(url=site.url, call=left))
        assert said == "left\n", wrong
        said, wrong = await run(tmp_path, PROGRAM.format(url=site.url, call='crawl("left.db")'))
    assert said == "2\n", wrong
