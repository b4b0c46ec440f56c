"""How far a run is: counts, and the rate over the last seconds."""

import pytest

from crawler import progress
from crawler.progress import Progress
from storage.records import Committed, Timings, Totals, Visit


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def commit(run: Progress, pages: int) -> None:
    done = [Visit(n, "a", "done", timings=Timings(elapsed=1e-3)) for n in range(pages)]
    run.committed(done, Committed())


def test_the_rate_is_of_the_last_seconds(clock: Clock) -> None:
    run = Progress(Totals(queued=1000))
    for _ in range(100):
        clock.now += 1.0
        commit(run, 2)
    assert run.rate == pytest.approx(2.0, rel=0.2)
    for _ in range(20):
        clock.now += 1.0
        commit(run, 5)
    assert run.rate == pytest.approx(5.0, rel=0.2)


def test_a_long_run_that_nobody_watches_keeps_no_more_than_a_window(clock: Clock) -> None:
    run = Progress(Totals(queued=100_000))
    for _ in range(10_000):
        clock.now += 0.1
        commit(run, 1)
    assert len(run._recent) < 200
    assert run.pages == 10_000
