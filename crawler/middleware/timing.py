"""Timing: how long the whole fetch took, all other middleware included."""

import time

from crawler.middleware import Handler
from crawler.request import Request
from crawler.response import Response


async def timing(request: Request, call_next: Handler) -> Response:
    """Note the seconds of the fetch on the request, also of one that fails."""
    started = time.perf_counter()
    try:
        return await call_next(request)
    finally:
        request.phases.elapsed = time.perf_counter() - started
