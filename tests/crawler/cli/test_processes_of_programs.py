"""A program that crawls in several processes: children find its spider, or it is told why not."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.crawler.cli.project import ENVIRONMENT, PATIENCE, Project, shop_pages
from tests.site import serve

PROGRAM = """
import asyncio, sys
import crawler

class Page(crawler.Item):
    path: str

class Mine(crawler.Spider):
    name = "mine"
    start_urls = [{url!r}]

    def parse(self, response):
        yield Page(path=response.url)
        yield from response.follow_all("a")

def main():
    result = asyncio.run(crawler.run(Mine, db="p.db", processes=2, robots=False))
    print(result.done, result.finish)

{call}
"""


async def program(
    project: Project, *arguments: str, typed: str = ""
) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=project.path,
        env=ENVIRONMENT,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate(typed.encode())
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("way", [["program.py"], ["-m", "program"]])
async def test_a_program_may_hold_its_spider_itself(project: Project, way: list[str]) -> None:
    async with serve(shop_pages(5)) as site:
        call = 'if __name__ == "__main__":\n    main()'
        project.write("program.py", PROGRAM.format(url=site.url, call=call))
        assert await program(project, *way) == (0, "6 finished\n", "")


async def test_a_program_that_crawls_when_it_is_imported_is_told_what_to_do(
    project: Project,
) -> None:
    async with serve(shop_pages(5)) as site:
        project.write("program.py", PROGRAM.format(url=site.url, call="main()"))
        status, _, err = await program(project, "program.py")
    assert status == 1
    last = err.splitlines()[-1]
    assert "SpiderError" in last
    assert '`if __name__ == "__main__":`' in last


async def test_so_is_one_that_does_it_in_a_thread(project: Project) -> None:
    call = "import concurrent.futures as f; f.ThreadPoolExecutor().submit(main).result()"
    async with serve(shop_pages(5)) as site:
        project.write("program.py", PROGRAM.format(url=site.url, call=call))
        status, _, err = await program(project, "program.py")
    assert status == 1
    assert '`if __name__ == "__main__":`' in err.splitlines()[-1]


async def test_a_spider_that_only_the_program_itself_makes_is_told(project: Project) -> None:
    call = """if __name__ == "__main__":
    class Other(Mine):
        name = "other"
    Mine = Other
    main()"""
    async with serve(shop_pages(5)) as site:
        project.write("program.py", PROGRAM.format(url=site.url, call=call))
        status, _, err = await program(project, "program.py")
    assert status == 1
    assert "Other is not there when" in err.splitlines()[-1]
    assert "define it at the top of the module" in err.splitlines()[-1]


TYPED = PROGRAM.format(url="http://127.0.0.1:1/", call="main()")


@pytest.mark.parametrize(("way", "typed"), [(["-c", TYPED], ""), (["-"], TYPED)])
async def test_a_spider_that_was_typed_in_is_refused(
    project: Project, way: list[str], typed: str
) -> None:
    status, _, err = await program(project, *way, typed=typed)
    assert status == 1
    assert "was typed in: put it into a file" in err.splitlines()[-1]
    assert not Path(project.path / "p.db").exists()
