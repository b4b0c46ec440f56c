"""A spider that follows every link, sites for it, and what became of their pages."""

import asyncio
from collections.abc import Callable
from typing import Any

from crawler import Item, Spider

STATES = "SELECT url, state, reason FROM crawl_request ORDER BY id"


class Page(Item):
    path: str


class Links(Spider):
    """Keeps every page and follows every link."""

    name = "links"

    def parse(self, response):
        yield Page(path=response.url.split("/", 3)[3])
        yield from response.follow_all("a")


def links(*urls: str, of: type[Spider] = Links, **attributes: Any) -> type[Spider]:
    """A spider that starts from these urls."""
    return type("S", (of,), {"start_urls": urls, **attributes})


def linking(*hrefs: str) -> str:
    return "".join(f'<a href="{href}">x</a>' for href in hrefs)


def tree(pages: int) -> dict[str, str]:
    """A site of so many pages: `/` and `/1` ..., each linking to three more."""
    site = {}
    for number in range(pages):
        children = range(number * 3 + 1, min(number * 3 + 4, pages))
        site[f"/{number or ''}"] = linking("/", *(f"/{child}" for child in children))
    return site


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


class Crowd:
    """A page that answers only when so many are being asked for at the same time."""

    def __init__(self, size: int) -> None:
        self._barrier = asyncio.Barrier(size)

    async def __call__(self, request):
        async with asyncio.timeout(20):
            await self._barrier.wait()
        return ""
