# ruff: noqa: RUF012 - spiders are written here as their users write them
"""What the fetcher makes of redirects, and pages that are reached in several ways."""

import pytest

from crawler import Request
from tests.crawler.read_pages import ONLY, Reader, Seen, reader
from tests.site import serve


class Follower(Reader):
    """Follows every link besides."""

    def parse(self, response):
        yield Seen(url=response.url)
        yield from response.follow_all("a")


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
