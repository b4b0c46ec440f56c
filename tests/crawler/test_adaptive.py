"""How many fetches at once are good for a host: servers are simulated, in no time at all."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.adaptive import Adaptive

# What a server makes of so many requests at once, at a time: the seconds that each takes.
Server = Callable[[int, float], float]


def steady(seconds: float) -> Server:
    """As many as you like."""
    return lambda inside, now: seconds


def degrading(seconds: float, capacity: int) -> Server:
    """Past its capacity it gets less done in all."""
    return lambda inside, now: seconds * max(1.0, inside / capacity) ** 2


def queueing(seconds: float, capacity: int) -> Server:
    """Past its capacity it gets as much done, and lets the rest wait."""
    return lambda inside, now: seconds * max(1.0, inside / capacity)


class Simulation:
    """A crawl of one host with requests without end: the time it took, and the limits it had."""

    def __init__(self, server: Server, ceiling: int, *, spread: float = 0.2, seed: int = 0) -> None:
        self.pace = Adaptive(ceiling)
        self.now = 0.0
        self.limits: list[int] = []
        self._server, self._spread = server, spread
        self._random = random.Random(seed)
        self._inside: list[list[float]] = []  # work left, when it began

    def run(self, pages: int, *, fixed: int | None = None) -> float:
        """Fetch so many pages; return how long that took."""
        began = self.now
        for _ in range(pages):
            self._fill(fixed or self.pace.limit)
            self.step()
        return self.now - began

    def _fill(self, limit: int) -> None:
        while len(self._inside) < limit:
            work = max(0.1, self._random.gauss(1.0, self._spread))
            self._inside.append([work, self.now])

    def step(self) -> None:
        """Let the next one be answered; all that are inside share what the server can do."""
        inside = len(self._inside)
        first = min(self._inside)
        work = first[0]
        self.now += work * self._server(inside, self.now)
        for request in self._inside:
            request[0] -= work
        self._inside.remove(first)
        self.pace.answered(self.now, self.now - first[1], inside)
        self.limits.append(self.pace.limit)


def usual(limits: list[int]) -> int:
    """The limit that held for most of the time."""
    return max(set(limits), key=limits.count)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("capacity", [3, 6, 11])
def test_on_a_server_that_degrades_it_is_nearly_as_good_as_the_best_limit(
    capacity: int, seed: int
) -> None:
    server = degrading(0.05, capacity)
    best = min(Simulation(server, 16, seed=seed).run(4000, fixed=n) for n in range(1, 17))
    assert best / Simulation(server, 16, seed=seed).run(4000) > 0.85


@pytest.mark.parametrize("seconds", [0.002, 0.05, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_copes_is_asked_as_much_as_is_allowed(seconds: float, seed: int) -> None:
    best = Simulation(steady(seconds), 16, seed=seed).run(4000, fixed=16)
    simulation = Simulation(steady(seconds), 16, seed=seed)
    assert best / simulation.run(4000) > 0.95
    assert usual(simulation.limits) == 16


def test_the_first_round_goes_by_at_the_ceiling() -> None:
    """A crawl of ten pages that take a second each takes one second."""
    simulation = Simulation(steady(1.0), 10, spread=0.0)
    simulation.run(10)
    assert set(simulation.limits) == {10}


def test_a_server_whose_queue_only_grows_is_spared_the_queue() -> None:
    simulation = Simulation(queueing(0.05, 4), 32)
    time = simulation.run(4000)
    assert simulation.limits[-1] <= 16
    assert Simulation(queueing(0.05, 4), 32).run(4000, fixed=32) / time > 0.9


def test_a_server_that_is_quick_all_the_same_is_left_in_peace() -> None:
    """On loopback latency grows with our own concurrency, for want of a processor."""
    simulation = Simulation(queueing(0.0005, 4), 64)
    simulation.run(20_000)
    assert simulation.limits[-1] >= 16  # 2 ms each


def test_a_server_that_becomes_slow_under_load_is_asked_less_and_more_again_later() -> None:
    def server(inside: int, now: float) -> float:
        capacity = 4 if 20 < now < 60 else 16
        return 0.05 * max(1.0, inside / capacity) ** 2

    simulation = Simulation(server, 16)
    while simulation.now < 19:
        simulation.run(1)
    assert usual(simulation.limits) == 16
    while simulation.now < 50:
        simulation.run(1)
    assert simulation.limits[-1] <= 6
    while simulation.now < 200:
        simulation.run(1)
    assert simulation.limits[-1] >= 10


def test_a_site_whose_pages_become_slow_by_themselves_is_asked_as_much_as_before() -> None:
    simulation = Simulation(lambda inside, now: 0.05 if now < 10 else 0.5, 16)
    while simulation.now < 100:
        simulation.run(1)
    assert simulation.limits[-1] == 16
    assert simulation.limits.count(16) > len(simulation.limits) * 0.8


def test_a_slow_page_now_and_then_changes_nothing() -> None:
    pace = Adaptive(8)
    now = 0.0
    for number in range(5000):
        now += 0.1 * (1.0 if pace.limit == 8 else 8 / pace.limit) / 8
        pace.answered(now, 10.0 if number % 20 == 0 else 0.1, pace.limit)
    assert pace.limit == 8


def test_a_limit_that_is_never_reached_is_left_as_it_is() -> None:
    """The rate tells nothing of the limit when something else bounds it."""
    pace = Adaptive(8)
    for number in range(2000):
        pace.answered(number * 0.1, 0.1 + number % 7, 3)
    assert pace.limit == 8


# ── refusals ────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_halves_the_limit() -> None:
    pace = Adaptive(8)
    pace.refused(100.0, 0.1)
    assert pace.limit == 4


def test_refusals_of_what_was_sent_before_are_no_news() -> None:
    pace = Adaptive(8)
    for moment in (100.0, 100.5, 104.0):
        pace.refused(moment, 5.0)  # all sent before 100
    assert pace.limit == 4
    pace.refused(106.0, 5.0)
    assert pace.limit == 2


def test_however_much_is_refused_one_is_asked() -> None:
    pace = Adaptive(8)
    for moment in range(100, 200):
        pace.refused(float(moment), 0.1)
    assert pace.limit == 1


def test_after_a_refusal_the_limit_grows_by_one_at_a_time_and_not_to_what_hurt() -> None:
    simulation = Simulation(steady(0.05), 16)
    simulation.run(500)
    assert simulation.pace.limit == 16
    simulation.pace.refused(simulation.now, 0.05)
    del simulation.limits[:]
    simulation.run(1500)
    assert simulation.limits[0] == 8
    steps = [b - a for a, b in pairwise(sorted(set(simulation.limits)))]
    assert set(steps) == {1}
    assert 13 <= max(simulation.limits) <= 15
    simulation.run(20_000)  # many rounds later it has another look
    assert simulation.pace.limit == 16


def test_a_burst_of_refusals_is_recovered_from_as_a_whole() -> None:
    """What went on hurting while the limit fell is not what the limit did."""
    simulation = Simulation(steady(0.05), 16)
    simulation.run(500)
    for second in range(5):
        simulation.now += second
        simulation.pace.refused(simulation.now, 0.05)
    assert simulation.pace.limit == 1
    simulation.run(2500)
    assert simulation.pace.limit >= 12


def test_a_refusal_after_things_went_well_again_is_new_trouble() -> None:
    simulation = Simulation(steady(0.05), 16)
    simulation.run(500)
    simulation.pace.refused(simulation.now, 0.05)
    while simulation.pace.limit < 11:
        simulation.run(1)
    simulation.pace.refused(simulation.now, 0.05)
    del simulation.limits[:]
    simulation.run(1000)
    assert max(simulation.limits) == 10


def test_what_was_sent_before_the_limit_fell_tells_nothing_of_it() -> None:
    pace = Adaptive(8)
    pace.refused(100.0, 0.1)
    for number in range(100):
        pace.answered(101.0 + number, 0.1, 8)
    assert pace.round is None


# ── whatever happens ────────────────────────────────────────────────────────────────────────

_EVENT = st.tuples(
    st.floats(0.0, 5.0),
    st.floats(0.0, 100.0),
    st.integers(1, 80),
    st.booleans(),
    st.integers(1, 60),
)


@given(st.integers(1, 64), st.lists(_EVENT, max_size=60))
def test_the_limit_stays_between_one_and_the_ceiling(
    ceiling: int, events: list[tuple[float, float, int, bool, int]]
) -> None:
    pace, now = Adaptive(ceiling), 1000.0
    for pause, latency, inside, refused, times in events:
        for _ in range(times):
            now += pause / times
            if refused:
                pace.refused(now, latency)
            else:
                pace.answered(now, latency, inside)
            assert 1 <= pace.limit <= ceiling


@given(st.integers(0, 2**32), st.sampled_from([0.001, 0.02, 0.5]), st.integers(1, 40))
def test_on_any_server_it_comes_to_rest(seed: int, seconds: float, capacity: int) -> None:
    """Trials become rare: what is found is kept for most of the time."""
    simulation = Simulation(degrading(seconds, capacity), 16, seed=seed)
    simulation.run(3000)
    del simulation.limits[:]
    simulation.run(1000)
    changes = sum(a != b for a, b in pairwise(simulation.limits))
    assert changes <= 20
