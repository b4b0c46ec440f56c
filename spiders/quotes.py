"""Quotes and their authors from quotes.toscrape.com, a public site made for practice.

    crawler run quotes
    crawler run quotes -a tag=humor                 # only the quotes with this tag
    crawler query quotes "SELECT author, count(*) FROM latest_quote GROUP BY author"

Two kinds of items make two tables, `quote` and `author`.
"""

from collections.abc import AsyncIterator, Iterator

from crawler import Item, Request, Response, Spider


class Quote(Item):
    """A row of the table `quote`."""

    text: str
    author: str
    tags: list[str]


class Author(Item):
    """A row of the table `author`."""

    name: str
    born: str
    birthplace: str
    description: str


class Quotes(Spider):
    """Every quote, page by page, and one author for each that is quoted."""

    name = "quotes"
    url = "https://quotes.toscrape.com/"
    tag = ""

    async def start(self) -> AsyncIterator[Request]:
        """Begin at the first page of all quotes, or of those with the tag."""
        yield Request(f"{self.url}tag/{self.tag}/" if self.tag else self.url)

    def parse(self, response: Response) -> Iterator[Quote | Request]:
        """Read the quotes of one page; go to the next page and to the authors."""
        for quote in response.css("div.quote"):
            yield Quote(
                text=quote.css("span.text::text").get(),
                author=quote.css("small.author::text").get(),
                tags=quote.css("div.tags a.tag::text").getall(),
            )
        yield from response.follow_all("small.author + a", self.parse_author)
        yield from response.follow_all("li.next a")

    def parse_author(self, response: Response) -> Iterator[Author]:
        """Read an author's page. Two quotes of one author lead here once."""
        yield Author(
            name=response.css("h3.author-title::text").get("").strip(),
            born=response.css("span.author-born-date::text").get(),
            birthplace=response.css("span.author-born-location::text").get("").removeprefix("in "),
            description=response.css("div.author-description::text").get("").strip(),
        )
