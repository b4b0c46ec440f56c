"""When a host rests, for how long, and when it is given up."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.breaker import Breaker


def rested(breaker: Breaker, now: float) -> bool:
    """Let a probe in, and have it fail; whether that changed anything."""
    breaker.probing = True
    return breaker.failed(now)


def test_a_host_rests_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(3, 1.0)
    assert [breaker.failed(100.0) for _ in range(3)] == [False, False, True]
    assert breaker.open
    assert breaker.until == 110.0


def test_what_was_in_flight_when_it_opened_makes_the_rest_no_longer() -> None:
    breaker = Breaker(3, 1.0)
    assert [breaker.failed(100.0 + n) for n in range(8)].count(True) == 1
    assert breaker.until == 112.0


def test_a_page_that_is_not_answered_counts_once_and_a_probe_always() -> None:
    breaker = Breaker(2, 1.0)
    assert not any(breaker.failed(100.0, "/a") for _ in range(9))
    assert breaker.failed(100.0, "/b")
    breaker.probing = True
    assert breaker.failed(111.0, "/a")
    assert (breaker.rests, breaker.until) == (2, 131.0)


def test_an_answer_makes_pages_count_anew() -> None:
    breaker = Breaker(2, 1.0)
    breaker.failed(0.0, "/a")
    breaker.answered()
    assert [breaker.failed(0.0, page) for page in ("/a", "/b")] == [False, True]


def test_each_rest_is_twice_as_long_and_after_the_third_the_host_is_given_up() -> None:
    breaker = Breaker(1, 2.0)
    breaker.failed(0.0)
    rests = [breaker.until]
    for _ in range(2):
        assert rested(breaker, 1000.0)
        rests.append(breaker.until - 1000.0)
    assert rests == [20.0, 40.0, 80.0]
    assert not breaker.given_up
    assert rested(breaker, 1000.0)
    assert breaker.given_up
    assert not rested(breaker, 1000.0)


def test_an_answer_ends_the_rest_and_is_news_only_then() -> None:
    breaker = Breaker(2, 1.0)
    breaker.failed(0.0)
    assert not breaker.answered()
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.answered()
    assert (breaker.open, breaker.until, breaker.failures) == (False, 0.0, 0)


def test_zero_means_never() -> None:
    breaker = Breaker(0, 1.0)
    assert not any(breaker.failed(float(n)) for n in range(100))
    assert not breaker.open


@given(st.integers(1, 5), st.lists(st.sampled_from(["fail", "answer", "probe"]), max_size=60))
def test_it_is_never_open_without_as_many_failures_since_the_last_answer(
    threshold: int, events: list[str]
) -> None:
    breaker, failures = Breaker(threshold, 1.0), 0
    for event in events:
        if event == "answer":
            breaker.answered()
            failures = 0
        else:
            breaker.probing = event == "probe" and breaker.open
            breaker.failed(0.0)
            failures += 1
        assert breaker.open == (failures >= threshold)
        assert not breaker.given_up or failures >= threshold + 3
