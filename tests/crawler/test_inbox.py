"""The inbox: bounded, in order, and who is cancelled while he waits leaves nothing behind."""

import asyncio

import pytest

from crawler.inbox import Inbox
from storage.records import Visit


def visit(id_: int) -> Visit:
    return Visit(id_, "a", "done")


def ids(inbox: Inbox) -> list[int]:
    taken = [inbox.take() for _ in range(len(inbox))]
    return [one.id for one in taken if one is not None]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_whoever_brings_one_too_many_waits_until_some_are_taken() -> None:
    inbox = Inbox(2)
    bringing = [asyncio.create_task(inbox.put(visit(n))) for n in range(5)]
    found = []
    while len(found) < 5:
        await inbox.wait()
        await turns()
        assert len(inbox) == min(2, 5 - len(found))
        found += ids(inbox)
    await asyncio.gather(*bringing)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[:2] == [0, 1]


async def test_who_is_cancelled_while_he_waits_brings_nothing_and_holds_up_nobody() -> None:
    inbox = Inbox(1)
    await inbox.put(visit(1))
    given_up, patient = (asyncio.create_task(inbox.put(visit(n))) for n in (2, 3))
    await turns()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert ids(inbox) == [1]
    await patient
    assert ids(inbox) == [3]


async def test_who_takes_waits_for_the_first() -> None:
    inbox = Inbox(1)
    waiting = asyncio.create_task(inbox.wait())
    await turns()
    assert not waiting.done()
    await inbox.put(None)
    await waiting
    assert inbox.take() is None
    assert len(inbox) == 0
