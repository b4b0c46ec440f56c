"""A spider that keeps what it reads, the type of what it reads, and what became of it."""

from crawler import Item, Spider

HTML = {"Content-Type": "text/html; charset=utf-8"}
STATES = "SELECT state, reason FROM crawl_request ORDER BY id"
TRIES = "SELECT state, reason, attempts FROM crawl_request ORDER BY id"
ONLY = "SELECT state, reason, status, attempts FROM crawl_request"


class Seen(Item):
    url: str
    text: str = ""


class Reader(Spider):
    """Keeps every page it gets to parse."""

    name = "reader"

    def parse(self, response):
        yield Seen(url=response.url, text=response.text)


def reader(*urls: str, of: type[Spider] = Reader, **attributes) -> type[Spider]:
    """A spider that starts from these urls."""
    return type("S", (of,), {"start_urls": urls, **attributes})
