"""The demo bookshop, book by book: from the listings to a page for each.

    python -m crawler.demo          # serves the shop on http://127.0.0.1:8000/
    crawler run books               # in another terminal
    crawler query books "SELECT title, price FROM latest_book ORDER BY price DESC LIMIT 5"

For a shop at another address: crawler run books -a url=http://127.0.0.1:9000/
"""

from collections.abc import AsyncIterator, Iterator

from crawler import Item, Request, Response, Spider


class Book(Item):
    """A row of the table `book`."""

    title: str
    subtitle: str | None  # not every book has one
    price: float  # pounds
    rating: int  # 1 to 5
    stock: int
    category: str
    description: str
    tags: list[str]


class Books(Spider):
    """Every book of the shop, whichever way it is found; the crawl drops what it has seen."""

    name = "books"
    url = "http://127.0.0.1:8000/"

    async def start(self) -> AsyncIterator[Request]:
        """Begin at the front page."""
        yield Request(self.url)

    def parse(self, response: Response) -> Iterator[Request]:
        """Go from a listing to the other listings and to its books."""
        yield from response.follow_all(".categories a")
        yield from response.follow_all("a.next")
        yield from response.follow_all(".book h3 a", self.parse_book)

    def parse_book(self, response: Response) -> Iterator[Book | Request]:
        """Read one book's page, and go on to the related ones."""
        yield Book(
            title=response.css("h1::text").get(),
            subtitle=response.css(".subtitle::text").get(),
            price=response.css(".price::text").re_first(r"[\d.]+"),
            rating=response.css(".rating").attrib["data-stars"],
            stock=response.css(".stock::text").re_first(r"\d+", "0"),
            category=response.css(".breadcrumb a::text").getall()[-1],
            description=response.css(".description::text").get(),
            tags=response.css(".tags li::text").getall(),
        )
        yield from response.follow_all(".related a", self.parse_book)
