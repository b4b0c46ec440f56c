"""What a page says about itself to crawlers, read from its headers and the start of its body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from crawler import Response, Spider
from crawler.annotations import canonical_of, forbids_following
from tests.site import serve

URL = "http://a.example/dir/page?x=1"
AGENT = "crawler/0.1 (+https://a.example/bot)"


def page(body=b"", *headers, kind="text/html"):
    return Response(URL, headers=CIMultiDict([("Content-Type", kind), *headers]), body=body)


def head(text):
    return page(f"<!doctype html><html><head>{text}</head><body>x</body></html>".encode())


# ── rel=canonical ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ('<link rel="canonical" href="http://a.example/c">', "http://a.example/c"),
        ("<link href=http://b.example/c rel=canonical>", "http://b.example/c"),
        ("<LINK REL='CANONICAL' HREF='/c'/>", "http://a.example/c"),
        ("<link rel='alternate Canonical' href=c>", "http://a.example/dir/c"),
        ("<link\nrel = 'canonical'\n href = '?y=1&amp;z=2'>", "http://a.example/dir/page?y=1&z=2"),
        ("<link data-x='>' rel=canonical href=/c>", "http://a.example/c"),
        ("<link rel=canonical href='/c#part'>", "http://a.example/c"),
        ("<link rel=canonical href='http://joe:pw@A.example:80/c'>", "http://a.example/c"),
        ("<base href='http://b.example/'><link rel=canonical href='c'>", "http://b.example/c"),
        ("<link rel=x href=/canonical><link rel=canonical href=/c>", "http://a.example/c"),
        (
            "<link rel=canonical href='http://[::1'><link rel=canonical href=/c>",
            "http://a.example/c",
        ),
        (
            "<!-- <link rel=canonical href=/no> --><link rel=canonical href=/c>",
            "http://a.example/c",
        ),
        ("<script>'<link rel=canonical href=/no>'</script>", None),
        ("<style><link rel=canonical href=/no></style>", None),
        ("<link rel=canonical href='/dir/page?x=1'>", None),  # it is this page
        ("<link rel=canonical>", None),
        ("<link rel=canonicals href=/c>", None),
        ("<meta name=canonical content=/c>", None),
        ("<link rel=canonical href='javascript:alert(1)'>", None),
        ("<link rel=canonical href='mailto:joe@a.example'>", None),
        ("canonical", None),
    ],
)
def test_the_canonical_url_is_what_the_head_names(markup, expected):
    assert canonical_of(head(markup)) == expected


def test_an_empty_href_names_the_page_itself():
    assert canonical_of(head("<link rel=canonical href=''>")) is None


def test_what_a_comment_in_the_body_or_a_reader_says_is_not_the_pages_word():
    body = b"<head></head><body><link rel=canonical href=/no></body>"
    assert canonical_of(page(body)) is None
    assert canonical_of(page(b"<body><link rel=canonical href=/no>")) is None


def test_only_markup_is_searched():
    body = b"<head><link rel=canonical href=/c></head>"
    assert canonical_of(page(body)) == "http://a.example/c"
    assert canonical_of(page(body, kind="text/plain")) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('<http://a.example/c>; rel="canonical"', "http://a.example/c"),
        ("</c>;rel=canonical", "http://a.example/c"),
        ("<c> ; REL = Canonical", "http://a.example/dir/c"),
        ('</n>; rel=next, </c>; rel="canonical"', "http://a.example/c"),
        ('</n>; title="a, b; rel=canonical", </c>; rel="x canonical"', "http://a.example/c"),
        ("</n>; rel=next; rel=canonical", None),  # the first counts (RFC 8288, 3.3)
        ('</c,d>; title="\\"q\\""; rel=canonical', "http://a.example/c,d"),
        ("<>; rel=canonical", None),
        ("/c; rel=canonical", None),
        ("<http://[::1>; rel=canonical", None),
        ("", None),
    ],
)
def test_the_canonical_url_may_be_in_the_link_header(value, expected):
    assert canonical_of(page(b"%PDF", ("Link", value), kind="application/pdf")) == expected


def test_several_link_headers_are_read_and_the_header_goes_before_the_page():
    both = page(
        b"<head><link rel=canonical href=/page></head>",
        ("Link", "</n>; rel=next"),
        ("Link", "</header>; rel=canonical"),
    )
    assert canonical_of(both) == "http://a.example/header"


# ── nofollow ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("nofollow", True),
        ("NOINDEX, NoFollow", True),
        ("none", True),
        ("crawler: nofollow", True),
        ("Crawler: noindex, nofollow", True),
        ("otherbot: nofollow", False),
        ("otherbot: noindex, nofollow", False),
        ("otherbot: noindex, crawler: nofollow", True),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST, nofollow", True),
        ("max-snippet: 20, nofollow", True),
        ("noindex", False),
        ("all", False),
        ("nofollowing", False),
        ("", False),
    ],
)
def test_the_x_robots_tag_speaks_to_everybody_or_to_us(value, expected):
    assert forbids_following(page(b"x", ("X-Robots-Tag", value)), AGENT) is expected


def test_each_x_robots_tag_counts():
    tags = ("X-Robots-Tag", "otherbot: none"), ("X-Robots-Tag", "nofollow")
    assert forbids_following(page(b"x", *tags), AGENT)


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<meta name=robots content=nofollow>", True),
        ("<META CONTENT='noindex,NOFOLLOW' NAME='Robots'>", True),
        ("<meta name=robots content='noindex nofollow'>", True),
        ("<meta name='robots' content='none'/>", True),
        ("<meta name=crawler content=nofollow>", True),
        ("<meta name=robots content=index><meta name=crawler content=nofollow>", True),
        ("<meta name=otherbot content=nofollow>", False),
        ("<meta name=robots content=noindex>", False),
        ("<meta name=robots content='index, follow'>", False),
        ("<meta name=robots>", False),
        ("<meta property=robots content=nofollow>", False),
        ("<!-- <meta name=robots content=nofollow> -->", False),
        ("<script><meta name=robots content=nofollow></script>", False),
        ("nofollow robots", False),
    ],
)
def test_the_meta_element_speaks_to_everybody_or_to_us(markup, expected):
    assert forbids_following(head(markup), AGENT) is expected


# ── in a crawl ──────────────────────────────────────────────────────────────────────────────


class Keeps(Spider):
    name = "keeps"

    def parse(self, response):
        yield from response.follow_all("a")


async def test_the_canonical_url_is_kept_in_the_file_and_not_followed(crawl, rows):
    pages = {
        "/": "<link rel=canonical href=/other><a href=/b>b</a><a href=/c>c</a>",
        "/b": "<link rel=canonical href=/b>",
        "/c": (404, {"Link": "</other>; rel=canonical"}, "gone"),
    }
    async with serve(pages) as site:
        await crawl(type("S", (Keeps,), {"start_urls": [site.url]}))
        assert site.hits["/other"] == 0
    found = rows("SELECT url, canonical_url FROM crawl_request")
    assert dict(found) == {
        site.url: f"{site.url}other",
        f"{site.url}b": None,
        f"{site.url}c": None,
    }


@pytest.mark.parametrize(("robots_meta", "done"), [(True, 1), (False, 2)])
async def test_nofollow_is_obeyed_when_asked_for(robots_meta, done, crawl):
    pages = {"/": (200, {"X-Robots-Tag": "mybot: nofollow"}, "<a href=/b>b</a>"), "/b": "b"}
    async with serve(pages) as site:
        spider = type("S", (Keeps,), {"start_urls": [site.url]})
        result = await crawl(spider, robots_meta=robots_meta, user_agent="MyBot/2.0")
    assert (result.done, result.skipped) == (done, 2 - done)


# ── whatever there is ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "piece",
    [b"<link ", b"<link rel=canonical ", b'<link rel="canonical', b"<!--canonical", b"canonical",
     b"<meta name=robots ", b"<meta name='robots' content='", b"<script>robots", b"<", b"\0"],
)  # fmt: skip
def test_a_page_of_ten_megabytes_that_never_ends_a_tag_is_an_ordinary_page(piece):
    response = page(piece * (10_000_000 // len(piece)))
    assert canonical_of(response) in (None, "http://a.example/dir/page")
    assert not forbids_following(response, AGENT)


@pytest.mark.parametrize(
    "piece", ["<", "<a>;", ", ", ";", '<a>; rel="', "<a>; rel=canonica ", '<a>;x="\\', "crawler:"]
)
def test_a_header_of_a_hundred_kilobytes_is_an_ordinary_header(piece):
    value = piece * (100_000 // len(piece))
    response = page(b"x", ("Link", value), ("X-Robots-Tag", value))
    assert canonical_of(response) is None
    assert not forbids_following(response, AGENT)


@given(
    st.lists(
        st.sampled_from(
            ["<link", "<meta", " ", "rel", "=", "canonical", "'", '"', ">", "<!--", "-->", "href",
             "/x", "name", "robots", "content", "nofollow", "<script>", "</script>", "</head>", "&"]
        )
    ).map("".join),
    st.text(),
)  # fmt: skip
def test_whatever_a_page_holds_there_is_an_answer(body, value):
    response = page(body.encode(), ("Link", value), ("X-Robots-Tag", value))
    found = canonical_of(response)
    assert found is None or found.startswith(("http://", "https://"))
    assert forbids_following(response, AGENT) in (True, False)


def test_the_canonical_url_of_a_page_too_costly_for_a_tree_does_without_its_base():
    costly = head("<base href=/b/><link rel=canonical href=c>" + "<div>" * 100_000)
    assert canonical_of(costly) == "http://a.example/dir/c"
