"""What a request is made of, and which of them are one."""

import json

import pytest

from crawler import Request, Spider
from crawler.request import to_record


class Some(Spider):
    name = "some"

    def parse_it(self, response):
        """A callback."""


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
        Request("http://a.example/", identity)


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
