"""Bodies: how much of them is read, how many large ones at once, and what a redirect's costs."""

import asyncio
import gzip
from typing import Any

import pytest
from multidict import CIMultiDict

from crawler.body import Bodies
from crawler.errors import FetchError
from crawler.fetcher import Fetcher
from crawler.places import LARGE, LARGE_AT_ONCE, PLACE, Place, share_of
from crawler.request import Request
from crawler.response import Response
from tests.crawler.plain_fetches import fetching
from tests.hostile.server import Connection, Hostile, Play, answer, head, raw, response, site
from tests.hostile.tcp import Flood, trickle
from tests.turns import counted
from tests.zstandard import zstd

CHUNKED = head(200, "Transfer-Encoding: chunked")
OF_A_SITE = share_of(LARGE_AT_ONCE)


async def fetch(play: Play, *, first: int | None = None, **settings: Any) -> Response:
    async with Hostile(play) as server, fetching(**settings) as fetcher:
        return await fetcher.fetch(Request(server.url + "/"), first=first)


# ── the beginning of a body ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(answer(b"x" * 5000), id="of a large one"),
        pytest.param(Flood(head(), b"x" * 99), id="of an endless one"),
        pytest.param(Flood(CHUNKED, b"3\r\nxxx\r\n" * 999), id="of one in endless chunks"),
        pytest.param(Flood(head(length=10**12), b"x" * 99), id="of one of a terabyte"),
        pytest.param(
            answer(gzip.compress(b"x" * 10**8), "Content-Encoding: gzip"), id="of a packed one"
        ),
        pytest.param(answer(zstd.compress(b"x" * 10**8), "Content-Encoding: zstd"), id="of a bomb"),
        pytest.param(raw(head(), b"x" * 2000, then="hang"), id="of one that does not go on"),
    ],
)
async def test_the_beginning_of_a_body_may_be_enough(play: Play) -> None:
    assert (await fetch(play, first=1000)).body == b"x" * 1000
    assert (await fetch(play, first=1000, max_body=10)).body == b"x" * 1000


async def test_of_a_body_that_is_no_larger_everything_is_the_beginning() -> None:
    async def twice(size: int) -> bytes:
        async with Hostile(answer(b"x" * size)) as server, fetching() as fetcher:
            for _ in range(2):
                page = await fetcher.fetch(Request(server.url + "/"), first=1000)
            assert server.connections == 1
            return page.body

    assert await twice(999) == b"x" * 999
    assert await twice(1000) == b"x" * 1000


async def test_a_body_that_is_cut_before_its_beginning_is_over_fails() -> None:
    with pytest.raises(FetchError, match="truncated"):
        await fetch(raw(head(length=2000), b"x" * 999), first=1000)


# ── large bodies ────────────────────────────────────────────────────────────────────────────


class _Warehouse:
    """Serves large pages, each of which waits half way until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        size = LARGE + 5_000_000
        await connection.request()
        await connection.send(head(length=size) + b"x" * (LARGE + 1))
        self.begun += 1
        await self.go.wait()
        await connection.send(b"x" * (size - LARGE - 1))


async def _until_waiting(fetcher: Fetcher, bodies: int) -> None:
    """Wait until so many bodies wait for a place."""
    async with asyncio.timeout(30):
        while fetcher._bodies._places_of_others.waiting < bodies:
            await asyncio.sleep(0.01)


async def test_only_a_few_large_bodies_are_read_on_at_once_and_small_ones_meanwhile() -> None:
    warehouse = _Warehouse()
    async with (
        Hostile(warehouse) as server,
        Hostile(answer("small")) as other,
        fetching() as fetcher,
        asyncio.TaskGroup() as group,
    ):
        url = server.url + "/"
        tasks = [group.create_task(fetcher.fetch(Request(url))) for _ in range(10)]
        await _until_waiting(fetcher, 10 - OF_A_SITE)
        assert warehouse.begun == 10
        assert (await fetcher.fetch(Request(other.url + "/"))).body == b"small"
        assert not any(task.done() for task in tasks)
        warehouse.go.set()
    assert {len(task.result().body) for task in tasks} == {LARGE + 5_000_000}


async def test_large_bodies_of_a_site_that_do_not_come_hold_up_no_other_sites() -> None:
    async with (
        Hostile(_Warehouse()) as server,
        Hostile(answer(b"x" * 2 * LARGE)) as other,
        fetching() as fetcher,
    ):
        url = server.url + "/"
        tasks = [asyncio.create_task(fetcher.fetch(Request(url))) for _ in range(10)]
        await _until_waiting(fetcher, 10 - OF_A_SITE)
        for _ in range(OF_A_SITE):
            assert len((await fetcher.fetch(Request(other.url + "/"))).body) == 2 * LARGE
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.mark.parametrize("how", ["cancelled", "timed out", "failed"])
async def test_a_place_is_given_back_whatever_happens(how: str) -> None:
    warehouse = _Warehouse()
    settings = {"timeout": 3.0} if how == "timed out" else {}
    async with (
        Hostile(warehouse) as server,
        Hostile(answer(b"x" * 2 * LARGE)) as other,
        fetching(**settings) as fetcher,
    ):
        url = server.url + "/"
        tasks = [asyncio.create_task(fetcher.fetch(Request(url))) for _ in range(10)]
        await _until_waiting(fetcher, 10 - OF_A_SITE)
        if how == "cancelled":
            for task in tasks:
                task.cancel()
        elif how == "failed":
            for writer in server._open.values():
                writer.transport.abort()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, BaseException) for end in ends)
        for _ in range(LARGE_AT_ONCE + 1):
            page = await fetcher.fetch(Request(other.url + "/"))
            assert len(page.body) == 2 * LARGE


async def test_the_deadline_stands_still_while_a_large_body_waits_for_its_place() -> None:
    warehouse = _Warehouse()
    async with (
        Hostile(warehouse) as server,
        Hostile(warehouse) as another,
        Hostile(answer(b"x" * 2 * LARGE)) as other,
        fetching(timeout=1.5) as fetcher,
    ):
        urls = [f"{server.url}/"] * 2 * OF_A_SITE + [f"{another.url}/"]
        holders = [asyncio.create_task(fetcher.fetch(Request(url))) for url in urls]
        await _until_waiting(fetcher, OF_A_SITE)
        late = asyncio.create_task(fetcher.fetch(Request(other.url + "/")))
        await _until_waiting(fetcher, OF_A_SITE + 1)
        ends = await asyncio.gather(
            *holders, return_exceptions=True
        )  # half of them after the others
        assert all(isinstance(end, FetchError) for end in ends)
        assert len((await late).body) == 2 * LARGE


async def test_a_visit_keeps_its_place_until_its_page_is_through() -> None:
    async with Hostile(answer(b"x" * 2 * LARGE)) as server, fetching() as fetcher:
        visits = [Place() for _ in range(OF_A_SITE + 1)]

        async def visit(place: Place) -> None:
            PLACE.set(place)
            await fetcher.fetch(Request(server.url + "/"))
            await fetcher.fetch(Request(server.url + "/again"))  # a second one is not waited for

        *holders, late = [asyncio.create_task(visit(place)) for place in visits]
        await asyncio.gather(*holders)
        # What a callback fetches waits for no page that waits for a callback.
        assert (await fetcher.fetch(Request(server.url + "/"))).status == 200
        assert not late.done()
        visits[0].give_back()
        await late


class _AtOnce:
    """An answer whose whole body is there, so that reading it takes no turn of the loop."""

    status, method, content_length = 200, "GET", None

    def __init__(self, coding: str, body: bytes) -> None:
        self.headers = CIMultiDict({"Content-Encoding": coding})
        self.content = self
        self._body = body

    def at_eof(self) -> bool:
        return not self._body

    async def readany(self) -> bytes:
        body, self._body = self._body, b""
        return body


async def test_a_costly_body_does_not_hold_up_the_loop() -> None:
    frames = zstd.compress(b"a") * 9999
    answer: Any = _AtOnce("zstd", frames)
    async with counted() as turns, asyncio.timeout(30) as deadline:
        assert await Bodies(10**6).read(answer, None, deadline, "http://host/") == b"a" * 9999
    assert turns.count >= len(frames) // 16384


# ── a redirect's body ───────────────────────────────────────────────────────────────────────


def _via(play: Play) -> Play:
    """Redirect with whatever `play` plays, and then be a page."""
    page = site({"/next": "there"})

    async def chosen(connection: Connection) -> None:
        await (play if connection.server.connections == 1 else page)(connection)

    return chosen


MOVED = head(302, "Location: /next")


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(Flood(MOVED, b"x" * 50_000), id="endless"),
        pytest.param(
            Flood(head(302, "Location: /next", length=10**12), b"x" * 9999), id="a terabyte"
        ),
        pytest.param(trickle(MOVED), id="slow"),
        pytest.param(raw(MOVED, b"half of", then="reset"), id="reset"),
        pytest.param(raw(head(302, "Location: /next", length=99), b"half of"), id="cut"),
        pytest.param(
            raw(
                head(302, "Location: /next", "Transfer-Encoding: chunked"),
                b"what?\r\n",
                then="hang",
            ),
            id="garbled",
        ),
        pytest.param(
            raw(response(b"x", "Location: /next", "Content-Encoding: zip", status=302)),
            id="in an unknown coding",
        ),
    ],
)
async def test_what_is_wrong_with_a_redirects_body_is_no_matter(play: Play) -> None:
    page = await fetch(_via(play), max_body=100_000, min_rate=0, timeout=8.0)
    assert page.body == b"there"


async def test_of_a_redirects_endless_body_little_is_read() -> None:
    endless = Flood(MOVED, b"x" * 50_000)
    assert (await fetch(_via(endless))).body == b"there"
    assert endless.sent < 20_000_000  # what the kernel buffers, and a little more


async def test_a_redirects_short_body_keeps_the_connection() -> None:
    moved = response("x" * 1000, "Location: /next", status=302)
    pages = site({"/": moved, "/next": "there"})
    async with Hostile(pages) as server, fetching() as fetcher:
        assert (await fetcher.fetch(Request(server.url + "/"))).body == b"there"
        assert server.connections == 1


async def test_a_redirect_without_a_location_has_a_body() -> None:
    page = await fetch(answer("choose yourself", status=300))
    assert (page.status, page.body) == (300, b"choose yourself")
    page = await fetch(answer("nowhere", status=302))
    assert (page.status, page.body) == (302, b"nowhere")
