"""What the crawler itself runs: everything at its default, but for how many fetches at once.

    crawler run site_spider.py --db OUTPUT.db -a url=START_URL

The clock of the crawl's own summary runs while the file is open. This one is that of the other
contestants: it starts before the file is made, and stops when it is closed.
"""

import atexit
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from time import perf_counter
from typing import Any

import uvloop  # noqa: F401

import storage.sqlite  # noqa: F401 - as the bare loop has imported what it needs
from crawler import Item, Request, Response, Spider

began = perf_counter()
atexit.register(lambda: print(json.dumps({"seconds": perf_counter() - began})))


class Page(Item):
    """A row of the table `page`; its column `_url` is the url."""

    title: str | None
    h1: str | None


class Site(Spider):
    """Stores title and h1 of each page, and follows every link."""

    name = "site"
    url = ""
    settings: Mapping[str, Any] = {"concurrency": 64, "concurrency_per_host": 64}

    async def start(self) -> AsyncIterator[Request]:
        """Begin at the given address."""
        yield Request(self.url)

    def parse(self, response: Response) -> Iterator[Page | Request]:
        """Describe a page and follow its links."""
        if response.content_type == "text/html":
            yield Page(
                title=response.css("title::text").get(),
                h1=response.css("h1::text").get(),
            )
        yield from response.follow_all("a")
