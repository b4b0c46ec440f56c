"""The memory that is free, and still ours."""

import ctypes
import sys
import time
from functools import cache
from typing import Any

_OFTEN = 0.5  # seconds
# glibc's mallopt(3): how much that is free at the end of a heap is kept (bytes), and from which
# size on something has a mapping of its own, which is never kept.
_TRIM_THRESHOLD, _KEPT = -1, 64 << 20
_MMAP_THRESHOLD, _MAPPED = -3, 32 << 20


class Heap:
    """What the C library holds for this process. Any thread may call."""

    def __init__(self) -> None:
        self._looked_at = 0.0

    def hold_on(self) -> None:
        """Have the C library keep what a page took for the next one, for the life of the process.

        Else it returns the last pages of memory with each tree, and each has to be asked for, and
        be zeroed, again: half of the time that lexbor takes for a page of 100 KB.
        """
        if (tune := _function("mallopt")) is not None:
            tune(_TRIM_THRESHOLD, _KEPT)
            tune(_MMAP_THRESHOLD, _MAPPED)

    def give_back(self) -> None:
        """Have the C library return what memory it keeps free to the system, if it knows how to.

        glibc keeps nearly all that threads other than the first have freed, the tree of a large
        page for one: 70 MB that nobody else can use. It takes some milliseconds, in which whoever
        else asks for memory may have to wait; so it is done twice a second at most.
        """
        now = time.monotonic()
        if now - self._looked_at >= _OFTEN and (trim := _function("malloc_trim")) is not None:
            self._looked_at = now
            trim(0)


HEAP = Heap()


@cache
def _function(name: str) -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):  # another C library
        return None
