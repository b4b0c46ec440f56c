"""The event loop: which one it is, and who notices when something blocks it."""

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from crawler.logs import get_logger

# None means asyncio's own.
_LOOP: Callable[[], asyncio.AbstractEventLoop] | None = None
with suppress(ImportError):  # there is none for Windows, nor for PyPy
    import uvloop

    _LOOP = uvloop.new_event_loop

log = get_logger("crawler.watchdog")

T = TypeVar("T")

# An event loop that stands still for so long (seconds) is worth a line in the log.
PATIENCE = 5.0

_OWN = (str(Path(__file__).parent), str(Path(threading.__file__).parent))


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` gives, run on uvloop where there is one."""
    with asyncio.Runner(loop_factory=_LOOP) as runner:
        return runner.run(work)


class Watchdog:
    """While entered, logs a warning when the loop stands still for `patience` seconds.

    A callback that computes or sleeps without `await` stops every fetch of the crawl. It cannot
    be interrupted from outside, but its author can be told where it is.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._patience = PATIENCE if patience is None else patience
        self._beats = 0
        self._stopped = threading.Event()
        self._beating: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        self._beat()
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True
        )
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        if self._beating is not None:
            self._beating.cancel()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        self._beats += 1
        self._beating = asyncio.get_running_loop().call_later(self._patience / 4, self._beat)

    def _watch(self, loop_thread: int) -> None:
        told = seen = -1
        while not self._stopped.wait(self._patience):
            if self._beats == seen != told:
                told = seen  # one line for each time it stands still
                log.warning(
                    "event_loop_blocked",
                    seconds=self._patience,
                    at=_place(sys._current_frames().get(loop_thread)),
                )
            seen = self._beats


def _place(frame: FrameType | None) -> str:
    """Return `file:line in function` of the user's code that is running, as near as can be."""
    stack = traceback.extract_stack(frame) if frame is not None else []
    users = [entry for entry in stack if not entry.filename.startswith((*_OWN, "<frozen"))]
    for entry in reversed(users or stack):
        if "site-packages" not in entry.filename:
            return f"{entry.filename}:{entry.lineno} in {entry.name}"
    return "unknown"
