"""Runs: which of them goes on, and what it finds."""

import sqlite3
from typing import Any

import pytest

from storage import frontier, runs
from storage.errors import RunMismatch
from storage.records import Run
from storage.report import report
from tests.storage.crawl_file import Crawl, item, request, requests, visit
from tests.storage.crawl_file import connection as connection
from tests.storage.crawl_file import crawl as crawl


def test_the_first_run_is_new(crawl: Crawl) -> None:
    assert crawl.run == Run(1, "books", {}, resumed=False, seeded=False)


@pytest.mark.parametrize("finish", [None, "stopped", "failed", "limit"])
def test_an_unfinished_run_is_resumed(connection: sqlite3.Connection, finish: Any) -> None:
    first = runs.begin_run(connection, "books", {"k": "v"}, fresh=False)
    frontier.seed(connection, first.id, [request(1)], True)
    if finish:
        runs.finish_run(connection, first.id, finish)
    again = runs.begin_run(connection, "books", {}, fresh=False)
    assert (again.id, again.arguments) == (first.id, {"k": "v"})
    assert again.resumed
    assert again.seeded
    stored = connection.execute("SELECT finish, finished_at FROM crawl_run").fetchall()
    assert stored == [(None, None)]


def test_a_finished_run_is_followed_by_a_new_one(connection: sqlite3.Connection) -> None:
    first = runs.begin_run(connection, "books", {}, fresh=False)
    runs.finish_run(connection, first.id, "finished")
    second = runs.begin_run(connection, "books", {}, fresh=False)
    assert (second.id, second.resumed, second.seeded) == (2, False, False)


def test_a_fresh_run_abandons_the_unfinished_one(connection: sqlite3.Connection) -> None:
    runs.begin_run(connection, "books", {}, fresh=False)
    assert runs.begin_run(connection, "books", {}, fresh=True).id == 2
    finish = connection.execute("SELECT finish, finished_at FROM crawl_run").fetchall()
    assert finish[0][0] == "stopped"
    assert finish[0][1] is not None
    assert finish[1] == (None, None)


def test_a_fresh_run_does_not_change_how_an_earlier_one_ended(
    connection: sqlite3.Connection,
) -> None:
    runs.begin_run(connection, "books", {}, fresh=False)
    runs.finish_run(connection, 1, "limit")
    runs.begin_run(connection, "books", {}, fresh=True)
    assert connection.execute("SELECT finish FROM crawl_run").fetchone() == ("limit",)


def test_other_arguments_do_not_fit_an_unfinished_run(connection: sqlite3.Connection) -> None:
    runs.begin_run(connection, "books", {"category": "poetry"}, fresh=False)
    with pytest.raises(RunMismatch, match=r"-a category=poetry.*--fresh"):
        runs.begin_run(connection, "books", {"category": "prose"}, fresh=False)
    assert runs.begin_run(connection, "books", {"category": "prose"}, fresh=True).id == 2


@pytest.mark.parametrize("stored", ["", "{", "[]", "null", "3"])
def test_arguments_that_somebody_has_changed_are_told(
    connection: sqlite3.Connection, stored: str
) -> None:
    runs.begin_run(connection, "books", {}, fresh=False)
    connection.execute("UPDATE crawl_run SET arguments = ?", (stored,))
    with pytest.raises(RunMismatch, match=r"arguments of run 1 .* are no JSON object.*--fresh"):
        runs.begin_run(connection, "books", {}, fresh=False)
    with pytest.raises(RunMismatch, match="arguments of run 1 "):
        report(connection, 1)
    assert runs.begin_run(connection, "books", {}, fresh=True).id == 2


def test_spiders_have_their_own_runs_in_one_file(connection: sqlite3.Connection) -> None:
    books = runs.begin_run(connection, "books", {}, fresh=False)
    quotes = runs.begin_run(connection, "quotes", {}, fresh=False)
    assert books.id != quotes.id
    assert runs.begin_run(connection, "books", {}, fresh=False).id == books.id


def test_a_limit_that_was_reached_counts_anew_when_the_run_goes_on(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3, 4, 5))
    crawl.commit(visit(1, items=[item(1), item(2)]), visit(2, "failed"), visit(3, "skipped"))
    runs.finish_run(crawl.connection, crawl.run.id, "limit")
    again = runs.begin_run(crawl.connection, "books", {}, fresh=False)
    assert (again.base_pages, again.base_items) == (2, 2)


def test_a_stopped_run_goes_on_with_the_allowance_it_had(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3))
    crawl.commit(visit(1, items=[item(1)]))
    runs.finish_run(crawl.connection, crawl.run.id, "limit")
    runs.begin_run(crawl.connection, "books", {}, fresh=False)
    crawl.commit(visit(2, items=[item(2)]))
    runs.finish_run(crawl.connection, crawl.run.id, "stopped")
    again = runs.begin_run(crawl.connection, "books", {}, fresh=False)
    assert (again.base_pages, again.base_items) == (1, 1)


def test_the_start_hosts_are_those_of_the_start_requests(crawl: Crawl) -> None:
    crawl.seed(request(1, "a"), request(2, "b:8080"), request(3, "a"))
    crawl.commit(visit(1, requests=requests(4, host="c")))
    assert frontier.start_hosts(crawl.connection, crawl.run.id) == {"a", "b:8080"}


def test_seeding_is_over_when_the_last_batch_is_in(crawl: Crawl) -> None:
    crawl.seed(request(1), last=False)
    assert not runs.begin_run(crawl.connection, "books", {}, fresh=False).seeded
    crawl.seed(last=True)
    assert runs.begin_run(crawl.connection, "books", {}, fresh=False).seeded


def test_totals_are_counted_from_the_tables(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3, 4))
    crawl.commit(visit(1, items=[item(1), item(2)]), visit(2, "failed"), visit(3, "skipped"))
    totals = runs.count(crawl.connection, crawl.run.id)
    assert (totals.done, totals.failed, totals.skipped, totals.queued) == (1, 1, 1, 1)
    assert totals.items == 2
