"""How many files `crawler run` may have open: as many as its fetches at once need."""

import asyncio
import resource

import pytest

import crawler
from crawler.connector import files_needed
from tests.crawler.cli.project import Project, page
from tests.site import Request, serve

FETCHES = 300

# What a shell has set before the crawl begins.
SPIDER = """
import resource
from crawler import Spider

resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))

class Many(Spider):
    name = "many"
    settings = {{"concurrency": {fetches}, "concurrency_per_host": {fetches}, "adaptive": False,
                "retries": 0, "timeout": 30, "robots": False}}
    start_urls = [f"{url}{{n}}" for n in range({fetches})]

    def parse(self, response):
        yield {{"allowed": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}}
"""


async def test_a_low_limit_is_raised_for_many_fetches_at_once(project: Project) -> None:
    everybody = asyncio.Event()

    async def wait_for_all(_: Request) -> str:
        if site.in_flight == FETCHES:
            everybody.set()
        await everybody.wait()
        return page(0)

    async with serve({f"/{n}": wait_for_all for n in range(FETCHES)}) as site:
        hard = files_needed(FETCHES, 1) + 1000
        spider = SPIDER.format(soft=128, hard=hard, fetches=FETCHES, url=site.url)
        project.write("spiders/many.py", spider)
        result = await project.crawler("run", "many", "--json")
    assert result.json["done"] == FETCHES
    allowed = f'{{"allowed":{files_needed(FETCHES, 1)}}}'
    assert project.rows("SELECT DISTINCT data FROM item", "data/many.db") == [(allowed,)]
    assert "files may be open" not in result.err


async def test_a_limit_that_is_enough_stays(project: Project) -> None:
    async with serve({"/0": page(0)}) as site:
        spider = SPIDER.format(soft=512, hard=2048, fetches=1, url=site.url)
        project.write("spiders/many.py", spider)
        result = await project.crawler("run", "many", "--json")
    assert result.json["done"] == 1
    assert project.rows("SELECT data FROM item", "data/many.db") == [('{"allowed":512}',)]


async def test_a_system_that_does_not_allow_enough_is_told_of(project: Project) -> None:
    async with serve({f"/{n}": page(n) for n in range(FETCHES)}) as site:
        spider = SPIDER.format(soft=128, hard=200, fetches=FETCHES, url=site.url)
        project.write("spiders/many.py", spider)
        result = await project.crawler("run", "many", "--json")
    assert result.json["finish"] == "finished"
    assert result.err.startswith(
        "no more than 200 files may be open, and so many fetches at once may need 752: "
    )


async def test_a_program_has_its_limit_as_it_was(crawl) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serve({"/": page(0)}) as site:
        spider = type(
            "S", (crawler.Spider,), {"name": "s", "start_urls": [site.url], "parse": lambda *_: []}
        )
        await crawl(spider, concurrency=10_000)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@pytest.mark.parametrize("concurrency", [1, 32, 300, 1_000, 2_000, 10_000])
def test_what_is_needed_leaves_room_beside_the_connections_that_are_kept(concurrency: int) -> None:
    files = files_needed(concurrency, 4)
    kept = 2 * min(512, files // 8)
    assert 256 + 4 * 8 <= files - kept - concurrency <= 256 + 4 * 8 + 4
