"""`crawler run`: what it shows, what it leaves, and how it ends."""

import asyncio
import json
import socket
import sys
from typing import Any

import pytest

from tests.crawler.cli.project import ENVIRONMENT, Project, page, shop_pages
from tests.site import serve


async def test_a_finished_run_ends_with_0_and_a_summary(project: Project) -> None:
    async with serve(shop_pages(9)) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop")
    assert result.status == 0
    assert "shop, run 1: finished" in result.out
    assert "10 done, 0 failed" in result.out
    assert "9 of 10     90%" in result.out  # the price
    for phase in ("queue", "ttfb", "body", "parse", "elapsed"):
        assert phase in result.out
    assert "crawler query shop 'SELECT * FROM latest_page LIMIT 5'" in result.out
    assert "crawler export shop -o shop.csv" in result.out
    assert "\x1b" not in result.out


async def test_the_commands_to_try_next_work(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        first = await project.crawler("run", "spiders/shop.py", "--db", "my crawl.db")
    commands = [line.strip() for line in first.out.splitlines() if line.startswith("  crawler ")]
    assert len(commands) == 2
    for command in commands:
        process = await asyncio.create_subprocess_shell(
            command.replace("crawler", f"{sys.executable} -m crawler", 1),
            cwd=project.path,
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0, command
    assert (project.path / "shop.csv").is_file()


async def test_json_is_the_last_line_and_logs_go_elsewhere(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop", "--json", "--log-format", "json")
    assert len(result.out.splitlines()) == 1
    expected = {"spider": "shop", "run": 1, "finish": "finished", "done": 4, "failed": 0}
    expected |= {"skipped": 0, "queued": 0, "items": 4, "db": "data/shop.db"}
    assert expected.items() <= result.json.items()
    assert result.json["seconds"] > 0
    logged = [json.loads(line) for line in result.err.splitlines()]
    assert len(logged) == 4
    for entry in logged:
        assert list(entry)[:4] == ["timestamp", "level", "logger", "event"]
        assert entry["event"].startswith("got http://127.0.0.1:")
        assert (entry["level"], entry["spider"]) == ("info", "shop")
        assert entry["size"] > 0


async def test_log_options_may_stand_before_or_after_the_command(project: Project) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        before = await project.crawler("--log-level", "warning", "run", "shop")
        after = await project.crawler("run", "shop", "--fresh", "--log-level", "warning")
    assert "got http" not in before.err + after.err


async def test_arguments_and_settings_reach_the_spider(project: Project) -> None:
    async with serve(shop_pages(5)) as site:
        project.shop("http://127.0.0.1:1/")
        result = await project.crawler(
            *("run", "shop", "--json", "-a", f"start_urls={site.url}"), "--set", "retries=0"
        )
        # Text is a sequence too: the spider must take its argument apart itself.
        assert result.status == 2
        project.write("config.toml", "max_depth = 0\n")
        project.shop(site.url)
        result = await project.crawler("run", "shop", "--json", "--fresh")
    assert (result.json["done"], result.json["skipped"]) == (1, 5)


async def test_items_are_exported_at_the_end(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop", "-o", "pages.jsonl")
    assert result.status == 0
    assert "wrote 4 rows to pages.jsonl" in result.err
    records = [json.loads(line) for line in (project.path / "pages.jsonl").read_text().splitlines()]
    assert {record["title"] for record in records} == {f"page {n}" for n in range(4)}


async def test_a_wrong_suffix_is_told_before_anything_is_fetched(project: Project) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop", "-o", "pages.xlsx")
        assert not site.hits
    assert "cannot export to pages.xlsx: name it .csv, .jsonl or .parquet" in result.error
    assert result.status == 2


async def test_a_limit_ends_with_0_and_says_how_to_go_on(project: Project) -> None:
    async with serve(shop_pages(30)) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop", "--set", "max_pages=5", "--set", "retries=0")
        again = "crawler run shop --set max_pages=5 --set retries=0"
        assert result.status == 0
        assert f"go on with: {again}" in result.err
        second = await project.crawler("run", "shop", "--json")
    assert "resuming run 1 of shop: " in second.err
    assert second.json["done"] == 31


async def test_a_new_run_after_a_finished_one_is_told(project: Project) -> None:
    async with serve(shop_pages(1)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop")
        result = await project.crawler("run", "shop", "--json")
    assert "run 1 of shop is finished: starting a new run" in result.err
    assert result.json["run"] == 2


async def test_no_items_and_no_table_for_them_is_no_error(project: Project) -> None:
    text = "from crawler import Spider\n\nclass Mute(Spider):\n    name = 'mute'\n"
    async with serve({"/": page(0)}) as site:
        text += f"    start_urls = [{site.url!r}]\n    def parse(self, response): return []\n"
        project.write("spiders/mute.py", text)
        result = await project.crawler("run", "mute", "-o", "items.csv")
    assert result.status == 0
    assert "no items: items.csv is not written" in result.err


async def test_1_when_every_start_url_failed(project: Project) -> None:
    async with serve({}) as site:
        project.shop(site.url)
        result = await project.crawler("run", "shop", "--json", "-o", "pages.csv")
    assert result.status == 1
    assert "wrote 0 rows to pages.csv" in result.err
    assert (result.json["finish"], result.json["failed"]) == ("finished", 1)
    assert "every start URL failed" in result.err


async def test_a_host_that_cannot_be_reached_is_told_and_what_to_do(project: Project) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(30)]
        text = "from crawler import Spider\n\nclass Dead(Spider):\n    name = 'dead'\n"
        text += f"    start_urls = {urls!r}\n    def parse(self, response): return []\n"
        project.write("spiders/dead.py", text)
        command = ("run", "dead", "--set", "backoff=0.001", "--set", "robots=false")
        result = await project.crawler(*command)
    told = f"127.0.0.1:{port} rests: it does not answer, and 30 requests wait for it"
    assert result.status == 1
    assert f"{told}; run again when it is up" in result.out
    assert "hosts that do not answer rest: 30 queued; go on with: " in result.err
    assert "crawler: error: no start URL could be reached: " in result.err
    status = await project.crawler("status", "dead")
    assert told in status.out
    answer = (await project.crawler("status", "dead", "--json")).json
    assert answer["resting"] == {f"127.0.0.1:{port}": 30}


BAD = """from crawler import Spider

class Bad(Spider):
    name = "bad"

    async def start(self):
        raise KeyError("x")
        yield
"""


async def test_1_when_the_run_itself_failed(project: Project) -> None:
    project.write("spiders/bad.py", BAD)
    result = await project.crawler("--log-level", "error", "run", "bad")
    assert "error: KeyError: 'x', at spiders/bad.py:7 (run again with -v" in result.error
    assert result.status == 1
    assert project.rows("SELECT finish FROM crawl_run", "data/bad.db") == [("failed",)]
    verbose = await project.crawler("run", "bad", "-v")
    assert "Traceback" in verbose.err


HALF = """
import asyncio

from crawler import Item, Request, Spider

class Page(Item):
    url: str

class Half(Spider):
    name = "half"
    came = asyncio.Event()

    async def start(self):
        yield Request("{url}")
        await self.came.wait()
        {then}

    def parse(self, response):
        self.came.set()
        yield Page(url=response.url)
"""


@pytest.mark.parametrize(
    ("then", "said", "status"),
    [
        ("raise KeyError('x')", "KeyError: 'x'", 1),
        ("yield Request('/relative')", "start request of half: not an absolute URL", 2),
    ],
    ids=["raises", "no request"],
)
async def test_json_is_printed_when_the_run_itself_failed(
    then: str, said: str, status: int, project: Project
) -> None:
    async with serve({"/": "x"}) as site:
        project.write("spiders/half.py", HALF.format(url=site.url, then=then))
        result = await project.crawler("--log-level", "error", "run", "half", "--json")
    assert said in result.error
    assert result.status == status
    assert {"spider": "half", "run": 1, "finish": "failed"}.items() <= result.json.items()
    done = "SELECT count(*) FROM crawl_request WHERE state = 'done'"
    assert project.rows(done, "data/half.db") == [(result.json["done"],)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "shpo"], "no spider 'shpo' in spiders/: did you mean 'shop'?"),
        (["run", "nowhere.py"], "there is no file nowhere.py"),
        (["run", "shop", "--set", "concurency=3"], "did you mean 'concurrency'"),
        (["run", "shop", "--set", "concurrency=many"], "concurrency"),
        (["run", "shop", "-a", "parse=1"], "'parse'"),
        (["run", "shop", "-a", "start_urls=http://127.0.0.1:1/"], "start_urls of shop is text"),
        (["run", "shop", "-a", "allowed_domains=localhost"], "allowed_domains of shop is text"),
        (["run", "shop", "--db", "."], "is a directory"),
        (["fetch", "example.com"], "did you mean https://example.com ?"),
        (["fetch", "ftp://example.com/"], "is not an http or https URL"),
        (["shell", "http://[/"], "crawler: error: "),
        (["status", "shop"], "data/shop.db does not exist: run the spider first"),
        (["query", "nothing"], "no spider 'nothing' in spiders/"),
        (["export", "shop", "-o", "x.csv"], "data/shop.db does not exist"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(
    project: Project, arguments: list[str], said: str
) -> None:
    project.shop("http://127.0.0.1:1/")
    result = project.here(*arguments)
    assert said in result.error
    assert result.status == 2
    assert not (project.path / "data").exists()


async def test_2_for_an_environment_that_sets_nonsense(project: Project) -> None:
    project.shop("http://127.0.0.1:1/")
    result = await project.crawler("run", "shop", CRAWLER_CONCURENCY="3")
    assert "concurency" in result.error
    assert result.status == 2


async def test_2_for_other_arguments_than_those_of_the_unfinished_run(project: Project) -> None:
    async with serve(shop_pages(9)) as site:
        project.shop(site.url)
        await project.crawler("run", "shop", "-a", "tag=a", "--set", "max_pages=1")
        result = await project.crawler("run", "shop", "-a", "tag=b")
        assert "run 1 of shop is unfinished and was begun with -a tag=a" in result.error
        assert result.status == 2
        fresh = await project.crawler("run", "shop", "-a", "tag=b", "--fresh", "--json")
    assert "run 1 of shop is left with" in fresh.err
    assert (fresh.status, fresh.json["run"]) == (0, 2)


async def test_75_when_another_run_holds_the_file(project: Project) -> None:
    gate = asyncio.Event()

    async def hold(_: Any) -> str:
        await gate.wait()
        return page(1)

    async with serve({"/": page(0, "/1"), "/1": hold}) as site:
        project.shop(site.url)
        first = await project.start("run", "shop", "--log-level", "error")
        await project.until_done(1)
        result = await project.crawler("run", "shop")
        assert f"in use by another run (process {first.pid})" in result.error
        assert result.status == 75
        gate.set()
        await first.communicate()
    assert first.returncode == 0


async def test_75_when_the_file_cannot_be_made(project: Project) -> None:
    project.shop("http://127.0.0.1:1/")
    project.write("data", "a file where the directory should be")
    result = await project.crawler("run", "shop")
    assert "cannot write beside data/shop.db" in result.error
    assert result.status == 75


async def test_a_damaged_file_is_told_in_one_line(project: Project) -> None:
    project.shop("http://127.0.0.1:1/")
    project.write("data/shop.db", "no database at all, " * 100)
    result = await project.crawler("run", "shop")
    assert "not an SQLite file" in result.error
    assert result.status in (2, 75)


TWO_TABLES = """from crawler import Item, Request, Spider

class Skill(Item):
    name: str

class Job(Item):
    title: str
    skills: list[Skill]

class Company(Item):
    name: str

class Board(Spider):
    name = "board"
    url = ""

    async def start(self):
        yield Request(self.url)

    def parse(self, response):
        yield Job(title="cook", skills=[Skill(name="soup")])
        yield Company(name="inn")
"""


async def test_csv_of_several_tables_is_a_file_for_each(project: Project) -> None:
    project.write("spiders/board.py", TWO_TABLES)
    async with serve({"/": "hello"}) as site:
        result = await project.crawler("run", "board", "-a", f"url={site.url}", "-o", "out.csv")
    assert result.status == 0
    assert "wrote 1 row to out.job.csv; wrote 1 row to out.company.csv" in result.err or (
        "wrote 1 row to out.company.csv; wrote 1 row to out.job.csv" in result.err
    )


async def test_an_item_that_is_only_part_of_others_has_no_table(project: Project) -> None:
    project.write("spiders/board.py", TWO_TABLES)
    async with serve({"/": "hello"}) as site:
        await project.crawler("run", "board", "-a", f"url={site.url}")
    tables = project.rows("SELECT DISTINCT name FROM crawl_table ORDER BY 1", "data/board.db")
    assert tables == [("company",), ("job",)]
