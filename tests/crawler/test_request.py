"""What a request is made of, and which of them are one."""

import json
from functools import partial

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


def test_a_form_that_is_sent_by_get_is_the_query_as_in_a_browser():
    form = {"q": "a b&ü", "n": [1, 2], "no": None}
    request = Request("http://a.example/find?old=1#top", method="get", form=form)
    assert request.url == "http://a.example/find?q=a+b%26%C3%BC&n=1&n=2"
    assert (request.method, request.body, request.headers) == ("GET", None, {})
    assert Request("http://a.example/", form={"q": "1", "no": None}).body == b"q=1"
    assert Request("http://a.example/", method="GET", json={"q": 1}).body == b'{"q": 1}'


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


class Pages:
    """No spider, though it has a method that is called like one's."""

    def parse_it(self, response):
        """No callback."""


def test_a_method_of_something_else_is_not_taken_for_the_spiders():
    with pytest.raises(ValueError, match=r"Pages\.parse_it is not: write a method that calls it"):
        Request("http://a.example/", Pages().parse_it)
    with pytest.raises(ValueError, match=r"list\.append is not: write a method that calls it"):
        Request("http://a.example/", errback=[].append)


def _logged(method):
    def wrapper(self, response):
        return method(self, response)

    return wrapper


class Named(Some):
    name = "named"
    other_name = Some.parse_it

    def __private(self, response):
        """A callback whose name Python changes."""

    @_logged
    def parse_logged(self, response):
        """A callback with another function around it."""

    @classmethod
    def of_the_class(cls, response):
        """A callback that needs no spider."""

    @staticmethod
    def alone(response):
        """A callback that is given by its name."""

    def private(self):
        return self.__private


def test_a_callback_is_kept_by_the_name_that_the_spider_has_for_it():
    spider = Named()
    methods = (spider.private(), spider.parse_logged, spider.of_the_class, spider.other_name)
    names = [Request("http://a.example/", method).callback for method in methods]
    assert names == ["_Named__private", "parse_logged", "of_the_class", "parse_it"]
    assert all(callable(getattr(spider, name)) for name in names)


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (Named.alone, r"Named\.alone is not: write its name, 'alone'"),
        (Named.parse_it, r"Some\.parse_it is not: write its name, 'parse_it'"),
        (lambda response: None, "write a method, and pass what it needs in cb_kwargs"),
        (partial(Named().parse_it, x=1), "partial is not: write a method, and pass what it needs"),
        (_logged, "_logged is not: write a method that calls it"),
        (7, "int is not: write a method"),
    ],
)
def test_what_to_write_instead_of_a_callback_that_is_no_method_is_told(callback, said):
    with pytest.raises(ValueError, match=said):
        Request("http://a.example/", callback)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"body": {"a": 1}}, "a body is bytes or text, not dict: write json= or form="),
        ({"priority": "high"}, "a priority is a whole number, not 'high'"),
        ({"priority": 0.5}, "a priority is a whole number, not 0.5"),
        ({"handle_status": 404}, r"handle_status is a list of numbers, such as \[404\], not 404"),
        ({"handle_status": ["404"]}, r"handle_status is a list .* not \['404'\]"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_told_where_it_is_given(argument, said):
    with pytest.raises(ValueError, match=said):
        Request("http://a.example/", **argument)


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


def test_replacing_the_body_says_what_it_is_now_and_posts_it_as_a_new_request_does():
    page = Request("http://a.example/")
    form = page.replace(form={"q": "1"})
    assert (form.method, form.url, form.body) == ("POST", "http://a.example/", b"q=1")
    json_again = form.replace(json={"q": 2})
    assert json_again.headers == {"Content-Type": "application/json"}
    assert form.replace(form={"q": "2"}).body == b"q=2"
    mine = form.replace(headers={"Content-Type": "x/y"}, json=1)
    assert mine.headers == {"Content-Type": "x/y"}
    assert page.replace(method="PUT", json=1).method == "PUT"
    searched = Request("http://a.example/", method="GET", json={"page": 1})
    assert searched.replace(json={"page": 2}).method == "GET"


def test_a_copy_is_another_request_with_the_same_in_it():
    request = Request("http://a.example/", "parse_it", meta={"k": 1})
    copy = request.copy()
    copy.dont_filter, copy.meta["k"] = True, 2
    assert (copy.url, copy.callback) == (request.url, request.callback)
    assert (request.dont_filter, request.meta) == (False, {"k": 1})


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
