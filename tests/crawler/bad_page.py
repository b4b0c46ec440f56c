"""A site with one bad page, a spider that is good but there, and how the others end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from crawler import Crawl, Item, Request, Response, Spider
from crawler.summary import Summary
from tests.crawler.cli.project import page
from tests.site import serve

BAD = "/bad"
PAGES = {"/": page(0, "/1", BAD, "/2"), "/1": page(1), "/2": page(2, "/3"), "/3": page(3)} | {
    BAD: page(9, "/never")
}
GOOD = ["/", "/1", "/2", "/3"]

Rows = Callable[..., list[Any]]


class Page(Item):
    """What a good page gives."""

    path: str


class Odd(BaseException):
    """No `Exception`, as some libraries have for their own control flow."""


class Good(Spider):
    """Does what it should, but on the page `/bad`, where it does what a test says."""

    name = "good"
    url = ""
    error: BaseException
    allowed_domains = ("127.0.0.1",)

    async def start(self) -> AsyncIterator[Request]:
        yield Request(self.url)

    def parse(self, response: Response) -> Any:
        path = "/" + response.url.split("/", 3)[3]
        return self.bad(response) if path == BAD else self.good(response, path)

    def good(self, response: Response, path: str) -> Iterator[Any]:
        yield Page(path=path)
        yield from response.follow_all("a")

    def bad(self, response: Response) -> Any:
        raise NotImplementedError


@asynccontextmanager
async def crawl_of(db: Path, spider: type[Spider], **settings: Any) -> AsyncIterator[Crawl]:
    """A crawl of the site by that spider, not yet begun."""
    async with serve(PAGES) as site:
        yield Crawl(
            spider,
            db=db,
            arguments={"url": site.url},
            overrides={"backoff": 0.01, "robots": False, **settings},
        )


async def run(db: Path, spider: type[Spider], **settings: Any) -> Summary:
    """Crawl the site; a crawl that hangs fails the test."""
    async with crawl_of(db, spider, **settings) as crawl, asyncio.timeout(20):
        return await crawl.run()


def states(rows: Rows) -> dict[str, tuple[str, str | None]]:
    return {
        "/" + url.split("/", 3)[3]: (state, reason)
        for url, state, reason in rows("SELECT url, state, reason FROM crawl_request")
    }


def assert_only_the_bad_page_failed(rows: Rows, reason: str) -> None:
    """All else is as it should be, and nothing of the bad page is kept."""
    assert states(rows) == dict.fromkeys(GOOD, ("done", None)) | {BAD: ("failed", reason)}
    assert sorted(rows("SELECT path FROM page")) == GOOD
