"""Scrapy, tuned fairly: no log, no telnet, no cookies, 64 requests at once to one host.

    python scrapy_spider.py START_URL OUTPUT.jsonl [reactorless]

Retries, robots.txt and the duplicate filter are on, as in what `scrapy startproject` makes.
"""

import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response, TextResponse

CONCURRENCY = 64


class Site(scrapy.Spider):
    """Stores title and h1 of each page, and follows every link."""

    name = "site"

    def __init__(self, url: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.url = url
        self.allowed_domains = [urlsplit(url).hostname]

    async def start(self) -> AsyncIterator[scrapy.Request]:
        """Begin at the given address, once: requests of `start_urls` escape the filter."""
        yield scrapy.Request(self.url)

    def parse(self, response: Response) -> Iterator[Any]:
        """Describe a page and follow its links."""
        kind = (response.headers.get("Content-Type") or b"").partition(b";")[0]
        if kind != b"text/html" or not isinstance(response, TextResponse):
            return
        yield {
            "url": response.url,
            "title": response.css("title::text").get(),
            "h1": response.css("h1::text").get(),
        }
        # Scrapy makes a request even of a `mailto:`, and logs that it cannot send it.
        yield from response.follow_all(css="a[href]")


def main() -> None:
    """Crawl, and print how many seconds it took."""
    url, path, *rest = sys.argv[1:]
    began = time.perf_counter()
    process = AsyncCrawlerProcess(
        {
            "LOG_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
            "COOKIES_ENABLED": False,
            "AUTOTHROTTLE_ENABLED": False,
            "ROBOTSTXT_OBEY": True,
            "DOWNLOAD_DELAY": 0,
            "CONCURRENT_REQUESTS": CONCURRENCY,
            "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
            "TWISTED_REACTOR_ENABLED": "reactorless" not in rest,
            "FEEDS": {path: {"format": "jsonlines"}},
        }
    )
    process.crawl(Site, url=url)
    process.start()
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
