"""What one Set-Cookie header says, by RFC 6265bis."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.set_cookie import SetCookie, accepted, cookie_date, domain_match, parsed, path_match

NOW = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
DAY = 86_400.0
URL = "http://www.shop.example/a/b?c=/d/e"


def said(text: str) -> SetCookie:
    found = parsed(text, NOW)
    assert found is not None
    return found


def reach(text: str, url: str = URL) -> tuple[str, bool] | None:
    """The domain of the cookie, and whether it is for that host only; None when refused."""
    cookie = accepted(text, url, NOW)
    return None if cookie is None else (cookie.domain, cookie.host_only)


# ── the words of a header ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text", ["a=b; Max-Age=60", "a=b; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "a=b"]
)
def test_what_is_said_again_counts_from_then(text: str) -> None:
    first, second = parsed(text, NOW), parsed(text, NOW + 10)
    assert first is not None
    later = first.expires and first.expires + 10
    assert second == first._replace(expires=later)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("a=b", "a", "b"),
        (" a\t = b c ; Path=/", "a", "b c"),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        ('a="b; c"', "a", '"b'),  # quotes mean nothing
        ("alone", "", "alone"),
        ("=alone", "", "alone"),
        ("=a=b", "", "a=b"),
        ("a=caf\u00e9", "a", "caf\u00e9"),
        ("a=b\tc", "a", "b\tc"),
    ],
)
def test_name_and_value_are_cut_as_browsers_cut_them(text: str, name: str, value: str) -> None:
    assert said(text)[:2] == (name, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        " ; Path=/",
        *(f"a=b{control}c" for control in "\x00\x01\x08\x0a\x0b\x0d\x1f\x7f"),
        "a=b; Path=/\x00",
        "a=" + "x" * 4096,
        "x" * 4097,
        "a=" + "\u00e9" * 2048,  # two bytes each
        "a=\udcff",  # a byte that is not UTF-8, which cannot be sent again
    ],
)
def test_what_cannot_be_a_cookie_is_ignored_as_a_whole(text: str) -> None:
    assert parsed(text, NOW) is None


def test_the_longest_cookie_is_4096_bytes_of_name_and_value() -> None:
    assert said("a=" + "x" * 4095).value == "x" * 4095


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", {}),
        ("; Secure", {"secure": True}),
        ("; sEcUrE=no", {"secure": True}),
        ("; HttpOnly; SameSite=Strict; Partitioned; Whatever=1", {}),
        ("; Domain=Shop.EXAMPLE", {"domain": "shop.example"}),
        ("; Domain=.shop.example", {"domain": "shop.example"}),
        ("; Domain=..shop.example", {"domain": ".shop.example"}),
        ("; Domain=", {}),
        ("; Domain", {}),
        ("; Domain=a.example; Domain=b.example", {"domain": "b.example"}),
        ("; Domain=a.example; Domain=" + "b" * 1025, {"domain": "a.example"}),
        ("; Path=/x", {"path": "/x"}),
        ("; Path=x", {}),
        ("; Path=", {}),
        ("; Path=/x; Path=/y", {"path": "/y"}),
        ("; Path=/" + "x" * 1024, {}),
        ("; Path=/x; Path=/\udcff", {"path": "/x"}),
        ("; Max-Age=60", {"expires": NOW + 60}),
        ("; Max-Age=0", {"expires": 0.0}),
        ("; Max-Age=-1", {"expires": 0.0}),
        ("; Max-Age=-", {}),
        ("; Max-Age=+60", {}),
        ("; Max-Age=6e1", {}),
        ("; Max-Age=\u0661", {}),
        ("; Max-Age=" + "9" * 1000, {"expires": NOW + 400 * DAY}),
        ("; Max-Age=-" + "9" * 1000, {"expires": 0.0}),
        ("; Expires=Wed, 25 Nov 2026 00:00:00 GMT", {"expires": NOW + DAY}),
        ("; Expires=Fri, 31 Dec 9999 23:59:59 GMT", {"expires": NOW + 400 * DAY}),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT", {"expires": 0.0}),
        ("; Expires=never", {}),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", {"expires": NOW + 60}),
        ("; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", {"expires": NOW + 60}),
        ("; Max-Age=60; Max-Age=nonsense", {"expires": NOW + 60}),
        (";" * 1000 + "Secure", {}),  # so many attributes nobody reads
    ],
)
def test_attributes_say(attributes: str, expected: dict[str, Any]) -> None:
    silent = SetCookie("a", "b", domain="", path="", secure=False, expires=None)
    assert said("a=b" + attributes) == silent._replace(**expected)


@given(st.text(st.characters()) | st.text("=;,\x00\t ./:-0123456789abDEMmax-geomIinPthSscur_Hx"))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (URL, "https://127.0.0.1:8000/"):
        cookie = accepted(text, url, NOW)
        if cookie is not None:
            assert len(cookie.name.encode()) + len(cookie.value.encode()) <= 4096
            assert not {"\r", "\n", "\0", ";"} & set(cookie.name + cookie.value)
            assert cookie.expires is None or cookie.expires <= NOW + 400 * DAY


# ── dates ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 1994", (1994, 11, 6, 8, 49, 37)),
        ("6 november 1994 8:49:37", (1994, 11, 6, 8, 49, 37)),
        ("08:49:37 06 94 nov", (1994, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 1994 08:49:37PM +0100", (1994, 11, 6, 8, 49, 37)),
        ("01 Jan 69 00:00:00", (2069, 1, 1, 0, 0, 0)),
        ("01 Jan 70 00:00:00", (1970, 1, 1, 0, 0, 0)),
        ("29 Feb 2028 00:00:00", (2028, 2, 29, 0, 0, 0)),
        ("01 Jan 1601 00:00:00", (1601, 1, 1, 0, 0, 0)),
        ("31 Dec 9999 23:59:59", (9999, 12, 31, 23, 59, 59)),
        # What is no date:
        ("", None),
        ("Sun, 06 Nov 1994", None),
        ("Nov 1994 08:49:37", None),
        ("06 1994 08:49:37", None),
        ("06 Nov 08:49:37", None),
        ("31 Dec 1600 23:59:59", None),
        ("29 Feb 2027 00:00:00", None),
        ("00 Nov 1994 08:49:37", None),
        ("32 Nov 1994 08:49:37", None),
        ("06 Nov 1994 24:00:00", None),
        ("06 Nov 1994 00:60:00", None),
        ("06 Nov 1994 00:00:60", None),
        ("06 Nov 1994 00:00:000", None),
        ("06 Nov 19940 00:00:00", None),
        ("06 Xov 1994 00:00:00", None),
        ("\u0660\u0666 Nov 1994 08:49:37", None),
        ("06:Nov:1994:08:49:37", None),
    ],
)
def test_a_date_is_read_however_it_is_written(
    text: str, moment: tuple[int, int, int, int, int, int] | None
) -> None:
    expected = moment and datetime(*moment, tzinfo=UTC).timestamp()
    assert cookie_date(text) == expected


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)),
    st.sampled_from(["%a, %d %b %Y %H:%M:%S GMT", "%A %d-%B-%Y %H:%M:%S", "%c"]),
)
def test_every_moment_is_read_as_it_was_written(moment: datetime, form: str) -> None:
    expected = moment.replace(microsecond=0, tzinfo=UTC)
    if form == "%c" and moment.year < 1000:
        return
    found = cookie_date(moment.strftime(form))
    assert found is not None
    assert datetime.fromtimestamp(0, UTC) + timedelta(seconds=found) == expected


# ── whose it is ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("domain", "url", "expected"),
    [
        ("", URL, ("www.shop.example", True)),
        ("www.shop.example", URL, ("www.shop.example", False)),
        (".shop.example", URL, ("shop.example", False)),
        ("SHOP.EXAMPLE", URL, ("shop.example", False)),
        # Another's:
        ("other.example", URL, None),
        ("hop.example", URL, None),
        ("a.www.shop.example", URL, None),
        ("shop.example.", URL, None),
        (".", URL, ("www.shop.example", True)),  # the dot is dropped, and says nothing more
        ("..", URL, None),
        ("..shop.example", URL, None),
        ("shop.ex\u00e4mple", URL, None),
        ("shop.example:80", URL, None),
        # Public suffixes:
        ("example", URL, None),
        ("com", "http://a.com/", None),
        ("co.uk", "http://a.co.uk/", None),
        ("co.uk", "http://co.uk/", ("co.uk", True)),
        ("co.uk.", "http://a.co.uk./", None),
        (".co.uk", "http://a..co.uk/", None),
        ("github.io", "http://a.github.io/", None),
        ("github.io", "http://github.io/", ("github.io", True)),
        ("amazonaws.com", "http://bucket.s3.amazonaws.com/", None),
        ("xn--p1ai", "http://a.xn--p1ai/", None),
        ("localhost", "http://localhost/", ("localhost", True)),
        ("localhost", "http://a.localhost/", None),
        # Addresses:
        ("127.0.0.1", "http://127.0.0.1:8000/", ("127.0.0.1", True)),
        ("0.0.1", "http://127.0.0.1:8000/", None),
        ("127.0.0.1", "http://127.0.0.2/", None),
        ("[::1]", "http://[::1]:8000/", ("[::1]", True)),
        ("::1", "http://[::1]:8000/", None),
    ],
)
def test_a_cookie_reaches_no_further_than_its_servers_own_site(
    domain: str, url: str, expected: tuple[str, bool] | None
) -> None:
    assert reach(f"a=b; Domain={domain}", url) == expected


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://a.example/", "/"),
        ("http://a.example/x", "/"),
        ("http://a.example/x/", "/x"),
        ("http://a.example/x/y", "/x"),
        ("http://a.example/x/y?z=/1/2", "/x"),
        ("http://a.example/?z=/1/2", "/"),
    ],
)
def test_without_a_path_it_is_for_the_directory(url: str, path: str) -> None:
    for text in ("a=b", "a=b; Path=relative", "a=b; Path="):
        cookie = accepted(text, url, NOW)
        assert cookie is not None
        assert cookie.path == path


@pytest.mark.parametrize(
    ("path", "prefix", "matches"),
    [
        ("/", "/", True),
        ("/a", "/", True),
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/a/b", "/a/", True),
        ("/ab", "/a", False),
        ("/a", "/a/", False),
        ("/A", "/a", False),
    ],
)
def test_paths_match_by_whole_segments(path: str, prefix: str, matches: bool) -> None:
    assert path_match(path, prefix) is matches


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("a.example", "a.example", True),
        ("b.a.example", "a.example", True),
        ("ba.example", "a.example", False),
        ("a.example", "b.a.example", False),
        ("1.2.3.4", "3.4", False),
    ],
)
def test_domains_match_by_whole_labels(host: str, domain: str, matches: bool) -> None:
    assert domain_match(host, domain) is matches


@pytest.mark.parametrize(
    ("text", "https", "http"),
    [
        ("a=b; Secure", True, False),
        ("__Secure-a=b; Secure", True, False),
        ("__Secure-a=b", False, False),
        ("__SECURE-a=b", False, False),
        ("__Secure-a=b; Secure; Domain=shop.example", True, False),
        ("__Host-a=b; Secure; Path=/", True, False),
        ("__host-a=b; Secure; Path=/", True, False),
        ("__Host-a=b; Path=/", False, False),
        ("__Host-a=b; Secure", False, False),
        ("__Host-a=b; Secure; Path=/x", False, False),
        ("__Host-a=b; Secure; Path=/; Domain=www.shop.example", False, False),
        ("__HOST-a=b; Secure; Path=/; Domain=shop.example", False, False),
        # The value of a cookie without a name must not look like such a name.
        ("=__Host-a=b; Secure; Path=/", False, False),
        ("__Secure-a; Secure", False, False),
        ("__Secure=b", True, True),
    ],
)
def test_secure_cookies_and_names_that_promise(text: str, https: bool, http: bool) -> None:
    assert (reach(text, "https://www.shop.example/") is not None) is https
    assert (reach(text, "http://www.shop.example/") is not None) is http


def test_no_plain_http_counts_as_secure_loopback_neither() -> None:
    assert reach("a=b; Secure", "http://127.0.0.1/") is None
    assert reach("a=b; Secure", "http://localhost/") is None
