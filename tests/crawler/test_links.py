"""What becomes of the links that pages yield: which are new, and which are off limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import Request, Response, Spider
from crawler.harvest import Harvest
from crawler.links import Discovery
from crawler.settings import Settings
from crawler.url import Scope
from storage.records import QueuedRequest
from tests.site import serve

HOME = QueuedRequest(1, 11, "http://a.example/", "a.example", "GET", None, None, None, 0, 0, 0)
HEX = "0123456789abcdef0123456789abcdef"


def discovery(**settings):
    found = Discovery(Settings(**settings))
    found.widen(Scope(["a.example"]))
    return found


def row(url, found=None, **arguments):
    return (found or discovery()).record(Request(url, **arguments), HOME, 1)


# ── off limits ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "settings", "reason"),
    [
        ("http://a.example/x", {}, None),
        ("http://a.example/" + "x" * 2100, {}, "url_too_long"),
        ("http://a.example/" + "x" * 2100, {"max_url_length": None}, None),
        ("http://a.example/" + "x" * 2100, {"traps": False}, "url_too_long"),
        ("http://a.example/xx", {"max_url_length": 18}, "url_too_long"),
        ("http://a.example/x", {"max_url_length": 18}, None),
        ("http://a.example/a/b/a/b/a/b/", {}, "trap"),
        ("http://a.example/a/b/a/b/a/b/", {"traps": False}, None),
        ("http://b.example/a/b/a/b/a/b/", {}, "offsite"),
        ("http://a.example/a/b/a/b/a/b/", {"max_depth": 0}, "trap"),
        ("mailto:" + "x" * 9000, {}, "scheme"),
    ],
)
def test_a_link_off_limits_is_a_row_with_its_reason(url, settings, reason):
    found = row(url, discovery(**settings))
    assert (found.state, found.reason) == ("skipped" if reason else "queued", reason)


@pytest.mark.parametrize("url", ["http://a.example/", "http://b.example/", "data:,"])
def test_a_skipped_row_does_not_hold_a_megabyte(url):
    found = row(url + "x" * 1_000_000)
    assert found.state == "skipped"
    assert len(found.url) < 3000
    assert found.fingerprint != row(url + "x" * 1_000_001).fingerprint


def test_long_urls_are_not_remembered_by_the_thousand():
    found = discovery(max_url_length=None)
    for number in range(100):
        row(f"http://a.example/{number}/" + "x" * 5000, found)
    assert len(found.identify.known) == 0
    row("http://a.example/x", found)
    assert len(found.identify.known) == 1


# ── one page, however it is linked ──────────────────────────────────────────────────────────


def test_a_link_is_known_and_fetched_without_what_is_stripped():
    found = discovery(strip_params=["utm_*"])
    plain = row("http://a.example/p?a=1", found)
    for url in (
        "http://a.example/p?utm_source=x&a=1",
        f"http://a.example/p?a=1&PHPSESSID={HEX}",
        f"http://a.example/p;jsessionid={HEX}?a=1#top",
    ):
        assert row(url, found) == plain
    assert plain.url == "http://a.example/p?a=1"


def test_session_ids_stay_when_traps_are_off():
    url = f"http://a.example/p?PHPSESSID={HEX}"
    assert row(url, discovery(traps=False)).url == url


def test_a_start_request_keeps_its_session_and_loses_what_the_user_named():
    found = discovery(strip_params=["utm_*"])
    url, host, _ = found.identify_start(f"http://a.example/?utm_x=1&PHPSESSID={HEX}")
    assert (url, host) == (f"http://a.example/?PHPSESSID={HEX}", "a.example")


def test_a_url_of_another_scheme_is_left_alone():
    found = row("mailto:joe@a.example?utm_source=1", discovery(strip_params=["utm_*"]))
    assert found.url == "mailto:joe@a.example?utm_source=1"


def test_what_the_store_has_is_not_sent_again():
    found = discovery()
    page = Request("http://a.example/x")
    assert not found.has(page)
    found.stored(found.lasting([row(page.url, found)]))
    assert found.has(page)
    row("http://a.example/x#part", found)
    assert found.has(Request("http://a.example/x#part"))


@pytest.mark.parametrize(
    "arguments", [{"dont_filter": True}, {"method": "POST"}, {"body": b"x"}, {"form": {"a": 1}}]
)
def test_what_is_not_the_page_itself_is_always_sent(arguments):
    found = discovery()
    found.stored(found.lasting([row("http://a.example/x", found)]))
    assert not found.has(Request("http://a.example/x", **arguments))


def test_what_is_offsite_no_more_once_it_is_stored_is_sent_again():
    found = discovery()
    page = Request("http://b.example/x")
    record = row(page.url, found)
    assert record.reason == "offsite"
    found.stored(found.lasting([record]))
    assert found.has(page)
    record = row("http://c.example/x", found)
    found.widen(Scope(["a.example", "c.example"]))  # while that one is on its way to the store
    found.stored(found.lasting([record]))
    assert not found.has(Request("http://c.example/x"))


def test_what_another_link_may_lift_is_sent_again():
    found = discovery()
    page = Request("http://a.example/x")
    for nofollow in (True, False):
        assert not found.has(page)
        record = found.record(page, HOME, 1, nofollow=nofollow)
        assert (record.reason == "nofollow") is nofollow
        found.stored(found.lasting([record]))
    assert found.has(page)


def test_only_what_the_standard_takes_for_white_space_is_cut_from_a_link():
    base = Response("http://a.example/")
    assert base.follow(" \t\n\x00/x\x1f\r ").url == "http://a.example/x"
    assert base.follow("/x\u3000").url == "http://a.example/x%E3%80%80"


class Follows(Spider):
    name = "follows"

    def parse(self, response):
        yield from response.follow_all("a")


async def test_start_urls_and_links_are_fetched_as_they_are_known(crawl, rows):
    start = f"?utm_source=x&a=1&PHPSESSID={HEX}"
    pages = {"/": f"<a href='/?a=1&utm_medium=y'></a><a href='/?PHPSESSID={HEX}&a=1'></a>"}
    async with serve(pages) as site:
        spider = type("S", (Follows,), {"start_urls": [site.url + start]})
        await crawl(spider, strip_params=["utm_*"], robots=False)
        targets = sorted(request.target for request in site.requests)
    # Whoever begins with a session may need it; a link has none.
    assert targets == ["/?a=1", f"/?a=1&PHPSESSID={HEX}"]
    assert sorted(rows("SELECT url FROM crawl_request")) == [site.url + t[1:] for t in targets]


# ── rel=nofollow ────────────────────────────────────────────────────────────────────────────

PAGE = b"""<a href=/yes>1</a> <a href=/no rel="external NoFollow">2</a>
<a href=/both rel=nofollow>3</a> <a href=/both#x>4</a>"""


def page(*, heeding):
    response = Response("http://a.example/", headers={"Content-Type": "text/html"}, body=PAGE)
    response.heeds_nofollow = heeding
    return response


@pytest.mark.parametrize("links", ["a", "selection", "xpath"])
def test_a_link_that_asks_not_to_be_followed_is_known_by_its_element(links):
    response = page(heeding=True)
    ways = {"a": {"css": "a"}, "selection": {"urls": response.css("a")}, "xpath": {"xpath": "//a"}}
    found = {r.url: r.nofollow for r in response.follow_all(**ways[links])}
    assert found == {
        "http://a.example/yes": False,
        "http://a.example/no": True,
        "http://a.example/both": False,
    }


def test_one_element_can_be_followed_or_not():
    response = page(heeding=True)
    assert response.follow(response.css("a")[1]).nofollow
    assert response.follow(response.css("a[rel]")).nofollow
    assert not response.follow(response.css("a")[0]).nofollow
    assert response.follow(response.css("a")[1]).replace(priority=1).nofollow


def test_a_url_says_nothing_of_its_element():
    response = page(heeding=True)
    assert not response.follow("/no").nofollow
    assert not any(r.nofollow for r in response.follow_all(["/no", "/both"]))
    assert not any(r.nofollow for r in response.follow_all("a::attr(href)"))


def test_unless_it_is_asked_for_nobody_looks():
    response = page(heeding=False)
    assert not any(r.nofollow for r in response.follow_all("a"))
    assert not response.follow(response.css("a")[1]).nofollow


def test_one_link_that_may_be_followed_is_enough_for_its_page():
    harvest = Harvest(discovery(), HOME, "http://a.example/")
    for nofollow in (True, False, True):
        request = Request("http://a.example/x")
        request.nofollow = nofollow
        harvest.take(request)
    assert [r.state for r in harvest.requests] == ["queued"]


def test_a_page_that_asks_not_to_follow_has_its_links_as_rows():
    harvest = Harvest(discovery(), HOME, "http://a.example/", nofollow=True)
    harvest.take(Request("http://a.example/x"))
    harvest.take({"an": "item"})
    assert [(r.state, r.reason) for r in harvest.requests] == [("skipped", "nofollow")]
    assert len(harvest.items) == 1


# ── rows that were made before ──────────────────────────────────────────────────────────────

_URLS = st.sampled_from(
    [
        *("http://a.example/x", "http://a.example/x#y", "mailto:joe@a.example"),
        *("http://b.example/", "http://b.example/a/b/a/b/a/b/", "http://b.example/" + "x" * 3000),
    ]
)
_ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "callback": st.sampled_from(["parse", "other"]),
        "method": st.sampled_from(["GET", "HEAD", "POST"]),
        "headers": st.just({"X": "1"}),
        "cookies": st.just({"a": "1"}),
        "meta": st.just({"a": 1}),
        "cb_kwargs": st.just({"a": 1}),
        "body": st.just(b"x"),
        "priority": st.integers(-1, 1),
        "errback": st.just("other"),
        "dont_filter": st.booleans(),
        "handle_status": st.just([404]),
    },
)
_LINKS = st.tuples(_URLS, _ARGUMENTS, st.integers(0, 2), st.integers(1, 2), st.booleans())


@given(st.lists(_LINKS, min_size=2, max_size=8))
def test_a_row_is_the_same_whatever_was_found_before(found):
    often = discovery(max_depth=2)
    for url, arguments, depth, position, nofollow in found:
        parent = HOME._replace(depth=depth)
        rows = [
            one.record(Request(url, **arguments), parent, position, nofollow=nofollow)
            for one in (often, discovery(max_depth=2))
        ]
        assert rows[0] == rows[1]


def test_what_was_offsite_is_not_any_more_when_the_scope_widens():
    found = discovery()
    assert row("http://b.example/", found).reason == "offsite"
    found.widen(Scope(["a.example", "b.example"]))
    assert row("http://b.example/", found).state == "queued"


@given(_LINKS)
def test_while_a_scope_may_grow_offsite_is_the_last_reason(link):
    url, arguments, depth, position, nofollow = link
    parent = HOME._replace(depth=depth)
    rows = []
    for hosts in (["a.example"], ["a.example", "b.example"]):
        found = discovery(max_depth=2)
        found.widen(Scope.around(hosts, may_grow=True))
        rows.append(found.record(Request(url, **arguments), parent, position, nofollow=nofollow))
    before, after = rows
    if before.reason == "offsite" and before.host == "b.example":
        before = before._replace(state="queued", reason=None)
    assert before == after


def test_what_is_no_url_here_may_be_one_elsewhere():
    found = discovery()
    at_mail = HOME._replace(url="mailto:joe@a.example")
    assert found.record(Request("x"), at_mail, 1).reason == "invalid_url"
    with pytest.raises(ValueError, match="relative url 'x'"):
        found.record(Request("x"), HOME, 1)
