"""The cookies of a run, in the file: with the commit they came with, and not after the run."""

from pathlib import Path

import pytest

from storage.records import Column, CookieRecord, Finish, ItemRow, NewRequest, Run, Table, Visit
from storage.sqlite import SqliteStore

LOGIN = CookieRecord("", "a.example", "/", "login", True, "s\u00e9same", True, None, 1.5)
OTHERS = [
    LOGIN._replace(jar="second"),
    LOGIN._replace(domain="b.example"),
    LOGIN._replace(path="/x"),
    LOGIN._replace(name="", value="alone", expires=2e9),
    LOGIN._replace(host_only=False, secure=False),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crawl.db"


async def begin(store: SqliteStore, *, fresh: bool = False) -> Run:
    return await store.begin_run("books", {}, fresh=fresh, tables=[])


async def test_cookies_come_back_as_they_were(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.commit(run, (), (), [LOGIN, *OTHERS])
    async with SqliteStore(path) as store:
        assert set(await store.cookies(await begin(store))) == {LOGIN, *OTHERS}


async def test_a_changed_cookie_takes_the_place_of_the_old_and_one_that_is_gone_goes(
    path: Path,
) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, (), last=False, cookies=[LOGIN, *OTHERS])
        changed = LOGIN._replace(value="new", secure=False, expires=3e9, created=9.0)
        gone = [one._replace(expires=0.0) for one in OTHERS]
        await store.commit(run, (), (), [changed, *gone])
        assert await store.cookies(run) == [changed]


async def test_a_commit_that_fails_keeps_none_of_its_cookies(path: Path) -> None:
    table = Table("thing", (Column("number", "integer", "INTEGER"),))
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, [NewRequest(1, "http://a/1", "a")], last=True)
        visit = Visit(1, "a", "done", items=[ItemRow(table, (1,), "http://a/1")])
        with pytest.raises(UnicodeEncodeError):
            await store.commit(run, [visit], (), [LOGIN, LOGIN._replace(value="\udcff")])
        assert await store.cookies(run) == []
        assert (await store.totals(run)).queued == 1
        await store.commit(run, [visit], (), [LOGIN])
        assert await store.cookies(run) == [LOGIN]


@pytest.mark.parametrize(
    ("finish", "kept"), [("finished", 0), ("stopped", 1), ("limit", 1), ("failed", 1)]
)
async def test_a_run_that_can_go_on_keeps_its_cookies(
    path: Path, finish: Finish, kept: int
) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.commit(run, (), (), [LOGIN])
        await store.finish_run(run, finish)
        assert len(await store.cookies(run)) == kept


async def test_a_run_that_is_abandoned_leaves_no_cookies_to_the_next(path: Path) -> None:
    async with SqliteStore(path) as store:
        first = await begin(store)
        await store.commit(first, (), (), [LOGIN])
        second = await begin(store, fresh=True)
        await store.commit(second, (), (), OTHERS)
        assert await store.cookies(first) == []
        assert set(await store.cookies(second)) == set(OTHERS)
