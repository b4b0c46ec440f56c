"""The committer: groups form while a commit runs, and nobody hears of a visit before its commit."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crawler import committer as committer_module
from crawler.committer import Committer
from storage.errors import StoreError
from storage.records import (
    Column,
    Committed,
    CookieRecord,
    HostRecord,
    ItemRow,
    NewRequest,
    Run,
    Table,
    Visit,
)
from storage.sqlite import SqliteStore

THING = Table("thing", (Column("number", "integer", "INTEGER"),))
RUN = Run(1, "books", {}, resumed=False, seeded=True)


class SlowStore:
    """A store whose commits end when they are let go; it notes the groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.hosts: list[list[str]] = []
        self.cookies: list[list[str]] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def commit(
        self,
        run: Run,
        visits: Sequence[Visit],
        hosts: Sequence[HostRecord] = (),
        cookies: Sequence[CookieRecord] = (),
    ) -> Committed:
        self.groups.append([visit.id for visit in visits])
        self.hosts.append([host.host for host in hosts])
        self.cookies.append([cookie.name for cookie in cookies])
        self.begun.set()
        await self.go.wait()
        return Committed(items=len(visits))


class Listener:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[list[int]] = []
        self.news: list[HostRecord] = []

    def committed(self, visits: Sequence[Visit], committed: Committed) -> None:
        self.heard.append([visit.id for visit in visits])

    def take_news(self) -> list[HostRecord]:
        news, self.news = self.news, []
        return news


def visit(id_: int, **fields: Any) -> Visit:
    return Visit(id_, "a", "done", **fields)


def committing(store: Any, listener: Listener, *, size: int = 100) -> Committer:
    return Committer(store, RUN, listener.committed, listener.take_news, lambda: (), size=size)


async def test_what_comes_while_a_commit_runs_is_one_group() -> None:
    store, listener = SlowStore(), Listener()
    work = committing(store, listener)
    running = asyncio.create_task(work.run())
    await work.inbox.put(visit(1))
    await store.begun.wait()
    for id_ in (2, 3, 4):
        await work.inbox.put(visit(id_))
    await work.inbox.put(None)
    store.go.set()
    await running
    assert store.groups == [[1], [2, 3, 4]]


async def test_a_visit_that_comes_alone_waits_for_nobody() -> None:
    store, listener = SlowStore(), Listener()
    store.go.set()
    work = committing(store, listener)
    running = asyncio.create_task(work.run())
    for id_ in (1, 2, 3):
        await work.inbox.put(visit(id_))
        while len(listener.heard) < id_:
            await asyncio.sleep(0)
    await work.inbox.put(None)
    await running
    assert store.groups == [[1], [2], [3]]


async def test_nobody_hears_of_a_visit_before_its_commit_returned() -> None:
    store, listener = SlowStore(), Listener()
    work = committing(store, listener)
    running = asyncio.create_task(work.run())
    await work.inbox.put(visit(1))
    await store.begun.wait()
    assert listener.heard == []
    store.go.set()
    await work.inbox.put(None)
    await running
    assert listener.heard == [[1]]


async def test_a_group_has_a_bounded_number_of_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "_MAX_VISITS", 4)
    store, listener = SlowStore(), Listener()
    store.go.set()
    work = committing(store, listener)
    for id_ in range(10):
        await work.inbox.put(visit(id_))
    await work.inbox.put(None)
    await work.run()
    assert [len(group) for group in store.groups] == [4, 4, 2]


async def test_a_group_has_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "_MAX_ROWS", 10)
    store, listener = SlowStore(), Listener()
    store.go.set()
    work = committing(store, listener)
    rows = [NewRequest(n, f"http://a/{n}", "a") for n in range(6)]
    for id_ in range(5):
        await work.inbox.put(visit(id_, requests=rows))
    await work.inbox.put(None)
    await work.run()
    assert [len(group) for group in store.groups] == [2, 2, 1]


async def test_workers_wait_when_the_store_is_slow() -> None:
    store, listener = SlowStore(), Listener()
    work = committing(store, listener, size=2)
    running = asyncio.create_task(work.run())
    await work.inbox.put(visit(1))
    await store.begun.wait()
    await work.inbox.put(visit(2))
    await work.inbox.put(visit(3))
    assert len(work.inbox) == 2
    store.go.set()
    await work.inbox.put(None)
    await running
    assert [id_ for group in listener.heard for id_ in group] == [1, 2, 3]


async def test_news_of_cookies_go_with_the_next_group_or_at_the_end() -> None:
    store, listener = SlowStore(), Listener()
    store.go.set()
    news = [[CookieRecord("", "a", "/", name, True, "1", False, None, 0.0)] for name in "dca"]
    work = Committer(
        store,  # type: ignore[arg-type]
        RUN,
        listener.committed,
        listener.take_news,
        lambda: news.pop() if news else [],
        size=9,
    )
    for one in (visit(1), None):
        await work.inbox.put(one)
    await work.run()
    assert (store.groups, store.cookies) == ([[1], []], [["a"], ["c"]])
    news.clear()
    await work.inbox.put(None)
    await work.run()
    assert len(store.groups) == 2  # and none is opened for nothing


async def test_news_of_hosts_go_with_the_next_group_or_at_the_end() -> None:
    store, listener = SlowStore(), Listener()
    store.go.set()
    work = committing(store, listener)
    listener.news = [HostRecord("a")]
    running = asyncio.create_task(work.run())
    await work.inbox.put(visit(1))
    while not listener.heard:
        await asyncio.sleep(0)
    listener.news = [HostRecord("b")]
    await work.inbox.put(None)
    await running
    assert (store.groups, store.hosts) == ([[1], []], [["a"], ["b"]])


async def test_without_visits_and_news_nothing_is_committed() -> None:
    store = SlowStore()
    work = committing(store, Listener())
    await work.inbox.put(None)
    await work.run()
    assert store.groups == []


async def test_a_store_that_fails_ends_the_committer_and_nobody_hears_of_the_group(
    tmp_path: Path,
) -> None:
    store, listener = SqliteStore(tmp_path / "crawl.db"), Listener()
    work = committing(store, listener)
    await work.inbox.put(visit(1))
    with pytest.raises(StoreError, match="is closed"):
        await work.run()
    assert listener.heard == []


async def test_what_the_store_says_of_a_group_reaches_the_listener(tmp_path: Path) -> None:
    heard: list[Committed] = []
    async with SqliteStore(tmp_path / "crawl.db") as store:
        run = await store.begin_run("books", {}, fresh=False, tables=[THING])
        await store.seed(run, [NewRequest(n, f"http://a/{n}", "a") for n in (1, 2)], last=True)
        work = Committer(store, run, lambda _, told: heard.append(told), list, list, size=9)
        await work.inbox.put(visit(1, items=[ItemRow(THING, (1,), "http://a/1")]))
        await work.inbox.put(visit(2, items=[ItemRow(THING, (2**70,), "http://a/2")]))
        await work.inbox.put(visit(1))
        await work.inbox.put(None)
        await work.run()
    (told,) = heard
    assert (told.items, list(told.refused), told.dropped) == (1, [2], {1})
