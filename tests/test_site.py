"""The sites that other tests crawl do what they say."""

import asyncio
import re
import sys
from collections import Counter, deque
from html import unescape
from pathlib import Path

import aiohttp
import pytest
from ada_url import URL, join_url

from tests.site import Kind, Request, SiteServer, SiteSpec, content_hash, serve

SPEC = SiteSpec(seed=1, pages=200)
ITEM = re.compile(r'<li class="item" data-key="(.*?)" data-hash="(.*?)">(.*?)</li>')
HREF = re.compile(r'href="(.*?)"', re.DOTALL)


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def one(kind: Kind) -> int:
    """The first page of this kind."""
    return next(i for i in range(SPEC.pages) if SPEC.kind(i) is kind)


# ── the synthetic site ──────────────────────────────────────────────────────────────────────


def test_the_same_seed_gives_the_same_site():
    again = SiteSpec(seed=1, pages=200)
    assert [SPEC.html(i) for i in range(200)] == [again.html(i) for i in range(200)]
    assert SPEC.expected() == again.expected()


def test_another_seed_gives_another_site():
    other = SiteSpec(seed=2, pages=200)
    assert SPEC.expected().items != other.expected().items
    assert SPEC.expected().links != other.expected().links


@pytest.mark.parametrize("seed", range(5))
def test_a_site_of_two_hundred_pages_has_every_kind_of_page(seed):
    spec = SiteSpec(seed=seed, pages=200)
    assert {spec.kind(i) for i in range(200)} == set(Kind)


@pytest.mark.parametrize("pages", [1, 2, 200, 1000])
def test_every_page_is_reachable_from_the_first(pages):
    expected = SiteSpec(seed=3, pages=pages).expected()
    seen, waiting = {"/p/0"}, deque(["/p/0"])
    while waiting:
        found = expected.links.get(waiting.popleft(), set()) - seen
        seen |= found
        waiting.extend(found)
    assert seen == set(expected.states)
    assert len(seen) == pages


def test_every_spelling_of_a_link_is_one_of_the_expected_urls():
    for i in range(SPEC.pages):
        hrefs = HREF.findall(SPEC.html(i))
        urls = [URL(join_url(f"http://127.0.0.1:8000/p/{i}", unescape(href))) for href in hrefs]
        assert {url.pathname for url in urls} == set(SPEC.links(i))
        assert {url.host for url in urls} <= {"127.0.0.1:8000"}


def test_odd_and_repeated_links_can_be_turned_off():
    plain = SiteSpec(seed=1, pages=200, odd_links=0)
    assert all(plain.hrefs(i) == plain.links(i) for i in range(200))
    assert any(SPEC.hrefs(i) != SPEC.links(i) for i in range(200))


def test_a_moved_page_is_never_linked_by_its_own_path():
    moved = {f"/p/{i}" for i in range(SPEC.pages) if SPEC.kind(i) is Kind.MOVED}
    assert moved
    assert not moved & set().union(*SPEC.expected().links.values())


def test_an_item_carries_the_hash_of_its_key_and_text():
    key, digest, text = SPEC.items(next(i for i in range(200) if SPEC.items(i)))[0]
    assert digest == content_hash(key, text) != content_hash(key, text + "x")


async def test_a_plain_crawl_finds_exactly_what_is_expected(client):
    """The smallest crawler there is, with one worker and as many tries as it takes."""
    items, states, links = [], {}, {}
    async with SiteServer(SPEC) as site:
        waiting = deque(["/p/0"])
        while waiting:
            path = waiting.popleft()
            if path in states:
                continue
            status, text, final = await _get(client, join_url(site.url, path))
            states[path] = "done" if status == 200 else "failed"
            if status == 200:
                items += [(key, digest) for key, digest, _ in ITEM.findall(text)]
                found = (join_url(final, unescape(href)) for href in HREF.findall(text))
                links[path] = {URL(url).pathname for url in found}
                waiting.extend(links[path])
        expected = SPEC.expected()
        assert sorted(items) == expected.items
        assert states == expected.states
        assert links == expected.links
        assert site.hits == expected.hits
        assert len(site.arrivals) == sum(expected.hits.values())


async def _get(client: aiohttp.ClientSession, url: str) -> tuple[int, str, str]:
    while True:
        try:
            async with client.get(url) as response:
                if response.status < 500:
                    return response.status, await response.text(), str(response.url)
        except aiohttp.ClientPayloadError:
            pass


async def test_a_page_fails_once_and_then_answers(client):
    i = one(Kind.FAILS_ONCE)
    async with SiteServer(SPEC) as site:
        statuses = []
        for _ in range(3):
            async with client.get(f"{site.url}p/{i}") as response:
                statuses.append(response.status)
        assert statuses == [500, 200, 200]


async def test_a_page_is_cut_off_once_and_then_whole(client):
    i = one(Kind.CUT_ONCE)
    async with SiteServer(SPEC) as site:
        async with client.get(f"{site.url}p/{i}") as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        async with client.get(f"{site.url}p/{i}") as response:
            assert await response.text() == SPEC.html(i)


async def test_a_new_server_fails_once_again(client):
    i = one(Kind.FAILS_ONCE)
    for _ in range(2):
        async with SiteServer(SPEC) as site, client.get(f"{site.url}p/{i}") as response:
            assert response.status == 500


async def test_a_redirect_leads_to_its_page(client):
    i = one(Kind.MOVED)
    async with SiteServer(SPEC) as site:
        async with client.get(f"{site.url}r/{i}", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, f"/p/{i}")
        async with client.get(f"{site.url}p/{i}") as response:
            assert await response.text() == SPEC.html(i)


@pytest.mark.parametrize("path", ["", "p", "p/200", "p/-1", "p/01", "r/0", "q/1", "robots.txt"])
async def test_what_is_not_on_the_site_is_404(path, client):
    async with SiteServer(SPEC) as site, client.get(site.url + path) as response:
        assert response.status == 404


async def test_a_site_can_be_served_by_a_process_of_its_own(client):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.site", "--seed", "1", "--pages", "20", "--odd-links", "0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with client.get(url + "p/0") as response:
            assert await response.text() == SiteSpec(seed=1, pages=20, odd_links=0).html(0)
    finally:
        process.terminate()
    assert await process.wait() == 0


# ── the server under both ───────────────────────────────────────────────────────────────────


async def test_sixty_four_clients_at_once_are_all_answered(client):
    together = asyncio.Barrier(64)

    async def wait(request: Request) -> str:
        await together.wait()
        return request.query["n"]

    async with serve({"/": wait}) as site:

        async def ask(n: int) -> str:
            async with client.get(f"{site.url}?n={n}") as response:
                return await response.text()

        assert await asyncio.gather(*map(ask, range(64))) == [str(n) for n in range(64)]
        assert (site.hits, site.max_in_flight) == (Counter({"/": 64}), 64)
    assert site.in_flight == 0


async def test_leaving_the_block_ends_a_request_that_is_being_answered(client):
    asked = asyncio.Event()

    async def hang(request: Request) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with serve({"/": hang}) as site:
        request = asyncio.create_task(client.post(site.url))
        await asked.wait()
    with pytest.raises(aiohttp.ClientError):
        await request


# ── a site written down as a dictionary ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("page", "status", "kind", "body"),
    [
        ("<p>é", 200, "text/html; charset=utf-8", "<p>é".encode()),
        (b"\xff\x00", 200, "application/octet-stream", b"\xff\x00"),
        ((410, {}, "gone"), 410, "text/html; charset=utf-8", b"gone"),
        ((200, {"content-type": "text/plain"}, "x"), 200, "text/plain", b"x"),
        (lambda request: request.path, 200, "text/html; charset=utf-8", b"/page"),
    ],
)
async def test_a_page_is_text_or_bytes_or_a_tuple_or_a_function(page, status, kind, body, client):
    async with serve({"/page": page}) as site, client.get(site.url + "page") as response:
        assert response.status == status
        assert response.headers["Content-Type"] == kind
        assert await response.read() == body


async def test_a_function_sees_the_whole_request(client):
    async def echo(request: Request) -> tuple[int, dict[str, str], bytes]:
        return 201, {"X-Seen": f"{request.method} {request.path} {request.query}"}, request.body

    async with serve({"/echo": echo}) as site:
        async with client.put(site.url + "echo?a=1&b=", data=b"\x00hi") as response:
            assert response.headers["X-Seen"] == "PUT /echo {'a': '1', 'b': ''}"
            assert await response.read() == b"\x00hi"
        [(method, target, headers, body)] = site.requests
        assert (method, target, body) == ("PUT", "/echo?a=1&b=", b"\x00hi")
        assert headers["content-length"] == "3"


async def test_a_chunked_request_body_is_put_together(client):
    async def chunks():
        yield b"one "
        yield b"two"

    pages = {"/": lambda request: request.body}
    async with serve(pages) as site, client.post(site.url, data=chunks()) as response:
        assert await response.read() == b"one two"


async def test_a_page_with_a_query_goes_before_the_page_of_its_path(client):
    pages = {"/page": "any", "/page?n=2": "second"}
    async with serve(pages) as site:
        texts = []
        for query in ("", "?n=1", "?n=2"):
            async with client.get(f"{site.url}page{query}") as response:
                texts.append(await response.text())
        assert texts == ["any", "any", "second"]
        assert site.hits == {"/page": 3}


async def test_missing_pages_and_robots_txt_are_404_and_counted(client):
    async with serve({}) as site:
        for path in ("x", "robots.txt"):
            async with client.get(site.url + path) as response:
                assert response.status == 404
        assert site.hits == {"/x": 1, "/robots.txt": 1}
        assert [path for _, path in site.arrivals] == ["/x", "/robots.txt"]


async def test_a_header_may_be_there_twice(client):
    pages = {"/": (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "")}
    async with serve(pages) as site, client.get(site.url) as response:
        assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_a_length_that_is_too_large_ends_the_connection_early(client):
    pages = {"/": (200, {"Content-Length": "100"}, "short")}
    async with serve(pages) as site, client.get(site.url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_none_hangs_up_without_an_answer(client):
    async with serve({"/": None}) as site:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post(site.url)


@pytest.mark.parametrize("status", [204, 304])
async def test_a_reply_that_can_have_no_body_has_none(status, client):
    pages = {"/": (status, {}, "ignored"), "/next": "next"}
    async with serve(pages) as site:
        for path, body in (("", b""), ("next", b"next")):
            async with client.get(site.url + path) as response:
                assert await response.read() == body


async def test_head_is_answered_without_the_body(client):
    async with serve({"/": "12345"}) as site, client.head(site.url) as response:
        assert (response.headers["Content-Length"], await response.read()) == ("5", b"")


async def test_a_fault_in_a_function_is_raised_at_the_end_of_the_block(client):
    def broken(request: Request) -> str:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        async with serve({"/": broken}) as site, client.get(site.url) as response:
            assert response.status == 500


async def test_pages_may_be_changed_while_the_site_is_up(client):
    async with serve({"/": "old"}) as site:
        site.pages["/"] = "new"
        async with client.get(site.url) as response:
            assert await response.text() == "new"


async def test_a_site_may_be_on_ipv6(client):
    async with serve({"/": "six"}, host="::1") as site:
        assert site.url.startswith("http://[::1]:")
        async with client.get(site.url) as response:
            assert await response.text() == "six"
