"""The command `crawler`, and `python -m crawler`: the command line, and a quick end."""

import atexit
import os
import sys
from importlib import import_module


def command() -> None:
    """Run the command line, and end the process with its status.

    Python's own end frees every object by itself, for up to 30 ms, though the memory goes back as a
    whole. So when all is done that is done at an end (threads have ended, `atexit` has called
    whom it was to call, the output is written), the process ends at once.
    """
    status: int | None = None

    def leave() -> None:
        if status is not None and _written():
            os._exit(status)

    atexit.register(leave)  # before anything else is: the first one is called last
    status = import_module("crawler.cli").main()
    sys.exit(status)


def _written() -> bool:
    """Write out what the standard streams still have; where that fails, Python is to say so."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):  # ValueError: somebody has closed it
        return False
    return True


if __name__ == "__main__":
    command()
