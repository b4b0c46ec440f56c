"""What the command line says of an unexpected error: where in the user's code it was raised."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import crawler
from tests.crawler.cli.project import ENVIRONMENT, SHOP, Project, page
from tests.site import serve

ROOT = Path(crawler.__file__).parent.parent

SPIDER = """from pathlib import Path
import json
from crawler import Spider

class Bad(Spider):
    name = "bad"

    async def start(self):
        {statement}
        yield
"""


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("Path('nope').read_text()", "FileNotFoundError: "),
        ("json.loads('x')", "JSONDecodeError: "),
        ("await __import__('asyncio').wait_for(None, 1)", "TypeError: "),
    ],
)
async def test_the_users_line_is_named_and_not_the_one_in_python_that_it_called(
    project: Project, statement: str, said: str
) -> None:
    project.write("spiders/bad.py", SPIDER.format(statement=statement))
    result = await project.crawler("--log-level", "error", "run", "bad")
    assert said in result.error
    assert ", at spiders/bad.py:9 (run again with -v" in result.error


async def test_a_line_from_a_pipe_is_the_users(project: Project) -> None:
    async with serve({"/": page(0)}) as site:
        result = await project.crawler("shell", site.url, stdin="import json\n\njson.loads('x')")
    assert "JSONDecodeError: " in result.error
    assert ", at <stdin>:3 (run again with -v" in result.error


def test_no_line_is_named_where_none_is_the_users(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.cli.project.find_spiders", partial(json.loads, "x"))
    said = project.here("list").error
    assert "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (run again with -v" in said


def test_a_working_directory_that_was_removed_is_told(project: Project) -> None:
    spider = project.write("shop.py", SHOP.format(url="http://127.0.0.1:9/"))
    gone = project.path / "gone"
    gone.mkdir()
    command = ["-m", "crawler", "run", str(spider), "--db", str(project.path / "x.db")]
    done = subprocess.run(
        ["sh", "-c", 'rmdir ../gone; exec "$@"', "sh", sys.executable, *command],
        cwd=gone,
        env=ENVIRONMENT | {"PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    said = "crawler: error: the working directory is not there any more: cd to one that is\n"
    assert (done.returncode, done.stderr) == (2, said)
