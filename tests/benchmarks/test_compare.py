"""The comparison: what it checks, what it writes, and that a small one runs through."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import benchmarks.compare.__main__ as bench
from benchmarks.compare import sites
from benchmarks.compare.check import differences
from benchmarks.compare.field import BARE, CONTESTANTS, CRAWLER, Contestant
from benchmarks.compare.measuring import Run, RunError, measure
from benchmarks.compare.sites import synthetic
from benchmarks.compare.stored import read_json_folder, read_jsonl, read_sqlite
from benchmarks.compare.table import Result, readme_tables, site_table, write_between
from benchmarks.compare.walk import walk
from tests import child

ROOT = Path(__file__).parents[2]
HERE = {**os.environ, "PYTHONPATH": str(Path(child.__file__).parent)}


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *arguments],
        cwd=ROOT,
        env=HERE,
        capture_output=True,
        text=True,
        timeout=120,
    )


# ── a small run ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("server", ["own", "nginx"])
def test_a_small_run_measures_the_crawler_beside_the_bare_loop(server):
    if server == "nginx" and not sites.find_nginx():
        pytest.skip("apt-get install nginx-light enables this")
    small = ["--sites", "synthetic", "--pages", "60", "--contestants", "crawler,bare"]
    done = compare(*small, "--rounds", "1", *(["--own-server"] if server == "own" else []))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| crawler +\| +1 \|", done.stdout, re.MULTILINE)
    assert re.search(r"^\| bare loop +\| +1 \|.* 1\.00 \|", done.stdout, re.MULTILINE)
    assert "WRONG" not in done.stderr


FORGETFUL = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[2], isolation_level=None)
db.execute("CREATE TABLE page (url TEXT, title TEXT, h1 TEXT)")
db.execute("INSERT INTO page VALUES (?, 'Page 0', 'Page')", [sys.argv[1]])
print(json.dumps({"seconds": 0.5}))
"""


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (FORGETFUL, "WRONG: synthetic, 5 pages of 2 KB, forgetful: 4 pages not found: /0/1.html"),
        ("print('{\"seconds\": 1}')", "forgetful: what it stored cannot be read: "),
        ("raise SystemExit('no idea')", "forgetful: ended with 1 after"),
    ],
)
def test_a_contestant_that_does_not_find_everything_is_named_and_the_status_is_1(
    tmp_path, monkeypatch, program, told
):
    path = tmp_path / "forgetful.py"
    path.write_text(program)
    places = ("{start}", "{output}")
    forgetful = Contestant("f", "forgetful", str(path), places, "pages.db", read_sqlite)
    monkeypatch.setattr(bench, "CONTESTANTS", (forgetful,))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    small = ["--sites", "synthetic", "--pages", "5", "--own-server", "--rounds", "1"]
    done = CliRunner().invoke(bench.main, small)
    assert done.exit_code == 1
    assert told in done.stderr


def test_the_readme_is_not_written_when_not_everything_is_measured():
    done = compare("--readme", "--own-server", "--contestants", "crawler")
    assert done.returncode == 1
    assert "Error: the README is about everything, and not everything is here\n" in done.stderr


def test_a_name_that_is_none_is_refused_with_those_that_are():
    done = compare("--contestants", "crawler,wget")
    assert done.returncode == 2
    assert "'wget' is none of crawler, bare" in done.stderr


# ── what a run cost ─────────────────────────────────────────────────────────────────────────


def test_what_children_use_counts_as_the_contestants_own(tmp_path):
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    code = (
        f"import json, subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])\n"
        "print('by the way'); print(json.dumps({'seconds': 0.1}))"
    )
    run = measure([sys.executable, "-c", code], tmp_path, limit=60)
    assert run.crawling == 0.1
    assert run.cpu >= 0.3
    assert run.seconds > 0.1
    assert 1 < run.megabytes < 1000


def test_a_contestant_that_fails_says_why(tmp_path):
    with pytest.raises(RunError, match=r"(?s)ended with 1 after .*no such page"):
        measure([sys.executable, "-c", "import sys; sys.exit('no such page')"], tmp_path, limit=60)


def test_a_contestant_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(RunError, match="ended with -9"):
        measure([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, limit=0.5)


# ── what was found ──────────────────────────────────────────────────────────────────────────

PAGES = {"/": [True, True], "/a": [True, False], "/b": [True, True]}


def test_the_same_pages_are_no_difference():
    assert differences(PAGES, dict(reversed(PAGES.items()))) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"/": [True, True], "/a": [True, False]}, "1 pages not found: /b"),
        ({**PAGES, "/c": [False, False]}, "1 pages that the site has not: /c"),
        ({**PAGES, "/a": [False, False]}, "2 pages with title, not 3"),
        ({**PAGES, "/b": [True, False]}, "1 pages with h1, not 2"),
    ],
)
def test_a_difference_is_told(found, told):
    assert told in differences(PAGES, found)


ROWS = [("http://a/x.html#top", "X", "\n"), ("http://a/y.html", None, "Y")]
READ = {"/x.html": [True, False], "/y.html": [False, True]}


def test_pages_are_read_as_each_contestant_keeps_them(tmp_path):
    for column in ("url", "_url"):
        with closing(sqlite3.connect(tmp_path / f"{column}.db", isolation_level=None)) as db:
            db.execute(f"CREATE TABLE page ({column} TEXT, title TEXT, h1 TEXT)")
            db.executemany("INSERT INTO page VALUES (?, ?, ?)", ROWS)
        assert read_sqlite(tmp_path / f"{column}.db") == READ
    items = [json.dumps(dict(zip(("url", "title", "h1"), row, strict=True))) for row in ROWS]
    (tmp_path / "items.jsonl").write_text("\n".join(items))
    assert read_jsonl(tmp_path / "items.jsonl") == READ
    folder = tmp_path / "kept/datasets/default"
    folder.mkdir(parents=True)
    (folder / "__metadata__.json").write_text("{}")
    for number, item in enumerate(items):
        (folder / f"{number}.json").write_text(item)
    assert read_json_folder(tmp_path / "kept") == READ


def test_a_page_that_is_stored_twice_is_found_out(tmp_path):
    page = json.dumps({"url": "http://a/", "title": "", "h1": ""})
    (tmp_path / "items.jsonl").write_text(f"{page}\n{page}\n")
    with pytest.raises(ValueError, match="/ was stored twice"):
        read_jsonl(tmp_path / "items.jsonl")


def test_the_walk_finds_what_links_lead_to_and_nothing_else(tmp_path):
    pages = {
        "index.html": '<title>I</title><h1><b>all bold</b></h1><a href="sub/a.html#x">a</a>',
        "sub/a.html": '<title> </title><h1>A</h1><a href="../b%20c.html">b</a><a href="gone.html">',
        "b c.html": '<a href="http://other/c.html"><a href="notes.txt"><a href="#top"><a href="/">',
        "alone.html": "<title>Nobody links to me</title>",
        "notes.txt": "",
    }
    (tmp_path / "sub").mkdir()
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    assert walk(tmp_path) == {
        "/index.html": [True, False],
        "/sub/a.html": [False, True],
        "/b%20c.html": [False, False],
    }


def test_every_page_of_the_synthetic_site_is_reached_and_the_site_is_always_the_same(tmp_path):
    for name in ("one", "two"):
        synthetic(tmp_path / name, 250)
    found = walk(tmp_path / "one")
    assert len(found) == 250
    assert all(page == [True, True] for page in found.values())
    for path in found:
        one, two = ((tmp_path / name / path[1:]).read_bytes() for name in ("one", "two"))
        assert one == two
        assert 1900 < len(one) < 2100


# ── what is written ─────────────────────────────────────────────────────────────────────────


def run(crawling: float) -> Run:
    return Run(crawling + 1, crawling, crawling * 2, 100)


RESULTS = {
    CRAWLER: Result(100, [run(1.0), run(4.0), run(2.0)]),
    BARE: Result(100, [run(1.0)]),
}


def test_a_table_holds_medians_spread_and_ratios():
    header, rule, ours, bare = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in site_table("A site", RESULTS).splitlines()
    )
    assert header[:2] == ["A site", "rounds"]
    assert all(set(cell) <= set("-:") for cell in rule)
    told = ["crawler", "3", "50", "25 - 100", "0.50", "3.00", "0.67", "40.00", "2.00", "100"]
    assert ours == told
    assert bare[:6] == ["bare loop", "1", "100", "100 - 100", "1.00", "2.00"]


def test_the_readme_is_told_how_the_crawler_compares():
    scrapy = next(one for one in CONTESTANTS if one.key == "scrapy")
    results = {"A": {**RESULTS, scrapy: Result(100, [run(10.0)])}, "B": RESULTS}
    text = readme_tables(results, ["Measured today."])
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["A", "50", "100", "10"] in cells
    assert ["B", "50", "100", ""] in cells
    assert ["A", "0.50", "5.00", "0.67", "2.00", "100", "3"] in cells
    assert text.endswith("Measured today.")


def test_the_text_goes_between_the_marks_and_again_in_its_place(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    for text in ("new", "newer"):
        write_between(path, text)
    assert path.read_text() == (
        "before\n<!-- bench: begin -->\nnewer\n<!-- bench: end -->\nafter\n"
    )


@pytest.mark.parametrize(
    "text", ["none", "<!-- bench: begin --> only", "<!-- bench: end --> <!-- bench: begin -->"]
)
def test_a_file_without_the_marks_is_left_alone(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="needs the marks"):
        write_between(path, "new")
    assert path.read_text() == text


def test_the_readme_has_the_marks():
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- bench: begin -->") == text.count("<!-- bench: end -->") == 1
