# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What came back: its text, its links, and what the fetcher makes of bodies and redirects."""

import asyncio
import gzip
import zlib

import pytest

from crawler import Item, Request, Response, Spider
from tests.site import serve

HTML = {"Content-Type": "text/html; charset=utf-8"}
ONLY = "SELECT state, reason, status, attempts FROM crawl_request"


class Seen(Item):
    url: str
    text: str = ""


class Reader(Spider):
    """Keeps every page it gets to parse."""

    name = "reader"

    def parse(self, response):
        yield Seen(url=response.url, text=response.text)


class Follower(Reader):
    """Follows every link besides."""

    def parse(self, response):
        yield Seen(url=response.url)
        yield from response.follow_all("a")


def reader(*urls: str, of: type[Spider] = Reader, **attributes) -> type[Spider]:
    """A spider that starts from these urls."""
    return type("S", (of,), {"start_urls": urls, **attributes})


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


# ── bodies ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_compressed_body_is_decoded(coding, crawl, rows):
    body = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]("<p>ü".encode())
    async with serve({"/": (200, {**HTML, "Content-Encoding": coding}, body)}) as site:
        await crawl(reader(site.url))
        assert coding in site.requests[-1].headers["Accept-Encoding"]
    assert rows("SELECT text FROM seen") == ["<p>ü"]
    assert rows("SELECT bytes FROM crawl_request") == [len("<p>ü".encode())]


async def test_a_truncated_body_is_fetched_again(crawl, rows):
    answers = iter([(200, {"Content-Length": "100"}, "too short"), "whole"])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url))
    assert rows("SELECT text FROM seen") == ["whole"]
    assert rows(ONLY) == [("done", None, 200, 2)]


async def test_a_body_that_is_always_truncated_fails_its_page(crawl, rows):
    async with serve({"/": (200, {"Content-Length": "100"}, "too short")}) as site:
        await crawl(reader(site.url), retries=2)
        assert site.hits["/"] == 3
    assert rows("SELECT state, reason, attempts FROM crawl_request") == [("failed", "truncated", 3)]


async def test_a_truncated_gzip_body_is_fetched_again(crawl, rows):
    whole = gzip.compress(b"<p>" + bytes(range(256)) * 9)
    headers = {**HTML, "Content-Encoding": "gzip"}
    answers = iter([(200, headers, whole[:-20]), (200, headers, gzip.compress(b"whole"))])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url))
    assert rows("SELECT text FROM seen") == ["whole"]


def chunked(body: bytes) -> tuple[int, dict[str, str], bytes]:
    framed = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part)
        for part in (body[at : at + 500] for at in range(0, len(body), 500))
    )
    return 200, {**HTML, "Transfer-Encoding": "chunked"}, framed + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        (200, {**HTML, "Content-Length": "1000000000"}, "only the beginning"),
        chunked(b"x" * 5000),
        (200, {**HTML, "Content-Encoding": "gzip"}, gzip.compress(b"x" * 5000)),
        (
            200,
            {**HTML, "Content-Encoding": "gzip, gzip"},
            gzip.compress(gzip.compress(b"x" * 5000)),
        ),
    ],
    ids=["announced", "streamed", "gzip bomb", "bomb in a bomb"],
)
async def test_a_body_over_the_limit_fails_its_page_and_is_not_tried_again(answer, crawl, rows):
    async with serve({"/": answer, "/small": "y" * 1000}) as site:
        await crawl(reader(site.url, f"{site.url}small"), max_body=1000)
        assert site.hits["/"] == 1
    assert rows("SELECT state, reason FROM crawl_request ORDER BY id") == [
        ("failed", "too_large"),
        ("done", None),
    ]


async def test_a_body_that_inflates_out_of_all_proportion_is_too_large(crawl, rows):
    bomb = gzip.compress(b"\0" * 9_000_000)  # below max_body, but a thousandfold
    async with serve({"/": (200, {**HTML, "Content-Encoding": "gzip"}, bomb)}) as site:
        await crawl(reader(site.url))
    assert rows("SELECT reason FROM crawl_request") == ["too_large"]


async def test_a_body_that_is_not_what_its_coding_says_fails_its_page(crawl, rows):
    async with serve({"/": (200, {**HTML, "Content-Encoding": "gzip"}, "plain")}) as site:
        await crawl(reader(site.url))
    assert rows("SELECT state, reason FROM crawl_request") == [("failed", "bad_encoding")]


async def test_a_page_that_does_not_come_in_time_fails_with_timeout(crawl, rows):
    async def hang(request):
        await asyncio.Event().wait()

    async with serve({"/": hang, "/good": "x"}) as site:
        await crawl(reader(site.url, f"{site.url}good"), timeout=0.2, retries=1)
        assert site.hits["/"] == 2
    assert rows("SELECT state, reason FROM crawl_request ORDER BY id") == [
        ("failed", "timeout"),
        ("done", None),
    ]


async def test_nobody_listening_is_a_connection_failure(crawl, rows):
    async with serve({}) as site:
        url = site.url
    await crawl(reader(url), retries=1, robots=False)
    assert rows("SELECT state, reason, attempts FROM crawl_request") == [
        ("failed", "connection", 2)
    ]


# ── redirects ───────────────────────────────────────────────────────────────────────────────


def to(location: str, status: int = 302) -> tuple[int, dict[str, str], str]:
    return status, {"Location": location}, "<a href=/not-this>moved</a>"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_to_its_final_url(status, crawl, rows):
    pages = {"/dir/a": to("b?x", status), "/dir/b": to("/c", status), "/c": "there"}
    async with serve(pages) as site:
        await crawl(reader(f"{site.url}dir/a"))
        assert rows("SELECT url, text FROM seen") == [(f"{site.url}c", "there")]
        assert rows("SELECT url, final_url, state FROM crawl_request") == [
            (f"{site.url}dir/a", f"{site.url}c", "done")
        ]
        assert [site.hits[path] for path in ("/dir/a", "/dir/b", "/c")] == [1, 1, 1]


async def test_links_of_a_redirected_page_are_relative_to_where_it_ended(crawl):
    pages = {"/": to("/dir/page"), "/dir/page": "<a href=next>x</a>", "/dir/next": ""}
    async with serve(pages) as site:
        await crawl(reader(site.url, of=Follower))
        assert (site.hits["/dir/next"], site.hits["/next"]) == (1, 0)


async def test_a_redirect_without_a_location_speaks_for_itself(crawl, rows):
    async with serve({"/": (302, {}, "")}) as site:
        await crawl(reader(site.url))
    assert rows(ONLY) == [("failed", "http_302", 302, 1)]


@pytest.mark.parametrize("location", ["mailto:x@y.example", "http://[", "javascript:void(0)"])
async def test_a_redirect_to_nowhere_fails_its_page(location, crawl, rows):
    async with serve({"/": to(location)}) as site:
        await crawl(reader(site.url))
    assert rows("SELECT state, reason FROM crawl_request") == [("failed", "bad_redirect")]


async def test_a_redirect_loop_fails_its_page(crawl, rows):
    async with serve({"/a": to("/b"), "/b": to("/a")}) as site:
        await crawl(reader(f"{site.url}a"), max_redirects=4)
        assert site.hits["/a"] + site.hits["/b"] == 5
    assert rows("SELECT state, reason, attempts FROM crawl_request") == [
        ("failed", "too_many_redirects", 1)
    ]


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (302, "PUT", "PUT"),
        (303, "HEAD", "HEAD"),
    ],
)
async def test_a_redirect_changes_the_method_as_the_fetch_standard_says(
    status, method, then, crawl
):
    async with serve({"/": to("/there", status), "/there": ""}) as site:

        class Posting(Reader):
            async def start(self):
                body = None if method == "HEAD" else b"data"
                headers = {"Content-Type": "text/x"}
                yield Request(site.url, method=method, body=body, headers=headers)

        await crawl(Posting)
        second = site.requests[-1]
    assert second.method == then
    kept = then == method and method != "HEAD"
    assert second.body == (b"data" if kept else b"")
    if then == "GET":
        assert second.headers.get("Content-Type") is None


async def test_headers_that_may_hold_a_secret_do_not_follow_to_another_origin(crawl, rows):
    async with serve({"/there": "x"}) as other, serve({"/": to("/same")}) as site:
        site.pages["/same"] = to(f"{other.url}there")

        class Secretive(Reader):
            allowed_domains = ["*"]

            async def start(self):
                headers = {"Authorization": "s", "X-Token": "s", "Accept-Language": "de"}
                yield Request(site.url, headers=headers)

        await crawl(Secretive, allow_private=["127.0.0.1"])
        same, elsewhere = site.requests[-1].headers, other.requests[-1].headers
    assert (same["Authorization"], same["X-Token"]) == ("s", "s")
    assert "Authorization" not in elsewhere
    assert "X-Token" not in elsewhere
    assert elsewhere["Accept-Language"] == "de"
    assert len(rows("SELECT url FROM seen")) == 1


async def test_a_redirect_off_the_site_is_skipped(crawl, rows):
    async with serve({"/there": "x"}) as other:
        async with serve({"/": to(f"{other.url}there")}) as site:
            await crawl(reader(site.url), allow_private=["127.0.0.1"])
        assert not other.hits
    assert rows("SELECT state, reason FROM crawl_request") == [("skipped", "offsite")]


async def test_a_redirect_to_a_private_address_is_skipped(crawl, rows):
    async with serve({"/there": "x"}) as other:
        async with serve({"/": to(f"{other.url}there")}) as site:
            await crawl(reader(site.url, allowed_domains=["*"]))
        assert not other.hits
    assert rows("SELECT state, reason FROM crawl_request") == [("skipped", "private_address")]


async def test_a_redirect_to_what_robots_txt_forbids_is_skipped(crawl, rows):
    pages = {"/": to("/private"), "/robots.txt": "User-agent: *\nDisallow: /private"}
    async with serve(pages) as site:
        await crawl(reader(site.url))
        assert site.hits["/private"] == 0
    assert rows("SELECT state, reason FROM crawl_request") == [("skipped", "robots")]


# ── one page, however it was reached ────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", ["moved first", "page first", "both at once"])
async def test_a_page_that_is_linked_and_redirected_to_gives_its_items_once(order, crawl, rows):
    moved, direct = "<a href=/moved></a>", "<a href=/page></a>"
    pages = {
        "/": {
            "moved first": moved + "<a href=/late></a>",
            "page first": direct + "<a href=/late></a>",
            "both at once": moved + direct,
        }[order],
        "/late": direct if order == "moved first" else moved,
        "/moved": to("/page"),
        "/page": "<a href=/end></a>",
        "/end": "",
    }
    async with serve(pages) as site:
        one_by_one = 8 if order == "both at once" else 1
        result = await crawl(reader(site.url, of=Follower), concurrency=one_by_one)
        assert rows("SELECT count(*) FROM seen WHERE url = ?", f"{site.url}page") == [1]
        assert rows("SELECT count(*) FROM seen WHERE url = ?", f"{site.url}end") == [1]
    assert (result.failed, result.skipped, result.queued) == (0, 0, 0)
    assert rows("SELECT count(*) FROM crawl_request WHERE reason = 'alias'") == [1]


async def test_several_redirects_to_one_page_give_its_items_once(crawl, rows):
    links = "".join(f"<a href=/m{number}></a>" for number in range(5))
    moved = {f"/m{number}": to("/page") for number in range(5)}
    async with serve({"/": links, **moved, "/page": ""}) as site:
        result = await crawl(reader(site.url, of=Follower))
        assert rows("SELECT count(*) FROM seen WHERE url = ?", f"{site.url}page") == [1]
    assert (result.done, result.items) == (6, 2)


async def test_a_page_that_redirects_to_itself_at_first_gives_its_items(crawl, rows):
    answers = iter([to("/"), "welcome"])
    async with serve({"/": lambda request: next(answers)}) as site:
        await crawl(reader(site.url))
    assert rows("SELECT text FROM seen") == ["welcome"]


async def test_a_redirect_to_another_spelling_of_the_same_url_gives_its_items(crawl, rows):
    pages = {"/caf%c3%a9": to("/caf%C3%A9"), "/caf%C3%A9": "coffee"}
    async with serve(pages) as site:
        await crawl(reader(f"{site.url}caf%c3%a9"))
    assert rows("SELECT text FROM seen") == ["coffee"]


async def test_a_redirect_to_a_page_that_was_too_deep_gives_its_items(crawl, rows):
    pages = {
        "/": "<a href=/a></a><a href=/late></a>",
        "/a": "<a href=/deep></a>",
        "/late": to("/deep"),
        "/deep": "found",
    }
    async with serve(pages) as site:
        await crawl(reader(site.url, of=Follower), max_depth=1, concurrency=1)
        assert rows("SELECT count(*) FROM seen WHERE url = ?", f"{site.url}deep") == [1]


async def test_a_redirect_to_a_page_that_failed_before_gives_its_items(crawl, rows):
    answers = iter([(404, {}, ""), "here now"])
    pages = {
        "/": "<a href=/page></a><a href=/moved></a>",
        "/page": lambda request: next(answers),
        "/moved": to("/page"),
    }
    async with serve(pages) as site:
        await crawl(reader(site.url, of=Follower), concurrency=1)
        assert rows("SELECT count(*) FROM seen WHERE url = ?", f"{site.url}page") == [1]


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
    ],
)
def test_links_are_relative_to_the_first_base_that_may_be_one(markup, base):
    assert page(markup).base_url == base


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
