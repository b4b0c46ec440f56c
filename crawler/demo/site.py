"""A bookshop served on loopback: small, the same every time, and with a real site's troubles.

    async with DemoSite() as site:
        site.url                        # "http://127.0.0.1:PORT/"

What it holds (`CATEGORIES` is in catalogue.py, `BOOKS_PER_PAGE` in pages.py, the rest below):

- `BOOKS` books in `CATEGORIES`, each with a page: title, price, rating, stock, description,
  category, tags, and for `WITH_SUBTITLE` of them a subtitle;
- `LISTINGS` pages that list them, `BOOKS_PER_PAGE` a page: all books from `/` on, then each
  category from `/category/<name>/` on;
- `robots.txt`, which asks crawlers to keep out of `/private/`; every page has a link there,
  and three books have one each in `PRIVATE_LINKS`;
- `SLOW_PAGE`, a book whose page takes `SLOW_SECONDS`;
- `FLAKY_PAGE`, a book whose page is answered with 500 the first time, and well after that;
- `DEAD_LINK`, linked from one book, which is 404;
- `OFFSITE_LINK`, linked from one book, which leads to another site.

A spider that follows listings, books and the links between books sees `BOOKS + LISTINGS`
good pages, one 404, one link offsite and, while it obeys robots.txt, leaves three alone.
"""

import asyncio
from collections import Counter
from typing import Self

from aiohttp import web

from crawler.demo.catalogue import books
from crawler.demo.pages import error_page, private_page, shop_pages

BOOKS = 240
WITH_SUBTITLE = 160
LISTINGS = 29  # 12 of all books, 17 of the categories
SLOW_PAGE = "/books/17/"
SLOW_SECONDS = 1.0
FLAKY_PAGE = "/books/100/"
DEAD_LINK = "/books/0/"
OFFSITE_LINK = "http://elsewhere.example/"
PRIVATE_LINKS = ("/private/notes/1/", "/private/notes/2/", "/private/notes/3/")

ROBOTS = "User-agent: *\nDisallow: /private/\n"

# Number of the book -> what its page links to beside other books.
_EXTRA_LINKS = {
    7: ("The publisher", OFFSITE_LINK),
    42: ("Out of print", DEAD_LINK),
    **{50 * n: (f"Staff note {n}", path) for n, path in enumerate(PRIVATE_LINKS, start=1)},
}


class DemoSite:
    """The bookshop, open for the length of an `async with`.

    `url` is where it is, known once it is open; `hits` counts the requests for each path.
    `slow_seconds` is what the slow page takes. `OSError` is raised when the port is taken.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, slow_seconds: float = SLOW_SECONDS
    ) -> None:
        self.url = ""
        self.hits: Counter[str] = Counter()
        self._host, self._port, self._slow_seconds = host, port, slow_seconds
        self._pages = shop_pages(books(), _EXTRA_LINKS)
        for path in ("/private/", *PRIVATE_LINKS):
            self._pages[path] = private_page("Staff only")
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        # Leaving waits this long for answers that are under way, not aiohttp's minute.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)

    @property
    def pages(self) -> dict[str, str]:
        """The HTML of every page by its path."""
        return dict(self._pages)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{name}:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.hits[path] += 1
        if path == "/robots.txt":
            return web.Response(text=ROBOTS)
        if path not in self._pages:
            return _html(error_page(404, "There is no such page"), 404)
        if path == FLAKY_PAGE and self.hits[path] == 1:
            return _html(error_page(500, "Something went wrong"), 500)
        if path == SLOW_PAGE:
            await asyncio.sleep(self._slow_seconds)
        return _html(self._pages[path], 200)


def _html(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")
