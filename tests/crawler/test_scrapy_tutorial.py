# ruff: noqa: RUF012 - spiders are written here as their users write them
"""Spiders as Scrapy's tutorial writes them, with only the imports and addresses changed."""

from pathlib import Path

import pytest

import crawler as scrapy
from tests.crawler.toscrape import BORN, QUOTES, slug, texts
from tests.crawler.toscrape import items as items
from tests.crawler.toscrape import toscrape as toscrape


async def test_our_first_spider_saves_pages_to_files(toscrape, crawl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class QuotesSpider(scrapy.Spider):
        name = "quotes"

        async def start(self):
            urls = [
                f"{toscrape.url}page/1/",
                f"{toscrape.url}page/2/",
            ]
            for url in urls:
                yield scrapy.Request(url=url, callback=self.parse)

        def parse(self, response):
            page = response.url.split("/")[-2]
            filename = f"quotes-{page}.html"
            Path(filename).write_bytes(response.body)
            self.log(f"Saved file {filename}")

    result = await crawl(QuotesSpider)
    assert (result.done, result.failed) == (2, 0)
    for page in (1, 2):
        saved = (tmp_path / f"quotes-{page}.html").read_text(encoding="utf-8")
        assert saved == toscrape.pages[f"/page/{page}/"]


async def test_a_shortcut_to_the_start_method(toscrape, crawl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [
            f"{toscrape.url}page/1/",
            f"{toscrape.url}page/2/",
        ]

        def parse(self, response):
            page = response.url.split("/")[-2]
            filename = f"quotes-{page}.html"
            Path(filename).write_bytes(response.body)

    await crawl(QuotesSpider)
    assert sorted(path.name for path in tmp_path.glob("*.html")) == [
        "quotes-1.html",
        "quotes-2.html",
    ]


async def test_extracting_data_in_our_spider(toscrape, crawl, items):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [
            f"{toscrape.url}page/1/",
            f"{toscrape.url}page/2/",
        ]

        def parse(self, response):
            for quote in response.css("div.quote"):
                yield {
                    "text": quote.css("span.text::text").get(),
                    "author": quote.css("small.author::text").get(),
                    "tags": quote.css("div.tags a.tag::text").getall(),
                }

    await crawl(QuotesSpider)
    found = sorted(items(), key=lambda item: item["text"])
    assert found == [
        {"text": f"“{text}”", "author": author, "tags": tags}
        for text, author, tags in sorted(QUOTES[:4])
    ]


async def test_following_links_with_urljoin(toscrape, crawl, items):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [f"{toscrape.url}page/1/"]

        def parse(self, response):
            for quote in response.css("div.quote"):
                yield {"text": quote.css("span.text::text").get()}

            next_page = response.css("li.next a::attr(href)").get()
            if next_page is not None:
                next_page = response.urljoin(next_page)
                yield scrapy.Request(next_page, callback=self.parse)

    await crawl(QuotesSpider)
    assert sorted(item["text"] for item in items()) == texts(QUOTES)


async def test_a_shortcut_for_creating_requests(toscrape, crawl, items):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [
            f"{toscrape.url}page/1/",
        ]

        def parse(self, response):
            for quote in response.css("div.quote"):
                yield {
                    "text": quote.css("span.text::text").get(),
                    "author": quote.css("span small::text").get(),
                    "tags": quote.css("div.tags a.tag::text").getall(),
                }

            next_page = response.css("li.next a::attr(href)").get()
            if next_page is not None:
                yield response.follow(next_page, callback=self.parse)

    await crawl(QuotesSpider)
    assert sorted(item["text"] for item in items()) == texts(QUOTES)
    assert {item["author"] for item in items()} == set(BORN)


async def test_following_each_selected_element(toscrape, crawl, items):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [f"{toscrape.url}page/1/"]

        def parse(self, response):
            yield {"page": response.url.split("/")[-2]}
            for href in response.css("ul.pager a::attr(href)"):
                yield response.follow(href, callback=self.parse)
            for a in response.css("ul.pager a"):
                yield response.follow(a, callback=self.parse)

    await crawl(QuotesSpider)
    assert sorted(item["page"] for item in items()) == ["1", "2", "3"]


@pytest.mark.parametrize("way", ["anchors", "css"])
async def test_following_all_of_many_links(way, toscrape, crawl, items):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [f"{toscrape.url}page/1/"]

        def parse(self, response):
            yield {"page": response.url.split("/")[-2]}
            if way == "anchors":
                anchors = response.css("ul.pager a")
                yield from response.follow_all(anchors, callback=self.parse)
            else:
                yield from response.follow_all(css="ul.pager a", callback=self.parse)

    await crawl(QuotesSpider)
    assert sorted(item["page"] for item in items()) == ["1", "2", "3"]
    assert toscrape.hits["/page/1/"] == 1


async def test_more_examples_and_patterns_the_author_spider(toscrape, crawl, items):
    class AuthorSpider(scrapy.Spider):
        name = "author"

        start_urls = [toscrape.url]

        def parse(self, response):
            author_page_links = response.css(".author + a")
            yield from response.follow_all(author_page_links, self.parse_author)

            pagination_links = response.css("li.next a")
            yield from response.follow_all(pagination_links, self.parse)

        def parse_author(self, response):
            def extract_with_css(query):
                return response.css(query).get(default="").strip()

            yield {
                "name": extract_with_css("h3.author-title::text"),
                "birthdate": extract_with_css(".author-born-date::text"),
                "bio": extract_with_css(".author-description::text"),
            }

    await crawl(AuthorSpider)
    assert sorted(items(), key=lambda item: item["name"]) == [
        {"name": name, "birthdate": BORN[name], "bio": f"{name} wrote this."}
        for name in sorted(BORN)
    ]
    assert toscrape.hits[f"/author/{slug('Albert Einstein')}"] == 1


@pytest.mark.parametrize("arguments", [{}, {"tag": "humor"}])
async def test_using_spider_arguments(arguments, toscrape, crawl, items):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"

        async def start(self):
            url = toscrape.url
            tag = getattr(self, "tag", None)
            if tag is not None:
                url = url + "tag/" + tag
            yield scrapy.Request(url, self.parse)

        def parse(self, response):
            for quote in response.css("div.quote"):
                yield {
                    "text": quote.css("span.text::text").get(),
                    "author": quote.css("small.author::text").get(),
                }

            next_page = response.css("li.next a::attr(href)").get()
            if next_page is not None:
                yield response.follow(next_page, self.parse)

    await crawl(QuotesSpider, arguments=arguments)
    wanted = [quote for quote in QUOTES if not arguments or "humor" in quote[2]]
    assert sorted(item["text"] for item in items()) == texts(wanted)


async def test_items_of_a_class_and_selectors_as_in_the_tutorials_shell(toscrape, crawl, rows):
    class QuotesSpider(scrapy.Spider):
        name = "quotes"
        start_urls = [f"{toscrape.url}page/1/"]
        items = [QuoteItem]

        def parse(self, response):
            assert response.css("title").getall() == ["<title>Quotes to Scrape</title>"]
            assert response.css("title::text")[0].get() == "Quotes to Scrape"
            assert response.css("noelement").get() is None
            assert response.css("title::text").re(r"Quotes.*") == ["Quotes to Scrape"]
            assert response.css("title::text").re(r"Q\w+") == ["Quotes"]
            assert response.css("title::text").re(r"(\w+) to (\w+)") == ["Quotes", "Scrape"]
            assert response.css("title::text").extract_first() == "Quotes to Scrape"
            assert response.css("li.next a").attrib["href"] == "/page/2/"
            for quote in response.css("div.quote"):
                item = QuoteItem(text=quote.css("span.text::text").get())
                item["author"] = quote.css("small.author::text").get()
                yield item

    result = await crawl(QuotesSpider)
    assert (result.done, result.failed) == (1, 0)
    assert rows("SELECT author FROM quote_item ORDER BY author") == [
        "Albert Einstein",
        "J.K. Rowling",
    ]


class QuoteItem(scrapy.Item):
    text: str
    author: str = ""
