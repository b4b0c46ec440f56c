"""Every page of a documentation site, or of any site: its title, headings and links.

    crawler run docs -a url=https://docs.example/
    crawler query docs "SELECT _url, title FROM latest_page WHERE headings LIKE '%retry%'"

It stays on the site that it starts from, which is what a spider does unless it is told
otherwise with `allowed_domains`.
"""

from collections.abc import AsyncIterator, Iterator

from crawler import Item, Request, Response, Selector, Spider

# Links to these are downloads, not pages; what slips through has nothing to select in it.
DOWNLOADS = (".bz2", ".epub", ".exe", ".gif", ".gz", ".jpg", ".pdf", ".png", ".svg", ".xz", ".zip")


class Page(Item):
    """A row of the table `page`; the column `_url` says which page it is."""

    title: str
    headings: list[str]
    links: int


class Docs(Spider):
    """One item for each page, and a request for each link."""

    name = "docs"
    url = "http://127.0.0.1:8000/"  # the demo shop: python -m crawler.demo

    async def start(self) -> AsyncIterator[Request]:
        """Begin at the given address."""
        yield Request(self.url)

    def parse(self, response: Response) -> Iterator[Page | Request]:
        """Describe a page and follow its links."""
        links = response.css("a::attr(href)").getall()
        if response.css("html"):
            yield Page(
                title=response.css("title::text").get("").strip(),
                headings=[text_of(heading) for heading in response.css("h1, h2, h3")],
                links=len(links),
            )
        yield from response.follow_all(url for url in links if is_page(url))


def text_of(element: Selector) -> str:
    """Return all text within an element on one line, without Sphinx's mark for its link."""
    return " ".join("".join(element.css("::text").getall()).split()).removesuffix("¶")


def is_page(url: str) -> bool:
    """Return whether a link looks as if it leads to a page."""
    return not url.partition("#")[0].lower().endswith(DOWNLOADS)
