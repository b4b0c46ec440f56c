"""What came back: what it says of itself, its links, and what lies about itself."""

import time

import pytest

from crawler import Request, Response, Spider
from crawler.xml_text import for_html
from tests.crawler.read_pages import HTML
from tests.site import serve


def page(body: str | bytes, url: str = "http://a.example/dir/page", **headers: str) -> Response:
    content = body.encode() if isinstance(body, str) else body
    return Response(url, headers={**HTML, **headers}, body=content)


# ── what it says of itself ──────────────────────────────────────────────────────────────────


async def test_a_response_tells_where_it_came_from_and_how_long_it_took(crawl):
    found: list[Response] = []
    answer = (201, {"X-Mine": "yes", "Content-Type": "text/plain; charset=iso-8859-1"}, b"\xfc")
    async with serve({"/": (302, {"Location": "/there#part"}, ""), "/there": answer}) as site:

        class Keeping(Spider):
            name = "keeping"

            async def start(self):
                yield Request(f"{site.url}?q", meta={"k": 1})

            def parse(self, response):
                found.append(response)

        await crawl(Keeping)
        (response,) = found
        assert response.url == f"{site.url}there"
        assert response.request.url == f"{site.url}?q"
        assert response.redirects == (f"{site.url}?q",)
    assert (response.status, response.ok, response.body, response.text) == (201, True, b"\xfc", "ü")
    assert response.headers["x-mine"] == response.headers["X-MINE"] == "yes"
    assert response.meta == {"k": 1}
    assert 0 < response.elapsed < 60


def test_headers_are_found_in_any_case_however_the_response_was_made():
    response = Response("http://a.example/", headers={"content-type": "text/html"}, body=b"<p>x")
    assert response.headers["Content-Type"] == "text/html"
    assert response.css("p::text").get() == "x"


def test_a_body_that_is_text_is_taken_as_utf_8():
    by_hand = Response("http://a.example/", body="<h1>Überraschung</h1>")
    assert by_hand.body == "<h1>Überraschung</h1>".encode()
    assert by_hand.css("h1::text").get() == "Überraschung"


def test_json_is_read_in_the_encoding_that_it_came_in():
    kind = {"Content-Type": "application/json; charset=windows-1251"}
    assert page('{"a": "Привет"}'.encode("cp1251"), **kind).json() == {"a": "Привет"}
    assert page('{"a": "ü"}', **kind).json() == {"a": "ü"}  # whatever it says of itself
    with pytest.raises(ValueError, match="utf-8"):
        page(b'{"a": "\xff"}', **{"Content-Type": "application/json"}).json()


def test_json_reads_the_body():
    assert page('{"a": [1, "ü"]}').json() == {"a": [1, "ü"]}
    with pytest.raises(ValueError, match="Expecting"):
        page("<p>").json()


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("ü".encode(), "text/html; charset=utf-8", "ü"),
        ("ü".encode("latin-1"), "text/html; charset=ISO-8859-1", "ü"),
        ("\ufeffü".encode("utf-16-le"), "text/html", "ü"),
        ("привет".encode("koi8-r"), "text/html; charset=koi8-r", "привет"),
        (b"<meta charset=windows-1251>" + "мир".encode("cp1251"), "text/html", None),
        (b"a\xffb", "text/html; charset=utf-8", "a\ufffdb"),
        (b"", "text/html", ""),
    ],
)
def test_text_is_decoded_as_the_page_says(body, content_type, text):
    response = Response("http://a.example/", headers={"Content-Type": content_type}, body=body)
    assert response.text == (text if text is not None else "<meta charset=windows-1251>мир")


@pytest.mark.parametrize("kind", ["application/json", "image/png", "text/plain", "text/css"])
def test_a_page_that_is_not_html_has_only_empty_selections(kind):
    response = page("<a href=/x>x</a>", **{"Content-Type": kind})
    assert response.css("a") == []
    assert response.css("a::attr(href)").get() is None
    assert list(response.follow_all("a")) == []
    assert response.css("*").getall() == []
    assert response.tree.css("a") == []


def test_xpath_is_empty_too_on_a_page_that_is_not_html():
    pytest.importorskip("parsel")
    response = page("<a href=/x>x</a>", **{"Content-Type": "text/plain"})
    assert response.xpath("//a") == []


@pytest.mark.parametrize(
    "kind", ["text/html", "application/xhtml+xml", "text/xml", "image/svg+xml"]
)
def test_html_and_xml_have_selections(kind):
    assert page("<a href=/x>x</a>", **{"Content-Type": kind}).css("a::text").get() == "x"


FEED = """<?xml version="1.0"?><rss><channel><item>
<title><![CDATA[Cats & <b>dogs</b>]]></title><media:thumbnail url="a.png" /><category/><br/>
<description>about <![CDATA[<p>cats</p> & <a href="/no">dogs</a>]]>, <![CDATA[]]>mostly
</description>
<link>http://a.example/1</link><guid isPermaLink='true'>1</guid><note>a ]]&gt; b</note>
</item></channel></rss>"""


@pytest.mark.parametrize("kind", ["application/rss+xml", "text/xml"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_xml_has_its_cdata_as_text_and_its_empty_elements_empty(kind, charset):
    feed = page(FEED.encode(charset), **{"Content-Type": f"{kind}; charset={charset}"})
    (item,) = feed.css("item")
    assert item.css("title::text").get() == "Cats & <b>dogs</b>"
    text = 'about <p>cats</p> & <a href="/no">dogs</a>, mostly\n'
    assert item.css("description::text").getall() == [text]
    assert feed.css("item > guid::text").getall() == ["1"]
    assert feed.css("item > *:empty").attrib == {"url": "a.png"}
    assert item.css("note::text").get() == "a ]]> b"
    assert feed.css("a, p, b") == []
    assert len(feed.css("br")) == 1
    assert item.re_first(r"<link>\s*([^<\s]+)") == "http://a.example/1"
    assert feed.text.startswith("<?xml")


def test_cdata_that_never_ends_is_text_to_the_end_and_html_is_left_as_it_is():
    feed = page("<a>1</a><b><![CDATA[x <i>y", **{"Content-Type": "text/xml"})
    assert feed.css("b::text").getall() == ["x <i>y"]
    for kind in ("text/html", "application/xhtml+xml"):
        document = page("<script>//<![CDATA[\na && b//]]></script>", **{"Content-Type": kind})
        assert document.css("script::text").get() == "//<![CDATA[\na && b//]]>"


@pytest.mark.parametrize(
    "text", ["<![CDATA[", "<a ", "<a/", "<![CDATA[x]]", "<a/>", "<" + "a" * 99]
)
def test_no_xml_takes_more_than_its_share_of_time(text):
    started = time.process_time()
    for_html(b"<a " + text.encode() * 50_000)
    assert time.process_time() - started < 1


def test_xpath_selects_as_parsel_does():
    pytest.importorskip("parsel")
    response = page("<p><a href=/x>x</a></p>")
    assert response.xpath("//p/a/@href").getall() == ["/x"]


# ── links ───────────────────────────────────────────────────────────────────────────────────

LINKS = """<nav><a href="b">b</a> <a href="/c#frag">c</a> <a>none</a> <a href="?d">d</a></nav>
<link rel="next" href="n">"""
BASE = "http://a.example/"


def urls(requests) -> list[str]:
    return [request.url for request in requests]


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("b", "http://a.example/dir/b"),
        (" /c \n", "http://a.example/c"),
        ("//b.example", "http://b.example/"),
        ("?q=ü", "http://a.example/dir/page?q=%C3%BC"),
        ("http://x.example/y#part", "http://x.example/y"),
        ("", "http://a.example/dir/page"),
    ],
)
def test_follow_makes_a_relative_url_absolute(link, url):
    assert page("").follow(link).url == url


def test_follow_takes_an_element_a_selection_or_an_attribute():
    response = page(LINKS)
    expected = "http://a.example/dir/b"
    assert response.follow(response.css("a")[0]).url == expected
    assert response.follow(response.css("a")).url == expected
    assert response.follow(response.css("a::attr(href)")).url == expected
    assert response.follow(response.css("a::attr(href)")[0]).url == expected
    assert response.follow(response.css("link")).url == "http://a.example/dir/n"


def test_follow_takes_what_a_request_takes():
    request = page("").follow("b", "parse_b", method="POST", meta={"k": 1}, priority=3)
    assert (request.callback, request.method, request.priority) == ("parse_b", "POST", 3)
    assert request.meta == {"k": 1}


def test_following_an_empty_selection_is_an_error():
    with pytest.raises(ValueError, match="empty selection"):
        page(LINKS).follow(page(LINKS).css("table"))


def test_following_nothing_says_that_nothing_was_found():
    response = page(LINKS)
    with pytest.raises(ValueError, match="cannot follow None: the selection found nothing"):
        response.follow(response.css("a.no::attr(href)").get())


def test_following_an_element_without_a_url_is_an_error():
    with pytest.raises(ValueError, match="no url"):
        page(LINKS).follow(page(LINKS).css("nav"))


EXPECTED = ["http://a.example/dir/b", "http://a.example/c", "http://a.example/dir/page?d"]


def test_follow_all_takes_a_selector_a_selection_urls_or_css():
    response = page(LINKS)
    assert urls(response.follow_all("nav a")) == EXPECTED
    assert urls(response.follow_all(css="nav a")) == EXPECTED
    assert urls(response.follow_all(response.css("nav a"))) == EXPECTED
    assert urls(response.follow_all(response.css("nav a::attr(href)"))) == EXPECTED
    assert urls(response.follow_all("nav a::attr(href)")) == EXPECTED
    assert urls(response.follow_all(["b", "/c", "?d"])) == EXPECTED
    assert urls(response.follow_all(urls=["b", "/c", "?d"])) == EXPECTED  # as Scrapy calls it
    assert urls(response.follow_all(href for href in ("b", "/c", "?d"))) == EXPECTED


def test_follow_all_takes_xpath():
    pytest.importorskip("parsel")
    assert urls(page(LINKS).follow_all(xpath="//nav/a/@href")) == EXPECTED
    assert urls(page(LINKS).follow_all(xpath="//nav/a")) == EXPECTED


def test_follow_all_gives_every_request_its_arguments():
    requests = list(page(LINKS).follow_all("nav a", "parse_x", cb_kwargs={"a": 1}))
    assert [request.callback for request in requests] == ["parse_x"] * 3
    assert [request.cb_kwargs for request in requests] == [{"a": 1}] * 3


def test_follow_all_wants_to_know_what():
    with pytest.raises(ValueError, match="one of"):
        list(page(LINKS).follow_all())
    with pytest.raises(ValueError, match="one of"):
        list(page(LINKS).follow_all("a", css="a"))


def test_links_are_relative_to_the_base_href():
    response = page(f'<base href="/other/"><base href="/no/">{LINKS}')
    assert response.urljoin("x") == "http://a.example/other/x"
    assert response.follow("x").url == "http://a.example/other/x"
    assert urls(response.follow_all("link")) == ["http://a.example/other/n"]


def test_white_space_before_a_fragment_is_part_of_the_url():
    [request] = page("<a href='x?y #z'>").follow_all("a")
    assert request.url == "http://a.example/dir/x?y%20"


def test_an_impossible_base_is_ignored():
    assert page('<base href="http://[/">').urljoin("x") == "http://a.example/dir/x"


# ── what lies about itself ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "beginning",
    [
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\x00\x00\x00\x18ftypmp42",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
    ],
)
def test_what_begins_as_another_kind_of_file_has_no_elements(beginning):
    response = page(beginning + b"<a href=/x>x</a>")
    assert response.css("a") == []
    assert list(response.follow_all("a")) == []


@pytest.mark.parametrize("text", ["RIFF is a format", "ID3 is a tag", "BZh", "PK", "%PDF", "BM"])
def test_a_page_that_begins_with_a_like_word_is_a_page(text):
    assert page(f"{text}<a href=/x>x</a>").css("a").attrib == {"href": "/x"}


@pytest.mark.parametrize("read", [False, True], ids=["not read", "read before"])
@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="small"),
        pytest.param("text " * 10_000, id="large"),
        pytest.param("<br/>text " * 5_000, id="many tags"),
    ],
)
@pytest.mark.parametrize(
    ("markup", "base"),
    [
        ("<base href=javascript:alert(1)>", "http://a.example/dir/page"),
        ("<base href='JavaScript:alert(1)'>", "http://a.example/dir/page"),
        ("<base href='data:text/html,x'>", "http://a.example/dir/page"),
        ("<base href=javascript:1><base href=/second/>", "http://a.example/dir/page"),
        ("<base href=about:blank>", "http://a.example/dir/page"),
        ("<base href='mailto:joe@a.example'>", "http://a.example/dir/page"),
        ("<base><base href=/second/>", "http://a.example/second/"),
        ("<base href=/first/><base href=/second/>", "http://a.example/first/"),
        ("<BASE HREF=//b.example/>", "http://b.example/"),
        ("<base/href=/b/>", "http://a.example/b/"),
    ],
)
def test_links_are_relative_to_the_first_base_that_may_be_one(markup, base, before, read):
    response = page(before + markup)
    if read:
        assert response.css("base")
    assert response.base_url == base


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("utf-16le", "<p><base href=/b/>".encode("utf-16-le")),
        ("utf-16be", "<p><base href=/b/>".encode("utf-16-be")),
        ("iso-2022-jp", b"<p><\x1b(Bbase href=/b/>"),
        ("shift_jis", "<p>\u8868<bASe href=/b/>".encode("shift_jis")),
    ],
)
def test_a_base_is_found_in_any_encoding_and_after_the_head(charset, body):
    response = Response(
        "http://a.example/x", headers={"Content-Type": f"text/html; charset={charset}"}, body=body
    )
    assert response.base_url == "http://a.example/b/"


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        (b"<title>a</title>" + b"\0" * 1000, "text/html", None),
        (bytes(range(256)) * 4 + b"<title>a</title>", "text/html", None),
        (b"<p>\x01</p><title>a\0b</title>", "text/html", "a\ufffdb"),
        ("<title>\u00e9\u4e2d</title>".encode() * 9, "text/html", "\u00e9\u4e2d"),
        ("<title>a</title>".encode("utf-16-le"), "text/html; charset=utf-16le", "a"),
        ("\ufeff<title>a</title>".encode("utf-16-be"), "text/html", "a"),
        (b"\t\r\n\x0c\x1b" * 50 + b"<title>a</title>", "text/html", "a"),
    ],
)
def test_noise_is_no_page_whatever_its_content_type(
    body: bytes, kind: str, found: str | None
) -> None:
    response = Response("http://a.example/", headers={"Content-Type": kind}, body=body)
    assert response.css("title::text").get() == found
