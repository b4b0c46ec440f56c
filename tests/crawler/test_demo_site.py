"""The demo bookshop holds what it says it holds."""

import asyncio
import hashlib
import re
import signal
import socket
import sys
from collections import Counter

import aiohttp
import pytest
from selectolax.lexbor import LexborHTMLParser

from crawler import Request, Response, Spider
from crawler.demo import DemoSite
from crawler.demo.books import Book, Books
from crawler.demo.catalogue import CATEGORIES, books
from crawler.demo.pages import BOOKS_PER_PAGE
from crawler.demo.site import (
    BOOKS,
    DEAD_LINK,
    FLAKY_PAGE,
    LISTINGS,
    OFFSITE_LINK,
    PRIVATE_LINKS,
    ROBOTS,
    SLOW_PAGE,
    WITH_SUBTITLE,
)

PAGES = DemoSite().pages
TREES = {path: LexborHTMLParser(html) for path, html in PAGES.items()}
BOOK_PAGES = {path: tree for path, tree in TREES.items() if path.startswith("/books/")}
LISTING_PAGES = {path: tree for path, tree in TREES.items() if tree.css_first(".shelf")}


def texts(tree: LexborHTMLParser, query: str) -> list[str]:
    return [node.text() for node in tree.css(query)]


def hrefs(tree: LexborHTMLParser, query: str) -> list[str]:
    return [node.attributes["href"] or "" for node in tree.css(query)]


@pytest.fixture
async def shop():
    async with DemoSite(slow_seconds=0) as site:
        yield site


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


# ── what is on the pages ────────────────────────────────────────────────────────────────────


def test_the_shop_is_byte_for_byte_the_same_everywhere():
    """Also in another process, another year and another version of Python."""
    everything = "".join(path + PAGES[path] for path in sorted(PAGES))
    assert hashlib.sha256(everything.encode()).hexdigest()[:16] == "90ad3e7f0f35ec06"


def test_there_are_as_many_books_and_listings_as_it_says():
    assert len(BOOK_PAGES) == BOOKS == sum(CATEGORIES.values())
    assert len(LISTING_PAGES) == LISTINGS
    assert set(PAGES) - set(BOOK_PAGES) - set(LISTING_PAGES) == {"/private/", *PRIVATE_LINKS}


def test_the_front_page_and_its_next_pages_list_every_book_once():
    assert sorted(shelf("/")) == sorted(BOOK_PAGES)


def test_each_category_lists_its_own_books_once():
    [categories] = {tuple(hrefs(tree, ".categories a")) for tree in LISTING_PAGES.values()}
    sizes = [len(set(shelf(path))) for path in categories]
    assert sizes == list(CATEGORIES.values())
    for path in categories:
        for book in shelf(path):
            assert hrefs(TREES[book], ".breadcrumb a") == ["/", path]


def shelf(path: str) -> list[str]:
    """The books on a listing page and on those after it."""
    books = hrefs(TREES[path], ".book h3 a")
    following = hrefs(TREES[path], "a.next")
    assert len(books) == BOOKS_PER_PAGE or not following
    return books + [book for page in following for book in shelf(page)]


@pytest.mark.parametrize(
    ("query", "pattern"),
    [
        ("h1", r"\w.+"),
        (".price", r"£\d+\.\d\d"),
        (".rating", r"★{1,5}☆{0,4}"),
        (".stock", r"In stock \([1-9]\d*\)|Out of stock"),
        (".description", r"\w.+\."),
    ],
)
def test_every_book_has_each_of_these_once(query, pattern):
    for path, tree in BOOK_PAGES.items():
        [text] = texts(tree, query)
        assert re.fullmatch(pattern, text), path


def test_some_books_have_no_subtitle_no_stock_or_no_tags():
    trees = BOOK_PAGES.values()
    assert sum(bool(texts(tree, ".subtitle")) for tree in trees) == WITH_SUBTITLE < BOOKS
    assert 0 < sum(texts(tree, ".stock") == ["Out of stock"] for tree in trees) < BOOKS
    assert 0 < sum(not texts(tree, ".tags li") for tree in trees) < BOOKS


def test_no_two_books_have_the_same_title():
    assert len({text for tree in BOOK_PAGES.values() for text in texts(tree, "h1")}) == BOOKS


def test_every_link_leads_to_a_page_but_for_the_two_that_it_names():
    links = Counter(href for tree in TREES.values() for href in hrefs(tree, "a"))
    assert set(links) - set(PAGES) == {DEAD_LINK, OFFSITE_LINK}
    assert links[DEAD_LINK] == links[OFFSITE_LINK] == 1
    assert [links[path] for path in PRIVATE_LINKS] == [1, 1, 1]


def test_every_page_links_to_the_private_one():
    assert all("/private/" in hrefs(tree, "footer a") for tree in TREES.values())


# ── what its spider makes of them ──────────────────────────────────────────────────────────


def test_the_spider_reads_every_book_as_it_is_in_the_catalogue():
    items, _ = walk(Books(), "http://127.0.0.1:8000")
    read = {(i.title, i.subtitle, round(i.price * 100), i.rating, i.stock) for i in items}
    assert read == {(b.title, b.subtitle, b.pence, b.rating, b.stock) for b in books()}
    words = {(i.title, i.category, i.description, tuple(i.tags)) for i in items}
    assert words == {(b.title, b.category, b.description, b.tags) for b in books()}
    assert len(items) == BOOKS


def test_the_spider_comes_by_every_listing_and_every_trouble():
    _, urls = walk(Books(), "http://127.0.0.1:8000")
    paths = {*BOOK_PAGES, *LISTING_PAGES, *PRIVATE_LINKS, DEAD_LINK}
    assert urls == {OFFSITE_LINK, *(f"http://127.0.0.1:8000{path}" for path in paths)}


def walk(spider: Spider, base: str) -> tuple[list[Book], set[str]]:
    """Follow a spider over the public pages without a network; its items and all its urls."""
    items, seen, waiting = [], {f"{base}/"}, [Request(f"{base}/")]
    while waiting:
        request = waiting.pop()
        html = PAGES.get(request.url.removeprefix(base))
        if html is None or "/private/" in request.url:
            continue
        headers = {"Content-Type": "text/html; charset=utf-8"}
        page = Response(request.url, headers=headers, body=html.encode(), request=request)
        for found in getattr(spider, request.callback or "parse")(page):
            if isinstance(found, Book):
                items.append(found)
            elif found.url not in seen:
                seen.add(found.url)
                waiting.append(found)
    return items, seen


# ── how it is served ────────────────────────────────────────────────────────────────────────


async def test_every_page_is_served_and_counted(shop, client):
    for path, html in PAGES.items():
        for _ in range(2 if path == FLAKY_PAGE else 1):
            async with client.get(shop.url.rstrip("/") + path) as response:
                text = await response.text()
        assert (response.status, text) == (200, html)
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert shop.hits == {**dict.fromkeys(PAGES, 1), FLAKY_PAGE: 2}


async def test_one_page_fails_the_first_time_in_the_life_of_the_shop(shop, client):
    statuses = []
    for _ in range(3):
        async with client.get(shop.url.rstrip("/") + FLAKY_PAGE) as response:
            statuses.append(response.status)
    assert statuses == [500, 200, 200]


async def test_a_missing_page_is_404(shop, client):
    async with client.get(shop.url.rstrip("/") + DEAD_LINK) as response:
        assert response.status == 404


async def test_robots_txt_keeps_crawlers_out_of_the_private_pages(shop, client):
    async with client.get(shop.url + "robots.txt") as response:
        assert await response.text() == ROBOTS
        assert response.content_type == "text/plain"
    assert "Disallow: /private/" in ROBOTS
    assert all(path.startswith("/private/") for path in PRIVATE_LINKS)


async def test_the_slow_page_is_still_coming_when_a_later_one_is_there(client):
    async with DemoSite(slow_seconds=600) as shop:
        slow = asyncio.create_task(client.get(shop.url.rstrip("/") + SLOW_PAGE))
        while not shop.hits[SLOW_PAGE]:
            await asyncio.sleep(0)
        async with client.get(shop.url) as response:
            assert response.status == 200
        assert not slow.done()
        slow.cancel()


async def test_a_port_that_is_taken_is_an_error(shop):
    port = int(shop.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await DemoSite(port=port).__aenter__()


# ── python -m crawler.demo ──────────────────────────────────────────────────────────────────


async def test_the_command_prints_the_url_and_serves_until_it_is_interrupted(client):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crawler.demo", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with client.get(url) as response:
            assert await response.text() == PAGES["/"]
    finally:
        process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_the_command_says_in_one_line_that_its_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "crawler.demo", "--port", str(port)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
    assert process.returncode == 1
    [line] = errors.decode().splitlines()
    assert line.startswith(f"cannot serve on port {port}")
