"""A signal that comes while a file is written, say: what there is of it goes away first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """One of the signals came; `status` is the exit status for it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP unwind what is done, as Ctrl-C does: by `Interrupted`.

    By themselves they end the process at once, and half a file is left. Who is told to ignore one,
    as by nohup, goes on doing so.
    """
    received: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise Interrupted(number)

    before: dict[signal.Signals, Any] = {}
    for number in _SIGNALS if threading.current_thread() is threading.main_thread() else ():
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:  # SQLite, too, says no more than that there was one
        raise Interrupted(received[0] if received else signal.SIGINT) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
