"""Killing a crawl that runs in a process of its own, and the child processes that it has."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

# A crawl that takes longer than this (seconds) hangs; children that outlive it so long are left.
_PATIENCE = 120.0
_ORPHANS_END = 10.0
# Signals by which somebody ends the proof.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_held_back() -> Iterator[None]:
    """While entered, nobody ends this process but where it waits for a crawl.

    Elsewhere there are files to be taken away; and in a fork Python would pass over a signal.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def signals_as_usual() -> None:
    """Have signals end this process, a fork of one that holds them back."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


class Killing:
    """Waits for a crawl, the process `pid`, and kills it and its children at the given moments.

    Moments are seconds from now on; None kills the crawl never, or says that it has no children.
    `children_killed` counts.
    """

    def __init__(self, pid: int, moment: float | None, of_children: Sequence[float] | None) -> None:
        self.children_killed = 0
        self._pid = pid
        self._moment = moment
        self._has_children = of_children is not None
        self._of_children = sorted(of_children or (), reverse=True)
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
            self._pause()
        if self._has_children:
            _await_end_of_children(self._pid)
        return status

    def _pause(self) -> None:
        """Wait for a moment, in which a signal may end all this: the crawl, too."""
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            time.sleep(0.001)
        except BaseException:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _kill_child(self) -> None:
        if children := children_of(self._pid):
            with suppress(ProcessLookupError):
                os.kill(random.choice(children), signal.SIGKILL)  # noqa: S311
                self.children_killed += 1


class Process(NamedTuple):
    """A process of this machine."""

    pid: int
    name: str
    parent: int
    is_zombie: bool  # it has ended, and its parent does not know yet
    arguments: list[str]


def children_of(parent: int) -> list[int]:
    """Return the child processes of a crawl, also when that has ended."""
    return [one.pid for one in processes() if not one.is_zombie and _is_child(one, parent)]


def _is_child(process: Process, parent: int) -> bool:
    if process.name == f"child-{parent}":
        return True
    # Before it has that name: the last thing that it is told is whose it is.
    code = "crawler.child" in " ".join(process.arguments)
    return code and process.arguments[-1] == str(parent)


def processes() -> Iterator[Process]:
    """Yield every process of this machine."""
    return _by_proc() if sys.platform == "linux" else _by_ps()


def _by_proc() -> Iterator[Process]:
    # A container need not have `ps`.
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(errors="replace")
            arguments = (folder / "cmdline").read_text(errors="replace")
        except OSError:
            continue  # it has ended
        # Its name is in parentheses, and may have some of its own.
        before, _, after = stat.rpartition(")")
        state, parent, *_ = after.split()
        name, told = before.partition("(")[2], arguments.split("\0")[:-1]
        yield Process(int(folder.name), name, int(parent), state == "Z", told)


def _by_ps() -> Iterator[Process]:
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:  # noqa: S603
        out, _ = ps.communicate()
    for line in out.splitlines():
        pid, parent, state, arguments = line.split(None, 3)
        if int(pid) != ps.pid:
            yield Process(int(pid), "", int(parent), state.startswith("Z"), arguments.split())


def _await_end_of_children(parent: int) -> None:
    deadline = time.monotonic() + _ORPHANS_END
    while pids := children_of(parent):
        if time.monotonic() > deadline:
            raise RuntimeError(f"child processes outlived their crawl: {pids}")
        time.sleep(0.01)
