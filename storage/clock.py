"""The clock by which retries are kept."""

import time

_BEGAN = time.time() - time.monotonic()


def steady_time() -> float:
    """Return the seconds since the epoch, as if nobody had set the clock since the process began.

    So a retry neither waits for a clock that was set back, nor comes early by one that was set
    forward, whichever moment of its way to the file that hits.
    """
    return _BEGAN + time.monotonic()
