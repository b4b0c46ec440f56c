"""The process in which a page is parsed on trial (`trial.py`).

    python -P trial_child.py FILE   FILE is a descriptor; for each text in it, there is one byte

It imports nothing but what it needs, for a crawl waits for its start.
"""

import os
import resource
import signal
import struct
import sys

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, SelectolaxError

# With which a page is parsed, on trial and in earnest: nobody listens to events.
OPTIONS = LexborDocumentOptions.WO_EVENTS
# The largest page of the JDK's manual, 6 MB with 207,000 tags, takes 67 MiB; 128 are for 700,000 of
# the shortest tags there are.
MEMORY = 128 << 20  # bytes, for each second
HEADER = struct.Struct("!dQ")  # of a question: seconds of CPU, bytes of text
# A selector that looks at all that is above every element, and finds nothing: what a page with
# elements nested by the thousand makes of the spider's own. For a name that is in no standard
# lexbor takes five times as long as for this one, which has nothing within it.
_DEEP, _DEEPER = "basefont *", 5


def serve(text_file: int, asked: int, answers: int) -> None:
    """Answer for each text whether it could be parsed, until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    # Before the first text: what the C library keeps of a tree is there for the next one.
    before = _used() if sys.platform == "linux" else 0
    while header := os.read(asked, HEADER.size):
        seconds, size = HEADER.unpack(header)
        text = os.pread(text_file, size, 0)
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (before + size + int(MEMORY * seconds), most))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        verdict = _parses(text)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(answers, b"y" if verdict else b"n")


def _parses(text: bytes) -> bool:
    try:
        tree = LexborHTMLParser(text, options=OPTIONS)
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_PROF, max(left / _DEEPER, 0.001))
        tree.css(_DEEP)
    except (MemoryError, SelectolaxError):
        return False
    return True


def _used() -> int:
    """Return the bytes of address space that are in use; only Linux says it."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.stdin.fileno(), sys.stdout.fileno())
    os._exit(0)  # at once: Python's own end takes 3 ms
