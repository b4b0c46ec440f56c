"""How a process of ours keeps its memory, and how seldom it looks for what is not needed."""

import ctypes
import gc
import sys
from typing import Any

# glibc's mallopt(3): how much that is free at the end of a heap is kept (bytes), from which size on
# something has a mapping of its own, which is never kept, and in how many heaps threads allocate.
_TRIM_THRESHOLD, _KEPT = -1, 64 << 20
_MMAP_THRESHOLD, _MAPPED = -3, 32 << 20
_ARENA_MAX, _HEAPS = -8, 2


_COLLECT_AFTER = 50_000  # objects more than there were


def collect_seldom() -> None:
    """Have Python look for garbage that only its collector can free, but not often.

    A crawl makes little of that: to look through all there is of it for every 700 objects took 8 %
    of one, and what was imported is not looked through again at all.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def hold_on() -> None:
    """Have the C library keep what a page took for the next one, for the life of the process.

    Else it returns the last pages of memory with each tree, and each has to be asked for, and be
    zeroed, again: half of the time that lexbor takes for a page of 100 KB. What one thread has
    freed is there for the others, too, but for the event loop's own; by default each has a heap
    of its own, and in each a large page would leave as much behind as it took.

    To be called before there are threads.
    """
    if (tune := _mallopt()) is not None:
        tune(_TRIM_THRESHOLD, _KEPT)
        tune(_MMAP_THRESHOLD, _MAPPED)
        tune(_ARENA_MAX, _HEAPS)


def _mallopt() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return None
