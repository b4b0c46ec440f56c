"""What a run did, read back from its file."""

import sqlite3

import pytest

from storage import frontier, runs
from storage.commit import commit
from storage.errors import RunMismatch
from storage.records import (
    Column,
    ErrorReport,
    HostRecord,
    HostReport,
    ItemRow,
    NewRequest,
    Run,
    Table,
    TableReport,
    Timings,
    Totals,
    Visit,
)
from storage.report import errors, hosts, last_run, report
from storage.tables import ItemTables
from tests.storage.crawl_file import connection as connection

BOOK = Table("book", (Column("title", "text", "TEXT"), Column("price", "real", "REAL")))


def _requests(first: int, last: int, host: str) -> list[NewRequest]:
    return [NewRequest(n, f"http://{host}/{n}", host) for n in range(first, last + 1)]


def _book(title: str | None, price: float | None) -> ItemRow:
    return ItemRow(BOOK, (title, price), "http://a/")


def _crawled(connection: sqlite3.Connection) -> Run:
    """A run of six requests: two start requests, two hosts, three books."""
    run = runs.begin_run(connection, "books", {"k": "v"}, fresh=False)
    frontier.seed(connection, run.id, _requests(1, 2, "a"), True)
    found = [*_requests(3, 5, "b"), NewRequest(6, "http://c/", "c", state="skipped", reason="x")]
    timed = [Timings(1e-3, 2e-3, 3e-3, 4e-3, 0.01), Timings(elapsed=0.03)]
    visits = [
        Visit(1, "a", "done", attempts=1, size=100, timings=timed[0], requests=found),
        Visit(2, "a", "failed", "http_404", attempts=1, size=20, timings=timed[1], error="gone"),
        Visit(3, "b", "done", attempts=1, items=[_book("One", 1.5), _book("Two", None)]),
        Visit(4, "b", "done", attempts=1, items=[_book(None, None)]),
    ]
    commit(connection, ItemTables(), run, visits, ())
    return run


def test_a_report_counts_what_the_run_did(connection: sqlite3.Connection) -> None:
    run = _crawled(connection)
    runs.finish_run(connection, run.id, "finished")
    told = report(connection, run.id)
    assert (told.run, told.spider, told.arguments, told.finish) == (
        run.id,
        "books",
        {"k": "v"},
        "finished",
    )
    assert told.totals == Totals(queued=1, done=3, failed=1, skipped=1, items=3, pages=4)
    assert sorted(told.reasons) == [
        ("done", "", 3),
        ("failed", "http_404", 1),
        ("queued", "", 1),
        ("skipped", "x", 1),
    ]
    assert told.tables == [TableReport("book", 3, {"title": 2, "price": 1})]
    assert (told.bytes, told.starts, told.starts_failed) == (120, 2, 1)
    assert told.finished_at is not None
    assert told.started_at <= told.finished_at


def test_hosts_that_rest_are_told_with_the_requests_that_wait_for_them(
    connection: sqlite3.Connection,
) -> None:
    run = runs.begin_run(connection, "books", {}, fresh=False)
    frontier.seed(connection, run.id, [*_requests(1, 2, "a"), *_requests(3, 6, "b")], True)
    assert report(connection, run.id).resting == []
    news = [HostRecord("a", resting=10), HostRecord("b", resting=11), HostRecord("c", resting=12)]
    commit(connection, ItemTables(), run, [Visit(1, "a", "failed")], news)
    told = report(connection, run.id)
    assert told.resting == [("b", 4), ("a", 1)]
    assert (told.starts, told.starts_failed) == (6, 6)  # which came to nothing, all of them
    commit(connection, ItemTables(), run, [], [HostRecord("b")])
    assert report(connection, run.id).resting == [("a", 1)]


def test_a_file_of_an_earlier_version_tells_of_no_rest(connection: sqlite3.Connection) -> None:
    run = _crawled(connection)
    connection.executescript("ALTER TABLE crawl_host DROP COLUMN resting; PRAGMA user_version = 2")
    assert report(connection, run.id).resting == []


def test_phases_are_percentiles_of_what_was_measured(connection: sqlite3.Connection) -> None:
    run = _crawled(connection)
    phases = {phase.name: phase for phase in report(connection, run.id).phases}
    assert set(phases) == {"queue", "ttfb", "body", "parse", "elapsed"}
    assert phases["queue"][1:] == (1.0, 1.0, 1.0)
    assert (phases["elapsed"].p50, phases["elapsed"].p99) == (10.0, 10.0)


def test_percentiles_of_many_pages_are_of_the_right_rank(connection: sqlite3.Connection) -> None:
    run = runs.begin_run(connection, "books", {}, fresh=False)
    frontier.seed(connection, run.id, _requests(1, 101, "a"), True)
    visits = [Visit(n, "a", "done", timings=Timings(elapsed=(n - 1) / 1000)) for n in range(1, 102)]
    commit(connection, ItemTables(), run, visits, ())
    (elapsed,) = report(connection, run.id).phases
    assert elapsed == ("elapsed", 50.0, 90.0, 99.0)


def test_a_run_that_did_nothing_has_a_report(connection: sqlite3.Connection) -> None:
    run = runs.begin_run(connection, "books", {}, fresh=False)
    told = report(connection, run.id)
    assert (told.totals, told.tables, told.phases, told.bytes) == (Totals(), [], [], 0)
    assert (told.finish, told.finished_at) == (None, None)


def test_a_report_is_of_one_run_only(connection: sqlite3.Connection) -> None:
    first = _crawled(connection)
    second = runs.begin_run(connection, "books", {}, fresh=True)
    assert report(connection, second.id).totals == Totals()
    assert report(connection, second.id).tables == []
    assert report(connection, first.id).totals.items == 3


def test_there_is_no_report_of_a_run_that_never_was(connection: sqlite3.Connection) -> None:
    with pytest.raises(RunMismatch, match="no run 7"):
        report(connection, 7)


def test_the_last_run_is_found_by_spider_or_over_all(connection: sqlite3.Connection) -> None:
    with pytest.raises(RunMismatch, match="no run in this file"):
        last_run(connection)
    for spider in ("books", "quotes"):
        runs.begin_run(connection, spider, {}, fresh=False)
    assert (last_run(connection), last_run(connection, "books")) == (2, 1)
    with pytest.raises(RunMismatch, match="no run of other"):
        last_run(connection, "other")


def test_the_hosts_with_the_most_requests_come_first(connection: sqlite3.Connection) -> None:
    run = _crawled(connection)
    assert hosts(connection, run.id, limit=2) == [
        HostReport("b", done=2, failed=0, skipped=0, queued=1, mean_ms=None),
        HostReport("a", done=1, failed=1, skipped=0, queued=0, mean_ms=20.0),
    ]


def test_errors_are_the_failures_that_left_a_text_newest_first(
    connection: sqlite3.Connection,
) -> None:
    run = _crawled(connection)
    late = [Visit(5, "b", "failed", reason="spider_error", error="Traceback\nboom")]
    commit(connection, ItemTables(), run, late, ())
    assert errors(connection, run.id) == [
        ErrorReport("http://b/5", "spider_error", "Traceback\nboom"),
        ErrorReport("http://a/2", "http_404", "gone"),
    ]
    assert len(errors(connection, run.id, limit=1)) == 1


def test_a_retry_that_waits_is_no_error_yet(connection: sqlite3.Connection) -> None:
    run = _crawled(connection)
    waiting = [Visit(5, "b", "queued", reason="timeout", error="slow", not_before=1.0)]
    commit(connection, ItemTables(), run, waiting, ())
    assert [error.url for error in errors(connection, run.id)] == ["http://a/2"]


# ── how it is read ──────────────────────────────────────────────────────────────────────────


def _plans(connection: sqlite3.Connection, run: int) -> list[str]:
    """How SQLite reads the requests for the counts of a run and its report."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    runs.count(connection, run)
    report(connection, run)
    hosts(connection, run)
    errors(connection, run)
    connection.set_trace_callback(None)
    return [
        step[3]
        for statement in seen
        if "FROM crawl_request" in statement and "LIMIT 1" not in statement
        for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        if "crawl_request" in step[3] and "COVERING" not in step[3]
    ]


def test_a_run_that_is_most_of_the_file_is_read_as_it_lies(connection: sqlite3.Connection) -> None:
    run = runs.begin_run(connection, "books", {}, fresh=False)
    frontier.seed(connection, run.id, _requests(1, 200, "a"), True)
    plans = [plan for plan in _plans(connection, run.id) if "SEARCH crawl_request" not in plan]
    assert len(plans) >= 5
    assert set(plans) == {"SCAN crawl_request"}
    assert runs.requests_of(connection, run.id) == "crawl_request NOT INDEXED"


def test_a_run_that_is_little_of_the_file_is_read_by_its_index(
    connection: sqlite3.Connection,
) -> None:
    large = runs.begin_run(connection, "large", {}, fresh=False)
    frontier.seed(connection, large.id, _requests(1, 200, "a"), True)
    small = runs.begin_run(connection, "small", {}, fresh=False)
    frontier.seed(connection, small.id, _requests(1, 3, "b"), True)
    plans = _plans(connection, small.id)
    assert not [plan for plan in plans if plan.startswith("SCAN crawl_request")]
    assert any("crawl_request_identity" in plan for plan in plans)
    assert runs.count(connection, small.id) == Totals(queued=3)
    assert runs.count(connection, large.id) == Totals(queued=200)


def test_queued_requests_are_counted_by_walking_the_two_partial_indexes(
    connection: sqlite3.Connection,
) -> None:
    run = _crawled(connection)
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    assert runs.queued(connection, run.id) == runs.count(connection, run.id).queued > 0
    connection.set_trace_callback(None)
    plans = [connection.execute(f"EXPLAIN QUERY PLAN {one}").fetchone()[3] for one in seen[:2]]
    assert "INDEX crawl_request_ready" in plans[0]
    assert "INDEX crawl_request_waiting" in plans[1]
