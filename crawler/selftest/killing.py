"""Killing a crawl that runs in a process of its own, and the child processes that it has."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

# A crawl that takes longer than this (seconds) hangs; children that outlive it so long are left.
_PATIENCE = 120.0
_ORPHANS_END = 10.0


class Killing:
    """Waits for a crawl, the process `pid`, and kills it and its children at the given moments.

    Moments are seconds from now on; None kills the crawl never. `children_killed` counts.
    """

    def __init__(self, pid: int, moment: float | None, of_children: Sequence[float]) -> None:
        self.children_killed = 0
        self._pid = pid
        self._moment = moment
        self._of_children = sorted(of_children, reverse=True)
        self._started = time.monotonic()

    def await_exit(self) -> int:
        """Return the wait status of the crawl, with none of its children left.

        Raises `RuntimeError` when it hangs, or they do.
        """
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                break
            age = time.monotonic() - self._started
            if age > _PATIENCE:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                raise RuntimeError(f"a crawl did not end within {_PATIENCE:g} s")
            if self._of_children and age > self._of_children[-1]:
                self._of_children.pop()
                self._kill_child()
            if self._moment is not None and age > self._moment:
                self._moment = None
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.001)
        _await_end_of_children(self._pid)
        return status

    def _kill_child(self) -> None:
        if children := children_of(self._pid):
            with suppress(ProcessLookupError):
                os.kill(random.choice(children), signal.SIGKILL)  # noqa: S311
                self.children_killed += 1


def children_of(parent: int) -> list[int]:
    """Return the child processes of a crawl, also when that has ended."""
    command = ["ps", "-A", "-ww", "-o", "pid=,stat=,args="]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = []
    for line in out.splitlines():
        pid, state, arguments = line.split(None, 2)
        # The last thing that a child is told is whose it is.
        its = "crawler.child" in arguments and arguments.split()[-1] == str(parent)
        if its and not state.startswith("Z"):
            found.append(int(pid))
    return found


def _await_end_of_children(parent: int) -> None:
    deadline = time.monotonic() + _ORPHANS_END
    while pids := children_of(parent):
        if time.monotonic() > deadline:
            raise RuntimeError(f"child processes outlived their crawl: {pids}")
        time.sleep(0.01)
