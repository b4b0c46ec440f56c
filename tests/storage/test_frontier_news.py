"""What is new to the frontier: requests, contents, and where redirects led."""

from typing import Any

import pytest

from storage import runs
from storage.records import NewRequest, State
from storage.tables import ItemTables
from tests.storage.crawl_file import TOO_LARGE, Crawl, item, request, requests, visit
from tests.storage.crawl_file import connection as connection
from tests.storage.crawl_file import crawl as crawl

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


def test_what_is_taken_up_and_what_is_new_are_counted_apart(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2, 3))
    deep = [request(page, state="skipped", reason="max_depth") for page in (10, 11, 12)]
    assert crawl.commit(visit(1, requests=deep)).lifted == 0
    committed = crawl.commit(visit(2, requests=requests(3, 10, 11, 20)))
    assert (committed.added, committed.lifted, committed.skipped) == (3, 2, 0)
    assert crawl.seed(*requests(12)).lifted == 1


@pytest.mark.parametrize(("page", "lifted"), [(10, 1), (20, 0)], ids=["taken up", "new"])
@pytest.mark.parametrize("items", range(4))
def test_the_ids_of_items_are_not_taken_for_those_of_requests(
    crawl: Crawl, page: int, lifted: int, items: int
) -> None:
    crawl.seed(request(1))
    crawl.commit(visit(1, requests=[request(10, state="skipped", reason="nofollow"), request(2)]))
    rows = [item(number) for number in range(2 + items)]  # the next request would have id 4
    committed = crawl.commit(visit(2, items=rows, requests=requests(page)))
    assert (committed.added, committed.lifted) == (1, lifted)


def test_what_a_refused_visit_would_have_taken_up_is_not_counted(crawl: Crawl) -> None:
    crawl.seed(*requests(1, 2))
    off = request(11, state="skipped", reason="offsite")
    crawl.commit(visit(1, requests=[request(10, state="skipped", reason="trap")]))
    committed = crawl.commit(visit(2, requests=[request(10), off._replace(url="\udcff")]))
    assert list(committed.refused) == [2]
    assert (committed.added, committed.lifted, committed.skipped) == (0, 0, 0)


# ── what is offsite no more ─────────────────────────────────────────────────────────────────


def offsite(number: int, host: str, **fields: Any) -> NewRequest:
    return request(number, host, state="skipped", reason="offsite", **fields)


def test_links_to_hosts_that_are_admitted_now_are_queued(crawl: Crawl) -> None:
    crawl.seed(request(1))
    links = [offsite(10, "b"), offsite(11, "c"), offsite(12, "b", priority=3, callback="page")]
    crawl.commit(visit(1, requests=[*links, request(13, "b", state="skipped", reason="trap")]))
    committed = crawl.seed(admits={"a", "b"}.__contains__)
    assert (committed.added, committed.lifted, committed.hosts) == (2, 2, {"b": 3})
    assert crawl.rows("fingerprint, state, reason")[1:] == [
        (10, "queued", None),
        (11, "skipped", "offsite"),
        (12, "queued", None),
        (13, "skipped", "trap"),
    ]
    first, _ = crawl.ready(host="b").requests
    assert (first.fingerprint, first.callback, first.depth) == (12, "page", 0)
    assert crawl.seed(admits={"a", "b"}.__contains__).hosts == {}


def test_links_of_other_runs_stay_as_they_are(crawl: Crawl) -> None:
    crawl.seed(request(1))
    crawl.commit(visit(1, requests=[offsite(10, "b")]))
    earlier = crawl.rows()
    crawl.run = runs.begin_run(crawl.connection, "books", {}, fresh=True)
    assert crawl.seed(request(1), admits=lambda host: True).lifted == 0
    crawl.run = crawl.run._replace(id=1)
    assert crawl.rows() == earlier


def test_a_page_that_was_asked_for_is_not_asked_for_again(crawl: Crawl) -> None:
    """Neither one that a redirect led offsite, nor one where a redirect led meanwhile."""
    crawl.seed(*requests(1, 2, 3))
    crawl.commit(visit(1, requests=[offsite(10, "b")]), visit(2, "skipped", reason="offsite"))
    crawl.commit(visit(3, alias=10))
    assert crawl.seed(admits=lambda host: True).lifted == 0
    assert {state for _, state, _ in crawl.rows()} == {"done", "skipped"}


def test_links_are_queued_together_with_the_last_start_request_or_not_at_all(crawl: Crawl) -> None:
    def breaks_off(host: str) -> bool:
        raise OSError("somebody pulled the plug")

    crawl.seed(request(1), last=False)
    crawl.commit(visit(1, requests=[offsite(10, "b")]))
    before = list(crawl.connection.iterdump())
    with pytest.raises(OSError, match="plug"):
        crawl.seed(request(2), admits=breaks_off)
    assert list(crawl.connection.iterdump()) == before


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
