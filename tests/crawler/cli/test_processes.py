"""`crawler run --processes N`: signals, what it says, and that no process is left."""

import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crawler.prefork import forked
from crawler.selftest.killing import children_of
from tests.crawler.cli.project import PATIENCE, Project, page, shop_pages
from tests.site import serve

QUIET = ["--log-level", "warning"]

# Says on standard output which page it is at; on /busy it goes on for ever, in C code.
BUSY = """
import re, sys
from crawler import Item, Spider

class Page(Item):
    path: str

class Busy(Spider):
    name = "busy"
    start_urls = [{url!r}]
    settings = {{"robots": False}}

    def parse(self, response):
        if response.url.endswith("/busy"):
            open("busy", "w").close()
            re.match("(a+)+$", "a" * 64 + "b")  # holds the interpreter meanwhile
        print("at", response.url)
        yield Page(path=response.url)
        yield from response.follow_all("a")
"""


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def half_a_site(project: Project) -> AsyncIterator[asyncio.Event]:
    """A site whose second half answers when the gate is open."""
    gate = asyncio.Event()

    async def held(_: Any) -> str:
        await gate.wait()
        return "x"

    paths = [f"/{n}" for n in range(1, 31)]
    pages: dict[str, Any] = {"/": page(0, *paths)}
    pages |= dict.fromkeys(paths[:15], "x") | dict.fromkeys(paths[15:], held)
    async with serve(pages) as site:
        project.shop(site.url)
        yield gate
        gate.set()


async def test_it_says_the_same_as_one_process(project: Project) -> None:
    async with serve(shop_pages(20)) as site:
        project.shop(site.url)
        told = []
        for number in ("1", "2"):
            out = await project.crawler(
                *("run", "shop", "--json", "--processes", number, "--db", f"{number}.db", *QUIET)
            )
            assert (out.status, out.err) == (0, "")
            told.append(out.json)
    for one, two in zip(told[0].items(), told[1].items(), strict=True):
        if one[0] not in ("seconds", "db", "pages_per_second", "phases"):
            assert one == two


POLICY = """
import os
from crawler import Item, Request, Spider

class Policy(Item):
    pid: int
    policy: int

class Policies(Spider):
    name = "policies"
    url = ""

    async def start(self):
        yield Request(self.url, meta={"of": [os.getpid(), os.sched_getscheduler(0)]})

    def parse(self, response):
        pid, policy = response.meta["of"]
        yield Policy(pid=pid, policy=policy)
        yield Policy(pid=os.getpid(), policy=os.sched_getscheduler(0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")
@pytest.mark.parametrize(
    ("given", "policy"), [(["--processes", "2"], "SCHED_BATCH"), ([], "SCHED_OTHER")]
)
async def test_processes_that_share_cores_do_not_interrupt_each_other(
    project: Project, given: list[str], policy: str
) -> None:
    project.write("spiders/policies.py", POLICY)
    async with serve(shop_pages(1)) as site:
        result = await project.crawler("run", "policies", "-a", f"url={site.url}", *given)
    assert result.status == 0
    rows = project.rows("SELECT pid, policy FROM policy", "data/policies.db")
    assert len({pid for pid, _ in rows}) == (2 if given else 1)
    assert {found for _, found in rows} == {getattr(os, policy)}


@pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")
@pytest.mark.parametrize("unknown", ["sched_getscheduler", "sched_setscheduler"])
def test_a_system_without_that_policy_has_processes_all_the_same(
    monkeypatch: pytest.MonkeyPatch, unknown: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, unknown, refuse)
    with forked(0):
        pass


async def test_python_has_nothing_to_warn_of_in_any_process(project: Project) -> None:
    async with serve(shop_pages(5)) as site:
        project.shop(site.url)
        done = await project.crawler(
            *("run", "shop", "--json", "--processes", "2", *QUIET), PYTHONWARNINGS="error"
        )
    assert (done.status, done.err) == (0, "")


async def test_what_callbacks_log_and_print_comes_out_as_ever(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        logged = await project.crawler(
            *("run", "shop", "--processes", "2", "--log-format", "json", "--json")
        )
        project.write("spiders/busy.py", BUSY.format(url=site.url))
        printed = await project.crawler("run", "busy", "--processes", "2", "--json", *QUIET)
    lines = [json.loads(line) for line in logged.err.splitlines()]
    got = [line for line in lines if line["logger"] == "crawler.spider"]
    assert sorted(line["event"] for line in got) == sorted(
        f"got {site.url}{n}" for n in ("", "1", "2", "3")
    )
    assert all(line["spider"] == "shop" and line["level"] == "info" for line in got)
    *before, last = printed.out.splitlines()
    assert sorted(before) == sorted(f"at {site.url}{n}" for n in ("", "1", "2", "3"))
    assert json.loads(last)["done"] == 4


@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_lines_of_several_processes_stay_whole(project: Project, unbuffered: str) -> None:
    # Without a buffer Python writes what `print` is given in pieces.
    async with serve(shop_pages(200)) as site:
        project.write("spiders/busy.py", BUSY.format(url=site.url))
        done = await project.crawler(
            *("run", "busy", "--processes", "2", "--json", *QUIET), PYTHONUNBUFFERED=unbuffered
        )
    assert sorted(done.out.splitlines()[:-1]) == sorted(
        f"at {site.url}{n}" for n in ("", *range(1, 201))
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_all_its_processes_stops_it_in_good_order(
    project: Project, number: signal.Signals
) -> None:
    async with half_a_site(project) as gate:
        process = await project.start(
            *("run", "shop", "--db", "c.db", "--json", "--processes", "2", "--set", "grace=0.1"),
            *QUIET,
        )
        await project.until_done(16, "c.db")
        for pid in (*children_of(process.pid), process.pid):
            os.kill(pid, number)  # as systemd does
        out, err = await process.communicate()
        assert process.returncode == 128 + number
        assert b"Traceback" not in err
        assert json.loads(out.splitlines()[-1])["finish"] == "stopped"
        assert not children_of(process.pid)
        gate.set()
        again = await project.crawler("run", "shop", "--db", "c.db", "--json", "--processes", "2")
    assert again.json["finish"] == "finished"
    assert again.json["done"] == again.json["items"] == 31


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_a_child_that_is_being_started_does_nothing(
    project: Project, number: signal.Signals
) -> None:
    async with serve(shop_pages(7)) as site:
        project.shop(site.url)
        process = await project.start("run", "shop", "--json", "--processes", "2", *QUIET)
        told: set[int] = set()
        async with asyncio.timeout(PATIENCE):
            while len(told) < 2:
                for pid in set(children_of(process.pid)) - told:
                    os.kill(pid, number)
                    told.add(pid)
                await asyncio.sleep(0)
        out, err = await process.communicate()
    assert err == b""
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["done"] == 8


async def test_a_second_signal_ends_it_at_once_with_its_children(project: Project) -> None:
    async with half_a_site(project):
        process = await project.start(
            "run", "shop", "--db", "c.db", "--processes", "2", "--set", "grace=100", *QUIET
        )
        await project.until_done(16, "c.db")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"stopping" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 128 + signal.SIGINT
        await until(lambda: not children_of(process.pid))


DYING = """
import os
from crawler import Spider

with open(f"loaded-{{os.getpid()}}", "w") as file:
    file.write(str(os.getppid()))

class Dying(Spider):
    name = "dying"
    start_urls = [{url!r}]

    def parse(self, response):
        yield {{"by": os.getpid()}}
        if not os.listdir("crashed"):
            os.mkdir("crashed/once")
            os.kill(os.getpid(), 9)
        yield from response.follow_all("a")
"""


async def test_each_process_loads_the_spider_and_one_that_dies_is_replaced(
    project: Project,
) -> None:
    (project.path / "crashed").mkdir()
    async with serve(shop_pages(30)) as site:
        project.write("spiders/dying.py", DYING.format(url=site.url))
        process = await project.start("run", "dying", "--processes", "2", "--db", "c.db", *QUIET)
        assert await process.wait() == 0
    by = {json.loads(data)["by"] for (data,) in project.rows("SELECT data FROM item", "c.db")}
    files = project.path.glob("loaded-*")
    loaded = {int(file.name.partition("-")[2]): int(file.read_text()) for file in files}
    assert loaded.pop(process.pid) == os.getpid()
    assert set(loaded.values()) == {process.pid}
    assert len(loaded) >= 3  # two, and the one that took the place of one of them
    assert by <= set(loaded)
    assert project.rows("SELECT count(*) FROM item", "c.db") == [(31,)]


async def test_processes_that_wait_end_with_a_command_that_begins_no_crawl(
    project: Project,
) -> None:
    project.write("spiders/broken.py", "import time\nopen('here', 'w').close()\ntime.sleep(100)")
    process = await project.start("run", "spiders/broken.py", "--processes", "2", *QUIET)
    await until((project.path / "here").exists)
    assert len(children_of(process.pid)) == 2
    process.send_signal(signal.SIGINT)
    await process.wait()
    await until(lambda: not children_of(process.pid))


async def test_no_child_outlives_an_owner_that_is_killed_even_a_busy_one(
    project: Project,
) -> None:
    pages = {"/": page(0, "/1", "/busy"), "/1": "x", "/busy": "x"}
    async with serve(pages) as site:
        project.write("spiders/busy.py", BUSY.format(url=site.url))
        process = await project.start("run", "busy", "--processes", "2", "--db", "c.db", *QUIET)
        await until((project.path / "busy").exists)
        assert len(children_of(process.pid)) == 2
        process.kill()
        await process.wait()
        await until(lambda: not children_of(process.pid))
        spider = project.path / "spiders/busy.py"
        spider.write_text(spider.read_text().replace("re.match", "# "))
        again = await project.crawler("run", "busy", "--processes", "2", "--db", "c.db", "--json")
    assert again.json["done"] == again.json["items"] == 3


@pytest.mark.parametrize("number", ["0", "-3", "many", "1000"])
def test_an_impossible_number_is_one_line(project: Project, number: str) -> None:
    project.shop("http://127.0.0.1:1/")
    result = project.here("run", "shop", "--processes", number)
    assert result.status == 2
    assert "processes" in result.error
    assert not (project.path / "data").exists()


async def test_a_spider_that_loads_here_but_not_in_a_child_is_one_line(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        file = project.path / "spiders/shop.py"
        file.write_text("import sys\nif sys.argv[0] == '-': pass\n" + file.read_text())
        file.write_text(
            "import threading\n"
            "if any(t.name == 'owner' for t in threading.enumerate()):\n"
            "    raise RuntimeError('not here')\n" + file.read_text()
        )
        result = await project.crawler("run", "shop", "--processes", "2", *QUIET)
    assert result.status == 2
    assert "not here" in result.error


async def test_a_child_that_dies_as_it_loads_the_spider_ends_the_run(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        file = project.path / "spiders/shop.py"
        file.write_text(
            "import os, threading\n"
            "if any(t.name == 'owner' for t in threading.enumerate()):\n"
            "    os._exit(7)\n" + file.read_text()
        )
        result = await project.crawler("run", "shop", "--processes", "2", "--log-level", "error")
    assert result.status == 1
    assert "ended with status 7" in result.error
