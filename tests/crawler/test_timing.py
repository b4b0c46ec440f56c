"""The public `timed`: one name for functions, coroutines and blocks."""

import asyncio
import inspect
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from crawler import timed
from crawler.timing import Timing


@pytest.fixture
def reports() -> list[Timing]:
    """What was reported, in order."""
    return []


def test_a_function_keeps_its_result_name_and_signature(reports: list[Timing]) -> None:
    @timed(report=reports.append)
    def add(a: int, *, b: int = 2) -> int:
        """Add."""
        return a + b

    assert add(1, b=5) == 6
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    [timing] = reports
    assert timing.label.endswith("add")
    assert timing.seconds >= 0
    assert not timing.failed


def test_a_label_replaces_the_name(reports: list[Timing]) -> None:
    @timed("sum", report=reports.append)
    def add() -> None: ...

    add()
    assert reports[0].label == "sum"


async def test_a_coroutine_function_is_timed_until_it_is_done(reports: list[Timing]) -> None:
    go = asyncio.Event()

    @timed("wait", report=reports.append)
    async def wait() -> str:
        await go.wait()
        return "done"

    assert inspect.iscoroutinefunction(wait)
    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert reports == []
    go.set()
    assert await task == "done"
    assert len(reports) == 1


async def test_concurrent_calls_are_each_timed_on_their_own(reports: list[Timing]) -> None:
    gates = [asyncio.Event() for _ in range(10)]

    @timed("page", report=reports.append)
    async def page(number: int) -> int:
        await gates[number].wait()
        return number

    tasks = [asyncio.create_task(page(number)) for number in range(10)]
    await asyncio.sleep(0)
    for number in reversed(range(10)):  # the first to begin is the last to end
        gates[number].set()
        assert await tasks[number] == number
    seconds = [timing.seconds for timing in reports]
    assert len(seconds) == 10
    assert seconds == sorted(seconds)


def test_a_function_may_call_itself(reports: list[Timing]) -> None:
    @timed("down", report=reports.append)
    def down(n: int) -> int:
        return down(n - 1) if n else 0

    down(3)
    assert len(reports) == 4
    assert reports[0].seconds <= reports[-1].seconds


def test_a_block_is_timed(reports: list[Timing]) -> None:
    with timed("block", report=reports.append) as t:
        so_far = t.seconds
    assert reports == [Timing("block", t.seconds, failed=False)]
    assert 0 <= so_far <= t.seconds
    assert t.seconds == t.seconds


async def test_an_async_block_is_timed(reports: list[Timing]) -> None:
    async with timed("block", report=reports.append) as t:
        await asyncio.sleep(0)
    assert reports == [Timing("block", t.seconds, failed=False)]


def test_a_timer_may_be_used_again_but_not_twice_at_once(reports: list[Timing]) -> None:
    timer = timed("again", report=reports.append)
    for _ in range(2):
        with timer:
            pass
    assert len(reports) == 2
    with timer, pytest.raises(RuntimeError, match="each block"), timer:
        pass
    assert len(reports) == 3


def test_an_exception_passes_through_and_counts_as_failed(reports: list[Timing]) -> None:
    @timed("broken", report=reports.append)
    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        broken()
    with pytest.raises(ZeroDivisionError), timed("block", report=reports.append):
        _ = 1 / 0
    assert [(timing.label, timing.failed) for timing in reports] == [
        ("broken", True),
        ("block", True),
    ]


async def test_cancellation_passes_through_and_counts_as_failed(reports: list[Timing]) -> None:
    @timed("forever", report=reports.append)
    async def forever() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [timing.failed for timing in reports] == [True]


def test_methods_are_timed_under_their_full_name(reports: list[Timing]) -> None:
    class Reader:
        size = 3

        @timed(report=reports.append)
        def read(self) -> int:
            return self.size

    assert Reader().read() == 3
    assert reports[0].label.endswith("Reader.read")


def test_without_a_report_it_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    @timed
    def quiet() -> None: ...

    with caplog.at_level(logging.DEBUG, "crawler.timing"):
        quiet()
        with pytest.raises(KeyError), timed("a block"):
            raise KeyError
    assert "quiet took" in caplog.messages[0]
    assert caplog.messages[1].startswith("a block took")
    assert caplog.messages[1].endswith("and failed")
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_a_generator_is_refused_with_a_hint() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def numbers_too() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, numbers_too):
        with pytest.raises(TypeError, match=r"numbers.*time the loop"):
            timed(function)


def test_what_is_neither_label_nor_function_is_refused() -> None:
    with pytest.raises(TypeError, match="42"):
        timed(42)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"^timed takes a label or a function, not 42"):
        timed("label")(42)  # type: ignore[arg-type]


async def _report(_: Timing) -> None: ...


@pytest.mark.parametrize("report", [42, "print", _report])
def test_a_report_that_cannot_be_called_so_is_refused_before_there_is_one(report: object) -> None:
    with pytest.raises(TypeError, match=r"^timed\(report=\.\.\.\) takes a plain function, not "):
        timed(report=report)  # type: ignore[call-overload]


def test_importing_it_loads_no_http_library() -> None:
    program = "import sys; from crawler import timed; print('aiohttp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
