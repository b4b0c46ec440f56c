"""Deadlines with one timer for all: they end what is late, and nothing else."""

import asyncio
import time
from collections.abc import Callable
from socket import socketpair

import pytest
import uvloop

from crawler import deadline
from crawler.deadline import Deadlines

LONG = 60.0


async def test_who_is_late_gets_a_timeout_and_is_not_cancelled_for_good() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), deadlines.within(0.01):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_each_is_woken_at_its_own_time_whatever_the_order() -> None:
    deadlines = Deadlines()
    late: list[float] = []

    async def wait(seconds: float) -> None:
        try:
            with deadlines.within(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            late.append(seconds)

    async with asyncio.timeout(LONG):
        await asyncio.gather(*map(wait, (0.06, 0.02, 0.1, 0.02, 0.04)))
    assert late == [0.02, 0.02, 0.04, 0.06, 0.1]


async def test_who_is_in_time_hears_nothing_of_it() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.01):
        await asyncio.sleep(0)
    # When this one is woken the first one's time is over, too.
    with pytest.raises(TimeoutError), deadlines.within(0.05):
        await asyncio.Event().wait()
    deadlines.close()


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError), Deadlines().within(LONG):
        raise KeyError


async def test_somebody_elses_cancellation_stays_one() -> None:
    deadlines = Deadlines()
    inside = asyncio.Event()

    async def wait() -> None:
        with deadlines.within(LONG):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.close()


async def test_a_cancellation_that_comes_with_the_deadline_stays_one() -> None:
    deadlines = Deadlines()
    inside = asyncio.Event()

    async def wait() -> None:
        with deadlines.within(0.01) as deadline:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                assert deadline._is_missed
                task.cancel()  # as a task group would, which fails meanwhile

    task = asyncio.create_task(wait())
    await inside.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_of_two_within_each_other_the_one_that_is_missed_says_so() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), deadlines.within(0.01), deadlines.within(LONG):
        await asyncio.Event().wait()
    with deadlines.within(LONG), pytest.raises(TimeoutError), deadlines.within(0.01):
        await asyncio.Event().wait()
    deadlines.close()


async def test_the_clock_stands_still_while_it_is_paused() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.05) as deadline:
        left = deadline.pause()
        assert 0 < left <= 0.05
        with pytest.raises(TimeoutError), deadlines.within(0.1):
            await asyncio.Event().wait()
        deadline.resume(left)


async def test_the_clock_goes_on_after_a_pause() -> None:
    deadlines = Deadlines()

    async def wait() -> None:
        with deadlines.within(LONG) as deadline:
            deadline.pause()
            deadline.resume(0.01)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_time_in_which_the_loop_stood_still_does_not_count(
    loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "_LATE", 0.1)

    async def wait() -> bytes:
        ours, theirs = socketpair()
        ours.setblocking(False)
        deadlines = Deadlines()
        with ours, theirs, deadlines.within(0.01):
            receiving = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(ours, 9))
            await asyncio.sleep(0)
            theirs.send(b"an answer")
            time.sleep(0.3)  # as a callback that computes
            answer = await receiving
        with pytest.raises(TimeoutError), deadlines.within(0.01):
            await asyncio.Event().wait()  # it counts again
        return answer

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(wait()) == b"an answer"


def test_one_that_is_over_from_the_start_harms_no_other_on_uvloop_either() -> None:
    # Its handle for what is due at once is another one, that knows no time.
    async def wait() -> None:
        deadlines = Deadlines()
        with deadlines.within(LONG) as deadline:
            deadline.pause()
            deadline.resume(-1.0)
            with deadlines.within(LONG):
                await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        waiting = wait()
        with pytest.raises(TimeoutError):
            runner.run(waiting)


async def test_outside_of_a_task_there_is_none() -> None:
    deadlines = Deadlines()
    raised = asyncio.get_running_loop().create_future()

    def enter() -> None:
        try:
            deadlines.within(LONG).__enter__()
        except RuntimeError as error:
            raised.set_result(str(error))

    asyncio.get_running_loop().call_soon(enter)
    assert "task" in await raised
