"""Spiders that misbehave in every way: their page fails with its reason, and the run goes on."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, CrawlerError, Item, Request, Response, Spider
from crawler.summary import Summary
from crawler.watchdog import Watchdog
from tests.crawler.cli.project import Project, page
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


class Unspeakable(Exception):
    """An error that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr either")

    __str__ = __repr__


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


# ── raising ─────────────────────────────────────────────────────────────────────────────────

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


# ── never coming to an end ──────────────────────────────────────────────────────────────────


class Hangs(Good):
    async def bad(self, response: Response) -> Any:
        yield Page(path="lost")
        await asyncio.Event().wait()


class NeverGivesUp(Good):
    """Goes on when it is cancelled, over and over."""

    gone_on = 0

    async def bad(self, response: Response) -> Any:
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                type(self).gone_on += 1


class DawdlesInAGenerator(Good):
    def bad(self, response: Response) -> Any:
        while True:
            time.sleep(0.02)
            yield Page(path="lost")


@pytest.mark.parametrize("spider", [Hangs, NeverGivesUp, DawdlesInAGenerator])
async def test_a_callback_that_never_ends_is_given_up_in_time(
    spider: type[Spider], db: Path, rows: Rows
) -> None:
    assert (await run(db, spider, callback_timeout=0.1)).finish == "finished"
    assert_only_the_bad_page_failed(rows, "callback_timeout")


async def test_a_run_is_stopped_though_a_callback_swallows_its_cancellation(
    db: Path, rows: Rows
) -> None:
    stopped_at = 0.0

    class Stubborn(NeverGivesUp):
        async def bad(self, response: Response) -> Any:
            nonlocal stopped_at
            stopped_at = time.monotonic()
            crawl.stop()
            await super().bad(response)

    async with crawl_of(db, Stubborn, grace=0.1) as crawl, asyncio.timeout(20):
        summary = await crawl.run()
        assert time.monotonic() - stopped_at < 0.1 + 2
    assert summary.finish == "stopped"
    assert states(rows)[BAD] == ("queued", None)


async def test_a_run_is_cancelled_though_a_callback_swallows_its_cancellation(
    db: Path, rows: Rows
) -> None:
    reached = asyncio.Event()

    class Stubborn(NeverGivesUp):
        async def bad(self, response: Response) -> Any:
            reached.set()
            await super().bad(response)

    async with crawl_of(db, Stubborn) as crawl, asyncio.timeout(20):
        task = asyncio.create_task(crawl.run())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert states(rows)[BAD] == ("queued", None)


STUBBORN = """
import asyncio
from crawler import Spider

async def linger():
    while True:
        try:
            await asyncio.sleep(0.01)
        except BaseException:
            pass

class Shop(Spider):
    name = "shop"
    start_urls = [{url!r}]
    settings = {{"callback_timeout": 0.1, "robots": False}}

    async def parse(self, response):
        {body}
"""


@pytest.mark.parametrize("body", ["await linger()", "async for _ in agen(): yield None"])
def test_the_process_ends_though_a_callback_does_not(body: str, tmp_path: Path) -> None:
    agen = "\n\nasync def agen():\n    await linger()\n    yield None\n"

    async def command() -> Any:
        project = Project(tmp_path)
        async with serve({"/": page(0)}) as site, asyncio.timeout(30):
            project.write("spiders/shop.py", STUBBORN.format(url=site.url, body=body) + agen)
            return await project.crawler("run", "shop", "--json")

    result = asyncio.run(command())
    assert result.json["failed"] == 1, result.err
    assert result.status == 1  # the only start URL failed


def test_a_program_ends_though_a_callback_does_not(tmp_path: Path) -> None:
    """`asyncio.run` waits for all tasks that it knows."""

    class Stubborn(NeverGivesUp):
        pass

    summary = asyncio.run(run(tmp_path / "crawl.db", Stubborn, callback_timeout=0.1))
    assert (summary.finish, summary.failed) == ("finished", 1)


# ── too much, too long ──────────────────────────────────────────────────────────────────────


class YieldsForEver(Good):
    def bad(self, response: Response) -> Any:
        while True:
            yield Page(path="lost")


class YieldsForEverAsynchronously(Good):
    async def bad(self, response: Response) -> Any:
        while True:
            yield Page(path="lost")


class ReturnsTooMany(Good):
    async def bad(self, response: Response) -> Any:
        return [{"n": n} for n in range(10_000)]


@pytest.mark.parametrize("spider", [YieldsForEver, YieldsForEverAsynchronously, ReturnsTooMany])
async def test_a_page_with_too_many_results_fails(
    spider: type[Spider], db: Path, rows: Rows
) -> None:
    assert (await run(db, spider, max_results=1000)).finish == "finished"
    assert_only_the_bad_page_failed(rows, "too_many_results")


async def count_turns(turns: list[int]) -> None:
    while True:
        turns.append(1)
        await asyncio.sleep(0)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_generator_that_never_waits_lets_others_work_meanwhile(
    asynchronous: bool, db: Path, rows: Rows
) -> None:
    turns: list[int] = []

    def work() -> Iterator[None]:
        task = asyncio.get_running_loop().create_task(count_turns(turns))
        for _ in range(50):
            time.sleep(0.004)  # it computes
            yield None
        task.cancel()

    class Greedy(Good):
        async def bad(self, response: Response) -> Any:
            for nothing in work():
                yield nothing

    class GreedyAndPlain(Good):
        def bad(self, response: Response) -> Any:
            return work()

    assert (await run(db, Greedy if asynchronous else GreedyAndPlain)).finish == "finished"
    assert states(rows)[BAD] == ("done", None)
    assert len(turns) >= 9


# ── blocking the loop ───────────────────────────────────────────────────────────────────────


async def test_the_watchdog_names_the_line_that_blocks_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Watchdog(0.05):
        _block(caplog)
        line = _block.__code__.co_firstlineno + 3
    (record,) = caplog.records
    assert f"{__file__}:{line} in _block" in record.getMessage()


def _block(caplog: pytest.LogCaptureFixture) -> None:
    """Hold the loop until somebody complains; every wait is this one line."""
    while not caplog.records:
        time.sleep(0.01)


async def test_a_callback_that_blocks_the_loop_is_named_in_the_log(
    db: Path, rows: Rows, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.watchdog.PATIENCE", 0.05)

    class Blocks(Good):
        def bad(self, response: Response) -> Any:
            _block(caplog)

    with caplog.at_level(logging.WARNING, logger="crawler"):
        assert (await run(db, Blocks)).finish == "finished"
    (told,) = [r.getMessage() for r in caplog.records if "event_loop_blocked" in r.getMessage()]
    assert f"{__file__}:{_block.__code__.co_firstlineno + 3} in _block" in told
    assert states(rows) == dict.fromkeys([*GOOD, BAD], ("done", None))


async def test_a_loop_that_only_waits_is_not_blamed(caplog: pytest.LogCaptureFixture) -> None:
    async with Watchdog(0.05):
        await asyncio.sleep(0.3)
    assert caplog.records == []


# ── what it yields ──────────────────────────────────────────────────────────────────────────


async def test_what_was_yielded_is_stored_whatever_becomes_of_it(db: Path, rows: Rows) -> None:
    class Nested(Item):
        tags: list[str]

    class Mutates(Good):
        items = (Nested,)

        def bad(self, response: Response) -> Any:
            shared: dict[str, Any] = {"n": 1, "list": [1]}
            nested = Nested(tags=["a"])
            request = response.follow("/1?again", callback="look", meta=shared)
            yield shared
            yield nested
            yield request
            shared["n"] = 2
            shared["list"].append(2)
            nested.tags.append("b")
            request.url = "http://127.0.0.1:1/elsewhere"
            yield shared

        def look(self, response: Response) -> Any:
            yield {"meta": response.meta}

    assert (await run(db, Mutates)).finish == "finished"
    first, second, third = map(json.loads, rows("SELECT data FROM item ORDER BY _id"))
    assert (first, second) == ({"n": 1, "list": [1]}, {"n": 2, "list": [1, 2]})
    assert third == {"meta": {"n": 1, "list": [1]}}
    assert rows("SELECT tags FROM nested") == ['["a"]']


class Text(Item):
    """A text column."""

    text: str


class Number(Item):
    """A number column."""

    number: float


def _yielding(*outputs: Any) -> type[Spider]:
    class Yields(Good):
        items = (Text, Number)

        def bad(self, response: Response) -> Any:
            yield from outputs

    return Yields


async def test_a_large_item_is_stored_as_it_is(db: Path, rows: Rows) -> None:
    text = "x" * 20_000_000
    await run(db, _yielding(Text(text=text), {"text": text}))
    assert states(rows)[BAD] == ("done", None)
    assert rows("SELECT text = ? FROM text", text) == [1]
    assert rows("SELECT data ->> 'text' = ? FROM item", text) == [1]


async def test_a_nul_in_a_text_is_stored(db: Path, rows: Rows) -> None:
    await run(db, _yielding(Text(text="a\0b"), {"text": "a\0b"}))
    assert states(rows)[BAD] == ("done", None)
    assert rows("SELECT text FROM text") == ["a\0b"]
    assert [json.loads(data) for data in rows("SELECT data FROM item")] == [{"text": "a\0b"}]


@pytest.mark.parametrize(
    "item",
    [
        Number(number=float("inf")),
        Number(number=float("-inf")),
        Number(number=float("nan")),
        {"number": float("nan")},
        {"deep": [{"number": float("inf")}]},
        Text.model_construct(text="\ud800"),
        {"text": "\ud800"},
        {"\ud800": 1},
    ],
    ids=lambda item: ascii(item),
)
async def test_what_no_file_can_hold_is_an_item_error(item: Any, db: Path, rows: Rows) -> None:
    assert (await run(db, _yielding(Page(path="lost"), item))).finish == "finished"
    assert_only_the_bad_page_failed(rows, "item_error")
    (why,) = rows("SELECT error FROM crawl_request WHERE state = 'failed'")
    assert why


# ── beyond the callback ─────────────────────────────────────────────────────────────────────


async def test_stray_tasks_do_not_hold_up_the_run(db: Path, rows: Rows) -> None:
    strays = []

    async def forever() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise RuntimeError("nobody looks at this")

    class Strays(Good):
        def bad(self, response: Response) -> Any:
            strays.extend([asyncio.create_task(forever()), asyncio.create_task(fail())])

    assert (await run(db, Strays)).finish == "finished"
    assert states(rows) == dict.fromkeys([*GOOD, BAD], ("done", None))
    strays[0].cancel()
    await asyncio.wait(strays)
    assert isinstance(strays[1].exception(), RuntimeError)


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(0), Odd()], ids=repr)
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_closed_that_raises_spoils_nothing(
    error: BaseException, kind: str, db: Path, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(Good):
        def bad(self, response: Response) -> Any: ...
        def closed(self, reason: str) -> Any:
            raise error

    class Async(Plain):
        async def closed(self, reason: str) -> Any:
            raise error

    summary = await run(db, Async if kind == "async" else Plain)
    assert summary.finish == "finished"
    assert rows("SELECT finish FROM crawl_run") == ["finished"]
    assert any("closed_error" in record.getMessage() for record in caplog.records)


async def test_a_closed_that_never_ends_is_given_up_in_time(db: Path, rows: Rows) -> None:
    class Waits(Good):
        def bad(self, response: Response) -> Any: ...
        async def closed(self, reason: str) -> Any:
            await asyncio.Event().wait()

    assert (await run(db, Waits, callback_timeout=0.1)).finish == "finished"
    assert rows("SELECT finish FROM crawl_run") == ["finished"]


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), SystemExit(0), asyncio.CancelledError(), Odd()], ids=repr
)
async def test_a_start_that_raises_half_way_fails_the_run_which_can_be_resumed(
    error: BaseException, db: Path, rows: Rows
) -> None:
    class Stumbles(Good):
        stumbles = True

        def bad(self, response: Response) -> Any: ...
        async def start(self) -> AsyncIterator[Request]:
            for n in range(15):
                yield Request(f"{self.url}?{n}")
            if self.stumbles:
                raise error
            yield Request(f"{self.url}?15")

    async with crawl_of(db, Stumbles) as crawl:
        with pytest.raises(type(error) if isinstance(error, Exception) else Exception):
            async with asyncio.timeout(20):
                await crawl.run()
        assert rows("SELECT finish FROM crawl_run") == ["failed"]
        # Start requests are kept in batches, of which the first has ten.
        assert rows("SELECT count(*) FROM crawl_request WHERE depth = 0")[0] >= 10
        Stumbles.stumbles = False
        again = Crawl(Stumbles, db=db, arguments=crawl._arguments, overrides={"robots": False})
        async with asyncio.timeout(20):
            summary = await again.run()
    assert (summary.finish, summary.resumed) == ("finished", True)
    starts = rows("SELECT count(*) FROM crawl_request WHERE depth = 0 AND state = 'done'")
    assert starts == [16]


@pytest.mark.parametrize("what", ["raise RuntimeError('boom')", "import sys; sys.exit(0)"])
@pytest.mark.parametrize("where", ["__init__(self, **arguments)", "start(self)"])
async def test_a_spider_that_cannot_begin_is_one_line_and_status_1(
    where: str, what: str, tmp_path: Path
) -> None:
    project = Project(tmp_path)
    project.write(
        "spiders/shop.py",
        "from crawler import Spider\nclass Shop(Spider):\n    name = 'shop'\n"
        f"    def {where}:\n        {what}\n",
    )
    result = await project.crawler("run", "shop")
    assert result.status == 1
    assert "Traceback" not in result.error
    assert (tmp_path / "data/shop.db").exists() == (where == "start(self)")
