"""A parse on trial: in a process of its own, which it may cost its life.

    python -P trial.py FILE     the process: FILE is a descriptor; for each text in it, one byte

Nothing can stop lexbor once it runs, and it can be made to take hours, or all the memory there is.
So a text that may be such is parsed in a child first, which the kernel ends when it has used up
its seconds or (on Linux) its memory. What the child survives, the same parser survives here.
"""

import atexit
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, SelectolaxError

# With which a page is parsed, on trial and in earnest: nobody listens to events.
OPTIONS = LexborDocumentOptions.WO_EVENTS
# The largest page of the JDK's manual, 6 MB with 207,000 tags, takes 67 MiB; 128 are for 700,000 of
# the shortest tags there are.
MEMORY = 128 << 20  # bytes, for each second
_HEADER = struct.Struct("!dQ")  # seconds of CPU, bytes of text
# A selector that looks at all that is above every element, and finds nothing: what a page with
# elements nested by the thousand makes of the spider's own.
_DEEP = "crawler-none *"
# How a child ends that took too much time, or whose parser broke.
_ITS_OWN_DOING = frozenset({signal.SIGPROF, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT})
_TRIES = 2
_PATIENCE = 60.0  # seconds more than it may take, for a machine that is busy


class Trial:
    """The child, started when first asked for. Any thread may ask; they take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def survives(self, text: bytes, seconds: float) -> bool:
        """Return whether parsing a text (UTF-8) takes no more than these seconds of CPU.

        It blocks for about as long.
        """
        with self._lock:
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
        """End the child, if there is one; the next question starts another."""
        with self._lock:
            self._end()

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
            [sys.executable, "-P", __file__, str(number)],
            pass_fds=(number,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def ask(self, text: bytes, seconds: float) -> bool | None:
        """Return the verdict, None when the child died, or stands still."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        os.pwrite(self._text.fileno(), text, 0)
        with suppress(BrokenPipeError):
            asked.write(_HEADER.pack(seconds, len(text)))
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
            self._process.stdin.close()  # nothing more can come
        return self._process.wait()


def _file_in_memory() -> IO[bytes]:
    if sys.platform == "linux":
        return open(os.memfd_create("trial"), "w+b", buffering=0)
    return TemporaryFile(buffering=0)


TRIAL = Trial()
atexit.register(TRIAL.end)


# ── in the child ────────────────────────────────────────────────────────────────────────────


def _serve(text_file: int, asked: IO[bytes], answers: IO[bytes]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    # Before the first text: what the C library keeps of a tree is there for the next one.
    before = _used() if sys.platform == "linux" else 0
    while header := asked.read(_HEADER.size):
        seconds, size = _HEADER.unpack(header)
        text = os.pread(text_file, size, 0)
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (before + size + int(MEMORY * seconds), most))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        verdict = _parses(text)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(b"y" if verdict else b"n")
        answers.flush()


def _parses(text: bytes) -> bool:
    try:
        tree = LexborHTMLParser(text, options=OPTIONS)
        tree.css(_DEEP)
    except (MemoryError, SelectolaxError):
        return False
    return True


def _used() -> int:
    """Return the bytes of address space that are in use; only Linux says it."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
