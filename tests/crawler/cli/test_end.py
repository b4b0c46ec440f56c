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
