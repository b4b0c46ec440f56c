"""How far a crawl is, while it runs: a live display on a terminal, a log line elsewhere."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from crawler.cli.logs import log
from crawler.cli.options import LogOptions
from crawler.cli.show import clock
from crawler.engine import Crawl
from crawler.progress import Snapshot

LOG_EVERY = 10.0  # seconds between two lines, off a terminal
_REFRESH_EVERY = 0.25  # seconds, on a terminal


@asynccontextmanager
async def shown(crawl: Crawl, options: LogOptions) -> AsyncIterator[None]:
    """Show the crawl's progress on standard error for as long as this is entered."""
    console = Console(stderr=True, highlight=False, markup=False)
    on_terminal = sys.stderr.isatty() and not console.is_dumb_terminal and options.format == "text"
    task = asyncio.create_task(_live(crawl, console) if on_terminal else _log_lines(crawl))
    await asyncio.sleep(0)  # the display is there before the first log line
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _live(crawl: Crawl, console: Console) -> None:
    # Standard output goes above the display only where it is the same terminal: in a file or
    # a pipe it stays what it is.
    with Live(
        _display(crawl),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as live:
        while True:
            live.update(_display(crawl), refresh=True)
            await asyncio.sleep(_REFRESH_EVERY)


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


def _display(crawl: Crawl) -> Group:
    name = Text(crawl.spider_class.name, style="bold")
    snapshot = crawl.snapshot()
    if snapshot is None:
        return Group(name.append("  starting", style="dim"))
    failed = "red" if snapshot.failed else ""
    counts = _line(
        ("done", f"{snapshot.done:,}", "green"),
        ("queued", f"{snapshot.queued:,}", ""),
        ("failed", f"{snapshot.failed:,}", failed),
        ("skipped", f"{snapshot.skipped:,}", ""),
        ("items", f"{snapshot.items:,}", "bold"),
    )
    speed = _line(
        ("pages/s", f"{snapshot.pages_per_second:,.1f}", ""),
        ("in flight", f"{snapshot.in_flight:,}", ""),
        ("hosts", f"{snapshot.hosts:,}", ""),
        ("slowest", _slowest(snapshot), ""),
    )
    left = snapshot.seconds_left
    name.append(f"  {clock(snapshot.elapsed)}", style="dim")
    if left is not None:
        name.append(f"  {clock(left)} left", style="dim")
    return Group(name, counts, speed)


def _line(*facts: tuple[str, str, str]) -> Text:
    parts = (
        Text.assemble((f"{label} ", "dim"), (value, style))
        for label, value, style in facts
        if value
    )
    return Text("  ", no_wrap=True, overflow="ellipsis").append(Text("  ").join(parts))


def _slowest(snapshot: Snapshot) -> str:
    if snapshot.slowest_host is None or snapshot.slowest_seconds is None:
        return ""
    return f"{snapshot.slowest_host} {snapshot.slowest_seconds * 1000:,.0f} ms"
