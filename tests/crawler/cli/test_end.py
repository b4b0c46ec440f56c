"""The process ends at once, but not before all is done that is done at an end."""

from tests.crawler.cli.project import Project

SPIDER = """
import atexit, os, sys, threading
from crawler import Spider

class Ends(Spider):
    name = "ends"
    async def start(self):
        threading.Thread(target=self.later).start()
        atexit.register(print, "called at exit")
        return
        yield

    def later(self):
        threading.main_thread().join()
        print("a thread's last word")

class Freed:
    def __del__(self, write=os.write):
        write(2, b"freed by itself")

sys.kept = Freed()
"""


async def test_what_is_left_is_not_freed_piece_by_piece(project: Project) -> None:
    project.write("spiders/ends.py", SPIDER)
    result = await project.crawler("run", "ends")
    assert result.status == 0
    assert "freed" not in result.err


async def test_threads_end_and_functions_are_called_and_the_output_is_written(
    project: Project,
) -> None:
    project.write("spiders/ends.py", SPIDER)
    result = await project.crawler("run", "ends")
    assert result.out.splitlines()[-2:] == ["a thread's last word", "called at exit"]


async def test_what_cannot_be_written_at_the_end_is_told(project: Project) -> None:
    full = (
        SPIDER.replace('register(print, "called at exit")', "register(self.say)")
        + """
def say():
    sys.stdout = open("/dev/full", "w")
    print("called at exit")

Ends.say = staticmethod(say)
"""
    )
    project.write("spiders/ends.py", full)
    result = await project.crawler("run", "ends")
    assert result.status == 120  # Python's own
    assert "No space left" in result.err


FILES = """
import subprocess, tempfile
from crawler import Spider

OF_MODULE = open("module.txt", "w")
OF_CLASS = tempfile.NamedTemporaryFile(dir=".", prefix="temporary")

class Keeps(Spider):
    name = "keeps"

    def __init__(self):
        super().__init__()
        self.file = open("spider.txt", "w")

    async def start(self):
        self.file.write("of the spider")
        OF_MODULE.write("of the module")
        with open("process.txt", "wb") as out:
            self.cat = subprocess.Popen("cat", stdin=subprocess.PIPE, stdout=out)
        self.cat.stdin.write(b"through a process")
        return
        yield
"""


async def test_what_a_spider_wrote_to_files_that_it_left_open_is_in_them(project: Project) -> None:
    project.write("spiders/keeps.py", FILES)
    result = await project.crawler("run", "keeps")
    assert result.status == 0
    assert (project.path / "spider.txt").read_text() == "of the spider"
    assert (project.path / "module.txt").read_text() == "of the module"
    assert (project.path / "process.txt").read_text() == "through a process"
    assert list(project.path.glob("temporary*")) == []
