"""URLs: what they are by the standard, when two are the same, and whose they are."""

import json
import os
import re
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import Request, Response
from crawler.links import Discovery
from crawler.request import from_record, to_record
from crawler.settings import Settings
from crawler.url import (
    Scope,
    address_of,
    canonical,
    fingerprint,
    has_bad_port,
    host_of,
    is_public_suffix,
    is_web,
    join,
    name_of,
    origin_of,
    path_of,
    redact,
    site_of,
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


# ── the standard ────────────────────────────────────────────────────────────────────────────


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


# ── parts ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "host", "origin", "address"),
    [
        ("http://a.example/", "a.example", "http://a.example", ("a.example", 80)),
        ("https://a.example/x?y=/", "a.example", "https://a.example", ("a.example", 443)),
        ("http://a:8080/x", "a:8080", "http://a:8080", ("a", 8080)),
        ("https://a:80/x", "a:80", "https://a:80", ("a", 80)),
        ("http://[::1]/", "[::1]", "http://[::1]", ("::1", 80)),
        ("https://[::1]:8443/", "[::1]:8443", "https://[::1]:8443", ("::1", 8443)),
        ("http://127.0.0.1:1/", "127.0.0.1:1", "http://127.0.0.1:1", ("127.0.0.1", 1)),
    ],
)
def test_a_canonical_url_has_host_origin_and_address(url, host, origin, address):
    assert canonical(url) == url
    assert (host_of(url), origin_of(url), address_of(url)) == (host, origin, address)


def test_only_http_and_https_are_web():
    assert is_web("http://a/")
    assert is_web("https://a/")
    for url in ("ftp://a/", "mailto:a@b", "httpx://a/", "data:,http://", "javascript:0"):
        assert not is_web(canonical(url))


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("example.com", "example.com"),
        ("www.shop.example.com", "example.com"),
        ("www.example.com:8080", "example.com"),
        ("www.example.com.", "example.com"),
        ("www.bbc.co.uk", "bbc.co.uk"),
        ("alice.github.io", "alice.github.io"),
        ("www.alice.github.io", "alice.github.io"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("www.unlisted.suffix-of-nobody", "unlisted.suffix-of-nobody"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("[::1]", "[::1]"),
        ("[::1]:8000", "[::1]:8000"),
        ("localhost", "localhost"),
        ("localhost:8000", "localhost:8000"),
        ("github.io", "github.io"),
        ("", ""),
    ],
)
def test_a_host_belongs_to_a_site(host, site):
    assert site_of(host) == site


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("com", True),
        ("co.uk", True),
        ("co.uk.", True),
        (".co.uk", True),
        ("github.io", True),
        ("any.ck", True),
        ("localhost", True),
        ("nobody-knows-it", True),
        ("a..b", True),
        ("", True),
        (".", True),
        ("www.ck", False),
        ("example.com", False),
        ("a.co.uk", False),
    ],
)
def test_anybody_can_register_below_a_public_suffix(name, public):
    assert is_public_suffix(name) is public


# ── scope ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        (
            "books.example",
            ["books.example", "www.books.example", "a.b.books.example:8080", "books.example."],
            ["ebooks.example", "example", "books.example.evil", "books.exampl", ""],
        ),
        ("127.0.0.1:8000", ["127.0.0.1:8000"], ["127.0.0.1", "127.0.0.1:8001", "127.0.0.1:80"]),
        ("localhost", ["localhost", "localhost:8000"], ["local", "localhost.example"]),
        ("http://x.example/", ["x.example", "www.x.example"], ["example"]),
        ("https://x.example:8443/deep", ["x.example:8443"], ["x.example"]),
        ("Books.EXAMPLE", ["books.example"], []),
        (" books.example ", ["books.example"], []),
        ("bücher.example", ["xn--bcher-kva.example", "www.xn--bcher-kva.example"], []),
        ("xn--bcher-kva.example", ["xn--bcher-kva.example"], []),
        (".books.example", ["books.example", "www.books.example"], []),
        ("*.books.example", ["books.example", "www.books.example"], []),
        ("x.example:80", ["x.example", "x.example:80"], ["x.example:8080"]),
        ("x.example:443", ["x.example", "x.example:443"], ["x.example:8080"]),
        ("x.example:8080", ["x.example:8080", "www.x.example:8080"], ["x.example"]),
        ("[::1]:8000", ["[::1]:8000"], ["[::1]", "[::1]:80"]),
        ("::1", ["[::1]", "[::1]:8000"], ["[::2]"]),
        ("::80", ["[::80]", "[::80]:8000"], ["[::]"]),
        ("10.0.0.1", ["10.0.0.1"], ["110.0.0.1", "0.0.0.1"]),
        ("*", ["anything.example", "127.0.0.1:1", "[::1]"], []),
    ],
)
def test_a_scope_admits_its_domains_and_nothing_else(entry, inside, outside):
    scope = Scope([entry])
    for host in inside:
        assert scope.admits(host), host
    for host in outside:
        assert not scope.admits(host), host
    # The second answer is the first.
    assert [scope.admits(host) for host in inside + outside] == [True] * len(inside) + [
        False
    ] * len(outside)


def test_a_scope_of_nothing_admits_nothing():
    assert not Scope([]).admits("books.example")


def test_one_star_among_domains_lifts_everything():
    assert Scope(["books.example", "*"]).admits("other.example")


@pytest.mark.parametrize("entry", ["", "exa mple", "http://", "[::1", "a:b:c:d", "x:99999"])
def test_what_cannot_be_a_domain_is_refused_by_name(entry):
    with pytest.raises(ValueError, match="not a domain: "):
        Scope([entry])


def test_a_scope_around_hosts_is_exactly_their_sites():
    scope = Scope.around(["www.books.example:8080", "127.0.0.1:8000", "localhost", "github.io"])
    for host in ("books.example", "x.books.example:99", "127.0.0.1:8000", "localhost", "github.io"):
        assert scope.admits(host), host
    for host in ("other.example", "127.0.0.1", "localhost:8000", "alice.github.io", ""):
        assert not scope.admits(host), host


# ── fingerprints ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("GET", "http://example.com/"), 281854512912936653),
        (("POST", "http://example.com/", b"a=1"), 3081556664133422729),
        (("GET", "https://example.com/%C3%A9?q=1"), -6588056722901406497),
    ],
)
def test_a_fingerprint_is_the_same_in_every_version_because_files_hold_it(request_, expected):
    assert fingerprint(*request_) == expected


def test_a_fingerprint_does_not_depend_on_the_process():
    code = "from crawler.url import fingerprint; print(fingerprint('GET', 'http://a/', b'x'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{fingerprint('GET', 'http://a/', b'x')}\n"}


def test_method_url_and_body_are_framed_so_that_moving_a_byte_changes_the_identity():
    different = [
        ("GET", "http://a/b"),
        ("GE", "Thttp://a/b"),
        ("GET", "http://a/", b"b"),
        ("GET", "http://a/b", b"b"),
        ("POST", "http://a/b"),
        ("GET", "http://a/", b"http://a/b"),
    ]
    assert len({fingerprint(*request) for request in different}) == len(different)


def test_no_body_and_an_empty_body_are_one_request():
    assert fingerprint("POST", "http://a/", b"") == fingerprint("POST", "http://a/")


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTP://BÜCHER.Example/a/%e3%83%84?q=%2f",
        "http://bücher.example:80/a/%E3%83%84?q=%2F",
        "http://xn--bcher-kva.example/x/../a/./%E3%83%84?q=%2f#part",
        "http://joe:pw@bücher.example/a/ツ?q=%2F",
        "\thttp://bücher.exam\nple/a/%E3%8\r3%84?q=%2F ",
        "http:/\\bücher。example/%2e/a/%E3%83%84?q=%2F",
    ],
)
def test_equal_spellings_have_one_fingerprint(spelling):
    url = "http://xn--bcher-kva.example/a/%E3%83%84?q=%2F"
    assert fingerprint("GET", canonical(spelling)) == fingerprint("GET", url)


def test_different_pages_have_different_fingerprints():
    urls = [
        "http://a/", "https://a/", "http://a:8080/", "http://b/", "http://a/?", "http://a/?a=1&b=2",
        "http://a/?b=2&a=1", "http://a/A", "http://a/a", "http://a/a/", "http://a/%2F", "http://a//",
    ]  # fmt: skip
    assert len({fingerprint("GET", canonical(url)) for url in urls}) == len(urls)


# ── redaction ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://joe:secret@example.com/a", "http://example.com/a"),
        ("HTTPS://joe@example.com", "HTTPS://example.com"),
        ("//joe:secret@example.com/a", "//example.com/a"),
        ("http:joe:secret@example.com/a", "http:example.com/a"),
        ("ht\ntp:/\\joe:se\tcret@example.com/a", "http:/\\example.com/a"),
        ("http://a:p@ss@w@example.com?x@y", "http://example.com?x@y"),
        ("socks5://joe:secret@proxy:1080", "socks5://proxy:1080"),
        ("http://example.com/@joe", "http://example.com/@joe"),
        ("http://example.com?mail=a@b", "http://example.com?mail=a@b"),
        ("mailto:joe@example.com", "mailto:joe@example.com"),
        ("not a url at all", "not a url at all"),
        ("", ""),
    ],
)
def test_a_redacted_url_has_no_userinfo(url, shown):
    assert redact(url) == shown


# ── properties ──────────────────────────────────────────────────────────────────────────────

LABEL = st.text(string.ascii_letters + string.digits + "-éüß漢", min_size=1, max_size=8)
PIECE = st.text(string.ascii_letters + string.digits + "-._~%2fF!$&'()*+,;=:@ é漢\\|^`{}<>\"[]")
# Text that looks like a URL more often than chance would have it.
SOUP = st.lists(
    st.sampled_from(["http", "https", "ftp", ":", "/", "//", "\\", "?", "#", "@", ".", "..", "%2e"])
    | st.sampled_from(["%", "[", "]", "::1", "127.1", "0x7f", "a", "B", "é", "。", " ", "\t", "\n"])
    | st.sampled_from(["80", "443", ":8080", "\x00", "\ud800", "&", "="])
    | st.characters(),
    max_size=14,
).map("".join)


@st.composite
def urls(draw):
    scheme = draw(st.sampled_from(["http", "HTTPS", "https", "Http"]))
    user = draw(st.sampled_from(["", "", "joe@", "joe:p@ss@"]))
    host = draw(
        st.lists(LABEL, min_size=1, max_size=3).map(".".join)
        | st.ip_addresses(v=4).map(str)
        | st.ip_addresses(v=6).map(lambda address: f"[{address}]")
    )
    port = draw(st.sampled_from(["", "", ":80", ":443", ":8080", ":"]))
    path = "".join("/" + piece for piece in draw(st.lists(PIECE | st.just(".."), max_size=3)))
    query = draw(st.just("") | PIECE.map("?{}".format))
    fragment = draw(st.just("") | PIECE.map("#{}".format))
    return f"{scheme}://{user}{host}{port}{path}{query}{fragment}"


def canonical_or_none(url, base=None):
    try:
        return canonical(url, base)
    except ValueError:
        return None


@given(urls() | SOUP | SOUP.map("http://".__add__))
def test_canonical_is_idempotent_and_ascii(url):
    once = canonical_or_none(url)
    if once is not None:
        assert canonical(once) == once
        assert once.isascii()
        assert "#" not in once


@given(urls() | SOUP.map("https://".__add__) | SOUP.map("http://".__add__))
def test_the_cut_parts_agree_with_the_parser(url):
    url = canonical_or_none(url)
    if url is None:
        return
    parsed = ada_url.URL(url)
    assert is_web(url)
    assert host_of(url) == parsed.host
    assert origin_of(url) == parsed.origin
    default = {"http:": "80", "https:": "443"}[parsed.protocol]
    assert address_of(url) == (parsed.hostname.strip("[]"), int(parsed.port or default))
    assert (name_of(host_of(url)), path_of(url)) == (parsed.hostname, parsed.pathname)
    assert parsed.username == parsed.password == parsed.hash == ""


@given(urls())
def test_canonical_differs_from_the_parser_in_fragment_and_userinfo_only(url):
    ours = canonical_or_none(url)
    if ours is None:
        assert not ada_url.URL.can_parse(url)
        return
    assert ours == ada_url.replace_url(url, username="", password="", hash="")


@given(urls(), st.sampled_from(["a/b", "../c", "?x", "//h/", "/", "#", ""]))
def test_joining_then_canonical_is_canonical_against_the_base(base, href):
    url = canonical_or_none(base)
    if url is not None:
        assert canonical(join(url, href)) == canonical(href, url)


@given(PIECE, PIECE)
def test_different_queries_are_different_requests(one, other):
    first, second = (canonical(f"http://a/?{query}") for query in (one, other))
    # As the standard and the percent case leave them.
    same = ada_url.URL(first).search.lower() == ada_url.URL(second).search.lower()
    if fingerprint("GET", first) == fingerprint("GET", second):
        assert same
    if first != second and "%" not in first + second:
        assert fingerprint("GET", first) != fingerprint("GET", second)


@given(st.text(max_size=5), st.text(max_size=5), st.binary(max_size=5), st.data())
def test_framing_cannot_be_fooled(method, url, body, data):
    if "%" in url or any("\ud800" <= c <= "\udfff" for c in method + url):
        return
    whole = method + url
    cut = data.draw(st.integers(0, len(whole)))
    moved = (whole[:cut], whole[cut:])
    if moved != (method, url) and "%" not in whole:
        assert fingerprint(*moved, body) != fingerprint(method, url, body)
    assert -(2**63) <= fingerprint(method, url, body) < 2**63


@given(urls() | SOUP | SOUP.map("http://".__add__))
def test_redaction_never_fails_and_leaves_no_userinfo_that_the_parser_sees(url):
    shown = redact(url)
    try:
        parsed = ada_url.URL(shown)
    except ValueError:
        return
    if is_web(parsed.href):
        assert parsed.username == parsed.password == ""


@given(st.data())
def test_one_page_has_one_fingerprint_however_its_url_is_written(data):
    """Default port, case, dot segments, case of escapes, userinfo, fragment, IDN."""

    def one_of(*ways):
        return data.draw(st.sampled_from(ways))

    segments = data.draw(st.lists(st.sampled_from(["a", "B", "%C3%A9", "%2F", "~x"]), max_size=3))
    query = data.draw(st.sampled_from(["", "?", "?q=%C3%A9&B=b", "?a&a"]))
    spelled = one_of("http", "HTTP", "hTTp") + one_of("://", ":/\\", ":\\\\")
    spelled += one_of("", "joe@", "joe:p@ss@")
    spelled += one_of(
        "bücher.example", "BÜCHER.Example", "xn--bcher-kva.example", "b%C3%BCcher。example"
    )
    spelled += one_of("", ":80", ":", ":0080") + "/"
    for segment in segments:
        spelled += one_of("", "./", "x/../", "%2e/", "y/%2E%2e/")
        spelled += one_of(segment, escapes_in_lower_case(segment)) + "/"
    spelled += one_of(query, escapes_in_lower_case(query)) + one_of("", "#", "#part?q")
    plain = f"http://xn--bcher-kva.example/{''.join(f'{s}/' for s in segments)}{query}"
    found = [to_record(Request(url), depth=0, position=0) for url in (spelled, plain)]
    assert found[0].fingerprint == found[1].fingerprint


def escapes_in_lower_case(text):
    return re.sub("%..", lambda escape: escape[0].lower(), text)


def test_an_escape_and_what_it_stands_for_are_two_pages():
    """A server may tell them apart; only the case of escapes makes no difference."""
    records = [
        to_record(Request(f"http://a.example/{path}"), depth=0, position=0)
        for path in ("~joe", "%7Ejoe", "%7ejoe")
    ]
    assert [r.url.rpartition("/")[2] for r in records] == ["~joe", "%7Ejoe", "%7ejoe"]
    assert len({r.fingerprint for r in records}) == 2


@given(urls())
def test_a_scope_around_a_host_admits_it_and_its_domain_does_too(url):
    url = canonical_or_none(url)
    if url is None:
        return
    host = host_of(url)
    assert Scope.around([host]).admits(host)
    assert Scope([host]).admits(host)
    assert Scope([origin_of(url)]).admits(host)
    assert site_of(site_of(host)) == site_of(host)
