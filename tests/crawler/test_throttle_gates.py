"""A host's gate: how many may be inside, when the next may enter, and what settings say of it."""

import math

import pytest

from crawler.settings import Settings
from crawler.throttle import MAX_COOL_DOWN, HostGate, Throttle


def gate(concurrency: int = 4, delay: float = 0.0) -> HostGate:
    return HostGate("a", concurrency, delay)


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
    door.leave(begun=False)
    assert door.opens_at(100.0) == 100.0


def test_a_contact_that_ends_does_not_open_the_gate_before_the_next_has_begun() -> None:
    door = gate(delay=5.0)
    door.enter()
    door.begin(100.0)
    door.enter()  # the next one, at 105
    door.leave()
    assert door.opens_at(106.0) == math.inf
    door.begin(107.0)
    assert door.opens_at(107.0) == 112.0


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


# ── forgetting ──────────────────────────────────────────────────────────────────────────────


def test_a_host_can_be_forgotten_unless_somebody_is_there() -> None:
    throttle = Throttle(Settings())
    before = throttle.gate("a")
    assert throttle.forget("a")
    assert throttle.gate("a") is not before
    throttle.gate("a").enter()
    assert not throttle.forget("a")
    throttle.gate("a").leave()
    throttle.gate("a").waiting = 1
    assert not throttle.forget("a")
    assert throttle.forget("never seen")


# ── all hosts ───────────────────────────────────────────────────────────────────────────────


def test_a_host_has_one_gate() -> None:
    throttle = Throttle(Settings())
    assert throttle.gate("a") is throttle.gate("a")
    assert throttle.gate("a") is not throttle.gate("a:8080")


def test_gates_are_made_from_the_settings() -> None:
    door = Throttle(Settings(concurrency_per_host=3, delay=0.5, robots=False, timeout=7)).gate("a")
    assert (door.ceiling, door.limit, door.delay, door.robots, door.timeout) == (
        3,
        3,
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
    throttle.answered(throttle.gate("quick"), 0.1)
    throttle.answered(throttle.gate("slow"), 2.0)
    assert throttle.slowest() is throttle.gate("slow")


def test_statistics_count_hosts_and_contacts() -> None:
    throttle = Throttle(Settings())
    throttle.gate("a").enter()
    throttle.gate("b").enter()
    throttle.gate("b").enter()
    assert throttle.statistics() == {"hosts": 2, "in_flight": 3}
