"""Drives one crawl from the command line: the loop, the signals, and what is shown meanwhile."""

import asyncio
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

from crawler.cli.logs import notice
from crawler.cli.options import LogOptions
from crawler.cli.progress import shown
from crawler.connector import files_needed
from crawler.engine import Crawl
from crawler.heap import collect_seldom, hold_on
from crawler.summary import Summary

_SWITCH_AFTER = 0.002  # seconds; 5 ms are Python's own

_SHOW_CURSOR = b"\x1b[?25h"


class Outcome(NamedTuple):
    """How a crawl ended: its summary, and the signal that stopped it, if one did."""

    summary: Summary
    signal: signal.Signals | None


async def drive(crawl: Crawl, options: LogOptions, *, beginning: str = "") -> Outcome:
    """Run the crawl to its end, or until a signal stops it.

    Once the run is known, it is told that it goes on, or `beginning`; empty says nothing.
    """
    collect_seldom()
    # The database thread waits for the loop to let it go on, several times a commit.
    sys.setswitchinterval(_SWITCH_AFTER)
    hold_on()
    _allow_files(files_needed(crawl.settings.concurrency, crawl.settings.processes), options)
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(_Signals(crawl, options))
        await stack.enter_async_context(shown(crawl, options))
        said = asyncio.create_task(_announce(crawl, options, beginning))
        try:
            summary = await crawl.run()
            await said
        finally:
            said.cancel()
    return Outcome(summary, signals.received)


def _allow_files(needed: int, options: LogOptions) -> None:
    """Have the system let this process open so many files; say so if it does not.

    Many a shell allows 1,024 where the system allows more: for programs that use `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        except (OSError, ValueError):
            allowed = soft  # macOS has a limit below what it calls none
    if allowed < needed:
        notice(
            f"no more than {allowed:,} files may be open, and so many fetches at once may need "
            f"{needed:,}: raise the limit (ulimit -Hn), or lower concurrency",
            options,
        )


async def _announce(crawl: Crawl, options: LogOptions, beginning: str) -> None:
    await crawl.begun.wait()
    text, snapshot = beginning, crawl.snapshot()
    if crawl.run_record is not None and crawl.resumed and snapshot is not None:
        run = crawl.run_record
        numbers = f"{snapshot.done:,} done, {snapshot.queued:,} queued"
        text = f"resuming run {run.id} of {run.spider}: {numbers}"
    if text:
        notice(text, options)


class _Signals:
    """While entered: the first SIGINT or SIGTERM stops the crawl, the second ends the process.

    Plain handlers, not the loop's: they are served also while a callback of the spider holds
    the loop.
    """

    def __init__(self, crawl: Crawl, options: LogOptions) -> None:
        self.received: signal.Signals | None = None
        self._crawl = crawl
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            # What is committed is safe, and the rest was never in the file: nothing to tidy
            # but the terminal.
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os._exit(128 + number)
        self.received = signal.Signals(number)
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._crawl.stop()
        snapshot = self._crawl.snapshot()
        notice(
            f"stopping: {snapshot.in_flight if snapshot else 0} in flight get up to "
            f"{self._crawl.settings.grace:g} s; again to stop at once",
            self._options,
        )
