"""The settings of a crawl, and those that limit it."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from crawler import Crawl, SettingsError
from tests.crawler.links_site import linking, links, tree
from tests.site import serve

# ── settings ────────────────────────────────────────────────────────────────────────────────

SOURCES = ["config.toml", "environment", "spider", "arguments"]


@pytest.mark.parametrize("highest", range(1, 5), ids=lambda count: SOURCES[count - 1])
async def test_settings_take_precedence_in_this_order(highest, crawl, tmp_path, monkeypatch):
    given = SOURCES[:highest]
    config = tmp_path / "config.toml"
    config.write_text('user_agent = "config.toml"' if "config.toml" in given else "")
    if "environment" in given:
        monkeypatch.setenv("CRAWLER_USER_AGENT", "environment")
    own = {"settings": {"user_agent": "spider"}} if "spider" in given else {}
    arguments = {"user_agent": "arguments"} if "arguments" in given else {}
    async with serve({"/": ""}) as site:
        await crawl(links(site.url, **own), config=config, **arguments)
        assert site.requests[-1].headers["User-Agent"] == given[-1]


@pytest.mark.parametrize("source", SOURCES)
async def test_an_unknown_setting_is_refused_with_the_nearest_name(
    source, crawl, tmp_path, monkeypatch, db
):
    config = tmp_path / "config.toml"
    config.write_text("concurency = 3" if source == "config.toml" else "")
    if source == "environment":
        monkeypatch.setenv("CRAWLER_CONCURENCY", "3")
    own = {"settings": {"concurency": 3}} if source == "spider" else {}
    arguments = {"concurency": 3} if source == "arguments" else {}
    with pytest.raises(SettingsError, match=r"'concurency' in .*did you mean 'concurrency'\?$"):
        await crawl(links(**own), config=config, **arguments)
    assert not db.exists()


async def test_an_impossible_value_is_refused_in_one_line(crawl, db):
    with pytest.raises(SettingsError, match="concurrency") as caught:
        await crawl(links(), concurrency=0)
    assert "\n" not in str(caught.value)
    assert not db.exists()


def test_a_crawl_takes_settings_by_name_as_run_does_and_before_those_of_a_mapping(db):
    crawl = Crawl(links(), db=db, delay=0.05, overrides={"delay": "3", "retries": "1"})
    assert (crawl.settings.delay, crawl.settings.retries) == (0.05, 1)
    with pytest.raises(SettingsError, match="'delai' in the arguments: did you mean 'delay'"):
        Crawl(links(), db=db, delai=1)


# ── limits ──────────────────────────────────────────────────────────────────────────────────


async def test_max_pages_is_exact_and_the_next_run_goes_on_with_as_many(crawl, rows):
    async with serve(tree(30)) as site:
        for expected in (7, 14, 21):
            result = await crawl(links(site.url), max_pages=7)
            assert (result.finish, result.done) == ("limit", expected)
            assert sum(site.hits.values()) == expected + 1  # and robots.txt
        result = await crawl(links(site.url))
        assert (result.finish, result.done, result.queued) == ("finished", 30, 0)
        assert set(site.hits.values()) == {1}
    assert rows("SELECT count(*) FROM crawl_run") == [1]
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(30, 30)]


async def test_max_pages_counts_failed_pages_but_no_skipped_ones(crawl):
    hrefs = ["/missing", "http://other.example/", "mailto:x", "/a", "/b", "/c"]
    async with serve({"/": linking(*hrefs)}) as site:
        result = await crawl(links(site.url), max_pages=3, concurrency=1)
        assert (result.done, result.failed) == (1, 2)
        assert sum(site.hits.values()) == 4


@pytest.mark.parametrize("limit", ["max_pages", "max_pages_per_host"])
async def test_pages_that_fail_for_want_of_a_robots_txt_count_also_when_the_run_is_taken_up_again(
    crawl, db, limit
):
    async with serve({"/robots.txt": (500, {}, "")}) as site:
        spider = links(*(f"{site.url}{n}" for n in range(5)))
        result = await crawl(spider, max_pages=3, retries=0)
        assert (result.finish, result.failed, result.queued) == ("limit", 3, 2)
        with closing(sqlite3.connect(db)) as file, file:  # killed before its last word
            file.execute("UPDATE crawl_run SET finish = NULL, finished_at = NULL")
        result = await crawl(spider, **{limit: 3}, retries=0)
    assert (result.resumed, result.failed) == (True, 3)


async def test_a_crawl_that_a_limit_just_fits_is_finished(crawl):
    async with serve(tree(4)) as site:
        result = await crawl(links(site.url), max_pages=4)
    assert (result.done, result.queued, result.finish) == (4, 0, "finished")


async def test_max_items_ends_the_run_soon_and_the_next_goes_on(crawl, rows):
    async with serve(tree(30)) as site:
        result = await crawl(links(site.url), max_items=5, concurrency=1)
        assert result.finish == "limit"
        assert 5 <= result.items < 30
        result = await crawl(links(site.url))
    assert (result.finish, result.items) == ("finished", 30)


@pytest.mark.parametrize("limit", ["max_pages", "max_items"])
async def test_a_run_that_died_at_its_limit_ends_as_it_would_have(crawl, db, rows, limit):
    async with serve(tree(30)) as site:
        await crawl(links(site.url), **{limit: 5}, concurrency=1)
        had = sum(site.hits.values())
        with closing(sqlite3.connect(db)) as file, file:
            file.execute("UPDATE crawl_run SET finish = NULL, finished_at = NULL")
        async with asyncio.timeout(20):
            result = await crawl(links(site.url), **{limit: 5}, concurrency=1)
        assert (result.finish, result.resumed) == ("limit", True)
        assert sum(site.hits.values()) == had
        assert (await crawl(links(site.url))).finish == "finished"  # with a new allowance
    assert rows("SELECT count(*), count(DISTINCT path) FROM page") == [(30, 30)]


async def test_max_seconds_ends_the_run(crawl):
    async def never(request):
        await asyncio.Event().wait()

    async with serve({"/": never}) as site:
        async with asyncio.timeout(20):
            result = await crawl(links(site.url), max_seconds=0.2, grace=0)
    assert (result.finish, result.queued) == ("limit", 1)
