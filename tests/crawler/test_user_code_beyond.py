"""Spiders that misbehave beyond their callbacks: stray tasks, `closed`, `start`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, Request, Response
from tests.crawler.bad_page import BAD, GOOD, Good, Odd, Rows, crawl_of, run, states
from tests.crawler.cli.project import Project


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
