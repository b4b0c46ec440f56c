"""The command `crawler`, and `python -m crawler`: the command line, and a quick end."""

import atexit
import fcntl
import gc
import io
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module

_STANDARD_ERROR = 2
_INTERRUPTED = 130
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def command() -> None:
    """Run the command line, and end the process with its status.

    Python's own end frees every object by itself, for up to 30 ms, though the memory goes back as a
    whole. So when all is done that is done at an end (threads have ended, `atexit` has called
    whom it was to call, the output is written), the process ends at once; unless a spider has left
    a file open, whose end may be more than to write it.
    """
    status: int | None = None
    inherited = _written_to()

    def leave() -> None:
        if status is not None and _flushed():
            if _written_to() <= inherited:
                os._exit(status)
            _write_the_rest()

    atexit.register(leave)  # before anything else is: the first one is called last
    try:
        status = import_module("crawler.cli").main()
    except KeyboardInterrupt:  # it came while that was imported
        status = _INTERRUPTED
    sys.exit(status)


# CPython keeps the frames of calls in pieces of 16 KiB, and where calls go back and forth over the
# end of one, the next is taken from the system and returned each time: 2,200 times while aiohttp
# was imported, a tenth of a start. For a frame that is larger than half of 256 KiB it makes a piece
# of that size, and all that is called from here has the rest of it.
_VALUES = 16_500  # of 8 bytes
command.__code__ = command.__code__.replace(co_stacksize=_VALUES)


def _flushed() -> bool:
    """Write out what the standard streams still have; where that fails, Python is to say so.

    Of standard error nobody could be told: it changes nothing.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: somebody has closed it
        return False
    return True


def _write_the_rest() -> None:
    """Write what buffers of files still have: when an object is freed late, nobody does."""
    gc.unfreeze()  # a run has put away what there was at its beginning
    for thing in gc.get_objects():
        if type(thing) in _BUFFERED:
            with suppress(OSError, ValueError):
                thing.flush()


def _written_to() -> set[int]:
    """Return the descriptors that somebody's buffer may still be written to: files, and pipes.

    Not the standard three; and no pipe that is read here, as the event loop keeps one for ever.
    """
    files: set[int] = set()
    pipes: dict[int, int] = {}  # by their numbers in the kernel, the ends that are written to
    read_here: set[int] = set()
    for number in _descriptors():
        try:
            kind = os.fstat(number)
            is_read = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        except OSError:
            continue  # it is none, or that of the list itself
        if stat.S_ISFIFO(kind.st_mode) and is_read:
            read_here.add(kind.st_ino)
        elif stat.S_ISFIFO(kind.st_mode):
            pipes[kind.st_ino] = number
        elif stat.S_ISREG(kind.st_mode) and not is_read:
            files.add(number)
    files.update(number for pipe, number in pipes.items() if pipe not in read_here)
    return {number for number in files if number > _STANDARD_ERROR}


def _descriptors() -> Iterable[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return range(os.sysconf("SC_OPEN_MAX"))  # no /proc is mounted


if __name__ == "__main__":
    command()
