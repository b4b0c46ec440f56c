"""Spiders that come to no end, yield too much, or block the loop."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Request, Response, Spider
from crawler.middleware import Handler
from crawler.watchdog import Watchdog
from tests.crawler.bad_page import (
    BAD,
    GOOD,
    Good,
    Page,
    Rows,
    assert_only_the_bad_page_failed,
    crawl_of,
    run,
    states,
)
from tests.crawler.cli.project import Project, page
from tests.site import serve

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


async def linger(reached: asyncio.Event) -> None:
    """Go on whatever is done about it, until the loop is closed."""
    reached.set()
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


def lingers_in(place: str, reached: asyncio.Event) -> type[Spider]:
    class Lingering(Good):
        async def start(self) -> AsyncIterator[Request]:
            yield Request(self.url)
            if place == "start":
                await linger(reached)

        async def hold(self, request: Request, call_next: Handler) -> Response:
            if place == "middleware" and request.url.endswith(BAD):
                await linger(reached)
            return await call_next(request)

        middleware = ("hold",)

    return Lingering


@pytest.mark.parametrize("end", ["stop", "cancel"])
@pytest.mark.parametrize("place", ["start", "middleware"])
def test_a_program_ends_though_other_code_than_a_callback_does_not(
    place: str, end: str, db: Path, rows: Rows
) -> None:
    async def program() -> None:
        reached = asyncio.Event()
        async with crawl_of(db, lingers_in(place, reached), grace=0.1) as crawl:
            task = asyncio.create_task(crawl.run())
            await reached.wait()
            if end == "stop":
                crawl.stop()
                assert (await task).finish == "stopped"
            else:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    async def in_time() -> None:
        async with asyncio.timeout(20):
            await program()

    asyncio.run(in_time())
    assert rows("SELECT finish FROM crawl_run") == ["stopped"]
    if place == "middleware":
        assert states(rows)[BAD] == ("queued", None)


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
