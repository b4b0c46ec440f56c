# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What a request is made of, and how requests find their way through the frontier."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import Item, Request, Spider
from crawler.payload import dump, load
from crawler.request import from_record, to_record
from storage.records import QueuedRequest
from tests.site import serve


class Tag(Item):
    word: str


class Some(Spider):
    name = "some"

    def parse_it(self, response):
        """A callback."""


def through_the_frontier(request: Request) -> Request:
    """What comes out of the file again."""
    record = to_record(request, depth=2, position=1, parent=5)
    row = QueuedRequest(
        7,
        record.fingerprint,
        record.url,
        record.host,
        record.method,
        record.body,
        record.payload,
        record.callback,
        record.priority,
        record.depth,
        3,
    )
    return from_record(row, {"Tag": Tag})


# ── a request by itself ─────────────────────────────────────────────────────────────────────


def test_a_request_is_a_get_without_a_body_unless_told_otherwise():
    request = Request("http://a.example/")
    assert (request.method, request.body, request.headers) == ("GET", None, {})
    assert (request.callback, request.errback, request.priority) == (None, None, 0)
    assert (request.meta, request.cb_kwargs, request.dont_filter) == ({}, {}, False)


def test_json_makes_a_post_with_its_content_type():
    request = Request("http://a.example/", json={"a": [1, "ü"]})
    assert request.method == "POST"
    assert json.loads(request.body) == {"a": [1, "ü"]}
    assert request.headers["Content-Type"] == "application/json"


def test_an_empty_json_is_a_body_too():
    assert Request("http://a.example/", json={}).body == b"{}"


def test_form_makes_a_post_as_a_browser_sends_it():
    request = Request("http://a.example/", form={"q": "a b&c", "n": [1, 2]})
    assert (request.method, request.body) == ("POST", b"q=a+b%26c&n=1&n=2")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_given_method_and_content_type_win():
    request = Request(
        "http://a.example/", method="put", json=1, headers={"content-type": "application/x"}
    )
    assert (request.method, request.headers) == ("PUT", {"content-type": "application/x"})


def test_text_as_body_is_sent_as_utf_8():
    assert Request("http://a.example/", method="POST", body="ü").body == b"\xc3\xbc"


def test_a_request_has_one_body():
    with pytest.raises(ValueError, match="one of body, json and form"):
        Request("http://a.example/", body=b"x", json={})


@pytest.mark.parametrize("url", [None, 7, b"http://a.example/"])
def test_a_url_is_a_string(url):
    with pytest.raises(ValueError, match="string"):
        Request(url)


def test_a_method_of_the_spider_is_kept_by_its_name():
    spider = Some()
    request = Request("http://a.example/", spider.parse_it, errback=spider.parse)
    assert (request.callback, request.errback) == ("parse_it", "parse")


@pytest.mark.parametrize("field", ["callback", "errback"])
def test_a_lambda_is_refused_as_callback(field):
    with pytest.raises(ValueError, match="method of the spider"):
        Request("http://a.example/", **{field: lambda response: None})


def test_a_function_that_is_no_method_is_refused_as_callback():
    with pytest.raises(ValueError, match="method of the spider"):
        Request("http://a.example/", through_the_frontier)


def test_what_was_given_is_copied_and_not_shared():
    meta = {"k": 1}
    request = Request("http://a.example/", meta=meta)
    request.meta["k"] = 2
    assert meta == {"k": 1}


def test_replace_changes_what_is_named_and_keeps_the_rest():
    request = Request(
        "http://a.example/",
        "parse_it",
        method="POST",
        body=b"x",
        headers={"A": "1"},
        cookies={"s": "1"},
        meta={"k": 1},
        cb_kwargs={"c": 2},
        priority=3,
        dont_filter=True,
        errback="parse",
        handle_status=[404],
    )
    copy = request.replace(url="http://b.example/", priority=9)
    assert (copy.url, copy.priority) == ("http://b.example/", 9)
    for name in ("callback", "method", "body", "headers", "cookies", "meta", "cb_kwargs"):
        assert getattr(copy, name) == getattr(request, name)
    assert copy.dont_filter
    assert (copy.errback, copy.handle_status) == ("parse", frozenset({404}))
    assert request.url == "http://a.example/"


def test_replacing_the_body_by_json_replaces_it():
    request = Request("http://a.example/", method="POST", body=b"x")
    assert request.replace(json=[1]).body == b"[1]"


@pytest.mark.parametrize(
    "cookies",
    [
        {"a": "1; b=2"},
        {"a": "1\r\nX: y"},
        {"a": "\udcff"},
        {"a b": "1"},
        {"a=b": "1"},
        {"a;b": "1"},
        {"": "1"},
        [{"name": "a", "value": "1"}],
    ],
)
def test_cookies_that_no_header_could_hold_are_refused(cookies):
    with pytest.raises(ValueError, match="cookie"):
        Request("http://a.example/", cookies=cookies)


# ── identity ────────────────────────────────────────────────────────────────────────────────


def identity(url: str, *, position: int = 1, parent: int = 1, **arguments) -> int:
    request = Request(url, **arguments)
    return to_record(request, depth=1, position=position, parent=parent).fingerprint


def test_requests_that_differ_in_method_or_body_are_different():
    url = "http://a.example/"
    found = {
        identity(url),
        identity(url, method="POST"),
        identity(url, method="POST", body=b"1"),
        identity(url, method="POST", body=b"2"),
        identity(url, form={"a": 1}),
    }
    assert len(found) == 5


def test_two_spellings_of_one_url_are_one_request():
    assert identity("HTTP://A.example:80/x/../?q#part") == identity("http://a.example/?q")


def test_headers_meta_and_priority_do_not_make_another_request():
    plain = identity("http://a.example/")
    assert plain == identity("http://a.example/", headers={"A": "1"}, meta={"k": 1}, priority=5)


def test_a_dont_filter_request_is_known_by_its_parent_and_its_place_there():
    url = "http://a.example/"
    first = identity(url, dont_filter=True)
    assert first == identity(url, dont_filter=True)
    assert first != identity(url)
    assert first != identity(url, dont_filter=True, position=2)
    assert first != identity(url, dont_filter=True, parent=2)


# ── through the frontier ────────────────────────────────────────────────────────────────────


def test_a_request_comes_out_of_the_frontier_as_it_went_in():
    request = Request(
        "http://a.example/?q=ü#part",
        "parse_it",
        method="POST",
        headers={"X": "ü"},
        cookies={"session": "ü"},
        body=b"\x00\xff",
        meta={"tag": Tag(word="w"), "pair": (1, 2)},
        cb_kwargs={"day": date(2024, 2, 29)},
        priority=-3,
        dont_filter=True,
        errback="parse",
        handle_status=[404, 410],
    )
    found = through_the_frontier(request)
    assert found.url == "http://a.example/?q=%C3%BC"
    for name in ("callback", "method", "headers", "cookies", "body", "meta", "cb_kwargs"):
        assert getattr(found, name) == getattr(request, name)
    assert found.priority == -3
    assert (found.dont_filter, found.errback) == (True, "parse")
    assert found.handle_status == {404, 410}
    assert (found.id, found.depth, found.attempts) == (7, 2, 3)


def test_a_plain_request_costs_no_payload():
    assert to_record(Request("http://a.example/"), depth=0, position=1).payload is None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.frozensets(st.integers())
    | st.builds(Tag, word=st.text()),
    lambda parts: (
        st.lists(parts)
        | st.lists(parts).map(tuple)
        | st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), parts)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_a_payload_reads_back_as_what_was_written(value):
    assert load(dump(value), {"Tag": Tag}) == value


@pytest.mark.parametrize(
    "value", [datetime.now(UTC), date(2024, 1, 1), time(1, 2), Decimal("1.10"), {1}, (1,), b"x"]
)
def test_a_payload_keeps_the_type(value):
    found = load(dump(value))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("value", [object(), lambda: 0, {"a": {1: 2}}, {"$a": 1}, [Exception()]])
def test_what_cannot_be_kept_is_refused_in_one_line(value):
    with pytest.raises(ValueError, match="meta and cb_kwargs") as caught:
        dump(value)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_the_spiders_any_more_is_an_error():
    with pytest.raises(ValueError, match="Tag"):
        load(dump(Tag(word="w")), {})


# ── on the wire ─────────────────────────────────────────────────────────────────────────────


async def test_method_headers_and_body_arrive_at_the_server(crawl):
    async with serve({"/": "", "/post": ""}) as site:

        class Posting(Spider):
            name = "posting"

            async def start(self):
                yield Request(f"{site.url}post", json={"a": 1}, headers={"X-Mine": "yes"})

            def parse(self, response):
                yield response.follow("/post", self.parse_no_more, form={"b": "ü"})

            def parse_no_more(self, response):
                """The end."""

        await crawl(Posting)
        first, second = (request for request in site.requests if request.path == "/post")
    assert (first.method, first.body) == ("POST", b'{"a": 1}')
    assert (first.headers["X-Mine"], first.headers["Content-Type"]) == ("yes", "application/json")
    assert (second.method, second.body) == ("POST", b"b=%C3%BC")
    assert second.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_the_user_agent_names_the_crawler_and_its_contact(crawl):
    async with serve({"/": ""}) as site:
        spider = type("S", (Quiet,), {"start_urls": [site.url]})
        await crawl(spider, user_agent="mybot/2", contact="me@example.org", headers={"X-All": "1"})
        assert {request.headers["User-Agent"] for request in site.requests} == {
            "mybot/2 (+me@example.org)"
        }
        assert site.requests[-1].headers["X-All"] == "1"


class Quiet(Spider):
    name = "quiet"

    def parse(self, response):
        """Nothing to be found."""


# ── order, and again ────────────────────────────────────────────────────────────────────────


async def test_higher_priority_goes_first_within_a_host(crawl):
    async with serve({"/": ""}) as site:

        class Ordered(Quiet):
            start_urls = [site.url]

            def parse(self, response):
                for priority in (0, 5, -5, 10, 5):
                    yield response.follow(
                        f"/p{priority}", self.parse_end, priority=priority, dont_filter=True
                    )

            def parse_end(self, response):
                """The end."""

        await crawl(Ordered, concurrency=1)
        order = [path for _, path in site.arrivals if path.startswith("/p")]
    assert order == ["/p10", "/p5", "/p5", "/p0", "/p-5"]


async def test_a_request_of_higher_priority_overtakes_those_that_wait_already(crawl):
    async with serve({}) as site:

        class Urgent(Quiet):
            start_urls = [f"{site.url}{number}" for number in range(100)]
            handle_status = [404]

            def parse(self, response):
                if response.url.endswith("/0"):
                    yield response.follow("/urgent", priority=1)

        await crawl(Urgent, concurrency=1)
        order = [path for _, path in site.arrivals]
    assert order.index("/urgent") < 50


async def test_requests_of_one_priority_go_in_the_order_they_were_found(crawl):
    async with serve({}) as site:
        urls = [f"{site.url}{number}" for number in range(30)]
        await crawl(type("S", (Quiet,), {"start_urls": urls}), concurrency=1)
        order = [path for _, path in site.arrivals if path != "/robots.txt"]
    assert order == [f"/{number}" for number in range(30)]


async def test_a_page_that_is_linked_from_everywhere_is_fetched_once(crawl, rows):
    links = "".join(f"<a href='/{number}'></a>" for number in range(10))
    async with serve({"/": links, **{f"/{number}": links for number in range(10)}}) as site:

        class Links(Quiet):
            start_urls = [site.url]

            def parse(self, response):
                yield from response.follow_all("a")

        result = await crawl(Links)
        assert {site.hits[f"/{number}"] for number in range(10)} == {1}
    assert result.done == 11


async def test_dont_filter_fetches_a_page_again_that_was_seen(crawl, rows):
    async with serve({"/": ""}) as site:

        class Again(Quiet):
            start_urls = [site.url]

            def parse(self, response):
                for _ in range(2):
                    yield response.follow("/", self.parse_again, dont_filter=True)

            def parse_again(self, response):
                yield Tag(word="again")

        result = await crawl(Again)
        assert site.hits["/"] == 3
    assert (result.done, result.items) == (3, 2)


async def test_running_start_again_adds_its_dont_filter_requests_once(crawl, rows):
    async with serve({"/": ""}) as site:

        class Interrupted(Quiet):
            broken = True

            async def start(self):
                for _ in range(15):
                    yield Request(site.url, dont_filter=True)
                if self.broken:
                    raise RuntimeError("start was cut short")

        with pytest.raises(RuntimeError, match="cut short"):
            await crawl(Interrupted)
        assert rows("SELECT count(*) FROM crawl_request") != [15]
        result = await crawl(type("S", (Interrupted,), {"broken": False}))
        assert site.hits["/"] >= 15
    assert (result.resumed, result.finish, result.done) == (True, "finished", 15)
