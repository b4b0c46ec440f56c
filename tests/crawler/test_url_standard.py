"""URLs are what they are by the standard."""

import json
from collections import Counter
from pathlib import Path

import pytest

from crawler import Request, Response
from crawler.links import Discovery
from crawler.request import from_record, to_record
from crawler.settings import Settings
from crawler.url import (
    Scope,
    canonical,
    fingerprint,
    has_bad_port,
    host_of,
    is_web,
    join,
    origin_of,
)
from storage.records import QueuedRequest

ORACLE = Path(__file__).parents[3] / "shared" / "oracles" / "wpt-urltestdata.json"


def standard_cases():
    if not ORACLE.exists():
        return []
    return [case for case in json.loads(ORACLE.read_text()) if isinstance(case, dict)]


def parse(case):
    base = case.get("base")
    # The inner part of `canonical`; without a base, any base that cannot help does.
    return join(base if base is not None else "about:blank", case["input"])


@pytest.mark.skipif(not ORACLE.exists(), reason="the web platform's URL test data is not here")
def test_every_url_of_the_web_platform_tests_has_the_standards_href():
    wrong = []
    for case in standard_cases():
        if case.get("failure"):
            continue
        got = parse(case)
        if got != case["href"]:
            wrong.append((case["input"], case["base"], got))
    assert len(standard_cases()) > 500
    assert wrong == []


@pytest.mark.skipif(not ORACLE.exists(), reason="the web platform's URL test data is not here")
def test_every_failure_of_the_web_platform_tests_is_a_value_error():
    failures = [case for case in standard_cases() if case.get("failure")]
    assert len(failures) > 100
    for case in failures:
        with pytest.raises(ValueError, match="not a"):
            canonical(case["input"], case.get("base"))


@pytest.mark.skipif(not ORACLE.exists(), reason="the web platform's URL test data is not here")
def test_canonical_is_the_standards_href_without_fragment_and_userinfo():
    web = 0
    for case in standard_cases():
        if case.get("failure") or case["protocol"] not in ("http:", "https:"):
            continue
        web += 1
        url = canonical(case["input"], case["base"])
        expected = f"{case['protocol']}//{case['host']}{case['pathname']}{case['search']}"
        # An empty query is kept by the href, and by us, but not by its parts.
        assert url.removesuffix("?") == expected.removesuffix("?")
        assert host_of(url) == case["host"]
        assert origin_of(url) == case.get("origin", origin_of(url))
    assert web > 200


@pytest.mark.skipif(not ORACLE.exists(), reason="the web platform's URL test data is not here")
def test_every_case_goes_from_a_link_into_the_frontier_as_the_standard_says():
    found = Counter()
    for case in standard_cases():
        reason, url = through_the_frontier(case)
        found[reason] += 1
        if case.get("failure"):
            assert reason in ("invalid_url", "relative"), case
        elif not is_web(case["href"]):
            assert reason == "scheme", case
        elif has_bad_port(case["host"]):
            assert reason == "bad_port", case
        else:
            expected = f"{case['protocol']}//{case['host']}{case['pathname']}{case['search']}"
            assert (reason, url.removesuffix("?")) == (None, expected), case
    assert found[None] > 200
    assert found["invalid_url"] > 100


def through_the_frontier(case):
    """Follow a case's link from a page at its base: why it is skipped, and its url."""
    base = case["base"]
    page = base if base is not None and is_web(base) else "http://page.example/"
    discovery = Discovery(Settings(traps=False))
    discovery.widen(Scope(["*"]))
    parent = QueuedRequest(1, 2, page, host_of(canonical(page)), "GET", None, None, None, 0, 0, 0)
    link = case["input"]
    request = Request(link) if base is None else Response(base).follow(link)
    try:
        record = discovery.record(request, parent, 1)
    except ValueError:
        return "relative", ""
    if record.state == "queued":
        again = from_record(QueuedRequest(1, *record[:9], attempts=0))
        same = to_record(again, depth=1, position=1)
        assert (same.url, same.fingerprint) == (record.url, record.fingerprint)
        assert record.fingerprint == fingerprint("GET", record.url)
    return record.reason, record.url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("http://example.com/a/./b/../c", "http://example.com/a/c"),
        ("http://example.com/a#part", "http://example.com/a"),
        ("http://example.com/a?b=1#part", "http://example.com/a?b=1"),
        ("http://example.com/a?#part", "http://example.com/a?"),
        ("http://joe:secret@example.com/a", "http://example.com/a"),
        ("http://joe@example.com:8080/@joe?m=a@b", "http://example.com:8080/@joe?m=a@b"),
        ("http://a@b@example.com/", "http://example.com/"),
        ("http://example.com/@joe", "http://example.com/@joe"),
        ("http://example.com/?b=2&a=1", "http://example.com/?b=2&a=1"),
        ("  http://exam\tple.com/a\nb  ", "http://example.com/ab"),
        ("http:\\\\example.com\\a", "http://example.com/a"),
        ("http://bücher.example/straße", "http://xn--bcher-kva.example/stra%C3%9Fe"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[0:0::1]:80/", "http://[::1]/"),
        ("mailto:joe@example.com", "mailto:joe@example.com"),
        ("ftp://joe:pw@example.com/x", "ftp://example.com/x"),
        ("odd://joe@example.com?x", "odd://example.com?x"),
        ("http://example.com/\ud800", "http://example.com/%EF%BF%BD"),
    ],
)
def test_a_url_has_one_canonical_form(url, expected):
    assert canonical(url) == expected


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("../c", "http://example.com/c"),
        ("?q", "http://example.com/a/b?q"),
        ("//other.example/x", "http://other.example/x"),
        ("#top", "http://example.com/a/b"),
        ("", "http://example.com/a/b"),
        ("https://joe@other.example/", "https://other.example/"),
    ],
)
def test_a_link_is_resolved_against_its_base(href, expected):
    assert canonical(href, "http://example.com/a/b") == expected


def test_join_keeps_the_fragment_as_a_browser_does():
    assert join("http://example.com/a/b", "../c#top") == "http://example.com/c#top"


@pytest.mark.parametrize(
    "url",
    ["", "/relative", "books.example", "http://", "http://a b/", "http://[::1/", "http://x:99999/"],
)
def test_what_is_no_url_is_a_value_error_of_one_line(url):
    with pytest.raises(ValueError, match="not an absolute URL: ") as caught:
        canonical(url)
    assert "\n" not in str(caught.value)


def test_the_error_shows_neither_line_breaks_nor_passwords_nor_a_whole_megabyte():
    with pytest.raises(ValueError, match="not an absolute URL: ") as caught:
        canonical("http://joe:secret@ex ample/\n\x00" + "x" * 1_000_000)
    message = str(caught.value)
    assert "secret" not in message
    assert "\n" not in message
    assert len(message) < 400
