"""`crawler status`, `query` and `export`: what a crawl left."""

import asyncio
import csv
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet
import pytest
import pytest_asyncio

from tests.crawler.cli.project import Project, page, shop_pages
from tests.site import serve

TWO_TABLES = """
from crawler import Item, Spider

class Book(Item):
    title: str
    blob: bytes

class Author(Item):
    name: str

class Pair(Spider):
    name = "pair"
    start_urls = [{url!r}]
    def parse(self, response):
        for number in range(300):
            yield Book(title=f"\\x1b[31mbook {{number}}", blob=b"\\0\\1")
        yield Author(name="A")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crawls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the finished crawls of two spiders; the tests get copies."""
    project = Project(tmp_path_factory.mktemp("crawls"))
    async with serve(shop_pages(5) | {"/5": page(5, "/gone")}) as site:
        project.shop(site.url)
        project.write("spiders/pair.py", TWO_TABLES.format(url=site.url))
        for name in ("shop", "pair"):
            assert (await project.crawler("run", name)).status == 0
    return project.path


@pytest.fixture
async def crawled(crawls: Path, tmp_path: Path) -> AsyncIterator[Project]:
    """A project with a finished crawl of the shop, where one page is missing, and of `pair`.

    The spider `pair` fills two tables.
    """
    project = Project(Path(shutil.copytree(crawls, tmp_path / "project")))
    yield project
    await project.end()


# ── status ──────────────────────────────────────────────────────────────────────────────────


async def test_status_tells_states_hosts_reasons_items_and_runs(crawled: Project) -> None:
    shown = await crawled.crawler("status", "shop")
    assert shown.status == 0
    assert "shop, run 1: finished at " in shown.out
    assert "6 done, 1 failed, 0 skipped, 0 queued; 6 items" in shown.out
    assert "http_404" in shown.out
    assert "127.0.0.1:" in shown.out
    assert "runs in data/shop.db" in shown.out
    answer = (await crawled.crawler("status", "spiders/shop.py", "--json")).json
    assert answer["reasons"] == {"done": {"": 6}, "failed": {"http_404": 1}}
    assert answer["tables"] == {"page": 6}
    assert answer["coverage"] == {"page": {"title": 6, "price": 5}}
    assert [host["done"] for host in answer["hosts"]] == [6]
    assert [run["finish"] for run in answer["runs"]] == ["finished"]
    assert answer["running"] is False


async def test_status_shows_the_latest_failures(crawled: Project) -> None:
    shown = await crawled.crawler("status", "shop", "--errors")
    assert shown.out.strip().startswith("http_404  http://127.0.0.1:")
    answer = (await crawled.crawler("status", "shop", "--errors", "--json")).json
    assert [failure["reason"] for failure in answer["errors"]] == ["http_404"]


async def test_status_of_a_run_that_is_not_there(crawled: Project) -> None:
    result = await crawled.crawler("status", "shop", "--run", "7")
    assert "there is no run 7" in result.error
    assert result.status == 2


async def test_a_file_of_another_spider_is_told(crawled: Project) -> None:
    result = await crawled.crawler("status", "books", "--db", "data/shop.db")
    assert "no run of books in data/shop.db yet; it has runs of shop" in result.error
    assert result.status == 2


async def test_a_crawls_file_may_be_named_instead_of_its_spider(crawled: Project) -> None:
    (crawled.path / "data/shop.db").rename(crawled.path / "other.db")
    answer = (await crawled.crawler("status", "other.db", "--json")).json
    assert (answer["spider"], answer["db"]) == ("shop", "other.db")
    rows = await crawled.crawler("query", "./other.db", "SELECT count(*) AS n FROM page")
    assert (rows.status, rows.out.split()[-1]) == (0, "6")


# ── query ───────────────────────────────────────────────────────────────────────────────────


async def test_a_crawls_file_that_is_not_there_is_told_as_that(crawled: Project) -> None:
    result = await crawled.crawler("query", "nowhere.db", "SELECT 1")
    assert result.status == 2
    assert result.error == (
        "crawler: error: there is no file nowhere.db, and no spider of that name"
    )


async def test_query_lists_items_first_then_views_then_the_crawls_own(crawled: Project) -> None:
    result = await crawled.crawler("query", "shop", "--format", "csv")
    rows = list(csv.reader(result.out.splitlines()))
    assert rows[:3] == [["table", "rows"], ["page", "6"], ["latest_page", "6"]]
    assert all(name.startswith("crawl_") for name, _ in rows[3:])
    assert ["crawl_request", "7"] in rows


async def test_query_prints_a_table_json_or_csv(crawled: Project) -> None:
    sql = "SELECT title, price FROM page WHERE title IN ('page 1', 'page 2') ORDER BY 1"
    table = await crawled.crawler("query", "shop", sql)
    assert [line.split() for line in table.out.splitlines()[2:]] == [
        ["page", "1", "NULL"],
        ["page", "2", "1.5"],
    ]
    as_json = await crawled.crawler("query", "shop", sql, "--format", "json")
    assert json.loads(as_json.out) == [
        {"title": "page 1", "price": None},
        {"title": "page 2", "price": 1.5},
    ]
    as_csv = await crawled.crawler("query", "shop", sql, "--format", "csv")
    assert as_csv.out == "title,price\r\npage 1,\r\npage 2,1.5\r\n"


async def test_json_keeps_columns_of_one_name_apart_and_bytes_in_base64(crawled: Project) -> None:
    sql = "SELECT 1 AS n, 2 AS n, blob, 9e999 AS big FROM book LIMIT 1"
    result = await crawled.crawler("query", "pair", sql, "--format", "json")
    assert json.loads(result.out) == [{"n": 1, "n_2": 2, "blob": "AAE=", "big": "inf"}]
    nothing = await crawled.crawler("query", "pair", f"{sql[:-1]}0", "--format", "json")
    assert json.loads(nothing.out) == []


async def test_a_table_is_cut_and_says_so_but_csv_is_not(crawled: Project) -> None:
    table = await crawled.crawler("query", "pair", "SELECT _id, title FROM book")
    assert table.out.splitlines()[-1] == "… 100 more rows; --format csv shows all"
    assert len(table.out.splitlines()) == 203
    full = await crawled.crawler("query", "pair", "SELECT _id FROM book", "--format", "csv")
    assert len(full.out.splitlines()) == 301


async def test_what_a_page_said_does_not_steer_the_terminal(crawled: Project) -> None:
    table = await crawled.crawler("query", "pair", "SELECT title FROM book LIMIT 1")
    assert "\\x1b[31mbook 0" in table.out
    assert "\x1b" not in table.out


_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.mark.parametrize(
    "view",
    [
        _ENDLESS,
        "WITH RECURSIVE n(i) AS (SELECT zeroblob(100000000) UNION ALL SELECT i FROM n) "
        "SELECT group_concat(i) FROM n",
        "SELECT 1 FROM what_is_not_there",
    ],
)
async def test_a_view_of_somebody_elses_that_cannot_be_counted_is_listed_without_its_rows(
    crawled: Project, view: str
) -> None:
    with closing(sqlite3.connect(crawled.path / "data" / "shop.db")) as file:
        file.execute(f"CREATE VIEW evil AS {view}")
    async with asyncio.timeout(40):
        listed = await crawled.crawler("query", "shop", "--format", "json")
    rows = {row["table"]: row["rows"] for row in json.loads(listed.out)}
    assert rows["evil"] is None
    assert rows["crawl_run"] == 1


@pytest.mark.parametrize("table", ["crawl_run", "crawl_request", "crawl_table"])
@pytest.mark.parametrize("command", ["query", "status", "export"])
async def test_a_file_whose_own_tables_are_views_is_not_read(
    crawled: Project, command: str, table: str
) -> None:
    with closing(sqlite3.connect(crawled.path / "data" / "shop.db")) as file:
        file.execute("PRAGMA legacy_alter_table = ON")
        file.execute(f"ALTER TABLE {table} RENAME TO moved")
        file.execute(f"CREATE VIEW {table} AS SELECT moved.* FROM moved, ({_ENDLESS})")
    out = ("-o", "x.jsonl") if command == "export" else ()
    async with asyncio.timeout(40):
        done = await crawled.crawler(command, "shop", *out)
    assert done.status == 2
    assert f"has a view '{table}' where a crawl has its own table" in done.err


async def test_a_file_with_triggers_on_its_own_tables_is_not_gone_on_with(crawled: Project) -> None:
    with closing(sqlite3.connect(crawled.path / "data" / "shop.db")) as file:
        file.execute(
            "CREATE TRIGGER evil BEFORE INSERT ON crawl_run BEGIN "
            "DELETE FROM page WHERE _id IN (WITH RECURSIVE n(i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n); END"
        )
    async with asyncio.timeout(40):
        done = await crawled.crawler("run", "shop")
    assert done.status == 2
    assert "has a trigger 'evil'" in done.err


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM page", "no such column: nope"),
        ("SELECT * FROM nope", "no such table: nope (crawler query shop lists the tables)"),
        ("SELEKT 1", "syntax error"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("DELETE FROM page", "a query only reads"),
        ("CREATE TABLE x (y)", "a query only reads"),
        ("CREATE TEMP TABLE x (y)", "a query only reads"),
        ("VACUUM INTO 'copy.db'", "a query only reads"),
        ("ATTACH 'other.db' AS other", "a query only reads"),
    ],
)
def test_a_wrong_query_is_one_line_and_status_2(crawled: Project, sql: str, said: str) -> None:
    before = set(crawled.path.iterdir())
    result = crawled.here("query", "shop", sql)
    assert said in result.error
    assert result.status == 2
    assert set(crawled.path.iterdir()) == before


def test_a_table_that_is_called_like_a_word_of_sql_is_told_how_to_be_written(
    crawled: Project,
) -> None:
    with closing(sqlite3.connect(crawled.path / "data" / "shop.db")) as file:
        file.execute('CREATE TABLE "order" (number)')
    result = crawled.here("query", "shop", "SELECT * FROM Order")
    assert 'near "Order": syntax error (as the name of a table: "Order", in quotes)' in result.error
    assert crawled.here("query", "shop", 'SELECT * FROM "Order"').status == 0
    assert "quotes" not in crawled.here("query", "shop", "SELECT * FROM group").error


async def test_a_reader_that_leaves_early_is_no_error(crawled: Project) -> None:
    process = await crawled.start(
        *("query", "shop", "--format", "csv"),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert await process.stdout.readline() == b"i\r\n"
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await process.wait() == 141


# ── export ──────────────────────────────────────────────────────────────────────────────────


async def test_export_writes_every_format(crawled: Project) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        result = await crawled.crawler("export", "shop", "-o", f"out.{suffix}")
        assert (result.status, result.out) == (0, "")
        assert result.err == f"wrote 6 rows to out.{suffix}\n"
    columns = ["_id", "_run", "_url", "_at", "title", "price"]
    path: Path = crawled.path / "out"
    with path.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == columns
    records = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert list(records[0]) == columns
    parquet = pyarrow.parquet.read_table(path.with_suffix(".parquet"))
    assert parquet.column_names == columns
    assert [row["title"] for row in rows] == parquet["title"].to_pylist()
    assert [row["title"] for row in rows] == [record["title"] for record in records]


async def test_export_of_several_tables_wants_one_named_or_takes_all_as_jsonl(
    crawled: Project,
) -> None:
    result = await crawled.crawler("export", "pair", "-o", "x.csv")
    assert "choose one with --table" in result.error
    assert result.status == 2
    named = await crawled.crawler("export", "pair", "-o", "x.csv", "--table", "author")
    assert named.err == "wrote 1 row to x.csv\n"
    both = await crawled.crawler("export", "pair", "-o", "x.jsonl")
    assert both.err == "wrote 301 rows to x.jsonl\n"


async def test_export_takes_one_run_or_all(crawled: Project) -> None:
    async with serve(shop_pages(1)) as site:
        crawled.shop(site.url)
        await crawled.crawler("run", "shop")
    for run, rows in (("1", 6), ("2", 2), ("all", 8)):
        result = await crawled.crawler("export", "shop", "-o", "x.csv", "--run", run)
        assert result.err == f"wrote {rows} rows to x.csv\n"
    last = await crawled.crawler("export", "shop", "-o", "x.csv")
    assert last.err == "wrote 2 rows to x.csv\n"


async def test_many_commands_may_read_at_once(crawled: Project) -> None:
    results = await asyncio.gather(*(crawled.crawler("query", "shop") for _ in range(3)))
    assert {result.status for result in results} == {0}
