"""How long to wait before another try: by our own count of tries, and by what a server asks."""

import random as _random
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3600.0  # seconds; no server may park a crawl for longer
_SECONDS = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def backoff_delay(
    attempt: int,
    *,
    base: float,
    maximum: float = 300.0,
    random: Callable[[], float] = _random.random,
) -> float:
    """Return the seconds to wait after the failed try number `attempt`, which counts from 1.

    Exponential with equal jitter: half of `base * 2 ** (attempt - 1)`, capped at `maximum`,
    and up to as much again at random. Full jitter spreads retries more widely, but may ask a
    host that just failed again at once; half the wait is the least a crawler owes it.
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, and is {attempt}")
    half = min(maximum, base * 2.0 ** min(attempt - 1, 64)) / 2  # more would overflow a float
    return half + half * random()


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` asks to wait, from 0 to `MAX_RETRY_AFTER`.

    Seconds or a date, by RFC 9110 section 10.2.3; `now` is in seconds since the epoch. None
    when there is no such header, or no sense in it.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        delay = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
            # A date without a zone is not local time: all HTTP dates are UTC (section 5.6.7).
            delay = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(delay, 0.0), MAX_RETRY_AFTER)
