"""What is true of any URL."""

import re
import string

import ada_url
from hypothesis import given
from hypothesis import strategies as st

from crawler import Request
from crawler.request import to_record
from crawler.url import (
    Scope,
    address_of,
    canonical,
    fingerprint,
    host_of,
    is_web,
    join,
    name_of,
    origin_of,
    path_of,
    redact,
    site_of,
)

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
