"""The SQLite store opens files of crawls, and refuses all others as they are."""

import os
import resource
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from storage import StoreError, open_store
from storage.errors import RunMismatch
from storage.records import Column, Table, Visit, Want
from storage.schema import APPLICATION_ID, SCHEMA_VERSION
from storage.sqlite import SqliteStore
from tests.storage.store_file import THING, begin, item, query, requests
from tests.storage.store_file import path as path

# ── opening ─────────────────────────────────────────────────────────────────────────────────


async def test_a_new_file_says_that_it_is_a_crawl(path: Path) -> None:
    async with SqliteStore(path):
        pass
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


async def test_missing_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "crawl.db"
    async with SqliteStore(path):
        assert path.is_file()


async def test_nothing_but_the_file_is_left_behind(path: Path) -> None:
    async with SqliteStore(path) as store:
        await begin(store)
    assert list(path.parent.iterdir()) == [path]


async def test_what_was_committed_is_there_when_the_file_is_opened_again(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 2), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)])])
    async with SqliteStore(path) as store:
        again = await begin(store)
        assert (again.id, again.resumed, again.seeded) == (run.id, True, True)
        assert await store.queued_hosts(again) == ["a"]
        (work,) = await store.ready(again, [Want("a", 9, frozenset(), True)])
        assert [row.id for row in work.requests] == [2]
        assert (await store.totals(again)).items == 1
        assert await store.start_hosts(again) == {"a"}
        await store.finish_run(again, "stopped")
        assert (await store.report(again)).finish == "stopped"


async def test_a_run_begins_with_its_tables_or_not_at_all(path: Path) -> None:
    async with SqliteStore(path) as store:
        before = await store._run(lambda file: file.execute("PRAGMA page_count").fetchone()[0])
        await store._run(lambda file: file.execute(f"PRAGMA max_page_count = {before}").fetchall())
        with pytest.raises(StoreError, match=r"disk of .* is full"):  # there is no page for a table
            await store.begin_run("books", {}, fresh=False, tables=[THING], make=[THING])
        assert query(path, "SELECT count(*) FROM crawl_run") == [(0,)]
        await store._run(lambda file: file.execute("PRAGMA max_page_count = 9999").fetchall())
        run = await store.begin_run("books", {}, fresh=False, tables=[THING], make=[THING])
        assert (run.id, run.resumed) == (1, False)
        await store.seed(run, requests(1, 1), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)])])
    assert query(path, "SELECT number FROM latest_thing") == [(1,)]


async def test_a_process_may_go_elsewhere_while_its_file_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SqliteStore(Path("crawl.db")) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        monkeypatch.chdir("/")
        await store.commit(run, [Visit(1, "a", "done")])
        await store.finish_run(run, "finished")
    assert query(tmp_path / "crawl.db", "SELECT finish FROM crawl_run") == [("finished",)]


@pytest.mark.parametrize("name", [":memory:", "file:crawl.db", "file:crawl.db?mode=memory"])
async def test_a_name_that_means_something_to_sqlite_is_that_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SqliteStore(Path(name)) as store:
        await begin(store)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("form", ["{}", "sqlite://{}"])
async def test_a_store_is_opened_by_its_path_or_address(path: Path, form: str) -> None:
    async with open_store(form.format(path)) as store:
        assert isinstance(store, SqliteStore)
    assert path.is_file()


def test_a_kind_of_store_that_there_is_not_is_refused() -> None:
    with pytest.raises(StoreError, match="no store for mysql://"):
        open_store("mysql://somewhere/crawl")


async def test_the_writer_syncs_every_commit_and_trusts_no_schema(path: Path) -> None:
    async with SqliteStore(path) as store:
        thread = store._thread
        assert thread is not None
        for pragma, value in (("synchronous", 2), ("trusted_schema", 0)):
            found = await thread.run(lambda c, p=pragma: c.execute(f"PRAGMA {p}").fetchone())  # type: ignore[misc]
            assert found == (value,)


async def test_an_empty_file_becomes_a_crawl(path: Path) -> None:
    path.touch()
    async with SqliteStore(path) as store:
        assert (await begin(store)).id == 1


async def test_statistics_tell_whether_the_file_is_open(path: Path) -> None:
    store = SqliteStore(path)
    assert store.statistics() == {"path": str(path), "open": False}
    async with store:
        assert store.statistics()["open"] is True


# ── refusing ────────────────────────────────────────────────────────────────────────────────


async def _refused(path: Path, match: str) -> None:
    """Entering the store fails with one line, changes nothing, and lets the file go."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=match) as caught:
        async with SqliteStore(path):
            pass
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [beside.name for beside in path.parent.iterdir() if beside != path] == []


@pytest.mark.parametrize(
    "content", [b"hello\n", b"not a database\n" * 1000, b"SQLite format 4\0" * 99]
)
async def test_a_file_that_is_not_sqlite_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    await _refused(path, r"not an SQLite file: choose another --db")


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_a_database_of_another_program_is_left_as_it_is(path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE notes (text)")
    await _refused(path, "another program: choose another --db")


async def test_a_database_with_another_application_id_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 252006675")
    await _refused(path, "another program")


async def test_a_file_of_a_newer_crawler_is_left_as_it_is(path: Path) -> None:
    async with SqliteStore(path) as store:
        await begin(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    await _refused(path, rf"newer crawler \(schema {SCHEMA_VERSION + 1}.*upgrade")


async def test_a_file_of_an_older_crawler_is_brought_up_to_date_and_gone_on_with(
    path: Path,
) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        older.executescript(
            "DROP INDEX crawl_request_content; DROP TABLE crawl_cookie; "
            "ALTER TABLE crawl_request DROP COLUMN content; "
            "ALTER TABLE crawl_request DROP COLUMN canonical_url; "
            "ALTER TABLE crawl_host DROP COLUMN resting; PRAGMA user_version = 1"
        )
    async with SqliteStore(path) as store:
        resumed = await begin(store)
        assert resumed.resumed
        assert (await store.totals(resumed)).queued == 1
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "SELECT canonical_url, content FROM crawl_request") == [(None, None)]
    assert query(path, "SELECT count(*) FROM crawl_cookie") == [(0,)]
    assert query(path, "SELECT resting FROM crawl_host") == []


async def test_a_directory_is_no_crawl(path: Path) -> None:
    path.mkdir()
    await _refused(path, "crawl.db")


async def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write beside"):
        async with SqliteStore(tmp_path / "file" / "crawl.db"):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot write beside"):
            async with SqliteStore(tmp_path / "crawl.db"):
                pass
    finally:
        tmp_path.chmod(0o700)


async def test_a_process_that_may_open_no_more_files_is_told_so(path: Path) -> None:
    async with SqliteStore(path):
        pass  # what is imported for the first one is
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as files:
        last = files.enter_context(open(os.devnull))
        resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, hard))
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        last.close()  # the lock's
        with pytest.raises(StoreError, match="this process has as many files open as it may: rai"):
            await SqliteStore(path).__aenter__()


async def test_a_file_in_use_names_the_process_that_uses_it(path: Path) -> None:
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match=rf"in use by another run \(process {os.getpid()}\)"):
            async with SqliteStore(path):
                pass
        await begin(store)  # the one that had it still has it


async def test_a_store_that_was_refused_can_be_entered_later(path: Path) -> None:
    waiting = SqliteStore(path)
    async with SqliteStore(path):
        with pytest.raises(StoreError):
            await waiting.__aenter__()
    async with waiting as store:
        await begin(store)


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path)
    async with store:
        run = await begin(store)
    with pytest.raises(StoreError, match="is closed"):
        await store.totals(run)


async def test_a_field_that_changed_its_type_is_refused_before_a_run_begins(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 1), last=True)
        await store.commit(run, [Visit(1, "a", "done", items=[item(1)])])
        other = Table("thing", (Column("number", "text", "TEXT"),))
        with pytest.raises(RunMismatch, match="'number' is text now and integer"):
            await store.begin_run("books", {}, fresh=True, tables=[other])
    assert query(path, "SELECT count(*) FROM crawl_run") == [(1,)]


async def test_damage_is_told_in_one_line(path: Path) -> None:
    async with SqliteStore(path) as store:
        run = await begin(store)
        await store.seed(run, requests(1, 3000), last=True)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * len(content[8192:])
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        async with SqliteStore(path) as store:
            await store.totals(run)
    assert "\n" not in str(caught.value)
