"""A child process of a crawl: it runs the spider's callbacks on what the owner has fetched.

It knows nothing of the network and the file, and ends as soon as its owner does. Its logs are
sent to the owner as records, so that they come out where and how the owner's do.
"""

import asyncio
import ctypes
import os
import select
import signal
import sys
import threading
from contextvars import ContextVar
from io import TextIOWrapper
from itertools import count
from socket import socket

from crawler.address import spider_at
from crawler.callbacks import trace_of
from crawler.channel import Channel, Message, packed, receive_first, send_first
from crawler.errors import CrawlerError
from crawler.heap import collect_seldom, hold_on
from crawler.links import Discovery
from crawler.log_transfer import LogSender
from crawler.markup import BUDGET
from crawler.messages import (
    Say,
    Start,
    fingerprints_of,
    outcome_of,
    plain_request,
    plain_visit,
    response_of,
    update,
)
from crawler.parsing import OwnParser
from crawler.request import Request
from crawler.response import Response
from crawler.spider import Spider
from crawler.watchdog import Watchdog, run_loop
from storage.records import Visit

# Of Linux: a signal for when the parent dies, and a name for lists of processes.
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
# The number of the page whose callback is running.
_PAGE: ContextVar[int | None] = ContextVar("page", default=None)


def main() -> None:
    """Be a child of a process of its own: `argv` has what `serve` is given."""
    serve(*(int(text) for text in sys.argv[1:4]))


def serve(channel: int, logs: int, parent: int) -> None:
    """Be a child, until its owner has no more for it.

    `channel` and `logs` are descriptors of sockets, and `parent` the number of the owner's process.
    SIGINT and SIGTERM are held back until here. Raises `EOFError` when the owner ends before it
    has begun.
    """
    collect_seldom()
    hold_on()  # before there is a thread
    for number in (signal.SIGINT, signal.SIGTERM):
        # For the owner to obey. Not SIG_IGN, which what a callback starts would inherit.
        signal.signal(number, _ignore)
    # A signal that came while this was imported would have ended it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    end, log_end = socket(fileno=channel), socket(fileno=logs)
    for ours in (end, log_end):
        ours.set_inheritable(False)  # what a callback starts does not hold them open
    _die_with(parent, log_end)
    start = Start(*receive_first(end)[1:])
    LogSender(log_end).install(start.levels)
    try:
        child = _arrive(start)
    except BaseException as error:  # noqa: BLE001 (the spider's file may raise anything)
        send_first(end, (Say.UNFIT, *_unfit(error)))
        return
    run_loop(child.run(end))
    sys.stdout.flush()


def _ignore(_: int, __: object) -> None:
    pass


def _die_with(parent: int, end: socket) -> None:
    """End this process when its parent does, whatever it is doing."""
    if sys.platform == "linux":  # the kernel does it, also while C code holds the interpreter
        kernel = ctypes.CDLL(None)
        kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(_PR_SET_NAME, f"child-{parent}".encode())  # else a fork is not told from it
    threading.Thread(target=_watch, args=(end.fileno(),), name="owner", daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(end: int) -> None:
    poll = select.poll()
    poll.register(end, 0)  # nothing is ever sent this way: it wakes when the other end is gone
    poll.poll()
    os._exit(1)


def _arrive(start: Start) -> "_Child":
    """Load the spider; raises whatever is in the way."""
    sys.path[:], sys.argv[:] = start.path, start.argv
    if isinstance(sys.stdout, TextIOWrapper):
        # Lines of several processes stay whole, with PYTHONUNBUFFERED too.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    spider = spider_at(start.address)(**start.arguments)
    return _Child(spider, start)


def _unfit(error: BaseException) -> tuple[bool, str]:
    """Return whether the error is of the crawler's own words, and its text."""
    if isinstance(error, CrawlerError):
        return True, str(error)
    return False, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _failed(number: int, error: BaseException) -> bytes:
    visit = Visit(0, "", "failed", "spider_error", error=trace_of(error))
    return packed((Say.DONE, number, plain_visit(visit, None)))


class _Child:
    """Does the spider's part of the pages it is given, one callback after the other.

    Those that await something do so side by side.
    """

    def __init__(self, spider: Spider, start: Start) -> None:
        self._settings = start.settings
        self._discovery = Discovery(start.settings)
        self._parser = OwnParser(spider, self._discovery, start.settings)
        self._waiting: dict[int, tuple[bytes, bytes]] = {}  # pages that have not begun, by number
        self._pages: dict[int, asyncio.Task[None]] = {}
        self._dropped: set[int] = set()  # pages that nobody waits for any more
        self._fetches: dict[int, asyncio.Future[Message]] = {}
        self._numbers = count()
        self._wake = asyncio.Event()
        self._ended = False
        self._closed = asyncio.Event()
        self._channel = Channel(self._receive, self._lost)
        spider._fetch = self._fetch

    async def run(self, end: socket) -> None:
        """Serve the owner at the other end until it says that this is all."""
        BUDGET.set(self._settings.parse_budget)
        await self._channel.open(end)
        self._channel.send((Say.READY,))
        async with Watchdog(), self._parser:
            while not self._ended:
                self._wake.clear()
                while self._waiting:
                    number = next(iter(self._waiting))
                    page = self._page(number, *self._waiting.pop(number))
                    self._pages[number] = asyncio.create_task(page, name=f"page-{number}")
                    # One callback a turn: between them, signs of life and results go out.
                    await asyncio.sleep(0)
                await self._wake.wait()
        for task in self._pages.values():
            task.cancel()
        await asyncio.gather(*self._pages.values(), return_exceptions=True)
        self._channel.close()
        await self._closed.wait()

    # ── what the owner says ─────────────────────────────────────────────────────────────

    def _receive(self, message: Message, body: bytes) -> None:
        match message:
            case (Say.PAGE, number, stored, work):
                if stored:
                    self._discovery.stored(fingerprints_of(stored))
                self._waiting[number] = work, body
            case (Say.DROP, number):
                self._waiting.pop(number, None)
                if number in self._pages:
                    self._dropped.add(number)
                    self._pages[number].cancel()
            case (Say.SCOPE, scope):
                self._discovery.widen(scope)
            case (Say.STORED, stored):
                self._discovery.stored(fingerprints_of(stored))
            case (Say.ANSWER, number, *_):
                waiting = self._fetches.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result((*message, body))
            case (Say.PING,):
                self._channel.send((Say.PONG,))
            case (Say.END,):
                self._ended = True
        self._wake.set()

    def _lost(self) -> None:
        if not self._ended:
            os._exit(1)  # nobody is left to hear what comes of it
        self._closed.set()

    # ── one page ────────────────────────────────────────────────────────────────────────

    async def _page(self, number: int, work: bytes, body: bytes) -> None:
        _PAGE.set(number)
        try:
            row, outcome = outcome_of(work, body)
            visit = Visit(row.id, row.host, "failed")
            await self._parser.parse(outcome, row, visit)
            done = packed((Say.DONE, number, plain_visit(visit, outcome.request.phases.parse)))
        except asyncio.CancelledError as error:
            if self._ended or number in self._dropped:
                raise
            done = _failed(number, error)  # the callback has cancelled the task that it runs in
        except Exception as error:  # noqa: BLE001 (a value of the user's that cannot be sent)
            done = _failed(number, error)
        finally:
            del self._pages[number]
            self._dropped.discard(number)
        self._channel.send_pickled(done)

    async def _fetch(self, request: Request) -> Response:
        """`Spider.fetch`: have the owner fetch it, by the same rules."""
        number = next(self._numbers)
        answered = self._fetches[number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send((Say.FETCH, number, _PAGE.get(), plain_request(request)))
            _, _, error, asked, answer, body = await answered
        except asyncio.CancelledError:
            self._channel.send((Say.CANCEL, number))
            raise
        finally:
            del self._fetches[number]
        if asked is not None:
            update(request, asked)
        if error is not None:
            raise error
        return response_of(answer, body, request)
