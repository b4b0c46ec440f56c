"""What a run is known not to have: nobody looks for it then, and it is found when it is there."""

from pathlib import Path

import pytest

from storage import rarities
from storage.rarities import UNKNOWN, Rarities
from storage.records import NewRequest, Run, Visit
from storage.sqlite import SqliteStore
from tests.storage.store_file import begin, query
from tests.storage.store_file import path as path

_STATES = "SELECT url, state, reason FROM crawl_request ORDER BY id"


def page(number: int, host: str = "a", reason: str | None = None) -> NewRequest:
    request = NewRequest(number, f"http://{host}/{number}", host)
    return request if reason is None else request._replace(state="skipped", reason=reason)


async def asked(store: SqliteStore, run: Run, visit: Visit) -> list[str]:
    """The statements by which a visit is committed, as they begin."""
    seen: list[str] = []
    assert store._thread is not None
    await store._thread.run(lambda connection: connection.set_trace_callback(seen.append))
    await store.commit(run, [visit])
    await store._thread.run(lambda connection: connection.set_trace_callback(None))
    shown = [" ".join(statement.split())[:80] for statement in seen]
    return [statement for statement in shown if not statement.startswith("PRAGMA")]


def lifts(statements: list[str]) -> bool:
    return any("SET state = 'queued'" in statement for statement in statements)


def looks_for_aliases(statements: list[str]) -> bool:
    return any("crawl_alias" in statement for statement in statements)


async def test_a_new_run_without_them_is_asked_for_neither(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, [page(1), page(2)], last=True)
        statements = await asked(store, run, Visit(1, "a", "done", requests=[page(2), page(3)]))
        assert not lifts(statements)
        assert not looks_for_aliases(statements)
        assert len(statements) == 4  # begin, the visit's outcome, the links, commit


async def test_who_goes_on_with_a_run_looks_for_both(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.seed(await begin(store), [page(1), page(2)], last=True)
    async with SqliteStore(path) as store:
        run = await begin(store)
        statements = await asked(store, run, Visit(1, "a", "done", requests=[page(2), page(3)]))
        assert lifts(statements)
        assert looks_for_aliases(statements)


async def test_a_link_that_was_skipped_is_taken_up(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, [page(1), page(2), page(3, reason="max_depth")], last=True)
        committed = await store.commit(run, [Visit(1, "a", "done", requests=[page(3)])])
        assert (committed.added, committed.lifted) == (1, 1)
    assert query(path, _STATES)[2] == ("http://a/3", "queued", None)


async def test_a_page_whose_visit_was_skipped_is_taken_up(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, [page(1), page(2)], last=True)
        await store.commit(run, [Visit(1, "a", "skipped", "offsite")])
        committed = await store.commit(run, [Visit(2, "a", "done", requests=[page(1)])])
        assert committed.lifted == 1
    assert query(path, _STATES)[0] == ("http://a/1", "queued", None)


async def test_a_page_that_a_redirect_led_to_is_not_visited_again(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, [page(1), page(2)], last=True)
        await store.commit(run, [Visit(1, "a", "done", alias=3)])
        await store.commit(run, [Visit(2, "a", "done", requests=[page(3)])])
    assert query(path, _STATES)[2] == ("http://a/3", "done", "alias")


async def test_what_an_earlier_run_in_the_file_had_is_not_this_runs(path: Path) -> None:
    async with SqliteStore(path) as store:
        earlier = await begin(store)
        await store.seed(earlier, [page(1), page(2, reason="trap")], last=True)
        await store.finish_run(earlier, "finished")
        run = await begin(store)
        await store.seed(run, [page(1), page(2)], last=True)
        assert not lifts(await asked(store, run, Visit(3, "a", "done", requests=[page(2)])))


@pytest.mark.parametrize("reason", rarities.LIFTED)
def test_only_hosts_that_have_such_are_looked_at(reason: str) -> None:
    few = Rarities(new=True)
    assert not few.may_lift(["a", "b"])
    few.skipped("a", reason)
    few.skipped("b", "robots")
    assert few.may_lift(["a", "b"])
    assert not few.may_lift(["b", "c"])


def test_with_too_many_hosts_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rarities, "_MOST_HOSTS", 3)
    many = Rarities(new=True)
    for host in "abc":
        many.skipped(host, "offsite")
    assert not many.may_lift(["z"])
    many.skipped("d", "offsite")
    assert many.may_lift(["z"])
    many.skipped("e", "offsite")
    assert many.may_lift(["z"])


def test_of_a_run_that_somebody_else_began_nothing_is_known() -> None:
    assert UNKNOWN.aliases
    UNKNOWN.skipped("a", "offsite")
    assert UNKNOWN.may_lift(["b"])
