"""Places for large bodies, and pages whose callbacks wait for a host that bodies keep busy."""

import asyncio
import math
from collections.abc import Awaitable

import pytest

from crawler import places as module
from crawler.places import LARGE_AT_ONCE, MEDIUM_AT_ONCE, Place, Places, Urge, rank_of, share_of

MEDIUM, LARGE = 1, 2  # ranks
THERE_ARE = {MEDIUM: MEDIUM_AT_ONCE, LARGE: LARGE_AT_ONCE}
SHARE = {rank: share_of(number) for rank, number in THERE_ARE.items()}


async def soon(wait: Awaitable[None]) -> "asyncio.Task[None]":
    """Begin to wait for something, and see whether it takes a turn of the loop or more."""
    task = asyncio.ensure_future(wait)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def full(places: Places, rank: int) -> list[Place]:
    """The places of a rank that host `a` may have, each of a page of it; another has the rest."""
    pages = [Place() for _ in range(THERE_ARE[rank])]
    for number, page in enumerate(pages):
        await page.take(places, rank, "a" if number < SHARE[rank] else "rest")
    return pages[: SHARE[rank]]


def test_a_body_needs_a_place_when_it_is_larger_than_half_a_mebibyte_and_than_two() -> None:
    sizes = (0, module.MEDIUM, module.MEDIUM + 1, module.LARGE, module.LARGE + 1)
    assert (module.MEDIUM, module.LARGE) == (512 * 1024, 2 * 1024 * 1024)
    assert [rank_of(size) for size in sizes] == [0, 0, MEDIUM, MEDIUM, LARGE]


async def test_a_visit_that_has_a_place_waits_for_no_other() -> None:
    places = Places()
    page, *_ = await full(places, LARGE)
    for rank in (LARGE, MEDIUM):  # of a redirect's target, or of another attempt
        await asyncio.wait_for(page.take(places, rank, "a"), 10)
    waiting = await soon(Place().take(places, LARGE, "a"))
    assert not waiting.done()
    page.give_back()
    await waiting


async def test_a_body_that_went_on_with_no_place_gives_none_back() -> None:
    places = Places()
    page, *_ = await full(places, LARGE)
    with Urge(places, page, "a") as urge:
        bodies = [Place() for _ in range(2)]
        for body in bodies:
            taking = await soon(body.take(places, LARGE, "a"))
            urge.again()
            await taking
        late = await soon(Place().take(places, LARGE, "b"))
        bodies[1].give_back()
        await asyncio.sleep(0)
        assert not late.done()
        bodies[0].give_back()  # the page's own
        await late


@pytest.mark.parametrize("rank", [MEDIUM, LARGE])
async def test_who_comes_first_gets_the_next_place(rank: int) -> None:
    places = Places()
    pages = await full(places, rank)
    first, second = [await soon(Place().take(places, rank, "a")) for _ in range(2)]
    assert not first.done()
    pages[0].give_back()
    await first
    assert not second.done()
    pages[1].give_back()
    await second


async def test_the_time_that_a_body_waits_is_known() -> None:
    places, page = Places(), Place()
    pages = await full(places, LARGE)
    waiting = await soon(page.take(places, LARGE, "a"))
    assert page.waited == 0.0
    pages[0].give_back()
    await waiting
    assert page.waited > 0.0


async def test_a_body_that_is_given_up_as_its_turn_comes_passes_the_place_on() -> None:
    places = Places()
    pages = await full(places, LARGE)
    lost, also_lost, late = [await soon(Place().take(places, LARGE, "a")) for _ in range(3)]
    lost.cancel()
    pages[0].give_back()  # before it has left the queue
    also_lost.cancel()  # after its turn has come
    await asyncio.wait([lost, also_lost])
    await late
    pages[1].give_back()
    await Place().take(places, LARGE, "a")
    assert places.waiting == 0


@pytest.mark.parametrize("rank", [MEDIUM, LARGE])
async def test_a_page_that_urges_lets_one_body_of_that_host_go_on(rank: int) -> None:
    places = Places()
    page, *others = await full(places, rank)
    elsewhere = await soon(Place().take(places, rank, "b"))
    bodies = [await soon(Place().take(places, rank, "a")) for _ in range(3)]
    with Urge(places, page, "a") as urge:
        urge.again()
        await bodies[0]  # with the page's own place
        urge.again()
        await bodies[1]  # with none
        assert not bodies[2].done()
    page.give_back()  # it has none any more
    await asyncio.sleep(0)
    assert not elsewhere.done()
    others[0].give_back()
    await elsewhere


async def test_a_body_that_begins_to_wait_while_a_page_urges_goes_on_at_once() -> None:
    places = Places()
    page, *_ = await full(places, LARGE)
    with Urge(places, page, "a") as urge:
        urge.again()
        await Place().take(places, LARGE, "a")
        late = await soon(Place().take(places, LARGE, "a"))
        assert not late.done()  # one for each time that the host has no slot
        urge.again()
        await late
    assert not (await soon(Place().take(places, LARGE, "a"))).done()


async def test_a_page_that_is_not_large_or_is_through_urges_nobody() -> None:
    places = Places()
    page, *_ = await full(places, LARGE)
    page.give_back()
    await Place().take(places, LARGE, "a")
    waiting = await soon(Place().take(places, LARGE, "a"))
    for nobody in (None, Place(), page):
        with Urge(places, nobody, "a") as urge:
            urge.again()
            await asyncio.sleep(0)
            assert not waiting.done()
    waiting.cancel()


async def test_who_insists_has_a_body_go_on_when_none_is_coming() -> None:
    places = Places()
    pages = await full(places, LARGE)
    first, second = [await soon(Place().take(places, LARGE, "a")) for _ in range(2)]
    with Urge(places, None, "a") as urge:
        urge.insist()
        await asyncio.sleep(0)
        assert not first.done()  # there are those of the pages
        for page in pages:
            page.is_read()
        urge.insist()
        await first
        urge.insist()
        await asyncio.sleep(0)
        assert not second.done()  # it is the first that comes
    second.cancel()


async def test_a_body_that_waits_for_a_larger_place_keeps_nobody_from_insisting() -> None:
    places, grown = Places(), Place()
    for page in await full(places, LARGE):
        page.is_read()
    for place in list(places.coming):
        place.is_read()
    waiting = await soon(Place().take(places, LARGE, "a"))
    await grown.take(places, MEDIUM, "b")
    growing = await soon(grown.take(places, LARGE, "b"))
    with Urge(places, None, "a") as urge:
        urge.insist()
        await asyncio.wait_for(waiting, 10)
    assert not growing.done()
    growing.cancel()


async def test_who_insists_for_a_site_with_its_share_waits_for_no_other_sites_body() -> None:
    places = Places()
    pages = await full(places, LARGE)  # and there is one of another's
    waiting = await soon(Place().take(places, LARGE, "a"))
    for page in pages:
        page.is_read()
    assert places.coming
    with Urge(places, None, "a") as urge:
        urge.insist()
        await asyncio.wait_for(waiting, 10)


async def test_a_page_that_becomes_large_while_its_visit_waits_for_a_host_urges_at_once() -> None:
    places, page = Places(), Place()
    _, other = await full(places, LARGE)
    waiting = await soon(Place().take(places, LARGE, "a"))
    with Urge(places, page, "a") as urge:
        urge.again()
        await asyncio.sleep(0)
        assert not waiting.done()
        await page.take(places, MEDIUM, "b")
        await waiting
    other.give_back()


async def test_of_one_visit_only_one_body_waits() -> None:
    """Else one that waits for a lower place would have the higher, which others may wait for."""
    places, visit = Places(), Place()
    medium, large = await full(places, MEDIUM), await full(places, LARGE)
    first = await soon(visit.take(places, MEDIUM, "a"))
    await asyncio.wait_for(visit.take(places, LARGE, "a"), 1.0)
    assert not first.done()
    medium[0].give_back()
    await first
    later = await soon(visit.take(places, LARGE, "a"))
    assert not later.done()
    large[0].give_back()
    await later


# ── each has its share ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rank", [MEDIUM, LARGE])
async def test_a_site_that_has_its_share_holds_up_no_other_whatever_its_hosts(rank: int) -> None:
    places = Places()
    pages = [Place() for _ in range(SHARE[rank])]
    for number, page in enumerate(pages):
        await page.take(places, rank, f"h{number}.evil.example")
    waiting = await soon(Place().take(places, rank, "h.evil.example"))
    good = Place()
    await asyncio.wait_for(good.take(places, rank, "good.example"), 10)
    good.give_back()
    await asyncio.sleep(0)
    assert not waiting.done()  # it is not for those that have theirs
    pages[0].give_back()
    await waiting


@pytest.mark.parametrize("rank", [MEDIUM, LARGE])
async def test_slow_sites_together_have_the_share_of_one(rank: int) -> None:
    places = Places()
    pages = [Place() for _ in range(THERE_ARE[rank])]
    for number, page in enumerate(pages):
        await page.take(places, rank, f"evil{number}.example")
        page.since = -math.inf  # it has been coming since
    slow = await soon(Place().take(places, rank, "evil0.example"))
    good = await soon(Place().take(places, rank, "good.example"))
    pages.pop().give_back()
    await asyncio.wait_for(good, 10)
    while not slow.done():
        assert len(pages) >= SHARE[rank]
        pages.pop().give_back()
        await asyncio.sleep(0)
    assert len(pages) == SHARE[rank] - 1


async def test_a_slow_site_is_a_site_like_others_after_a_while() -> None:
    places = Places()
    pages = [Place() for _ in range(SHARE[LARGE])]
    for number, page in enumerate(pages):
        await page.take(places, LARGE, f"evil{number}.example")
        page.since = -math.inf
        page.is_read()
    waiting = await soon(Place().take(places, LARGE, "evil0.example"))
    assert not waiting.done()
    for site in places._slow:
        places._slow[site] = 0.0  # its time is over
    pages.pop().give_back()
    await asyncio.wait_for(waiting, 10)
    await asyncio.wait_for(Place().take(places, LARGE, "evil1.example"), 10)


async def test_not_more_sites_are_known_to_be_slow_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_SLOW", 3)
    places = Places()
    for number in range(5):
        page = Place()
        await page.take(places, MEDIUM, f"evil{number}.example")
        page.since = -math.inf
        page.is_read()
        page.give_back()
    assert list(places._slow) == [f"evil{number}.example" for number in (2, 3, 4)]
