"""What a host answers, or does not: fewer at once, a cool-down, a rest."""

import asyncio
import math
import time
from email.utils import formatdate

import pytest

from crawler.breaker import Breaker
from crawler.errors import FetchError
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.throttle import MAX_COOL_DOWN, HostGate, Throttle


def answer(status: int = 200, attempts: int = 0, **headers: str) -> Response:
    request = Request("http://a/")
    request.attempts = attempts
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response("http://a/", status=status, headers=named, request=request)


def rest_of(throttle: Throttle) -> float:
    """For how long the host is left alone from now on."""
    now = time.monotonic()
    return throttle.gate("a").opens_at(now) - now


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_pushes_back_is_asked_half_as_much_at_once(status: int) -> None:
    throttle = Throttle(Settings(concurrency_per_host=8))
    throttle.answered(throttle.gate("a"), 0.1, answer(status))
    assert throttle.gate("a").limit == 4


def test_a_host_that_does_not_answer_in_time_is_asked_half_as_much_at_once() -> None:
    throttle = Throttle(Settings(concurrency_per_host=8))
    throttle.failed(throttle.gate("a"), FetchError("timeout"), 0.1)
    assert throttle.gate("a").limit == 4


@pytest.mark.parametrize("reason", ["connection", "truncated", "too_large"])
def test_other_failures_change_nothing_about_how_much_is_asked(reason: str) -> None:
    throttle = Throttle(Settings(concurrency_per_host=8))
    throttle.failed(throttle.gate("a"), FetchError(reason), 0.1)
    assert throttle.gate("a").limit == 8


def test_what_is_not_adaptive_keeps_its_limit_and_cools_down_all_the_same() -> None:
    throttle = Throttle(Settings(concurrency_per_host=8, adaptive=False, backoff=10.0))
    throttle.answered(throttle.gate("a"), 0.1, answer(429))
    assert throttle.gate("a").limit == 8
    assert rest_of(throttle) > 4.9


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("120", 119.0, 120.0),
        ("1e999", 5.0, 10.0),  # no sense in it: the backoff alone
        ("soon", 5.0, 10.0),
        ("-30", 5.0, 10.0),
        ("99999999999999", MAX_COOL_DOWN - 1, MAX_COOL_DOWN),
        ("a date in 1000 s", 998.0, 1000.0),
        ("a date 1000 s ago", 5.0, 10.0),
    ],
)
@pytest.mark.parametrize("attempts", [0, 9])
def test_retry_after_cools_the_host_whether_or_not_there_is_another_try(
    asked: str, least: float, most: float, attempts: int
) -> None:
    throttle = Throttle(Settings(backoff=10.0))
    if asked.startswith("a date"):
        asked = formatdate(time.time() + (1000 if "in" in asked else -1000), usegmt=True)
    throttle.answered(throttle.gate("a"), 0.1, answer(503, attempts, Retry_After=asked))
    if not attempts:
        assert least - 1 < rest_of(throttle) <= most
    assert rest_of(throttle) > 4.0


def test_retry_after_means_nothing_on_an_answer_that_is_no_refusal() -> None:
    throttle = Throttle(Settings())
    throttle.answered(throttle.gate("a"), 0.1, answer(200, Retry_After="100"))
    assert rest_of(throttle) == 0.0


def test_a_flood_of_refusals_is_one_piece_of_news() -> None:
    throttle = Throttle(Settings(concurrency_per_host=8, backoff=10.0))
    for _ in range(8):
        throttle.answered(throttle.gate("a"), 5.0, answer(429))
    assert throttle.gate("a").limit == 4
    assert rest_of(throttle) <= 10.0


def test_a_cool_down_is_news_for_the_store() -> None:
    throttle = Throttle(Settings())
    throttle.answered(throttle.gate("a"), 0.1, answer(200))
    assert throttle.take_news() == {}
    throttle.answered(throttle.gate("a"), 0.1, answer(429))
    assert throttle.take_news() == {"a": throttle.gate("a")}
    assert throttle.take_news() == {}


def test_latency_is_a_moving_average() -> None:
    throttle = Throttle(Settings())
    door = throttle.gate("a")
    assert door.latency is None
    throttle.answered(door, 1.0)
    assert door.latency == 1.0
    throttle.answered(door, 2.0)
    assert 1.0 < door.latency < 1.5


async def test_what_our_own_event_loop_takes_is_not_held_against_the_host() -> None:
    throttle = Throttle(Settings(concurrency_per_host=8))
    measuring = asyncio.create_task(throttle.measure_lag())
    for _ in range(5):
        await asyncio.sleep(0.06)
        time.sleep(0.1)  # somebody computes
    measuring.cancel()
    await asyncio.wait([measuring])
    gate = throttle.gate("a")
    for _ in range(8):
        gate.enter()
    throttle.answered(gate, 0.05)
    for _ in range(24):
        throttle.answered(gate, 0.05)
    assert gate.pace.round is not None
    assert gate.pace.round.median < 0.05
    assert gate.latency == pytest.approx(0.05)  # as it is told to the user


# ── hosts that cannot be reached ────────────────────────────────────────────────────────────

NO_CONNECTION = [
    FetchError(reason, unreachable=True) for reason in ("connection", "dns", "tls", "timeout")
]


@pytest.mark.parametrize("error", NO_CONNECTION, ids=lambda error: error.reason)
def test_a_host_that_cannot_be_reached_so_often_rests(error: FetchError) -> None:
    throttle = Throttle(Settings(breaker=3))
    for _ in range(2):
        throttle.failed(throttle.gate("a"), error, 0.1)
    assert rest_of(throttle) == 0.0
    assert throttle.take_news() == {}
    throttle.failed(throttle.gate("a"), error, 0.1)
    assert 9.0 < rest_of(throttle) <= 10.0
    assert throttle.take_news() == {"a": throttle.gate("a")}


def test_a_host_that_answers_none_of_so_many_pages_rests() -> None:
    throttle, silence = Throttle(Settings(breaker=3)), FetchError("timeout", silent=True)
    for page in ("/a", "/b", "/a", "/a"):
        throttle.failed(throttle.gate("a"), silence, 0.1, page)
    assert rest_of(throttle) == 0.0
    throttle.failed(throttle.gate("a"), silence, 0.1, "/c")
    assert 9.0 < rest_of(throttle) <= 10.0


@pytest.mark.parametrize("reason", ["timeout", "truncated"])
def test_half_an_answer_is_a_sign_of_life(reason: str) -> None:
    throttle, silence = Throttle(Settings(breaker=3)), FetchError("timeout", silent=True)
    for page in ("/a", "/b", "/c", "/d"):
        throttle.failed(throttle.gate("a"), silence, 0.1, page)
        throttle.failed(throttle.gate("a"), FetchError(reason), 0.1, "/half")
    assert rest_of(throttle) == 0.0


@pytest.mark.parametrize(
    "reason", ["timeout", "truncated", "too_large", "bad_response", "connection"]
)
def test_a_host_that_was_reached_does_not_rest(reason: str) -> None:
    throttle = Throttle(Settings(breaker=3))
    for _ in range(10):
        throttle.failed(throttle.gate("a"), FetchError(reason), 0.1)
    assert rest_of(throttle) == 0.0


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_answer_in_between_begins_the_count_anew(status: int) -> None:
    throttle = Throttle(Settings(breaker=3))
    for _ in range(5):
        for _ in range(2):
            throttle.failed(throttle.gate("a"), NO_CONNECTION[0], 0.1)
        throttle.answered(throttle.gate("a"), 0.1, answer(status))
    assert rest_of(throttle) == 0.0


def test_after_a_rest_one_probe_is_let_in_when_all_others_are_out() -> None:
    door = HostGate("a", 4, breaker=Breaker(1, 1.0))
    door.enter()
    door.enter()
    door.breaker.failed(100.0)
    assert door.opens_at(105.0) == math.inf  # two are inside still
    door.leave()
    door.leave()
    assert door.opens_at(105.0) == 110.0
    door.enter()
    assert door.opens_at(111.0) == math.inf
    door.breaker.failed(112.0)
    door.leave()
    assert door.opens_at(113.0) == 132.0


def test_a_probe_that_answers_opens_the_gate_to_all() -> None:
    throttle = Throttle(Settings(breaker=1, concurrency_per_host=4))
    door = throttle.gate("a")
    door.breaker.failed(time.monotonic() - 100.0)
    door.enter()
    throttle.take_news()
    throttle.answered(door, 0.1, answer(404))
    assert rest_of(throttle) == 0.0  # though the probe is still inside
    assert throttle.take_news() == {"a": door}  # it rests no more


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    door = HostGate("a", 4, breaker=Breaker(1, 1.0))
    door.breaker.failed(100.0)
    door.enter()
    door.leave()  # the guard refused it, say
    assert door.opens_at(111.0) == 111.0


def test_a_probe_that_gets_no_whole_answer_has_failed() -> None:
    throttle = Throttle(Settings(breaker=1, backoff=0.0))
    door = throttle.gate("a")
    door.breaker.failed(time.monotonic() - 100.0)
    door.enter()
    throttle.failed(door, FetchError("timeout"), 0.1)
    assert door.breaker.rests == 2


def test_a_host_that_is_given_up_is_closed_for_good() -> None:
    door = HostGate("a", 4, breaker=Breaker(1, 1.0))
    for _ in range(4):
        door.breaker.failed(100.0)
        door.enter()
        door.breaker.failed(100.0)
        door.leave()
    assert door.breaker.given_up
    assert door.opens_at(1e9) == math.inf
