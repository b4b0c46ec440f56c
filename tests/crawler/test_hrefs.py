"""Where links lead: the same for one page after the other as for each by itself."""

import hypothesis.strategies as st
from hypothesis import given, settings

from crawler import hrefs
from crawler.hrefs import Links
from crawler.url import canonical

_BASES = st.sampled_from(
    [
        "http://a.example/",
        "http://a.example/dir/page.html",
        "http://a.example/dir/other",
        "http://a.example/dir/page?q=/x/y",
        "http://a.example/dir/page#f/g",
        "https://a.example/dir/",
        "http://a.example:8080/dir/sub/",
        # Not as they are written otherwise: those of a response that somebody made by hand.
        "http://a.example",
        "https://a.example?q=/x",
        "HTTP://A.example#f",
        "http:a.example/dir/page",
        "http:a.example",
        "about:blank",
        "data:text/html,x",
    ]
)
_HREFS = st.one_of(
    st.sampled_from(
        [
            "",
            "#a",
            "?a",
            "x",
            "./x",
            "../x",
            "/x",
            "//b.example/x",
            "\\x",
            "http:x",
            "http:?x",
            "http:",
            "https:/x",
            "HTTP://B.example/x",
            "mailto:a@b",
            "a:b",
            "\t?x",
            "x\n?y",
            "?",
            ".",
            "..",
            ";x",
            "%2e%2e/x",
            " x",
            "x ",
            "é",
            "a b?c d#e f",
            "http://b.example/../x",
        ]
    ),
    st.text(st.sampled_from("ab:/?#.\\ \t%2e@;é"), max_size=8),
    st.text(st.sampled_from("aB1/.~-_?=&+"), max_size=12),
    st.text(st.sampled_from("aB/.?=&!$'()*+,;:@%#"), max_size=12),
    st.builds(
        "http{}://{}/{}".format,
        st.sampled_from(["", "s"]),
        st.one_of(
            st.sampled_from(
                ["xn--a", "1.2", "a.0x1", "a.b.", "a--b.c", "a..b", "1a.b", "localhost"]
            ),
            st.text(st.sampled_from("ab.-1x"), max_size=6),
        ),
        st.text(st.sampled_from("a1/.~-_?=&+%@:!$'()*,;"), max_size=8),
    ),
)


def _reached(href, base):
    try:
        return canonical(href, base)
    except ValueError:
        return href


@settings(max_examples=500)
@given(st.lists(st.tuples(_BASES, _HREFS), max_size=12))
def test_a_link_leads_to_the_same_page_with_a_memory_as_without(links):
    for base, href in links:
        assert Links(base).to(href) == _reached(href, base)


def test_the_memory_has_an_end_and_nobody_notices(monkeypatch):
    monkeypatch.setattr(hrefs, "_LINKS", memory := hrefs._KnownLinks())
    for number in range(200_000):
        base = f"http://a.example/{number % 300}/"
        assert Links(base).to(f"{number}.html") == f"{base}{number}.html"
    kept = [url for known, _ in memory._by_directory.values() for url in known]
    assert 0 < sum(len(url) + 200 for url in kept) <= hrefs._ROOM
