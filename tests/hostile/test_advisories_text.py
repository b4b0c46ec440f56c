"""Advisories of text that is taken for code."""

import pickle
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler import Request, Response
from tests.hostile.server import Hostile, answer, response, site
from tests.hostile.wanderer import Crawl, Rows, Wanderer
from tests.hostile.wanderer import ends as ends
from tests.hostile.wanderer import wander as wander


async def test_cve_2026_105782_a_referrer_policy_is_not_code(
    wander: Crawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapy: a Referrer-Policy that looked like a Python path was imported and called."""
    (tmp_path / "policy_of_evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for policy in ("sys.exit", "policy_of_evil.Policy", "os.abort", "no-referrer"):
        link = f'<a href="/{policy}">x</a>'
        async with Hostile(answer(link, f"Referrer-Policy: {policy}")) as server:
            summary = await wander(server.url + "/")
        assert (summary.finish, len(server.asked)) == ("finished", 2)
        assert [one.header("Referer") for one in server.asked] == [None, None]
    assert "policy_of_evil" not in sys.modules


async def test_cve_2026_34993_nothing_in_a_crawl_file_is_unpickled(
    wander: Crawl, db: Path, tmp_path: Path
) -> None:
    """aiohttp: a jar of cookies was kept as a pickle, which is code to whoever loads it."""
    mark = tmp_path / "unpickled"
    bomb = f"cbuiltins\nopen\n(V{mark}\nVw\ntR.".encode()
    pages = {"/": response('<a href="/2">x</a>', "Set-Cookie: a=1; Max-Age=999"), "/2": "in"}
    async with Hostile(site(pages)) as server:
        await wander(Request(server.url + "/", meta={"k": 1}), max_pages=1)
        with closing(sqlite3.connect(db)) as file, file:
            for table, column in (
                ("crawl_request", "payload"),
                ("crawl_cookie", "value"),
                ("crawl_host", "robots"),
            ):
                blobs = file.execute(
                    f"SELECT {column} FROM {table} WHERE typeof({column}) = 'blob'"
                ).fetchall()
                assert blobs == []
                file.execute(f"UPDATE {table} SET {column} = ?", (bomb,))
        summary = await wander(server.url + "/")
    assert summary.queued == 0
    assert not mark.exists()
    pickle.loads(bomb).close()
    assert mark.exists()


async def test_cve_2024_1892_text_that_never_ends_its_tags_holds_nothing_up(
    wander: Crawl, ends: Any
) -> None:
    """Scrapy: regular expressions over XML took quadratic time and more."""

    class Reading(Wanderer):
        def parse(self, response: Response) -> Any:
            yield {"items": len(response.css("item").getall()), "text": len(response.text)}
            yield from response.follow_all("a, link, loc")

    hostile = [
        "<?xml " * 50_000,
        '<?xml version="1.0"' + " " * 300_000,
        "<item>" + "<" + " " * 300_000 + "/item",
        "<!--" * 50_000,
        "<![CDATA[" * 50_000,
        "&" * 300_000,
        "<item " + "a='" * 50_000,
        '<meta charset="' + " " * 300_000,
    ]
    pages = {}
    for number, text in enumerate(hostile):
        pages[f"/{number}.xml"] = response(text, kind="application/xml")
        pages[f"/{number}.html"] = response(text)
    async with Hostile(site(pages)) as server:
        await wander(*(server.url + path for path in pages), of=Reading)
    handled = {"done", "done duplicate_content", "failed parse_budget"}
    assert set(ends().values()) <= handled


@pytest.mark.parametrize("kind", ["application/xml", "application/xhtml+xml", "text/html"])
async def test_cve_2026_41066_entities_are_neither_read_from_afar_nor_multiplied(
    wander: Crawl, rows: Rows, tmp_path: Path, kind: str
) -> None:
    """lxml, which Scrapy stands on: an entity in a document could be a file of the reader's."""
    pytest.importorskip("parsel")
    secret = tmp_path / "file"
    secret.write_text("secret")
    more = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    doctype = (
        f'<!DOCTYPE r [<!ENTITY far SYSTEM "{secret.as_uri()}">'
        f'<!ENTITY % dtd SYSTEM "{{here}}/dtd">%dtd;<!ENTITY e0 "boom">{more}]>'
    )
    page = f'<?xml version="1.0"?>{doctype}<r><item>&far;</item><item>&e9;</item></r>'

    class Reading(Wanderer):
        def parse(self, response: Response) -> Any:
            queries = ("//item//text()", "//item", "string(/)")
            found = [response.xpath(query).getall() for query in queries]
            yield {"xpath": found, "css": response.css("item::text, item").getall()}

    async with Hostile(answer(page, kind=kind)) as server:
        await wander(server.url + "/", of=Reading)
    (data,) = rows("SELECT data FROM item")
    assert "secret" not in data
    assert len(data) < 20_000
    assert [one.target for one in server.asked] == ["/"]


async def test_cve_2026_55520_stars_in_robots_txt_hold_nothing_up(wander: Crawl, ends: Any) -> None:
    """Protego, which Scrapy stands on: patterns of many stars took exponential time."""
    robots = "User-agent: *\n" + "Disallow: /" + "*a" * 1000 + "*b$\n" + "Disallow: /p\n"
    async with Hostile(site({"/robots.txt": robots, "/" + "a" * 1500: "in"})) as server:
        await wander(server.url + "/" + "a" * 1500, server.url + "/p", robots=True)
        assert sorted(ends().values()) == ["done", "skipped robots"]
