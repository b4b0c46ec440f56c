"""How far a crawl is, on a terminal: three lines that are drawn again and again."""

import asyncio
import sys

from rich.console import Group
from rich.live import Live
from rich.text import Text

from crawler.cli.show import QuietConsole, clock
from crawler.engine import Crawl
from crawler.progress import Snapshot

_REFRESH_EVERY = 0.25  # seconds


async def display(crawl: Crawl) -> None:
    """Show the crawl on standard error, until cancelled."""
    console = QuietConsole(stderr=True, highlight=False, markup=False)
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
