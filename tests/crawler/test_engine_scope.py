"""Where a crawl goes, and that no page leads it into private networks."""

import pytest

import crawler
from crawler import Request
from tests.crawler.links_site import STATES, Links, linking, links, tree, until
from tests.site import serve

# ── where it goes ───────────────────────────────────────────────────────────────────────────


async def test_every_page_that_links_lead_to_is_visited_once(crawl, rows):
    async with serve(tree(60)) as site:
        result = await crawl(links(site.url))
        assert set(site.hits.values()) == {1}
        assert len(site.hits) == 61  # robots.txt too
    assert (result.finish, result.done, result.items) == ("finished", 60, 60)
    assert len(set(rows("SELECT path FROM page"))) == 60


async def test_the_rows_of_the_frontier_tell_the_whole_story(crawl, rows):
    async with serve({"/": linking("/a"), "/a": ""}) as site:
        await crawl(links(site.url))
        first, second = rows(
            "SELECT url, host, method, state, status, depth, parent, attempts, bytes, callback, "
            "run FROM crawl_request ORDER BY id"
        )
        host = f"127.0.0.1:{site.port}"
        size = len(linking("/a"))
        assert first == (site.url, host, "GET", "done", 200, 0, None, 1, size, None, 1)
        assert second == (f"{site.url}a", host, "GET", "done", 200, 1, 1, 1, 0, None, 1)
    assert all(rows("SELECT finished_at FROM crawl_request"))


async def test_what_is_off_limits_is_a_skipped_row_with_its_reason(crawl, rows):
    hrefs = ["http://other.example/", "mailto:x@y.example", "javascript:void(0)", "http://[bad"]
    async with serve({"/": linking(*hrefs, "/in")}) as site:
        result = await crawl(links(site.url), max_depth=0)
        found = {url: (state, reason) for url, state, reason in rows(STATES)}
        assert found == {
            site.url: ("done", None),
            "http://other.example/": ("skipped", "offsite"),
            "mailto:x@y.example": ("skipped", "scheme"),
            "javascript:void(0)": ("skipped", "scheme"),
            "http://[bad": ("skipped", "invalid_url"),
            f"{site.url}in": ("skipped", "max_depth"),
        }
    assert result.skipped == 5
    assert result.reasons["skipped"] == {
        "offsite": 1, "scheme": 2, "invalid_url": 1, "max_depth": 1
    }  # fmt: skip


async def test_the_password_in_a_link_goes_into_no_file(crawl, rows):
    async with serve(
        {"/": linking("http://me:secret@other.example/", "http://me:secret@[bad")}
    ) as s:
        await crawl(links(s.url))
    assert not [url for url in rows("SELECT url FROM crawl_request") if "secret" in url]


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_links_are_followed_down_to_the_maximal_depth(depth, crawl, rows):
    pages = {"/": linking("/1"), "/1": linking("/2"), "/2": linking("/3"), "/3": ""}
    async with serve(pages) as site:
        await crawl(links(site.url), max_depth=depth)
    assert rows("SELECT max(depth) FROM crawl_request WHERE state = 'done'") == [depth]
    assert rows("SELECT count(*) FROM crawl_request WHERE reason = 'max_depth'") == [1]


async def test_a_shorter_way_to_a_page_that_was_too_deep_takes_it_up(crawl, rows):
    async def late(request):
        await until(lambda: rows("SELECT 1 FROM crawl_request WHERE reason = 'max_depth'"))
        return linking("/deep")

    pages = {"/": linking("/a", "/late"), "/a": linking("/b"), "/b": linking("/deep")}
    async with serve({**pages, "/late": late, "/deep": ""}) as site:
        result = await crawl(links(site.url), max_depth=2)
        assert site.hits["/deep"] == 1
    assert (result.done, result.skipped, result.queued) == (5, 0, 0)
    assert rows("SELECT depth FROM crawl_request WHERE url LIKE '%deep'") == [2]


async def test_the_default_scope_of_an_ip_address_is_its_port(crawl, rows):
    async with serve({"/": "there"}) as other:
        async with serve({"/": linking(other.url, "/in"), "/in": ""}) as site:
            result = await crawl(links(site.url), allow_private=["127.0.0.1"])
        assert not other.hits
    assert result.reasons["skipped"] == {"offsite": 1}
    assert result.done == 2


async def test_every_start_request_widens_the_default_scope(crawl, rows):
    async with serve({"/": "", "/in": ""}) as other, serve({"/": ""}) as site:
        site.pages["/"] = linking(f"{other.url}in")
        result = await crawl(links(site.url, other.url))
        assert other.hits["/in"] == 1
    assert (result.done, result.skipped) == (3, 0)


async def test_allowed_domains_replaces_the_default_scope(crawl, rows):
    async with serve({"/": "", "/in": ""}) as other, serve({"/": ""}) as site:
        site.pages["/"] = linking(f"{other.url}in", "/not-in")
        spider = links(site.url, allowed_domains=[f"127.0.0.1:{other.port}"])
        result = await crawl(spider, allow_private=["127.0.0.1"])
        assert (other.hits["/in"], site.hits["/not-in"]) == (1, 0)
    assert result.reasons["skipped"] == {"offsite": 1}


@pytest.mark.parametrize(
    ("domains", "reason"), [(None, "offsite"), (["*"], "private_address")], ids=["scope", "guard"]
)
async def test_a_late_start_request_is_fetched_though_a_link_to_it_was_off_limits_before(
    domains, reason, crawl, rows
):
    class Late(Links):
        allowed_domains = domains

        async def start(self):
            for number in range(10):
                yield Request(f"{site.url}?{number}")
            await until(lambda: rows("SELECT 1 FROM crawl_request WHERE reason = ?", reason))
            yield Request(other.url)

    async with serve({"/": ""}) as other, serve({"/": linking(other.url)}) as site:
        result = await crawl(Late)
        assert other.hits["/"] == 1
    assert (result.done, result.skipped) == (11, 0)


async def test_an_empty_allowed_domains_is_as_good_as_none(crawl):
    async with serve({"/": linking("/in", "http://books.example/"), "/in": ""}) as site:
        result = await crawl(links(site.url, allowed_domains=[]))
    assert (result.done, result.reasons["skipped"]) == (2, {"offsite": 1})


async def test_an_impossible_allowed_domain_is_a_usage_error(crawl):
    async with serve({"/": ""}) as site:
        with pytest.raises(crawler.UsageError, match="allowed_domains"):
            await crawl(links(site.url, allowed_domains=["not a domain"]))
        assert not site.hits


# ── no way into private networks ────────────────────────────────────────────────────────────


async def test_a_page_cannot_lead_into_a_private_network(crawl, rows):
    async with serve({"/": "secret"}) as other:
        async with serve({"/": linking(other.url, "http://localhost/", "http://[::1]/")}) as site:
            await crawl(links(site.url, allowed_domains=["*"]))
        assert not other.hits
        assert [reason for _, state, reason in rows(STATES) if state == "skipped"] == [
            "private_address"
        ] * 3
    assert rows("SELECT count(*) FROM page") == [1]


@pytest.mark.parametrize("robots", [True, False])
async def test_a_private_address_is_refused_with_and_without_robots(robots, crawl, rows):
    async with serve({"/": "secret"}) as other:
        async with serve({"/": linking(other.url)}) as site:
            await crawl(links(site.url, allowed_domains=["*"]), robots=robots)
        assert not other.hits
    assert rows("SELECT state, reason FROM crawl_request WHERE depth = 1") == [
        ("skipped", "private_address")
    ]


@pytest.mark.parametrize(
    "allowed", ["127.0.0.1:{port}", "127.0.0.1", "*", "http://127.0.0.1:{port}"]
)
async def test_allow_private_admits_what_it_names(allowed, crawl):
    async with serve({"/": ""}) as other, serve({"/": linking(other.url)}) as site:
        spider = links(site.url, allowed_domains=["*"])
        await crawl(spider, allow_private=[allowed.format(port=other.port)])
        assert other.hits["/"] == 1


async def test_a_name_that_resolves_to_a_private_address_is_refused(crawl, rows):
    async with serve({"/": "secret"}) as other, serve({"/": ""}) as site:
        site.pages["/"] = linking(f"http://localhost:{other.port}/")
        await crawl(links(site.url, allowed_domains=["*"]))
        assert not other.hits
    assert rows("SELECT state, reason FROM crawl_request WHERE depth = 1") == [
        ("skipped", "private_address")
    ]
