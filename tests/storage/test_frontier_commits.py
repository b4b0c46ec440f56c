"""What a commit changes in the frontier: groups of visits, and a visit alone."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.commit import commit
from storage.records import Column, Committed, HostRecord, ItemRow, Table
from tests.storage.crawl_file import TOO_LARGE, Crawl, item, request, requests, statements, visit
from tests.storage.crawl_file import connection as connection
from tests.storage.crawl_file import crawl as crawl

_IO = Path("/proc/self/io")

# ── one transaction per group ───────────────────────────────────────────────────────────────


def test_a_group_of_visits_is_one_transaction(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3))
    seen = statements(crawl.connection)
    crawl.commit(
        visit(1, items=[item(1)], requests=requests(11)),
        visit(2, items=[item(2)], requests=requests(12)),
        visit(3, requests=requests(11, 13)),
        hosts=[HostRecord("a", 5.0)],
    )
    assert [one for one in seen if one.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]
    assert [one for one in seen if one.startswith("COMMIT")] == ["COMMIT"]
    assert seen[0] == "BEGIN IMMEDIATE"
    assert seen[-1] == "COMMIT"
    assert len([one for one in seen if one.startswith("UPDATE")]) == 1


def test_nothing_is_asked_of_the_file_where_no_links_are_brought(crawl: Crawl) -> None:
    # Each statement has the database thread ask the event loop for the interpreter's lock.
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, items=[item(1)]))  # which makes the table
    seen = statements(crawl.connection)
    crawl.commit(visit(2, items=[item(2)]))
    assert [one.split()[0] for one in seen] == ["BEGIN", "UPDATE", "INSERT", "COMMIT"]


def test_a_group_with_a_visit_that_cannot_be_stored_is_one_transaction_too(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    seen = statements(crawl.connection)
    crawl.commit(visit(1, items=[item(1)]), visit(2, items=[item(TOO_LARGE)]))
    assert [one for one in seen if one in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")] == [
        *("BEGIN IMMEDIATE", "ROLLBACK"),  # all at once
        *("BEGIN IMMEDIATE", "COMMIT"),  # one by one
    ]
    assert seen.count("SAVEPOINT visit") == seen.count("RELEASE visit") == 2


def test_a_large_group_is_written_by_few_statements(crawl: Crawl) -> None:
    crawl.seed(*requests(*range(1, 65)))
    seen = statements(crawl.connection)
    crawl.commit(
        *(
            visit(n, items=[item(n)], requests=requests(*range(n * 100, n * 100 + 10)))
            for n in range(1, 65)
        )
    )
    assert crawl.numbers() == list(range(1, 65))
    assert len(crawl.rows()) == 64 + 640
    # The item's table is made here too; what is written one by one takes over 900.
    assert len(seen) < 40


@pytest.mark.skipif(not _IO.exists(), reason="only Linux counts what a process writes")
def test_nothing_is_written_for_a_commit_but_its_log(crawl: Crawl) -> None:
    """SQLite would keep the old pages of each statement in a file of its own, to undo it alone."""
    crawl.seed(*requests(*range(1, 6401)))
    crawl.commit(visit(1, items=[item(1)]))  # makes the table of the items
    steps: list[tuple[str, int]] = []
    crawl.connection.set_trace_callback(lambda sql: steps.append((sql, _writes())))
    committed = crawl.commit(
        *(
            visit(n, items=[item(n)], requests=requests(*range(7919 * n, 7919 * n + 10)))
            for n in range(2, 6400, 100)  # on 64 pages of the file
        )
    )
    crawl.connection.set_trace_callback(None)
    assert committed.added == 640
    assert (steps[0][0], steps[-1][0]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert steps[-1][1] == steps[0][1]


def _writes() -> int:
    """Return how often this process has written to a file."""
    fields = dict(line.split(": ") for line in _IO.read_text().splitlines())
    return int(fields["syscw"])


def test_to_tell_new_links_from_those_taken_up_costs_an_ordinary_commit_no_statement(
    crawl: Crawl,
) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, items=[item(1)]))  # makes the table
    seen = statements(crawl.connection)
    crawl.commit(visit(2, items=[item(2)], requests=requests(3, 4)))
    assert [one.split()[0] for one in seen] == [
        *("BEGIN", "UPDATE", "INSERT"),  # the visit, and its item
        *("SELECT", "INSERT", "COMMIT"),  # what is known beforehand, and the links
    ]


def test_an_empty_group_keeps_the_news_of_hosts(crawl: Crawl) -> None:
    crawl.commit(hosts=[HostRecord("a", 5.0, "{}")])
    assert crawl.ready(first=True).remembered == HostRecord("a", 5.0, "{}")


def test_nothing_of_a_group_is_kept_when_it_fails_as_a_whole(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    before = list(crawl.connection.iterdump())

    def hosts() -> Iterator[HostRecord]:
        yield HostRecord("a", 1.0)
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        commit(
            crawl.connection,
            crawl.tables,
            crawl.run,
            [visit(1, items=[item(1)], requests=requests(3)), visit(2)],
            hosts(),
        )
    assert list(crawl.connection.iterdump()) == before
    assert not crawl.connection.in_transaction


def test_after_a_failed_group_the_same_group_can_be_committed(crawl: Crawl) -> None:
    crawl.seed(*requests(1))
    group = [visit(1, items=[item(7)], requests=requests(2))]
    with pytest.raises(sqlite3.Error):
        # One field too many for the statement, after the item's table was made.
        commit(crawl.connection, crawl.tables, crawl.run, group, [("a", 1.0, None, 4, 5)])  # type: ignore[list-item]
    assert crawl.commit(*group).items == 1
    assert crawl.numbers() == [7]


# ── a visit alone ───────────────────────────────────────────────────────────────────────────


def test_a_visit_brings_its_items_its_requests_and_its_end(crawl: Crawl) -> None:
    crawl.seed(request(1))
    committed = crawl.commit(
        visit(1, status=200, size=10, attempts=1, items=[item(5)], requests=requests(2, host="b"))
    )
    assert (committed.added, committed.items, committed.hosts) == (1, 1, {"b": 0})
    assert crawl.rows("state, status, bytes, attempts")[0] == ("done", 200, 10, 1)
    assert crawl.numbers() == [5]
    assert crawl.rows("id, parent, state")[1] == (2, 1, "queued")


@pytest.mark.parametrize("value", [TOO_LARGE, "\ud800", object(), {"a": 1}])
def test_a_visit_with_a_value_that_cannot_be_stored_fails_alone(crawl: Crawl, value: Any) -> None:
    crawl.seed(*requests(1, 2, 3))
    committed = crawl.commit(
        visit(1, items=[item(1)]),
        visit(2, items=[item(2), item(value)], requests=requests(22), status=200, attempts=1),
        visit(3, items=[item(3)], requests=requests(33)),
    )
    assert crawl.rows() == [
        (1, "done", None),
        (2, "failed", "item_error"),
        (3, "done", None),
        (4, "queued", None),
    ]
    assert crawl.numbers() == [1, 3]
    assert list(committed.refused) == [2]
    assert (committed.items, committed.added) == (2, 1)
    assert crawl.rows("status, attempts, error")[1] == (200, 1, committed.refused[2])


def test_a_traceback_that_cannot_be_stored_fails_its_visit_alone(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, "failed", reason="spider_error", error="\udcff"), visit(2))
    assert crawl.rows() == [(1, "failed", "item_error"), (2, "done", None)]


def test_an_item_table_that_does_not_fit_the_file_fails_its_visit_alone(crawl: Crawl) -> None:
    """Such a model is met only here when the spider's module does not name it."""
    crawl.seed(*requests(1, 2, 3))
    other = Table("thing", (Column("number", "text", "TEXT"),))
    crawl.commit(visit(1, items=[item(1)]))
    committed = crawl.commit(
        visit(2, items=[ItemRow(other, ("two",), "http://a/")]), visit(3, items=[item(3)])
    )
    assert crawl.rows() == [(1, "done", None), (2, "failed", "item_error"), (3, "done", None)]
    assert "thing" in committed.refused[2]
    assert crawl.numbers() == [1, 3]


def test_the_first_item_of_a_table_may_be_in_a_visit_that_fails(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, items=[item(TOO_LARGE)]), visit(2, items=[item(2)]))
    assert crawl.numbers() == [2]


def test_the_same_visit_committed_twice_adds_nothing(crawl: Crawl) -> None:
    crawl.seed(request(1))
    twice = visit(1, items=[item(1)], requests=requests(2))
    crawl.commit(twice)
    before = list(crawl.connection.iterdump())
    committed = crawl.commit(twice)
    assert list(crawl.connection.iterdump()) == before
    assert committed == Committed(dropped={1})


def test_the_same_visit_twice_in_a_group_counts_once(crawl: Crawl) -> None:
    crawl.seed(request(1))
    committed = crawl.commit(visit(1, items=[item(1)]), visit(1, items=[item(1)]))
    assert (committed.items, committed.dropped) == (1, {1})
    assert crawl.numbers() == [1]


def test_a_failed_visit_may_keep_what_its_errback_gave(crawl: Crawl) -> None:
    crawl.seed(request(1))
    crawl.commit(visit(1, "failed", reason="http_404", items=[item(4)], requests=requests(2)))
    assert crawl.numbers() == [4]
    assert crawl.rows() == [(1, "failed", "http_404"), (2, "queued", None)]


def test_a_settled_request_says_when_it_ended(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1), visit(2, "queued", not_before=1.0))
    (ended,), (waiting,) = crawl.rows("finished_at")
    assert ended.endswith("Z")
    assert waiting is None
