"""The parts of URLs: whose they are, when two are the same, and what is not shown."""

import os
import pickle
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest

from crawler.url import (
    Scope,
    address_of,
    canonical,
    fingerprint,
    host_of,
    is_public_suffix,
    is_web,
    origin_of,
    redact,
    site_of,
)

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


def test_a_scope_is_the_same_in_another_process():
    growing = Scope.around(["a.example"], may_grow=True)
    growing.admits("b.example")
    copy = pickle.loads(pickle.dumps(growing))
    assert copy == growing != Scope.around(["a.example"])
    assert (copy.may_grow, copy.admits("a.example"), copy.admits("b.example")) == (
        True,
        True,
        False,
    )


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


@pytest.mark.parametrize("high", "09afAF")
@pytest.mark.parametrize("low", "09afAF")
def test_the_case_of_an_escape_does_not_count(high, low):
    url = f"http://a/%C3%{high}{low}?%aG%"
    spelt = f"http://a/%C3%{high.upper()}{low.upper()}?%aG%"
    data = f"3,{len(url)};GET{spelt}".encode()
    digest = blake2b(data, digest_size=8).digest()
    assert fingerprint("GET", url) == int.from_bytes(digest, "big", signed=True)


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
