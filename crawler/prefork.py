"""The first child processes of a crawl, forked before it has an event loop.

To start one takes 0.2 s of imports, for which the crawl waits; a fork of a process that has them
already takes 2 ms. It is made before the spider is loaded: what its module opens belongs to one.
"""

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from crawler.child import serve
from crawler.children import WAITING, Ends, made


class _Forked:
    """A process as `subprocess.Popen` would have it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(os.WNOHANG)

    def wait(self) -> int:
        code = self._ended(0)
        assert code is not None
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _ended(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody has waited for every process there was
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


@contextmanager
def forked(count: int) -> Iterator[None]:
    """Have so many child processes wait for the crawl that is begun within.

    No more than there are cores; and only on Linux, in a process of one thread. Others are started
    when they are needed.
    """
    with _in_batches(), _waiting(count):
        yield


@contextmanager
def _in_batches() -> Iterator[None]:
    """Have this process, and those that it starts, interrupt nobody when they have more to do.

    A child that parses has a core's cache full of its page, and the owner has something to do ten
    times a page: to read a piece of one, to take a result, to hear of a commit. When it wakes it
    would take the child's place at once; so it waits until a turn is over, and does it together.
    """
    changed = False
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may not know it, and another C library than glibc
            if os.sched_getscheduler(0) == os.SCHED_OTHER:  # who has chosen another has a reason
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
                changed = True
    try:
        yield
    finally:
        if sys.platform == "linux" and changed:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def _waiting(count: int) -> Iterator[None]:
    try:
        if sys.platform == "linux" and threading.active_count() == 1:
            with suppress(OSError):  # no more may be made now: whoever needs one will see
                for _ in range(min(count, os.cpu_count() or 1)):
                    WAITING.append(made(_fork))
        yield
    finally:
        while WAITING:
            ready = WAITING.pop()
            ready.process.kill()
            ready.process.wait()
            ready.close()


def _fork(theirs: Ends, ours: Ends) -> _Forked:
    owner = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or the child would write it, too
    pid = os.fork()
    if pid == 0:
        # What is the owner's: a child sees the end of its owner when nobody has the other end.
        for end in ours:
            end.close()
        for ready in WAITING:
            ready.close()
        channel, logs = theirs
        _be_a_child(channel.detach(), logs.detach(), owner)
    return _Forked(pid)


def _be_a_child(channel: int, logs: int, owner: int) -> NoReturn:
    """End the process when it has been one: what is above in the stack is the owner's to end."""
    status = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the owner, which lets the pages in flight end
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        with suppress(EOFError):  # the crawl was never begun
            serve(channel, logs, owner)
        status = 0
    except BaseException:  # noqa: BLE001 (as of any process)
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
