# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What Scrapy has and is not there: told in one line, with what to write instead."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import crawler as scrapy
from crawler import Crawl, SpiderError, UsageError
from crawler.loading import load_spider
from crawler.request import _tell_of
from tests.crawler.toscrape import toscrape as toscrape

# ── in a file: before it is run ─────────────────────────────────────────────────────────────

SPIDER = """import crawler as scrapy
{imported}
class Quotes(scrapy.Spider):
    name = "quotes"
    start_urls = ["http://127.0.0.1/"]

    def parse(self, response):
        {done}
"""


def complaint(tmp_path: Path, imported: str = "", done: str = "pass") -> str:
    path = tmp_path / "quotes.py"
    path.write_text(SPIDER.format(imported=imported, done=done))
    with pytest.raises(SpiderError) as caught:
        load_spider(str(path))
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("imported", "said"),
    [
        (
            "from crawler import FormRequest",
            "there is no FormRequest here: write Request(url, form",
        ),
        ("from crawler.http import Request, JsonRequest", "there is no JsonRequest here: write"),
        ("from crawler.linkextractors import LinkExtractor", "no LinkExtractor here: write parse,"),
        ("from crawler.spiders import CrawlSpider, Rule", "there is no CrawlSpider here: write"),
        ("from crawler.spidermiddlewares.httperror import HttpError", "looks at failure.reason"),
        ("from crawler.exceptions import DropItem", "a validator of its pydantic model"),
        ("from crawler.item import Item, Field", "with their types, title: str | None = None"),
        (
            "from crawler.http import Request, Response",
            "there is no crawler.http here: write: from crawler import Request, Response",
        ),
        (
            "from crawler.utils.project import data_path",
            "see Coming from Scrapy in docs/spiders.md",
        ),
        ("import crawler.signals", "see Coming from Scrapy in docs/spiders.md"),
        ("import scrapy_nowhere as s", "install it, or check its name"),
        ("import twisted.internet", "an errback looks at failure.reason"),
        ("from itemloaders.processors import TakeFirst", "'itemloaders': write the values into"),
        ("import itemadapter", "no module named 'itemadapter': an item is a model: item['title']"),
        ("import scrapy_playwright.page", "'scrapy_playwright': pages are not rendered here"),
        ("class A(scrapy.Item): a = scrapy.Field()", "there is no Field here: write an item's"),
        ("class A(scrapy.spiders.CrawlSpider): pass", "there is no CrawlSpider here: write parse"),
        (
            "A = scrapy.http.Request",
            "there is no crawler.http here: write: from crawler import R",
        ),
        ("A = scrapy.signals.spider_closed", "there is no signals here: what is to be done at"),
        ("A = scrapy.selector.unified", "there is no crawler.selector here: what there is, is in"),
    ],
)
def test_a_name_of_scrapys_is_told_at_its_line(imported: str, said: str, tmp_path: Path) -> None:
    told = complaint(tmp_path, imported)
    assert told.startswith("2: ")
    assert said in told


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ("yield scrapy.FormRequest.from_response(response)", "there is no FormRequest here: write"),
        ("self.crawler.stats.inc_value('pages')", "there is no self.crawler here: settings are"),
        ("raise scrapy.exceptions.CloseSpider('done')", "there is no CloseSpider here: the set"),
    ],
)
def test_what_a_callback_would_meet_is_told_before_it_is_run(
    done: str, said: str, tmp_path: Path
) -> None:
    told = complaint(tmp_path, done=done)
    assert told.startswith("8: ")
    assert said in told


@pytest.mark.parametrize(
    "done",
    [
        "self.crawler = 1; return self.crawler",
        "from pydantic import Field",
        "response.http.Field",
        "def loader(): pass; scrapy.Request",
    ],
)
def test_what_is_the_users_own_is_left_alone(done: str, tmp_path: Path) -> None:
    path = tmp_path / "quotes.py"
    path.write_text(SPIDER.format(imported="", done=done.replace("pass; ", "pass\n        ")))
    assert load_spider(str(path)).name == "quotes"


def test_items_in_a_file_of_their_own_are_told_with_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("items_of_scrapys.py").write_text(
        "import crawler as scrapy\n\nclass A(scrapy.Item):\n    a = scrapy.Field()\n"
    )
    told = complaint(tmp_path, "import items_of_scrapys")
    assert told.startswith("items_of_scrapys.py:4: AttributeError: there is no Field here: write")
    Path("more_of_scrapys.py").write_text("from crawler import Field\n")
    assert complaint(tmp_path, "import more_of_scrapys").startswith("2: there is no Field here")
    assert "write it without dots" in complaint(tmp_path, "from ..items import A")


def test_an_import_that_was_left_as_it_is_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quotes.py"
    path.write_text("import scrapy\n\nclass Quotes(scrapy.Spider):\n    name = 'quotes'\n")
    monkeypatch.setitem(sys.modules, "scrapy", None)  # not installed
    with pytest.raises(SpiderError, match=r":1: no module .* as in: import crawler as scrapy"):
        load_spider(str(path))
    installed = ModuleType("scrapy")
    installed.Spider = type("Spider", (), {"__module__": "scrapy.spiders"})
    monkeypatch.setitem(sys.modules, "scrapy", installed)
    with pytest.raises(SpiderError, match=r"^Quotes in .* is a spider of Scrapy's: change its imp"):
        load_spider(str(path))
    with pytest.raises(SpiderError, match=r"^Quotes in .* is a spider of Scrapy's: change its imp"):
        load_spider(f"{path}:Quotes")


# ── in a class: before anything is fetched ──────────────────────────────────────────────────


class Ported(scrapy.Spider):
    name = "ported"
    start_urls = ["http://127.0.0.1/"]

    def parse(self, response: scrapy.Response) -> Any:
        return []


@pytest.mark.parametrize("hook", ["from_crawler", "update_settings"])
def test_a_hook_that_nobody_would_call_is_refused(hook: str) -> None:
    def called(cls: type, *arguments: Any) -> None: ...

    spider = type("Hooked", (Ported,), {hook: classmethod(called)})
    with pytest.raises(UsageError) as caught:
        Crawl(spider, db="unused.db")
    assert f"test_scrapy_foreign.py:{called.__code__.co_firstlineno}: " in str(caught.value)
    assert f"Hooked.{hook} is not called here: " in str(caught.value)


def test_attributes_that_are_settings_count() -> None:
    class Slow(Ported):
        download_delay = 1.5
        download_timeout = 30
        user_agent = "mine/1.0"
        custom_settings = {"DOWNLOAD_DELAY": 9}

    crawl = Crawl(Slow, db="unused.db")
    assert (crawl.settings.delay, crawl.settings.timeout) == (1.5, 30)
    assert crawl.settings.user_agent == "mine/1.0"

    class Slower(Slow):
        settings = {"delay": 2}

    assert Crawl(Slower, db="unused.db").settings.delay == 2


def test_a_setting_that_does_nothing_is_told_with_what_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fed(Ported):
        custom_settings = {"FEEDS": {}, "ITEM_PIPELINES": {}, "DUPEFILTER_DEBUG": True} | {
            "HTTPERROR_ALLOWED_CODES": [404]
        }
        http_user = "anna"

    Crawl(Fed, db="unused.db")
    (line,) = [r.getMessage() for r in caplog.records if "custom_settings_ignored" in r.message]
    assert "FEEDS (instead: crawler run -o FILE, or crawler export)" in line
    assert "ITEM_PIPELINES (instead: validators of the items' models)" in line
    assert "HTTPERROR_ALLOWED_CODES (instead: the spider's attribute `handle_status`)" in line
    assert "http_user (instead: a middleware that sets the header Authorization)" in line
    assert "'DUPEFILTER_DEBUG'" in line


# ── in a callback: at the place in the user's file ──────────────────────────────────────────


@dataclass
class Quote:
    text: str


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Quote("x"), "not Quote: inherit from crawler.Item instead of @dataclass, or yield asdict"),
        ("x", "a callback yields items, dicts and Requests, not str"),
    ],
)
@pytest.mark.parametrize("shape", ["generator", "inner", "async"])
async def test_the_line_that_yielded_what_is_none_is_told(
    wrong: Any, said: str, shape: str, toscrape: Any, crawl: Any, rows: Any, caplog: Any
) -> None:
    class Plain(scrapy.Spider):
        name = "plain"
        start_urls = [toscrape.url]

        def parse(self, response):
            yield wrong

    class Inner(Plain):
        def parse(self, response):
            yield from super().parse(response)

    class Async(Plain):
        async def parse(self, response):
            yield wrong

    spider = {"generator": Plain, "inner": Inner, "async": Async}[shape]
    await crawl(spider)
    code = (Async if shape == "async" else Plain).parse.__code__
    line = f"tests/crawler/test_scrapy_foreign.py:{code.co_firstlineno + 1}"
    (told,) = [r.getMessage() for r in caplog.records if "spider_error" in r.getMessage()]
    assert said in told
    assert f"at={line}" in told
    (error,) = rows("SELECT error FROM crawl_request WHERE state = 'failed'")
    assert error.endswith(f"\nyielded at {line}\n")


async def test_the_line_that_raised_is_in_the_log(toscrape: Any, crawl: Any, caplog: Any) -> None:
    class Wrong(scrapy.Spider):
        name = "wrong"
        start_urls = [f"{toscrape.url}status/500"]

        async def start(self):
            yield scrapy.Request(f"{toscrape.url}status/500", errback=self.failed)

        def failed(self, failure):
            if failure.check(ValueError):
                yield {}

    await crawl(Wrong, retries=0)
    (told,) = [r.getMessage() for r in caplog.records if "spider_error" in r.getMessage()]
    assert "a Failure has no 'check': what happened is in its reason ('http_404', 'time" in told
    line = Wrong.failed.__code__.co_firstlineno + 1
    assert f"at=tests/crawler/test_scrapy_foreign.py:{line}" in told


# ── in a request ────────────────────────────────────────────────────────────────────────────


async def test_a_key_of_meta_that_does_nothing_is_told_once(
    toscrape: Any, crawl: Any, caplog: Any
) -> None:
    _tell_of.cache_clear()

    class Ignored(scrapy.Spider):
        name = "ignored"

        async def start(self):
            for number in (1, 2, 3):
                yield scrapy.Request(
                    f"{toscrape.url}page/{number}/", meta={"dont_retry": True, "mine": 1}
                )

        def parse(self, response):
            yield {"mine": response.meta["mine"]}

    assert (await crawl(Ignored)).done == 3
    (told,) = [r.getMessage() for r in caplog.records if "meta_ignored" in r.getMessage()]
    assert "key=dont_retry instead=the setting is retries" in told


async def test_a_request_that_asks_for_a_proxy_is_not_sent_without(
    toscrape: Any, crawl: Any
) -> None:
    class Hidden(scrapy.Spider):
        name = "hidden"

        async def start(self):
            yield scrapy.Request(toscrape.url, meta={"proxy": "http://127.0.0.1:3128"})

        def parse(self, response):
            return []

    with pytest.raises(UsageError, match="there is no support for proxies"):
        await crawl(Hidden)
    assert not toscrape.hits["/"]


@pytest.mark.parametrize("headers", [{"X-A": ["1"]}, {"X-A": None}, {b"X-A": "1"}, {"X-A": b"1"}])
def test_a_header_that_is_no_text_is_refused_where_it_is_written(headers: Any) -> None:
    with pytest.raises(ValueError, match=r"a header is text, unlike b?'X-A': "):
        scrapy.Request("http://a.example/", headers=headers)


# ── items ───────────────────────────────────────────────────────────────────────────────────


def test_in_says_whether_a_field_was_given_a_value() -> None:
    class Product(scrapy.Item):
        title: str
        price: float | None = None

    product = Product(title="Dune")
    assert "title" in product
    assert "price" not in product
    product["price"] = 9.5
    assert "price" in product
    assert "pages" not in product
