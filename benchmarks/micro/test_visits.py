"""The spider's whole part of a visit, and items."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from crawler import Item, Request, Response, Spider
from crawler.links import Discovery
from crawler.parsing import OwnParser
from crawler.settings import Settings
from crawler.url import Scope
from storage.columns import row_of
from storage.records import QueuedRequest, Visit


class Page(Item):
    """An item as it is often seen."""

    title: str
    price: float | None = None
    tags: list[str] | None = None


class Manual(Spider):
    """Title and links of each page."""

    name = "manual"

    def parse(self, response: Response) -> Iterator[Item | Request]:
        """Describe a page and follow its links."""
        yield Page(title=response.css("title::text").get(""))
        yield from response.follow_all("a")


def test_a_page_given_to_the_spider(
    benchmark: Any, respond: Callable[[], Response], row: QueuedRequest
) -> None:
    discovery = Discovery(Settings())
    discovery.widen(Scope.around(["docs.example"]))
    parser = OwnParser(Manual(), discovery, Settings())

    async def parse() -> Visit:
        visit = Visit(row.id, row.host, "failed")
        await parser.parse(respond(), row, visit)
        return visit

    with asyncio.Runner() as runner:
        visit = benchmark(lambda: runner.run(parse()))
    assert (visit.state, len(visit.items)) == ("done", 1)
    assert len(visit.requests) > 100


def test_an_item_made(benchmark: Any) -> None:
    benchmark(lambda: Page(title="Dune", price="12.50", tags=["sand", "worms"]))


def test_an_item_as_a_row(benchmark: Any) -> None:
    item = Page(title="Dune", price=12.5, tags=["sand", "worms"])
    benchmark(row_of, item, "http://docs.example/")


def test_a_dict_as_a_row(benchmark: Any) -> None:
    benchmark(row_of, {"title": "Dune", "price": 12.5}, "http://docs.example/")
