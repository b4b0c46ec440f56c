"""What is true of places for large bodies, whoever comes, waits, urges and goes, and when."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import places as module
from crawler.places import Place, Places, Urge

RANKS = MEDIUM, LARGE = 1, 2
ROOM = {MEDIUM: 3, LARGE: 2}  # fewer than there are, so that few steps fill them

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["begin"] * 3
            + ["grow", "read", "late", "cancel", "end", "wait", "again", "again", "insist", "go"]
        ),
        st.integers(0, 7),  # which visit, of those that it can be
        st.sampled_from(["a", "b"]),
        st.sampled_from(RANKS),
        st.booleans(),  # whether all that comes of it happens before the next step
    ),
    max_size=40,
)


class Visit:
    """One visit: it takes a place, and perhaps a larger one, and its page may wait for a host."""

    def __init__(self, places: Places, host: str, rank: int) -> None:
        self.places, self.host = places, host
        self.place = Place()
        self.urge: Urge | None = None
        self.take(rank)

    def take(self, rank: int) -> None:
        self.rank = rank
        self.taking = asyncio.ensure_future(self.place.take(self.places, rank, self.host))

    @property
    def waits(self) -> bool:
        return not self.taking.done()

    def wait_for(self, host: str) -> None:
        self.urge = Urge(self.places, self.place, host)
        self.urge.__enter__()
        self.urge.again()

    def go(self) -> None:
        if self.urge is not None:
            self.urge.__exit__(None, None, None)
            self.urge = None

    def end(self) -> None:
        self.taking.cancel()
        self.go()
        self.place.is_read()
        self.place.give_back()


@contextmanager
def little_room() -> Iterator[Places]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MEDIUM_AT_ONCE", ROOM[MEDIUM])
        patch.setattr(module, "LARGE_AT_ONCE", ROOM[LARGE])
        yield Places()


async def settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def is_free(places: Places, rank: int, host: str) -> bool:
    """Whether a body that comes now has a place at once."""
    probe = Visit(places, host, rank)
    await settled()
    free = not probe.waits
    probe.end()
    await settled()
    return free


def step(visits: list[Visit], places: Places, what: str, which: int, host: str, rank: int) -> int:
    """Have one thing happen; return how many bodies it may let go on beyond what there is."""
    if what == "begin":
        visits.append(Visit(places, host, rank))
        return 0
    can = [
        visit
        for visit in visits
        if {
            "cancel": visit.waits,
            "end": True,
            "grow": not visit.waits and visit.rank < LARGE,
            "wait": not visit.waits and visit.urge is None,
            "read": not visit.waits,
            "late": visit.place in places.coming,
            "again": visit.urge is not None,
            "insist": visit.urge is not None,
            "go": visit.urge is not None,
        }[what]
    ]
    if not can:
        return 0
    visit = can[which % len(can)]
    match what:
        case "grow":
            visit.take(LARGE)
        case "wait":
            visit.wait_for(host)
            return 1
        case "again":
            assert visit.urge is not None
            visit.urge.again()
            return 1
        case "insist":
            assert visit.urge is not None
            visit.urge.insist()
            return 1
        case "read":
            visit.place.is_read()
        case "late":
            visit.place.since = float("-inf")
        case "go":
            visit.go()
        case _:
            visits.remove(visit)
            visit.end()
    return 0


async def run(steps: list[tuple[str, int, str, int, bool]], places: Places) -> None:
    visits: list[Visit] = []
    relieved = 0
    for what, which, host, rank, settles in steps:
        relieved += step(visits, places, what, which, host, rank)
        if not settles:
            continue
        await settled()
        assert places.waiting == sum(visit.waits for visit in visits)
        for rank in RANKS:
            have = sum(visit.rank == rank and not visit.waits for visit in visits)
            assert have <= ROOM[rank] + relieved
            for host in {visit.host for visit in visits if visit.waits and visit.rank == rank}:
                assert not await is_free(places, rank, host)
        for urge in (visit.urge for visit in visits if visit.urge is not None):
            assert urge.page is not None
            if urge.page.is_large and not urge.heard:
                assert not any(visit.waits and visit.host == urge.host for visit in visits)
    for visit in visits:
        visit.end()
    await settled()
    assert places.waiting == 0
    assert not places.coming
    for rank in RANKS:
        last = [Visit(places, f"{n}.example", rank) for n in range(ROOM[rank] + 1)]
        await settled()
        assert [visit.waits for visit in last] == [False] * ROOM[rank] + [True]
        for visit in last:
            visit.end()
        await settled()


@given(STEPS)
@settings(max_examples=500, deadline=None)
def test_a_place_is_never_lost_nor_given_twice_and_who_urges_is_heard(
    steps: list[tuple[str, int, str, int, bool]],
) -> None:
    with little_room() as places:
        asyncio.run(run(steps, places))
