"""How long each phase of a fetch took, as the file and the summary say."""

from tests.crawler.read_pages import reader
from tests.site import serve


async def test_every_phase_of_a_fetch_is_timed(crawl, rows):
    async with serve({"/": "x" * 100_000}) as site:
        result = await crawl(reader(site.url))
    ((queue, ttfb, body, parse, elapsed),) = rows(
        "SELECT queue_ms, ttfb_ms, body_ms, parse_ms, elapsed_ms FROM crawl_request"
    )
    assert min(queue, ttfb, body, parse) >= 0
    assert elapsed >= ttfb + body - 0.01
    assert {phase.name for phase in result.phases} == {"queue", "ttfb", "body", "parse", "elapsed"}
    assert all(phase.p50 <= phase.p90 <= phase.p99 for phase in result.phases)


async def test_a_request_that_failed_was_timed_as_well(crawl, rows):
    async with serve({"/": None}) as site:
        await crawl(reader(site.url), retries=0, robots=False)
    assert rows("SELECT elapsed_ms > 0, ttfb_ms FROM crawl_request") == [(1, None)]
