# ruff: noqa: RUF012 - spiders are written here as their users write them
"""Spiders as Scrapy's tutorial and documentation write them, with only the imports changed.

The site has the markup of quotes.toscrape.com; each spider runs on a local copy of it, so the
addresses are the one other thing that differs.
"""

import json
from html import escape
from pathlib import Path

import pytest

import crawler as scrapy
from tests.site import serve

# ── the site ────────────────────────────────────────────────────────────────────────────────

QUOTES = [
    ("The world as we have created it is a process of our thinking.", "Albert Einstein",
     ["change", "world"]),
    ("It is our choices, Harry, that show what we truly are.", "J.K. Rowling", ["choices"]),
    ("There are only two ways to live your life.", "Albert Einstein", ["life", "world"]),
    ("A person who has not pleasure in a good novel is stupid.", "Jane Austen",
     ["humor", "books"]),
    ("Imperfection is beauty & madness is genius.", "Marilyn Monroe", ["humor"]),
]  # fmt: skip
BORN = {
    "Albert Einstein": "March 14, 1879",
    "J.K. Rowling": "July 31, 1965",
    "Jane Austen": "December 16, 1775",
    "Marilyn Monroe": "June 01, 1926",
}


def slug(author: str) -> str:
    return author.replace(".", "-").replace(" ", "-")


def quote_html(text: str, author: str, tags: list[str]) -> str:
    keywords = "".join(f'<a class="tag" href="/tag/{tag}/page/1/">{tag}</a>\n' for tag in tags)
    return f"""
    <div class="quote" itemscope itemtype="http://schema.org/CreativeWork">
        <span class="text" itemprop="text">“{escape(text)}”</span>
        <span>by <small class="author" itemprop="author">{author}</small>
        <a href="/author/{slug(author)}">(about)</a>
        </span>
        <div class="tags">
            Tags:
            <meta class="keywords" itemprop="keywords" content="{",".join(tags)}">
            {keywords}
        </div>
    </div>"""


def listing(quotes: list[tuple[str, str, list[str]]], before: str = "", after: str = "") -> str:
    previous = f'<li class="previous"><a href="{before}">← Previous</a></li>' if before else ""
    following = f'<li class="next"><a href="{after}">Next →</a></li>' if after else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Quotes to Scrape</title></head>
<body><div class="container"><div class="row"><div class="col-md-8">
    {"".join(quote_html(*quote) for quote in quotes)}
    <nav><ul class="pager">{previous}{following}</ul></nav>
</div></div></div></body></html>"""


def author_html(author: str) -> str:
    return f"""<!DOCTYPE html><html><body><div class="author-details">
    <h3 class="author-title">{author}
    </h3>
    <p><strong>Born:</strong> <span class="author-born-date">{BORN[author]}</span>
    <span class="author-born-location">in Somewhere</span></p>
    <div class="author-description">
        {author} wrote this.
    </div></div></body></html>"""


def login(request):
    if request.method == "POST":
        return f"<p id=who>{escape(request.body.decode())} {request.headers.get('X-Mine', '')}</p>"
    return "<form method=post></form>"


@pytest.fixture
async def toscrape():
    """A local quotes.toscrape.com: three pages of quotes, their authors, one page per tag."""
    pages = {
        "/": listing(QUOTES[:2], after="/page/2/"),
        "/page/1/": listing(QUOTES[:2], after="/page/2/"),
        "/page/2/": listing(QUOTES[2:4], before="/page/1/", after="/page/3/"),
        "/page/3/": listing(QUOTES[4:], before="/page/2/"),
        "/tag/humor": listing([quote for quote in QUOTES if "humor" in quote[2]]),
        "/login": login,
        "/status/500": (500, {}, "<h1>Server Error</h1>"),
        "/hang-up": None,
        **{f"/author/{slug(author)}": author_html(author) for author in BORN},
    }
    async with serve(pages) as site:
        yield site


@pytest.fixture
def items(rows):
    """What is in the table `item`, in the order it was found."""
    return lambda: [json.loads(data) for data in rows("SELECT data FROM item ORDER BY _id")]


def texts(quotes) -> list[str]:
    return sorted(f"“{text}”" for text, _, _ in quotes)


# ── the tutorial, step by step ──────────────────────────────────────────────────────────────


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


# ── from the reference ──────────────────────────────────────────────────────────────────────


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
