"""Fetches from hostile servers, on both event loops, and what they fail with."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from crawler.errors import FetchError
from crawler.request import Request
from crawler.response import Response
from tests.crawler.plain_fetches import fetching
from tests.hostile.server import Hostile, Play, response

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
ONE, TWO = response("one"), response("two")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine on one kind of loop, then on the other."""

    async def patiently(work: Awaitable[Any]) -> Any:
        async with asyncio.timeout(30):
            return await work

    def play(work: Awaitable[Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(patiently(work))

    return play


async def fetch(play: Play, *, tls: ssl.SSLContext | None = None, **settings: Any) -> Response:
    async with Hostile(play, tls=tls) as server, fetching(**settings) as fetcher:
        return await fetcher.fetch(Request(server.url + "/"))


async def reason(play: Play, *, tls: ssl.SSLContext | None = None, **settings: Any) -> str:
    """What a fetch fails with."""
    with pytest.raises(FetchError) as caught:
        await fetch(play, tls=tls, **settings)
    assert caught.value.retryable
    return caught.value.reason
