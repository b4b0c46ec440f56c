"""How far a crawl is, while it runs: a live display on a terminal, a log line elsewhere."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any

from crawler.cli.logs import log
from crawler.cli.options import LogOptions
from crawler.engine import Crawl
from crawler.progress import Snapshot

LOG_EVERY = 10.0  # seconds between two lines, off a terminal


@asynccontextmanager
async def shown(crawl: Crawl, options: LogOptions) -> AsyncIterator[None]:
    """Show the crawl's progress on standard error for as long as this is entered."""
    if sys.stderr.isatty() and _is_capable() and options.format == "text":
        # With rich, which takes 40 ms to load: those who have no terminal do not wait for it.
        task = asyncio.create_task(import_module("crawler.cli.live").display(crawl))
    else:
        task = asyncio.create_task(_log_lines(crawl))
    await asyncio.sleep(0)  # the display is there before the first log line
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _is_capable() -> bool:
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


async def _log_lines(crawl: Crawl) -> None:
    while True:
        await asyncio.sleep(LOG_EVERY)
        snapshot = crawl.snapshot()
        if snapshot is not None:
            log.info("progress", **facts(snapshot))


def facts(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a progress line says; what cannot be known is left out."""
    found: dict[str, Any] = {
        "done": snapshot.done,
        "queued": snapshot.queued,
        "failed": snapshot.failed,
        "skipped": snapshot.skipped,
        "items": snapshot.items,
        "pages_per_second": round(snapshot.pages_per_second, 1),
        "in_flight": snapshot.in_flight,
        "hosts": snapshot.hosts,
        "elapsed": round(snapshot.elapsed, 1),
    }
    if snapshot.slowest_host is not None and snapshot.slowest_seconds is not None:
        found["slowest_host"] = snapshot.slowest_host
        found["slowest_ms"] = round(snapshot.slowest_seconds * 1000)
    if snapshot.seconds_left is not None:
        found["seconds_left"] = round(snapshot.seconds_left)
    return found
