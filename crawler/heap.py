"""The memory that is free, and still ours."""

import ctypes
import time
from functools import cache
from typing import Any

_OFTEN = 1.0  # seconds


class Heap:
    """What the C library holds for this process. Any thread may call."""

    def __init__(self) -> None:
        self._looked_at = 0.0

    def give_back(self) -> None:
        """Have the C library return what memory it keeps free to the system, if it knows how to.

        glibc keeps nearly all that threads other than the first have freed, the tree of a large
        page for one: 70 MB that nobody else can use. It takes some milliseconds, in which whoever
        else asks for memory may have to wait; so it is done once a second at most.
        """
        now = time.monotonic()
        if now - self._looked_at >= _OFTEN and (trim := _trim()) is not None:
            self._looked_at = now
            trim(0)


HEAP = Heap()


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None
