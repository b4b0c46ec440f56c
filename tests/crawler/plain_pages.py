"""A spider that writes its pages down, and the addresses of some."""

from typing import Any

from crawler import Item, Spider


class Page(Item):
    url: str


class Pages(Spider):
    name = "pages"

    def parse(self, response):
        yield Page(url=response.url)


def pages(*urls: str, of: type[Spider] = Pages, **attributes: Any) -> type[Spider]:
    return type("S", (of,), {"start_urls": urls, **attributes})


def numbered(port: int, how_many: int) -> list[str]:
    return [f"http://127.0.0.1:{port}/{number}" for number in range(how_many)]
