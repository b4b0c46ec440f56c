"""The frontier's statements on a real file: what a commit changes, and what comes out again."""

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import frontier, runs
from storage.commit import commit
from storage.errors import RunMismatch
from storage.records import (
    Column,
    Committed,
    HostRecord,
    HostWork,
    ItemRow,
    NewRequest,
    Run,
    State,
    Table,
    Visit,
    Want,
)
from storage.schema import prepare
from storage.tables import ItemTables

THING = Table("thing", (Column("number", "integer", "INTEGER"),))
TOO_LARGE = 2**70  # no INTEGER of SQLite's


class Crawl:
    """A crawl file and its one run, spoken to as the database thread does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.tables = ItemTables()
        self.run = runs.begin_run(connection, "books", {}, fresh=False)

    def seed(self, *requests: NewRequest, last: bool = True) -> Committed:
        return frontier.seed(self.connection, self.run.id, requests, last)

    def commit(self, *visits: Visit, hosts: Sequence[HostRecord] = ()) -> Committed:
        return commit(self.connection, self.tables, self.run, visits, hosts)

    def ready(
        self, host: str = "a", limit: int = 100, held: Sequence[int] = (), first: bool = False
    ) -> HostWork:
        wants = [Want(host, limit, frozenset(held), first)]
        (work,) = frontier.ready(self.connection, self.run.id, wants)
        return work

    def ready_ids(self, **wanted: Any) -> list[int]:
        return [row.id for row in self.ready(**wanted).requests]

    def rows(self, columns: str = "id, state, reason") -> list[tuple[Any, ...]]:
        return self.connection.execute(
            f"SELECT {columns} FROM crawl_request WHERE run = ? ORDER BY id", (self.run.id,)
        ).fetchall()

    def numbers(self) -> list[int]:
        """The items that were kept."""
        if not self.connection.execute("SELECT count(*) FROM crawl_table").fetchone()[0]:
            return []
        query = "SELECT number FROM thing WHERE _run = ? ORDER BY _id"
        return [number for (number,) in self.connection.execute(query, (self.run.id,))]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "crawl.db"
    opened = sqlite3.connect(path, isolation_level=None)
    prepare(opened, str(path))
    yield opened
    opened.close()


@pytest.fixture
def crawl(connection: sqlite3.Connection) -> Crawl:
    return Crawl(connection)


def request(number: int, host: str = "a", **fields: Any) -> NewRequest:
    return NewRequest(number, f"http://{host}/{number}", host, **fields)


def requests(*numbers: int, host: str = "a") -> list[NewRequest]:
    return [request(number, host) for number in numbers]


def item(number: Any) -> ItemRow:
    return ItemRow(THING, (number,), "http://a/")


def visit(id_: int, state: State = "done", **fields: Any) -> Visit:
    return Visit(id_, fields.pop("host", "a"), state, **{"attempts": 1, **fields})


def statements(connection: sqlite3.Connection) -> list[str]:
    """A list that grows with every statement SQLite runs from now on."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    return seen


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
    assert len([one for one in seen if one.startswith("UPDATE crawl_request")]) == 1


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


# ── what is new ─────────────────────────────────────────────────────────────────────────────


def test_a_request_is_one_however_often_it_is_found(crawl: Crawl) -> None:
    assert crawl.seed(*requests(1, 1, 2)).added == 2
    assert crawl.seed(*requests(1, 2)).added == 0
    committed = crawl.commit(visit(1, requests=requests(2, 3, 3)), visit(2, requests=requests(3)))
    assert committed.added == 1
    assert crawl.rows("fingerprint") == [(1,), (2,), (3,)]


def test_a_finished_request_is_not_queued_again(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1))
    committed = crawl.commit(visit(2, requests=requests(1)))
    assert (committed.added, committed.hosts) == (0, {})
    assert crawl.rows()[0] == (1, "done", None)


def test_runs_do_not_share_their_requests(crawl: Crawl) -> None:
    crawl.seed(request(1))
    later = Crawl.__new__(Crawl)
    later.connection, later.tables = crawl.connection, ItemTables()
    later.run = runs.begin_run(crawl.connection, "books", {}, fresh=True)
    assert later.seed(request(1)).added == 1
    assert later.ready_ids() == [2]
    assert crawl.ready_ids() == [1]


def test_a_request_that_is_skipped_is_kept_with_its_reason(crawl: Crawl) -> None:
    crawl.seed(request(1))
    off = request(2, "elsewhere", state="skipped", reason="offsite")
    committed = crawl.commit(visit(1, requests=[off]))
    assert (committed.added, committed.skipped, committed.hosts) == (0, 1, {})
    assert crawl.rows()[1] == (2, "skipped", "offsite")
    assert crawl.commit(visit(1, requests=[off])).skipped == 0


def test_a_page_too_deep_is_taken_up_when_a_shorter_way_is_found(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    deep = request(3, depth=4, state="skipped", reason="max_depth", callback="parse_deep")
    crawl.commit(visit(1, requests=[deep]))
    committed = crawl.commit(visit(2, requests=[request(3, depth=1, callback="near", priority=7)]))
    assert committed.added == 1
    assert crawl.rows("state, reason, depth, callback, priority, parent")[2] == (
        "queued",
        None,
        1,
        "near",
        7,
        2,
    )
    assert crawl.ready_ids() == [3]


@pytest.mark.parametrize("reason", ["nofollow", "trap", "url_too_long", "offsite"])
def test_a_page_skipped_for_its_link_is_taken_up_by_one_that_may_be_followed(
    crawl: Crawl, reason: str
) -> None:
    crawl.seed(*requests(1))
    cut = request(3, state="skipped", reason=reason)._replace(url="http://a/begin")
    crawl.commit(visit(1, requests=[cut]))
    assert crawl.seed(request(3)).added == 1
    assert crawl.rows("url, state, reason")[1] == ("http://a/3", "queued", None)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("skipped", "robots"),
        ("skipped", "max_pages_per_host"),
        ("failed", "max_depth"),
        ("done", None),
        ("done", "duplicate_content"),
    ],
)
def test_only_a_page_skipped_for_where_it_was_found_is_taken_up_again(
    crawl: Crawl, state: State, reason: str | None
) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, state, reason=reason))
    assert crawl.commit(visit(2, requests=requests(1))).added == 0
    assert crawl.rows()[0] == (1, state, reason)


def test_being_too_deep_again_changes_nothing(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    deep = request(3, depth=9, state="skipped", reason="max_depth")
    crawl.commit(visit(1, requests=[deep]))
    assert crawl.commit(visit(2, requests=[deep._replace(depth=8)])).skipped == 0
    assert crawl.rows("depth")[2] == (9,)


# ── pages with the same content ─────────────────────────────────────────────────────────────


def test_a_page_with_the_body_of_another_says_so_and_keeps_what_it_gave(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, content=7, items=[item(1)]))
    committed = crawl.commit(visit(2, content=7, items=[item(2)], requests=requests(3)))
    assert crawl.rows()[:2] == [(1, "done", None), (2, "done", "duplicate_content")]
    assert crawl.numbers() == [1, 2]
    assert committed.added == 1
    assert not committed.aliased


def test_the_same_content_is_known_within_a_group_and_in_each_of_three(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3, 4))
    crawl.commit(visit(1, content=7), visit(2, content=8), visit(3, content=7), visit(4, content=7))
    reasons = [reason for _, _, reason in crawl.rows()]
    assert reasons == [None, None, "duplicate_content", "duplicate_content"]


def test_other_hosts_and_other_runs_may_have_the_same_content(crawl: Crawl) -> None:
    crawl.seed(request(1), request(2, host="b"))
    crawl.commit(visit(1, content=7), visit(2, host="b", content=7))
    assert {reason for _, _, reason in crawl.rows()} == {None}
    crawl.run = runs.begin_run(crawl.connection, "books", {}, fresh=True)
    crawl.seed(request(1))
    crawl.commit(visit(3, content=7))
    assert crawl.rows() == [(3, "done", None)]


def test_only_a_page_that_is_kept_is_one_to_be_the_same_as(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3, 4))
    crawl.commit(visit(1, content=7, items=[item(TOO_LARGE)]))  # fails
    crawl.commit(visit(2, content=7))
    crawl.commit(visit(2, content=7))  # a second time, as after a crash
    assert crawl.rows()[:2] == [(1, "failed", "item_error"), (2, "done", None)]
    crawl.commit(visit(3, alias=2, content=7))  # a redirect to it, without effects
    assert crawl.rows()[2] == (3, "done", "alias")


def test_a_page_without_content_is_the_same_as_nothing(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1), visit(2))
    assert {reason for _, _, reason in crawl.rows()} == {None}


def test_the_canonical_url_of_a_page_is_recorded(crawl: Crawl) -> None:
    crawl.seed(*requests(1))
    crawl.commit(visit(1, canonical_url="http://a/c"))
    assert crawl.rows("canonical_url") == [("http://a/c",)]


# ── where redirects led ─────────────────────────────────────────────────────────────────────


def test_a_page_that_a_redirect_visited_is_not_visited_again(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, alias=50, final_url="http://a/50", items=[item(1)]))
    committed = crawl.commit(visit(2, requests=requests(50, 51)))
    assert (committed.added, committed.aliases) == (1, 1)
    assert crawl.rows("fingerprint, state, reason")[2:] == [
        (51, "queued", None),
        (50, "done", "alias"),
    ]


def test_a_start_request_may_be_a_page_that_a_redirect_visited(crawl: Crawl) -> None:
    crawl.seed(request(1), last=False)
    crawl.commit(visit(1, alias=50))
    committed = crawl.seed(request(50))
    assert (committed.added, committed.aliases) == (0, 1)


def test_of_two_redirects_to_one_page_the_first_has_the_effects(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    committed = crawl.commit(
        visit(1, alias=50, items=[item(1)], requests=requests(8)),
        visit(2, alias=50, items=[item(1)], requests=requests(9)),
    )
    assert committed.aliased == {2}
    assert crawl.numbers() == [1]
    assert crawl.rows() == [(1, "done", None), (2, "done", "alias"), (3, "queued", None)]


@pytest.mark.parametrize("first", ["direct", "redirect"])
def test_a_page_reached_directly_and_by_redirect_has_its_items_once(
    crawl: Crawl, first: str
) -> None:
    crawl.seed(*requests(1, 50))
    visits = [visit(2, items=[item(1)]), visit(1, alias=50, items=[item(1)])]
    for one in visits if first == "direct" else visits[::-1]:
        crawl.commit(one)
    assert crawl.numbers() == [1]
    assert crawl.rows() == [(1, "done", "alias"), (2, "done", None)]


def test_redirects_that_lead_back_to_where_they_began_lose_nothing(crawl: Crawl) -> None:
    """A site that bounces its visitors once, through a page that sets something."""
    crawl.seed(request(1))
    crawl.commit(visit(1, alias=1, items=[item(1)], requests=requests(2)))
    assert crawl.numbers() == [1]
    assert crawl.rows() == [(1, "done", None), (2, "queued", None)]


def test_a_redirect_to_a_page_that_was_skipped_has_the_effects(crawl: Crawl) -> None:
    """Nobody else will visit a page that was too deep, so this visit stands for it."""
    crawl.seed(*requests(1, 2))
    deep = request(50, depth=9, state="skipped", reason="max_depth")
    crawl.commit(visit(1, requests=[deep]))
    crawl.commit(visit(2, alias=50, items=[item(1)]))
    assert crawl.numbers() == [1]


def test_a_redirect_to_a_page_that_waits_is_an_alias_without_being_read(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    committed = crawl.commit(visit(1, alias=2, unread=True))
    assert committed.aliased == {1}
    assert crawl.rows() == [(1, "done", "alias"), (2, "queued", None)]


def test_of_two_pages_that_redirect_to_each_other_one_is_put_back(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    committed = crawl.commit(visit(1, alias=2, unread=True), visit(2, alias=1, unread=True))
    assert (committed.aliased, committed.again) == ({1}, {2})
    assert "a" in committed.hosts  # or the scheduler would not look for it again
    assert crawl.rows() == [(1, "done", "alias"), (2, "queued", None)]
    crawl.commit(visit(2, alias=1, items=[item(1)]))  # now it was read, and stands for both
    assert crawl.rows() == [(1, "done", "alias"), (2, "done", None)]


def test_a_visit_that_is_dropped_makes_no_alias(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1))
    assert crawl.commit(visit(1, alias=50)).dropped == {1}
    assert crawl.commit(visit(2, requests=requests(50))).added == 1


def test_a_visit_that_is_refused_makes_no_alias(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    crawl.commit(visit(1, alias=50, items=[item(TOO_LARGE)]))
    assert crawl.commit(visit(2, requests=requests(50))).added == 1


# ── retries ─────────────────────────────────────────────────────────────────────────────────


def test_a_retry_waits_for_its_time(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    later = time.time() + 1000
    crawl.commit(visit(1, "queued", reason="timeout", attempts=1, not_before=later))
    work = crawl.ready()
    assert [row.id for row in work.requests] == [2]
    assert work.next_due == later
    assert not work.more


def test_a_retry_whose_time_has_come_goes_first_and_knows_its_attempts(crawl: Crawl) -> None:
    crawl.seed(request(1), request(2, priority=9))
    crawl.commit(visit(1, "queued", reason="timeout", attempts=2, not_before=time.time() - 1))
    work = crawl.ready()
    assert [(row.id, row.attempts) for row in work.requests] == [(1, 2), (2, 0)]
    assert work.next_due is None


def test_retries_come_in_the_order_of_their_times(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3))
    for id_, moment in ((1, 30.0), (2, 10.0), (3, 20.0)):
        crawl.commit(visit(id_, "queued", not_before=moment))
    assert crawl.ready_ids() == [2, 3, 1]


def test_a_retry_keeps_its_items_out_until_it_ends(crawl: Crawl) -> None:
    crawl.seed(request(1))
    crawl.commit(visit(1, "queued", not_before=1.0, attempts=1))
    crawl.commit(visit(1, "done", items=[item(1)], attempts=2))
    assert crawl.numbers() == [1]
    assert crawl.rows("state, attempts, not_before") == [("done", 2, None)]
    assert crawl.ready_ids() == []


# ── out of the frontier ─────────────────────────────────────────────────────────────────────


def test_requests_come_by_priority_then_in_the_order_they_were_found(crawl: Crawl) -> None:
    crawl.seed(request(1), request(2, priority=5), request(3), request(4, priority=5))
    assert crawl.ready_ids() == [2, 4, 1, 3]


def test_what_is_held_does_not_come_again(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3, 4, 5))
    crawl.commit(visit(5, "queued", not_before=1.0))
    assert crawl.ready_ids(held=[1, 5], limit=2) == [2, 3]


def test_more_is_told_when_there_is_more(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3))
    assert crawl.ready(limit=2).more
    assert crawl.ready(limit=2, held=[1]).requests[-1].id == 3
    assert not crawl.ready(limit=4).more
    assert not crawl.ready(limit=9, held=[1, 2, 3]).more


def test_a_request_comes_out_as_it_went_in(crawl: Crawl) -> None:
    went_in = NewRequest(
        -(2**63), "http://a/x", "a", "POST", b"\x00\xff", '{"meta": 1}', "parse_x", 3, 2
    )
    crawl.seed(went_in)
    (row,) = crawl.ready().requests
    assert row[1:10] == went_in[:9]


def test_hosts_are_told_apart(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 3, host="a"), *requests(2, host="b"))
    wants = [Want("b", 9, frozenset(), False), Want("c", 9, frozenset(), False)]
    b, c = frontier.ready(crawl.connection, crawl.run.id, wants)
    assert ([row.id for row in b.requests], b.host) == ([3], "b")
    assert (c.requests, c.host, c.more, c.next_due) == ([], "c", False, None)


def test_what_is_remembered_of_a_host_comes_only_when_asked_for(crawl: Crawl) -> None:
    crawl.commit(hosts=[HostRecord("a", 9.0, "{}")])
    assert crawl.ready(first=False).remembered is None
    assert crawl.ready("b", first=True).remembered is None


def test_a_host_keeps_its_robots_when_only_its_time_changes(crawl: Crawl) -> None:
    crawl.commit(hosts=[HostRecord("a", 1.0, '{"x": 1}')])
    crawl.commit(hosts=[HostRecord("a", 2.0, None)])
    assert crawl.ready(first=True).remembered == HostRecord("a", 2.0, '{"x": 1}')


_ANY_REQUEST = st.tuples(
    st.sampled_from(["a", "b", "b:8080", "", "ä", "z" * 50, "[::1]"]),
    st.sampled_from(["queued", "done", "failed", "skipped", "waiting"]),
)


@given(st.lists(_ANY_REQUEST, max_size=40))
def test_the_walk_over_queued_hosts_finds_what_a_scan_finds(found: list[tuple[str, str]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        prepare(connection, ":memory:")
        crawl = Crawl(connection)
        crawl.seed(*(request(n, host) for n, (host, _) in enumerate(found, 1)))
        other = runs.begin_run(connection, "other", {}, fresh=False)
        frontier.seed(connection, other.id, [request(1, "of another run")], True)
        for id_, (_, state) in enumerate(found, 1):
            if state == "waiting":
                crawl.commit(visit(id_, "queued", not_before=float(id_)))
            elif state != "queued":
                crawl.commit(visit(id_, state))  # type: ignore[arg-type]
        scan = connection.execute(
            "SELECT DISTINCT host FROM crawl_request WHERE run = ? AND state = 'queued'",
            (crawl.run.id,),
        )
        assert frontier.queued_hosts(connection, crawl.run.id) == sorted(h for (h,) in scan)
    finally:
        connection.close()


# ── query plans ─────────────────────────────────────────────────────────────────────────────


def plans(connection: sqlite3.Connection, seen: list[str]) -> dict[str, str]:
    """The plan of each statement that read or wrote the frontier."""
    connection.set_trace_callback(None)
    found = {}
    for statement in seen:
        if statement.split(maxsplit=1)[0] in ("SELECT", "UPDATE", "WITH", "INSERT"):
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            found[statement] = "; ".join(row[3] for row in rows)
    return found


@pytest.fixture
def busy(crawl: Crawl) -> Crawl:
    """A frontier with all kinds of rows."""
    crawl.seed(*(request(n, f"h{n % 7}", priority=n % 3) for n in range(1, 200)))
    crawl.commit(*(visit(n) for n in range(1, 50)))
    crawl.commit(*(visit(n, "queued", not_before=float(n)) for n in range(50, 80)))
    return crawl


def test_reading_ready_requests_walks_the_two_partial_indexes(busy: Crawl) -> None:
    seen = statements(busy.connection)
    busy.ready("h1", limit=5)
    found = plans(busy.connection, seen)
    (plan,) = found.values()
    # Retries that are due, and the next that will be; and what was never tried.
    assert plan.count("SEARCH crawl_request USING INDEX crawl_request_waiting") == 2
    assert plan.count("SEARCH crawl_request USING INDEX crawl_request_ready") == 1
    plan = re.sub(r"SCAN json_each|SCAN CONSTANT ROW|SCAN \(subquery-[0-9]+\)", "", plan)
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


def test_finding_the_queued_hosts_is_a_walk_of_the_two_partial_indexes(busy: Crawl) -> None:
    seen = statements(busy.connection)
    frontier.queued_hosts(busy.connection, busy.run.id)
    found = plans(busy.connection, seen)
    assert len(found) == 2
    for plan, index in zip(found.values(), ("ready", "waiting"), strict=True):
        assert f"INDEX crawl_request_{index} (run=? AND host>?)" in plan
        assert "SCAN crawl_request" not in plan
        assert "TEMP B-TREE" not in plan


def test_a_commit_scans_nothing(busy: Crawl) -> None:
    busy.commit(visit(100, alias=7000, content=5, items=[item(1)]))
    seen = statements(busy.connection)
    busy.commit(
        visit(101, alias=7001, content=5, items=[item(1)], requests=requests(7000, 7002)),
        *(visit(n, content=n) for n in range(102, 106)),
    )
    found = plans(busy.connection, seen)
    assert any(statement.startswith("UPDATE crawl_request") for statement in found)
    for statement, plan in found.items():
        # The values that a statement brings along are gone through, and nothing else.
        plan = re.sub(r"SCAN (?:page|visit|given|[0-9]+ CONSTANT ROWS|CONSTANT ROW)", "", plan)
        assert "SCAN" not in plan, statement
        assert "TEMP B-TREE" not in plan, statement
        assert "AUTOMATIC" not in plan, statement


# ── runs ────────────────────────────────────────────────────────────────────────────────────


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
