"""Whose turn it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.lanes import NEVER, Lane, Ranks, Rota
from crawler.throttle import HostGate
from storage.records import QueuedRequest


def lane(host: str, on_their_way: int = 0) -> Lane:
    made = Lane(HostGate(host, 8))
    made.held = set(range(on_their_way))
    return made


def taken(rota: Rota, now: float) -> list[str]:
    """The hosts whose turn it is, in order."""
    found = []
    while (one := rota.take(now)) is not None:
        found.append(one.gate.host)
    return found


def test_lanes_take_turns_in_the_order_of_their_times() -> None:
    rota = Rota()
    for host, when in (("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 9.0)):
        rota.arm(lane(host), when)
    assert rota.opens_at() == 1.0
    assert taken(rota, 5.0) == ["b", "c", "a"]
    assert rota.opens_at() == 9.0
    assert taken(rota, 9.0) == ["d"]
    assert rota.opens_at() == NEVER


def test_who_has_less_on_its_way_goes_first_however_long_another_waits() -> None:
    rota = Rota()
    rota.arm(lane("slow", 3), 1.0)
    rota.arm(lane("quick", 1), 2.0)
    rota.arm(lane("idle", 0), 3.0)
    assert taken(rota, 3.0) == ["idle", "quick", "slow"]


def test_a_lane_advances_when_something_of_it_has_arrived() -> None:
    rota, slow, quick = Rota(), lane("slow", 3), lane("quick", 2)
    for one in (slow, quick):
        rota.arm(one, 1.0)
    assert rota.take(0.5) is None
    rota._enlist(lane("other", 9))  # some are ready already
    slow.held.clear()
    rota.advance(slow)  # not ready yet: nothing to advance
    assert taken(rota, 1.0) == ["slow", "quick", "other"]


def test_a_lane_with_a_late_retry_is_noted_once_however_often_it_goes_meanwhile() -> None:
    rota, one = Rota(), lane("a")
    for moment in range(100):
        rota.arm(one, float(moment))
        assert taken(rota, float(moment)) == ["a"]
        rota.arm(one, 3600.0)
    assert len(rota._later) == 1
    assert taken(rota, 3599.0) == []
    assert taken(rota, 3600.0) == ["a"]
    rota.arm(one, 3600.0)
    assert taken(rota, 3600.0) == ["a"]


def test_a_lane_whose_robots_txt_was_just_made_ready_is_the_first_of_its_site() -> None:
    rota = Rota()
    lanes = [rota.join(HostGate(f"h{number}.evil.example", 8)) for number in range(3)]
    lanes[2].first_of_site = True
    for one in lanes:
        rota.arm(one, 1.0)
    assert taken(rota, 1.0) == ["h2.evil.example", "h0.evil.example", "h1.evil.example"]


def test_a_site_whose_page_brought_many_links_rests_while_others_have_work() -> None:
    rota = Rota()
    a, b = rota.join(HostGate("a.example", 8)), rota.join(HostGate("b.example", 8))
    rota.arm(a, 1.0)
    rota.charge(a, 101_000, 1.0)
    rota.arm(b, 1.0)
    assert taken(rota, 1.0) == ["b.example"]
    assert rota.opens_at() == 11.0
    assert taken(rota, 11.0) == ["a.example"]
    rota.charge(a, 1000, 11.0)  # so many are nothing
    rota.arm(a, 11.0)
    assert taken(rota, 11.0) == ["a.example"]
    rota.charge(a, 100_000_000, 11.0)
    rota.arm(a, 11.0)
    assert taken(rota, 70.0) == []
    assert taken(rota, 71.0) == ["a.example"]


def test_a_site_that_rests_goes_on_when_it_is_alone() -> None:
    rota = Rota()
    a, b = rota.join(HostGate("a.example", 8)), rota.join(HostGate("b.example", 8))
    rota.charge(a, 101_000, 1.0)
    rota.arm(a, 1.0)
    assert taken(rota, 1.0) == []
    rota.leave(b)
    assert rota.opens_at() < 1.0
    assert taken(rota, 1.0) == ["a.example"]


@pytest.mark.parametrize("now", [0.5, 5.0])
def test_who_has_left_has_no_turn_whether_ready_by_then_or_later(now: float) -> None:
    """A host that is given up leaves with requests, while it waits for its turn."""
    rota = Rota()
    first, left, last = [rota.join(HostGate(f"{host}.example", 8)) for host in "abc"]
    rota.arm(first, 0.0)
    rota.arm(left, 1.0)
    assert rota.take(now) is first
    rota.leave(left)
    rota.arm(last, 5.0)
    assert taken(rota, 5.0) == ["c.example"]


def test_sites_take_turns_however_many_hosts_they_have() -> None:
    rota = Rota()
    for host in ("h0.a.example", "h1.a.example", "h2.a.example", "b.example"):
        one = rota.join(HostGate(host, 8))
        rota.arm(one, 1.0)
    first = rota.take(1.0)
    assert first is not None
    first.held = {1}  # a request of it is handed out
    rota.arm(first, NEVER)
    assert taken(rota, 1.0)[0] == "b.example"


def test_the_only_host_is_next_whenever_its_time_has_come_until_another_has_work() -> None:
    rota = Rota(4)
    only = rota.join(HostGate("only.example", 8))
    for moment in (1.0, 2.0):
        rota.arm(only, moment)
        assert taken(rota, moment - 0.5) == []
        assert rota.opens_at() == moment
        assert taken(rota, moment) == ["only.example"]
    only.held = {1, 2, 3}
    rota.arm(only, 3.0)
    other = rota.join(HostGate("other.example", 8))
    rota.arm(other, 3.0)
    assert taken(rota, 3.0) == ["other.example"]  # the first one has its share
    only.held = {1}
    rota.advance(only)
    assert taken(rota, 3.0) == ["only.example"]


def test_hosts_whose_fetches_are_late_are_one_site_until_they_are_not() -> None:
    rota = Rota(4)  # of which they have three
    late = [rota.join(HostGate(f"{n}.late.example{n}", 8)) for n in range(6)]
    good = rota.join(HostGate("good.example", 8))
    for number, one in enumerate(late):
        one.gate.late = 2
        one.held = {number} if number < 3 else set()  # on its way
        rota.arm(one, 1.0)
    good.held = {6}
    rota.arm(good, 1.0)
    assert taken(rota, 1.0) == ["good.example"]
    late[5].gate.late = 0  # it has answered
    rota.arm(late[5], 1.0)
    assert taken(rota, 1.0) == ["5.late.example5"]
    late[0].held.clear()
    rota.advance(late[0])
    assert len(taken(rota, 1.0)) == 5


def row(url: str, attempts: int = 0) -> QueuedRequest:
    return QueuedRequest(1, 1, url, "a", "GET", None, None, None, 0, 0, attempts)


def test_of_a_silent_host_another_page_is_asked_for() -> None:
    one = lane("a")
    one.buffer.extend(map(row, "wxyz"))
    one.buffer.append(row("tried", 1))
    for silent, first in (("", "w"), ("z", "y"), ("wyz", "x"), ("wxyz", "tried")):
        one.ask_another(set(silent))
        assert one.buffer[0].url == first
    assert {row.url for row in one.buffer} == {*"wxyz", "tried"}
    one.ask_another({*"wxyz", "tried"})
    assert one.buffer[0].attempts == 0
    assert len(one.buffer) == 5


def test_an_earlier_time_counts_and_a_later_one_does_not() -> None:
    rota, one = Rota(), lane("a")
    rota.arm(one, 5.0)
    rota.arm(one, 2.0)
    rota.arm(one, 9.0)
    assert taken(rota, 2.0) == ["a"]
    assert taken(rota, 10.0) == []


@given(st.lists(st.tuples(st.sampled_from("atfh"), st.integers(0, 4), st.integers(0, 9))))
def test_it_is_always_a_ready_lane_with_the_fewest_on_their_way(
    steps: list[tuple[str, int, int]],
) -> None:
    """Against a model that looks at every lane."""
    rota, now = Rota(), 0.0
    lanes = [lane(str(number), 3) for number in range(5)]
    armed: dict[int, float] = {}
    for what, number, amount in steps:
        one = lanes[number]
        match what:
            case "a":  # arm
                rota.arm(one, now + amount)
                armed[number] = min(armed.get(number, NEVER), now + amount)
            case "h" if number not in armed:  # hand out: only of those that were taken
                one.held = set(range(amount))
            case "f" if one.held:  # something of it has arrived
                one.held.pop()
                rota.advance(one)
            case "t":
                now += amount / 3
                ready = [number for number, when in armed.items() if when <= now]
                chosen: Any = rota.take(now)
                if not ready:
                    assert chosen is None
                    continue
                assert int(chosen.gate.host) in ready
                assert chosen.handed == min(lanes[number].handed for number in ready)
                del armed[int(chosen.gate.host)]


@given(st.lists(st.tuples(st.sampled_from("alpr"), st.integers(0, 6))))
def test_the_first_of_the_lowest_rank_comes_first(steps: list[tuple[str, int]]) -> None:
    """Against a list that is sorted anew each time."""
    ranks: Ranks[object] = Ranks()
    model: list[tuple[int, object]] = []
    for what, rank in steps:
        match what:
            case "a" | "l":  # add as the last, or as the first
                thing = object()
                ranks.add(thing, rank, first=what == "l")
                model.insert(0 if what == "l" else len(model), (rank, thing))
                model.sort(key=lambda one: one[0])
            case "r" if model:
                there, thing = model.pop(rank % len(model))
                ranks.remove(thing, there)
            case "p" if model:
                assert ranks.least == model[0][0]
                assert ranks.pop() is model.pop(0)[1]
        assert len(ranks) == len(model)
