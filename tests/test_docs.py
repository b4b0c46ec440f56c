"""What the documentation says is true: its spider runs, its lists are complete, its links lead."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler.loading import load_spider
from crawler.settings import Settings
from crawler.spider import Spider, has_no_start
from storage import open_store
from tests.site import serve

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

_RAISED = re.compile(r"(?:FetchError|DropRequest|CallbackError)\(\s*\"([a-z_]+)\"")
_ASSIGNED = re.compile(r"reason ?=(?:=)? ?\(?\"([a-z_]+)\"")
_RETURNED = re.compile(r"(?:reason, \w+|visit\.reason, visit\.error) = \"([a-z_]+)\"")


def _python(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


SPIDERS = [text for page in PAGES for text in _python(page) if "(Spider)" in text]

Rows = Callable[..., list[Any]]


async def test_the_readmes_spider_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = {
        "/": '<nav><a href="/poetry">Poetry</a></nav>',
        "/poetry": '<article class="book"><h3><a href="/dune">Dune</a></h3></article>'
        '<ul><li class="next"><a href="/more">next</a></li></ul>',
        "/more": '<article class="book"><h3><a href="/emma">Emma</a></h3></article>',
        "/dune": '<h1>Dune</h1><p class="price">£12.50</p><p class="tags"><a>sand</a></p>',
        "/emma": '<h1>Emma</h1><p class="price">£9</p>',
    }
    import crawler

    async with serve(site) as server:
        text = _python(ROOT / "README.md")[0].replace("http://books.example/", server.url)
        (tmp_path / "books.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        spider = load_spider("books.py")
        summary = await crawler.run(spider, db=tmp_path / "books.db")
    assert (summary.finish, summary.done, summary.items) == ("finished", 5, 2)


async def test_the_login_of_the_documentation_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crawler

    def login(request: Any) -> Any:
        known = request.body == b"user=anna&password=secret"
        return (303, {"Location": "/home", **({"Set-Cookie": "s=1"} if known else {})}, "")

    def members(body: str) -> Any:
        def answer(request: Any) -> Any:
            return body if request.headers.get("cookie") == "s=1" else (403, {}, "")

        return answer

    pages = {
        "/login": login,
        "/home": members("welcome"),
        "/orders": members("<table><td class=number>1</table><a class=next href=?page=2>next</a>"),
        "/orders?page=2": members("<table><td class=number>2</table>"),
    }
    (text,) = [t for t in _python(ROOT / "docs/spiders.md") if "def logged_in" in t]
    (tmp_path / "orders.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    async with serve(pages) as server:
        arguments = {"url": server.url, "password": "secret"}
        summary = await crawler.run(load_spider("orders.py"), db="orders.db", arguments=arguments)
    assert (summary.finish, summary.done, summary.items) == ("finished", 3, 2)


async def test_the_first_spider_of_the_reference_reads_the_demo_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    import crawler
    from crawler.demo import DemoSite
    from crawler.demo.site import BOOKS

    async with DemoSite() as shop:
        text = _python(ROOT / "docs/spiders.md")[0].replace("http://127.0.0.1:8000/", shop.url)
        monkeypatch.chdir(tmp_path)
        Path("books.py").write_text(text)
        await crawler.run(load_spider("books.py"), db="crawl.db")
    assert rows("SELECT count(title), min(price) > 0 FROM book") == [(BOOKS, 1)]


async def test_the_middleware_of_the_documentation_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    import crawler

    def orders(request: Any) -> Any:
        if request.headers.get("authorization") != "Bearer 1234":
            return 401, {}, ""
        return 200, {"Content-Type": "application/json"}, '{"orders": [{"number": 7}]}'

    (text,) = [t for t in _python(ROOT / "docs/spiders.md") if "def with_token" in t]
    async with serve({"/orders": orders}) as server:
        monkeypatch.chdir(tmp_path)
        Path("api.py").write_text(text.replace("https://api.example/", server.url))
        await crawler.run(load_spider("api.py"), db="crawl.db")
    assert rows("SELECT data FROM item") == ['{"number":7}']


@pytest.mark.parametrize("text", SPIDERS, ids=lambda text: re.findall(r"(\w+)\(Spider", text)[0])
def test_every_spider_of_the_documentation_loads_as_it_stands(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spider.py").write_text(text)
    spider = load_spider("spider.py")
    assert not has_no_start(spider())
    assert spider.parse is not Spider.parse


@pytest.mark.parametrize("call", ["crawler.run(", "crawler.Crawl("])
async def test_the_programs_of_the_documentation_run_as_they_stand(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = [t for t in _python(ROOT / "docs/spiders.md") if call in t]
    monkeypatch.chdir(tmp_path)
    async with serve({"/": "an empty shop"}) as server:
        program = text.replace("http://127.0.0.1:8000/", server.url)
        await asyncio.to_thread(exec, program, {"__name__": "__main__"})
    assert capsys.readouterr().out == "finished 1 0\n"


def test_every_reason_is_in_the_table() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "crawler").glob("*.py"))
    source += (ROOT / "storage" / "frontier.py").read_text().replace("'", '"')
    raised = {*_RAISED.findall(source), *_ASSIGNED.findall(source), *_RETURNED.findall(source)}
    table = set(
        re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs/spiders.md").read_text(), re.MULTILINE)
    )
    assert len(raised) > 15  # or the patterns above find nothing any more
    states = {"queued", "done", "failed", "skipped"}
    assert raised - states - table == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_documentation_compiles(page: Path) -> None:
    for number, block in enumerate(_python(page)):
        compile(block, f"{page.name} block {number}", "exec")


async def test_the_columns_of_the_crawls_own_tables_are_explained(tmp_path: Path) -> None:
    async with open_store(tmp_path / "crawl.db"):
        pass
    text = (ROOT / "docs/spiders.md").read_text()
    text = text[text.index("## The crawl's own tables") : text.index("## Middleware")]
    with closing(sqlite3.connect(tmp_path / "crawl.db")) as connection:
        for table in ("crawl_request", "crawl_run", "crawl_host"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert columns
            assert [name for name in columns if f"`{name}`" not in text] == []
        made = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'crawl%'")
        tables = {name for (name,) in made if not re.match("crawl_request_|sqlite_", name)}
    assert {name for name in tables if f"`{name}`" not in text} == {"crawl_cookie"}  # see Cookies


def test_every_command_is_named_in_the_changelog() -> None:
    from crawler.cli import COMMANDS

    text = (ROOT / "CHANGELOG.md").read_text()
    assert {
        name for name in COMMANDS if f"`{name}`" not in text and f" {name}`" not in text
    } == set()


def test_the_limits_in_the_security_page_are_settings_with_these_defaults() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| ([^|]+) \|$", text, re.MULTILINE)
    assert len(rows) > 5
    for name, shown in rows:
        default = Settings.model_fields[name].default
        if (found := re.match(r"([\d,.]+)( MiB)?", shown)) is not None:
            number = float(found[1].replace(",", "")) * (1 << 20 if found[2] else 1)
            assert number == default, name
        else:
            assert default in (True, []), name
