# ruff: noqa: RUF012 - spiders are written here as their users write them
"""Spiders as Scrapy's reference writes them, with only the imports and addresses changed."""

import gzip
import zlib

import crawler as scrapy
from tests.crawler.toscrape import QUOTES, texts
from tests.crawler.toscrape import items as items
from tests.crawler.toscrape import toscrape as toscrape
from tests.site import serve


async def test_spider_arguments_through_init(toscrape, crawl, items):
    class MySpider(scrapy.Spider):
        name = "myspider"

        def __init__(self, category=None, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.start_urls = [f"{toscrape.url}tag/{category}"]

        def parse(self, response):
            self.logger.info("A response from %s just arrived!", response.url)
            yield {"url": response.url}

    await crawl(MySpider, arguments={"category": "humor"})
    assert items() == [{"url": f"{toscrape.url}tag/humor"}]


async def test_multiple_requests_and_items_from_a_single_callback(toscrape, crawl, items):
    class MySpider(scrapy.Spider):
        name = "example"
        allowed_domains = ["127.0.0.1"]
        start_urls = [
            f"{toscrape.url}page/1/",
            f"{toscrape.url}page/2/",
        ]

        def parse(self, response):
            for text in response.css("span.text::text").getall():
                yield {"title": text}
            for href in response.css("a.tag::attr(href)").getall():
                yield scrapy.Request(response.urljoin(href), self.parse)

    result = await crawl(MySpider)
    assert sorted(item["title"] for item in items()) == texts(QUOTES[:4])
    assert set(result.reasons["failed"]) == {"http_404"}  # the pages of single tags


async def test_older_spiders_with_start_requests_headers_and_a_form(toscrape, crawl, items):
    class LoginSpider(scrapy.Spider):
        name = "login"

        def start_requests(self):
            return [
                scrapy.Request(
                    f"{toscrape.url}login",
                    form={"user": "john", "pass": "se cret"},
                    headers={"X-Mine": "yes"},
                    callback=self.logged_in,
                )
            ]

        def logged_in(self, response):
            yield {"who": response.css("#who::text").get()}

    await crawl(LoginSpider)
    assert items() == [{"who": "user=john&pass=se+cret yes"}]


async def test_passing_additional_data_to_callback_functions(toscrape, crawl, items):
    class MySpider(scrapy.Spider):
        name = "passing"
        start_urls = [f"{toscrape.url}page/1/"]

        def parse(self, response):
            request = scrapy.Request(
                f"{toscrape.url}page/2/",
                callback=self.parse_page2,
                cb_kwargs=dict(main_url=response.url),  # noqa: C408
            )
            request.cb_kwargs["foo"] = "bar"  # add more arguments for the callback
            yield request

        def parse_page2(self, response, main_url, foo):
            item = {"main_url": main_url, "other_url": response.url, "foo": foo}
            yield scrapy.Request(
                f"{toscrape.url}page/3/", self.parse_page3, meta={"item": item, "depth_left": 1}
            )

        def parse_page3(self, response):
            item = response.meta["item"]
            item["last_url"] = response.url
            yield item

    await crawl(MySpider)
    assert items() == [
        {
            "main_url": f"{toscrape.url}page/1/",
            "other_url": f"{toscrape.url}page/2/",
            "foo": "bar",
            "last_url": f"{toscrape.url}page/3/",
        }
    ]


async def test_using_errbacks_to_catch_exceptions_in_request_processing(toscrape, crawl, items):
    class ErrbackSpider(scrapy.Spider):
        name = "errback_example"

        async def start(self):
            for url in (
                f"{toscrape.url}page/1/",  # HTTP 200 expected
                f"{toscrape.url}status/404",  # Not found error
                f"{toscrape.url}status/500",  # server issue
                f"{toscrape.url}hang-up",  # no answer
            ):
                yield scrapy.Request(
                    url,
                    callback=self.parse_httpbin,
                    errback=self.errback_httpbin,
                    dont_filter=True,
                )

        def parse_httpbin(self, response):
            self.logger.info("Got successful response from %s", response.url)
            yield {"ok": response.url}

        def errback_httpbin(self, failure):
            self.logger.error(repr(failure))
            if failure.response is not None:
                response = failure.response
                self.logger.error("HttpError on %s", response.url)
                yield {"http": response.status, "url": response.url}
            else:
                request = failure.request
                self.logger.error("%s on %s", failure.reason, request.url)
                yield {"reason": failure.reason, "url": request.url}

    await crawl(ErrbackSpider, retries=1)
    found = sorted(items(), key=str)
    assert found == [
        {"http": 404, "url": f"{toscrape.url}status/404"},
        {"http": 500, "url": f"{toscrape.url}status/500"},
        {"ok": f"{toscrape.url}page/1/"},
        {"reason": "connection", "url": f"{toscrape.url}hang-up"},
    ]


async def test_inline_requests_in_a_coroutine_callback(toscrape, crawl, items):
    class SingleRequestSpider(scrapy.Spider):
        name = "single"
        start_urls = [f"{toscrape.url}page/1/"]

        async def parse(self, response, **kwargs):
            additional_response = await self.fetch(scrapy.Request(f"{toscrape.url}page/2/"))
            yield {
                "h1": response.css("title::text").get(),
                "price": additional_response.css("small.author::text").getall(),
            }

    await crawl(SingleRequestSpider)
    assert items() == [{"h1": "Quotes to Scrape", "price": ["Albert Einstein", "Jane Austen"]}]


async def test_sitemaps_and_feeds_are_read_as_the_docs_say(crawl, items):
    async with serve({}) as site:
        xml = {"Content-Type": "application/xml"}
        urls = (
            f"<urlset><url><loc>{site.url}a</loc></url><url><loc> {site.url}b </loc></url></urlset>"
        )
        feed = (
            f"<rss><item><title><![CDATA[A & B]]></title><link>{site.url}c</link><a:b/>"
            "<dc:creator>Ann</dc:creator></item></rss>"
        )
        maps = f"<sitemapindex><sitemap><loc>{site.url}1.xml.gz</loc></sitemap></sitemapindex>"
        site.pages |= {
            "/sitemap.xml": (200, xml, maps),
            "/1.xml.gz": gzip.compress(urls.encode()),
            "/feed": (200, {"Content-Type": "application/rss+xml"}, feed),
            **{path: f"<h1>{path}</h1>" for path in ("/a", "/b", "/c")},
        }

        class Maps(scrapy.Spider):
            name = "maps"

            async def start(self):
                yield scrapy.Request(f"{site.url}sitemap.xml", self.parse_map)
                yield scrapy.Request(f"{site.url}feed", self.parse_feed)

            def parse_map(self, response):
                page = response
                if response.url.endswith(".gz"):
                    xml = zlib.decompressobj(31).decompress(response.body, 50 << 20).decode()
                    page = scrapy.Selector(text=xml)
                yield from response.follow_all(page.css("sitemap loc::text"), self.parse_map)
                yield from response.follow_all(page.css("url loc::text").getall())

            def parse_feed(self, response):
                for item in response.css("item"):
                    author = item.css(r"dc\:creator::text").get()
                    yield {"title": item.css("title::text").get(), "by": author}
                    yield response.follow(item.re_first(r"<link>\s*([^<\s]+)"))

            def parse(self, response):
                yield {"page": response.css("h1::text").get()}

        await crawl(Maps)
    assert sorted(items(), key=str) == [
        {"page": "/a"},
        {"page": "/b"},
        {"page": "/c"},
        {"title": "A & B", "by": "Ann"},
    ]
