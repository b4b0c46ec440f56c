"""A parse on trial: in a process of its own (`trial_child.py`), which it may cost its life.

Nothing can stop lexbor once it runs, and it can be made to take hours, or all the memory there is.
So a text that may be such is parsed in a child first, which the kernel ends when it has used up
its seconds or (on Linux) its memory. What the child survives, the same parser survives here.
"""

import atexit
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

from crawler import trial_child
from crawler.trial_child import HEADER

# How a child ends that took too much time, or whose parser broke.
_ITS_OWN_DOING = frozenset({signal.SIGPROF, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT})
_TRIES = 2
# What one page took is there for the next; else glibc asks the kernel for all of it again.
_KEEPING = {"MALLOC_TRIM_THRESHOLD_": str(trial_child.MEMORY)}
_PATIENCE = 60.0  # seconds more than it may take, for a machine that is busy


class Trial:
    """The child, started when first asked for. Any thread may ask; they take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._is_over = False  # the child is to end

    def survives(self, text: bytes, seconds: float) -> bool:
        """Return whether parsing a text (UTF-8) takes no more than these seconds of CPU.

        It blocks for about as long.
        """
        try:
            with self._lock:
                return self._verdict(text, seconds)
        finally:
            self._let_go()

    def _verdict(self, text: bytes, seconds: float) -> bool:
        for _ in range(_TRIES):
            child = self._child = self._child or _Child()
            verdict = child.ask(text, seconds)
            if verdict is not None:
                return verdict
            if -self._end() in _ITS_OWN_DOING:
                return False
            # Somebody else has killed it: that is no verdict.
        return False

    def end(self) -> None:
        """End the child, if there is one; the next question starts another.

        One that is busy, for another crawl maybe, ends after its verdict: nobody waits for it.
        """
        self._is_over = True
        self._let_go()

    def _let_go(self) -> None:
        # Whoever has the lock looks after it has let go of it, too.
        if self._is_over and self._lock.acquire(blocking=False):
            try:
                self._is_over = False
                self._end()
            finally:
                self._lock.release()

    def forget(self) -> None:
        """Begin anew in a forked process: the child, and whoever has the lock, are not its own."""
        if self._child is not None:
            self._child.disown()
        self._lock, self._child, self._is_over = threading.Lock(), None, False

    def _end(self) -> int:
        child, self._child = self._child, None
        return child.end() if child else 0


class _Child:
    """The process, and the file in which texts are handed to it.

    A pipe takes 64 KB at a time, and for each the interpreter's lock is given up and asked for.
    """

    def __init__(self) -> None:
        self._text = _file_in_memory()
        number = self._text.fileno()
        # In a session of its own: what the terminal's keys end is us, and we end it.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-P", trial_child.__file__, str(number)],
            pass_fds=(number,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **_KEEPING},
        )
        self.pid = self._process.pid

    def ask(self, text: bytes, seconds: float) -> bool | None:
        """Return the verdict, None when the child died, or stands still."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        os.pwrite(self._text.fileno(), text, 0)
        with suppress(BrokenPipeError):
            asked.write(HEADER.pack(seconds, len(text)))
            asked.flush()
        ready = select.poll()
        ready.register(answers, select.POLLIN)
        if not ready.poll((seconds + _PATIENCE) * 1000):
            self._process.kill()
        answer = answers.read(1)
        return answer == b"y" if answer else None

    def end(self) -> int:
        """Have the child end, and return its exit status."""
        assert self._process.stdin is not None
        with self._text, suppress(BrokenPipeError), self._process:
            self._process.stdin.close()
            # A process that was forked here may hold the other end open.
            self._process.kill()
        return self._process.wait()

    def disown(self) -> None:
        """Leave it to the process that this one was forked from."""
        self._process.returncode = 0
        for end in (self._text, self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()


def _file_in_memory() -> IO[bytes]:
    if sys.platform == "linux":
        return open(os.memfd_create("trial"), "w+b", buffering=0)
    return TemporaryFile(buffering=0)


TRIAL = Trial()
atexit.register(TRIAL.end)
os.register_at_fork(after_in_child=TRIAL.forget)
