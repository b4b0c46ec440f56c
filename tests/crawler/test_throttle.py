"""One host's door: how many may be inside, and when the next may enter."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.settings import Settings
from crawler.throttle import MAX_COOL_DOWN, HostGate, Throttle


def gate(concurrency: int = 4, delay: float = 0.0) -> HostGate:
    return HostGate("a", concurrency, float(concurrency), delay)


# ── concurrency ─────────────────────────────────────────────────────────────────────────────


def test_a_gate_is_open_until_as_many_are_inside_as_it_admits() -> None:
    door = gate(concurrency=2)
    assert door.opens_at(100.0) == 100.0
    door.enter()
    assert door.opens_at(100.0) == 100.0
    door.enter()
    assert door.opens_at(100.0) == math.inf
    door.leave()
    assert door.opens_at(100.0) == 100.0


# ── delay ───────────────────────────────────────────────────────────────────────────────────


def test_the_delay_counts_from_when_a_contact_begins_not_from_when_it_was_granted() -> None:
    door = gate(delay=5.0)
    door.enter()
    assert door.opens_at(100.0) == math.inf  # granted, and waiting for a worker
    door.begin(103.0)
    assert door.opens_at(104.0) == 108.0
    assert door.opens_at(109.0) == 109.0


def test_a_granted_contact_that_is_given_up_does_not_close_the_gate_for_good() -> None:
    door = gate(delay=5.0)
    door.enter()
    door.leave()
    assert door.opens_at(100.0) == 100.0


def test_without_a_delay_contacts_may_be_made_at_once() -> None:
    door = gate()
    door.enter()
    door.begin(100.0)
    assert door.opens_at(100.0) == 100.0


def test_slowing_down_counts_from_the_last_contact() -> None:
    door = gate(delay=1.0)
    door.enter()
    door.begin(100.0)
    door.slow_down(10.0)
    assert door.opens_at(101.0) == 110.0


def test_slowing_down_counts_from_a_contact_that_had_no_delay() -> None:
    """So it is with the Crawl-delay that a host's robots.txt has just asked for."""
    door = gate()
    door.enter()
    door.begin(100.0)
    door.leave()
    door.slow_down(10.0)
    assert door.opens_at(101.0) == 110.0


def test_nobody_is_made_faster_by_asking_to_slow_down() -> None:
    door = gate(delay=10.0)
    door.slow_down(1.0)
    assert door.delay == 10.0
    door.slow_down(0.0)
    assert door.delay == 10.0


# ── cool-down ───────────────────────────────────────────────────────────────────────────────


def test_a_host_that_cools_down_is_left_alone_for_that_long() -> None:
    door = gate()
    door.cool_down(30.0, 100.0)
    assert door.opens_at(101.0) == 130.0
    assert door.opens_at(131.0) == 131.0


def test_a_shorter_cool_down_does_not_end_a_longer_one() -> None:
    door = gate()
    door.cool_down(30.0, 100.0)
    door.cool_down(5.0, 101.0)
    assert door.opens_at(102.0) == 130.0


@pytest.mark.parametrize(
    ("asked", "given_"), [(1e9, MAX_COOL_DOWN), (math.inf, MAX_COOL_DOWN), (-5.0, 0.0)]
)
def test_a_cool_down_is_clamped(asked: float, given_: float) -> None:
    door = gate()
    door.cool_down(asked, 100.0)
    assert door.opens_at(100.0) == 100.0 + given_


def test_a_contact_in_a_cool_down_does_not_shorten_it() -> None:
    door = gate(delay=1.0)
    door.cool_down(30.0, 100.0)
    door.begin(101.0)
    assert door.opens_at(102.0) == 130.0


# ── adaptation ──────────────────────────────────────────────────────────────────────────────


def test_being_pushed_back_halves_what_is_asked_of_the_host() -> None:
    door = gate(concurrency=8)
    door.push_back(100.0)
    assert door.limit == 4.0


def test_a_burst_of_refusals_counts_once() -> None:
    door = gate(concurrency=8)
    for moment in (100.0, 100.1, 100.9):
        door.push_back(moment)
    assert door.limit == 4.0
    door.push_back(101.1)
    assert door.limit == 2.0


def test_a_host_is_never_shut_out_for_good() -> None:
    door = gate(concurrency=8)
    for moment in range(100, 200, 2):
        door.push_back(float(moment))
    assert door.limit == 1.0
    assert door.opens_at(300.0) == 300.0


def test_success_raises_the_limit_by_about_one_a_round_up_to_the_ceiling() -> None:
    door = gate(concurrency=8)
    for moment in (100.0, 102.0, 104.0):
        door.push_back(moment)
    assert door.limit == 1.0
    door.praise(0.1)
    assert door.limit == 2.0
    for _ in range(2):
        door.praise(0.1)
    assert 2.8 < door.limit <= 3.0
    for _ in range(200):
        door.praise(0.1)
    assert door.limit == 8


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 64))
def test_the_limit_stays_between_one_and_the_ceiling(news: list[bool], ceiling: int) -> None:
    door = gate(concurrency=ceiling)
    for moment, good in enumerate(news):
        if good:
            door.praise(0.1)
        else:
            door.push_back(moment * 2.0)
        assert 1.0 <= door.limit <= ceiling


def test_latency_is_a_moving_average() -> None:
    door = gate()
    assert door.latency is None
    door.praise(1.0)
    assert door.latency == 1.0
    door.praise(2.0)
    assert 1.0 < door.latency < 1.5


# ── all hosts ───────────────────────────────────────────────────────────────────────────────


def test_a_host_has_one_gate() -> None:
    throttle = Throttle(Settings())
    assert throttle.gate("a") is throttle.gate("a")
    assert throttle.gate("a") is not throttle.gate("a:8080")


def test_gates_are_made_from_the_settings() -> None:
    door = Throttle(Settings(concurrency_per_host=3, delay=0.5, robots=False, timeout=7)).gate("a")
    assert (door.ceiling, door.limit, door.delay, door.robots, door.timeout) == (
        3,
        3.0,
        0.5,
        False,
        7.0,
    )


def test_a_host_table_overrides_what_it_names_and_nothing_else() -> None:
    settings = Settings(
        delay=0.5,
        host=[{"match": "*.slow.example", "concurrency": 1, "headers": {"X-Key": "1"}}],
    )
    throttle = Throttle(settings)
    slow, other = throttle.gate("www.slow.example:8080"), throttle.gate("slow.example")
    assert (slow.ceiling, slow.delay, slow.headers) == (1, 0.5, {"X-Key": "1"})
    assert (other.ceiling, other.delay, other.headers) == (8, 0.5, {})


def test_a_host_table_may_set_what_is_false_or_zero() -> None:
    settings = Settings(delay=2.0, host=[{"match": "a", "delay": 0, "robots": False}])
    door = Throttle(settings).gate("a")
    assert (door.delay, door.robots) == (0.0, False)


def test_the_slowest_host_is_the_one_with_the_highest_latency() -> None:
    throttle = Throttle(Settings())
    assert throttle.slowest() is None
    throttle.gate("idle")
    throttle.gate("quick").praise(0.1)
    throttle.gate("slow").praise(2.0)
    assert throttle.slowest() is throttle.gate("slow")


def test_statistics_count_hosts_and_contacts() -> None:
    throttle = Throttle(Settings())
    throttle.gate("a").enter()
    throttle.gate("b").enter()
    throttle.gate("b").enter()
    assert throttle.statistics() == {"hosts": 2, "in_flight": 3}
