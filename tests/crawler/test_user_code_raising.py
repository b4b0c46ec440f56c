"""Spiders that raise: their page fails with its reason, and the run goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, CrawlerError, Request, Response, Spider
from tests.crawler.bad_page import (
    BAD,
    PAGES,
    Good,
    Odd,
    Page,
    Rows,
    assert_only_the_bad_page_failed,
    run,
)
from tests.crawler.cli.project import Project
from tests.site import serve


class Unspeakable(Exception):
    """An error that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr either")

    __str__ = __repr__


ERRORS = [
    RuntimeError("boom"),
    StopIteration(),
    StopAsyncIteration(),
    RecursionError(),
    MemoryError(),
    SystemExit(0),
    GeneratorExit(),
    asyncio.CancelledError(),
    Odd(),
    Unspeakable(),
    ValueError("\ud800 is no character"),
]
NAMES = [type(error).__name__ for error in ERRORS]


class RaisesPlainly(Good):
    def bad(self, response: Response) -> Any:
        raise self.error


class RaisesInAGenerator(Good):
    def bad(self, response: Response) -> Any:
        yield Page(path="lost")
        raise self.error


class RaisesInACoroutine(Good):
    async def bad(self, response: Response) -> Any:
        await asyncio.sleep(0)
        raise self.error


class RaisesInAnAsyncGenerator(Good):
    async def bad(self, response: Response) -> Any:
        yield Page(path="lost")
        await asyncio.sleep(0)
        raise self.error


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
@pytest.mark.parametrize(
    "spider", [RaisesPlainly, RaisesInAGenerator, RaisesInACoroutine, RaisesInAnAsyncGenerator]
)
async def test_whatever_a_callback_raises_costs_its_page_only(
    spider: Any, error: BaseException, db: Path, rows: Rows
) -> None:
    class Raising(spider):  # type: ignore[misc]
        pass

    Raising.error = error
    assert (await run(db, Raising)).finish == "finished"
    assert_only_the_bad_page_failed(rows, "spider_error")
    (trace,) = rows("SELECT error FROM crawl_request WHERE state = 'failed'")
    assert type(error).__name__ in trace or "cancelled itself" in trace


def cancel_this_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


class CancelsInACallback(Good):
    def bad(self, response: Response) -> Any:
        cancel_this_task()
        return []


class CancelsInTheMiddleware(Good):
    async def go_away(self, request: Request, call_next: Any) -> Any:
        if request.url.endswith(BAD):
            cancel_this_task()
        return await call_next(request)

    middleware = (go_away,)


class CancelsInStart(Good):
    async def start(self) -> AsyncIterator[Request]:
        yield Request(self.url)
        cancel_this_task()
        await asyncio.sleep(0)


@pytest.mark.parametrize("spider", [CancelsInACallback, CancelsInTheMiddleware, CancelsInStart])
async def test_who_cancels_the_task_that_it_runs_in_ends_the_run_and_is_told_so(
    spider: type[Spider], db: Path, rows: Rows
) -> None:
    with pytest.raises(CrawlerError, match="was cancelled from within"):
        await run(db, spider)
    assert rows("SELECT finish FROM crawl_run") == ["failed"]


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
async def test_whatever_an_errback_raises_costs_its_page_only(
    error: BaseException, db: Path, rows: Rows
) -> None:
    class Raising(Good):
        def good(self, response: Response, path: str) -> Iterator[Any]:
            yield Page(path=path)
            for link in response.css("a::attr(href)").getall():
                yield response.follow(link, errback="fall" if link == BAD else None)

        def fall(self, failure: Any) -> Any:
            raise error

    async with serve({**PAGES, BAD: (404, {}, "")}) as site:
        crawl = Crawl(Raising, db=db, arguments={"url": site.url}, overrides={"robots": False})
        async with asyncio.timeout(20):
            assert (await crawl.run()).finish == "finished"
    assert_only_the_bad_page_failed(rows, "spider_error")


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
async def test_whatever_a_middleware_raises_costs_its_page_only(
    error: BaseException, db: Path, rows: Rows
) -> None:
    async def throw(request: Request, call_next: Any) -> Response:
        if request.url.endswith(BAD):
            raise error
        response: Response = await call_next(request)
        return response

    class Raising(Good):
        middleware = (throw,)

    assert (await run(db, Raising)).finish == "finished"
    assert_only_the_bad_page_failed(rows, "middleware_error")


async def test_a_keyboard_interrupt_of_the_spiders_own_ends_the_run_which_can_be_resumed(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path)
    async with serve(PAGES) as site:
        text = (
            "from crawler import Item, Spider\n"
            "class Page(Item):\n    url: str\n"
            f"class Shop(Spider):\n    name = 'shop'\n    start_urls = [{site.url!r}]\n"
            "    def parse(self, response):\n"
            "        yield Page(url=response.url)\n"
            "        if response.url.endswith('/bad'):\n            RAISE\n"
            "        yield from response.follow_all('a')\n"
        )
        project.write("spiders/shop.py", text.replace("RAISE", "raise KeyboardInterrupt"))
        first = await project.crawler("run", "shop", "--log-level", "error")
        assert first.status == 130
        assert "Traceback" not in first.err
        project.write("spiders/shop.py", text.replace("RAISE", "return"))
        second = await project.crawler("run", "shop", "--json")
    assert (second.status, second.json["resumed"]) == (0, True)
    assert (second.json["done"], second.json["items"]) == (5, 5)


async def test_an_error_that_repeats_the_page_is_not_as_long_in_the_file(
    crawl: Any, rows: Rows
) -> None:
    class Numbers(Spider):
        name = "numbers"

        def parse(self, response: Response) -> Any:
            yield {"number": float(response.text)}

    async with serve({"/": "<title>" + "x" * 900_000}) as site:
        Numbers.start_urls = [site.url]
        await crawl(Numbers)
    (error,) = rows("SELECT error FROM crawl_request")
    assert error.startswith("Traceback")
    assert "could not convert" in error
    assert "characters are left out" in error
    assert len(error) < 40_000
