"""Deadlines that nearly nobody misses: `asyncio.timeout` at a tenth of its price.

That makes a timer for each, and takes it back. Fetches are many, and over long before: here all
of a loop's share one timer, which looks at them when the first of them may be over.
"""

import asyncio
from types import TracebackType
from typing import Self

# The loop has stood still when its timer is so late (seconds): a callback computes, or the process
# is suspended. That is no fault of the servers', whose answers may be there, unread.
_LATE = 1.0


class Deadlines:
    """Makes deadlines, and wakes those who miss theirs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.Handle | None = None
        self._rings = 0.0  # when; of what is due at once, uvloop's handle does not say it

    def within(self, seconds: float) -> "Deadline":
        """Return a deadline for the block of a `with`, from its beginning."""
        return Deadline(self, seconds)

    def close(self) -> None:
        """Give the timer back; no deadline is to be running."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self, deadline: "Deadline") -> None:
        self._running[deadline] = None
        if self._timer is None or self._rings > deadline.at:
            self._set(deadline.at)

    def _forget(self, deadline: "Deadline") -> None:
        self._running.pop(deadline, None)

    def _set(self, when: float) -> None:
        self.close()
        self._timer, self._rings = self._loop.call_at(when, self._look), when

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if (late := now - self._rings) >= _LATE:
            for deadline in self._running:
                deadline.at += late + _LATE  # and a while to read what has come
        for deadline in [one for one in self._running if one.at <= now]:
            del self._running[deadline]
            deadline._miss()
        if self._running:
            self._set(min(one.at for one in self._running))


class Deadline:
    """A block that may take so many seconds; raises `TimeoutError` where it takes longer.

    As with `asyncio.timeout`, whoever is late is cancelled, and what comes out of the block is
    the `TimeoutError`; a cancellation by somebody else stays one.
    """

    __slots__ = ("_before", "_deadlines", "_is_missed", "_seconds", "_task", "at")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._is_missed = False
        self.at = 0.0  # by the clock of the loop

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._deadlines._loop)  # else it asks for the process, too
        if task is None:
            raise RuntimeError("a deadline is for a task")
        self._task = task
        self._before = task.cancelling()
        self.resume(self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines._forget(self)
        if self._is_missed and self._task.uncancel() <= self._before and _is_cancelled(kind):
            raise TimeoutError from error

    def pause(self) -> float:
        """Let the clock stand still; return the seconds that are left."""
        self._deadlines._forget(self)
        return self.at - self._deadlines._loop.time()

    def resume(self, seconds: float) -> None:
        """Let it go on, with so many seconds left."""
        self.at = self._deadlines._loop.time() + seconds
        if not self._is_missed:
            self._deadlines._watch(self)

    def _miss(self) -> None:
        self._is_missed = True
        self._task.cancel()


def _is_cancelled(kind: type[BaseException] | None) -> bool:
    return kind is not None and issubclass(kind, asyncio.CancelledError)
