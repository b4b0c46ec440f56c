"""From typing `crawler run` to the first request on the wire.

    make bench-start

A small spider in ./spiders and a file that is not there yet. A bare socket notes when the first
bytes of a request come, which are those of robots.txt, and when the first of a page. The command
runs fifteen times by the spider's name and by its file's path, in turns; everything is in the
file cache after the first run, which does not count.

How fast the machine is shows in two others beside it: the bare loop of `make bench`, and the bare
loop after what else a spider is written with and started by: a model of pydantic's, and click.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

TIMES = 15
ALLOWED = 0.4  # seconds to the first request

SPIDER = """
from crawler import Item, Spider


class Page(Item):
    url: str
    title: str


class Small(Spider):
    name = "small"
    start_urls = ["http://127.0.0.1:{port}/"]

    def parse(self, response):
        yield Page(url=response.url, title=response.css("title::text").get())
        yield from response.follow_all("a")
"""

LOOP = Path(__file__).parent / "compare" / "contestants" / "bare_loop.py"
_WITH_THEIRS = (
    "import click, pydantic, runpy, sys; del sys.argv[0]; "
    "pydantic.create_model('Page', url=(str, ...), title=(str, ...)); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
_PAGE = b"<!doctype html><title>One page</title><h1>One page</h1>"


class Heard(NamedTuple):
    """Seconds from the start of the command."""

    request: float
    page: float
    end: float
    cpu: float  # seconds of a core until the first request: a busy machine changes it less


def cpu_of(pid: int) -> float:
    """Return the seconds of a core that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answer(connection: socket.socket, pid: int) -> tuple[float, float, float | None]:
    """Serve one connection; returns when its first bytes came, after how much CPU, and when
    those of a page did.
    """
    first = page = None
    cpu = 0.0
    with connection:
        while head := connection.recv(65536):
            if first is None:
                first, cpu = time.perf_counter(), cpu_of(pid)
            if head.startswith(b"GET /robots.txt"):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            page = time.perf_counter()
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE)
            )
            break
    if first is None:
        raise ConnectionError("a connection without a request")
    return first, cpu, page


def once(listening: socket.socket, command: list[str], folder: Path) -> Heard:
    """Run the command once, in the project's folder, and note what comes."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "loop.db").unlink(missing_ok=True)
    began, request, page, cpu = time.perf_counter(), None, None, 0.0
    # With byte code kept, as anybody has it who did not switch that off.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while page is None:
        first, spent, page = answer(listening.accept()[0], process.pid)
        if request is None:
            request, cpu = first, spent
    process.wait()
    end = time.perf_counter()
    assert request is not None
    return Heard(request - began, page - began, end - began, cpu)


def ways_to_start(port: int, folder: Path) -> dict[str, list[str]]:
    """Return the commands by their names; those of the crawler come first."""
    program = shutil.which("crawler", path=str(Path(sys.executable).parent))
    assert program is not None
    (folder / "spiders").mkdir()
    (folder / "spiders" / "small.py").write_text(SPIDER.format(port=port))
    loop = [str(LOOP), f"http://127.0.0.1:{port}/", str(folder / "loop.db")]
    return {
        "crawler run small": [program, "run", "small", "--json"],
        "crawler run spiders/small.py": [program, "run", "spiders/small.py", "--json"],
        "bare loop": [sys.executable, *loop],
        "bare loop, a model and click": [sys.executable, "-c", _WITH_THEIRS, *loop],
    }


def main() -> int:
    """Run everything and print the table; 1 when the median is over what is allowed."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30.0)
        ways = ways_to_start(listening.getsockname()[1], Path(name))
        starts: dict[str, list[Heard]] = {way: [] for way in ways}
        for turn in range(TIMES + 1):
            for way, command in ways.items():
                heard = once(listening, command, Path(name))
                if turn:
                    starts[way].append(heard)
    print("| command | first request, s | best | worst | CPU, s | first page | whole run |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    medians: list[float] = []
    for way, all_heard in starts.items():
        request, page, end, cpu = (statistics.median(each) for each in zip(*all_heard, strict=True))
        medians.append(request)
        print(
            f"| {way} | {request:.3f} | {min(all_heard).request:.3f} "
            f"| {max(all_heard).request:.3f} | {cpu:.2f} | {page:.3f} | {end:.3f} |"
        )
    by_name, by_path, loop, loop_and_theirs = medians
    slowest = max(by_name, by_path)
    print(
        f"\nfirst request on the wire within {slowest:.2f} s (at most {ALLOWED}), "
        f"{slowest / loop:.2f} times the bare loop's, "
        f"{slowest / loop_and_theirs:.2f} times that with a model and click"
    )
    return 0 if slowest <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
