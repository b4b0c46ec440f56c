"""What comes out of the frontier, when, and by which indexes."""

import re
import sqlite3
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import frontier, runs
from storage.records import HostRecord, NewRequest, Want
from storage.schema import prepare
from tests.storage.crawl_file import Crawl, item, request, requests, statements, visit
from tests.storage.crawl_file import connection as connection
from tests.storage.crawl_file import crawl as crawl

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
    searches = re.findall(r"SEARCH crawl_request USING (?:COVERING )?INDEX (\w+)", plan)
    assert Counter(searches) == {"crawl_request_waiting": 2, "crawl_request_ready": 1}
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
        plan = re.sub(r"SCAN (?:page|visit|given)\b", "", plan)
        plan = re.sub(r"SCAN (?:[0-9]+-ROW VALUES CLAUSE|(?:[0-9]+ )?CONSTANT ROWS?)", "", plan)
        assert "SCAN" not in plan, statement
        assert "TEMP B-TREE" not in plan, statement
        assert "AUTOMATIC" not in plan, statement
