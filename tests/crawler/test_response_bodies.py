"""What the fetcher makes of bodies: compressed, truncated, too large, too late."""

import asyncio
import gzip
import zlib

import pytest

from tests.crawler.read_pages import HTML, ONLY, STATES, reader
from tests.site import serve


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
    assert rows(STATES) == [
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
    assert rows(STATES) == [
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
