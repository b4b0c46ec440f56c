"""What a type checker makes of a user's code: a spider, a program, `retry` and `timed`."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

USER_CODE = """
from crawler import retry, timed

@retry
async def one(a: int, *, b: str = "") -> float:
    return 1.0

@retry(on=(OSError, KeyError), attempts=2)
def two(a: int) -> str:
    return ""

@timed
def three(a: int) -> str:
    return ""

@timed("label", report=print)
async def four(a: int) -> str:
    return ""

def block() -> float:
    with timed("x") as t:
        pass
    return t.seconds

reveal_type(one)
reveal_type(two)
reveal_type(three)
reveal_type(four)
two("not a number")
"""

REVEALED = [
    "def (a: int, *, b: str =) -> Coroutine[Any, Any, float]",
    "def (a: int) -> str",
    "def (a: int) -> str",
    "def (a: int) -> Coroutine[Any, Any, str]",
]


SPIDER = """
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import crawler
from crawler import Crawl, Failure, Item, Request, Response, Spider, Summary

class Book(Item):
    title: str | None
    price: float = 0.0

class Books(Spider):
    name = "books"
    start_urls = ["http://127.0.0.1:8000/"]
    settings = {"delay": 0.1}
    items = [Book]

    async def count(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        return await call_next(request)

    middleware = [count]

    async def start(self) -> AsyncIterator[Request]:
        yield Request("http://127.0.0.1:8000/", self.parse, errback=self.failed)

    def parse(self, response: Response) -> Iterator[Item | Request]:
        yield Book(title=response.css("h1::text").get(), price="1.50")
        yield from response.follow_all("a", self.parse)

    def failed(self, failure: Failure) -> None:
        self.logger.error("failed", reason=failure.reason)

    async def closed(self, reason: str) -> None: ...

class Named(Books):
    middleware = ["count"]

async def main() -> Summary:
    crawl = Crawl(Named, db="books.db", arguments={"pages": 3}, concurrency=3)
    running = asyncio.create_task(crawl.run())
    await crawl.begun.wait()
    if (now := crawl.snapshot()) and now.items > 3:
        crawl.stop()
    await running
    return await crawler.run(Books, db="books.db", arguments={"category": "poetry"}, delay=0.1)
"""


def judged(snippet: Path, text: str) -> list[str]:
    """What mypy says of a user's file."""
    snippet.write_text(text)
    # Only what is imported from here is followed: the user's file is what is judged.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(snippet)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def test_a_spider_and_a_program_are_as_they_should_be(tmp_path: Path) -> None:
    (verdict,) = judged(tmp_path / "user_spider.py", SPIDER)
    assert verdict == "Success: no issues found in 1 source file"


def test_decorated_functions_keep_their_signature(tmp_path: Path) -> None:
    lines = judged(tmp_path / "user_code.py", USER_CODE)
    revealed = [line.split('"')[1] for line in lines if "Revealed type" in line]
    plain = [text.replace("builtins.", "").replace("typing.", "") for text in revealed]
    assert plain == REVEALED, lines
    errors = [line for line in lines if ": error:" in line]
    assert len(errors) == 1, lines
    assert 'incompatible type "str"; expected "int"' in errors[0]
