"""The wait before another try, and what a server asks for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.backoff import MAX_RETRY_AFTER, backoff_delay, parse_retry_after

NOW = 784111740.0  # Sun, 06 Nov 1994 08:49:00 GMT


# ── backoff ─────────────────────────────────────────────────────────────────────────────


def test_the_wait_doubles_and_half_of_it_is_random() -> None:
    least = [backoff_delay(attempt, base=1.0, random=lambda: 0.0) for attempt in range(1, 6)]
    most = [backoff_delay(attempt, base=1.0, random=lambda: 1.0) for attempt in range(1, 6)]
    assert least == [0.5, 1, 2, 4, 8]
    assert most == [1, 2, 4, 8, 16]


def test_retries_of_many_requests_do_not_come_at_once() -> None:
    assert len({backoff_delay(3, base=1.0) for _ in range(100)}) > 90


@given(st.integers(1, 10**6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_the_wait_is_never_over_the_maximum_nor_below_half_of_it(
    attempt: int, base: float, maximum: float, chance: float
) -> None:
    delay = backoff_delay(attempt, base=base, maximum=maximum, random=lambda: chance)
    assert 0 <= delay <= maximum
    assert delay >= min(base, maximum) / 2


def test_there_is_no_attempt_before_the_first() -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        backoff_delay(0, base=1.0)


# ── Retry-After ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("1.5", 1.5),
        ("-5", 0),
        ("999999", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37),
        ("Sun Nov  6 08:49:37 1994", 37),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 37),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", MAX_RETRY_AFTER),
        (None, None),
        ("", None),
        ("soon", None),
        ("12 apples", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be changed here")
def test_a_date_without_a_zone_is_utc_wherever_the_crawler_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        seconds = parse_retry_after("Sun Nov  6 08:49:37 1994", NOW)
    time.tzset()
    assert seconds == 37


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ (Nov|Feb) \d+ \d+:\d+:\d+ ([+-]\d+|GMT)"))
def test_any_retry_after_gives_a_bounded_wait_or_none(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
