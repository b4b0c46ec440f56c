"""A child process, as its owner sees it: started, given pages, watched, and ended."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from socket import socket, socketpair
from typing import Any, NamedTuple, Protocol, Self

from crawler import log_transfer
from crawler.channel import Channel, Message, send_first
from crawler.errors import CrawlerError, SpiderError
from crawler.messages import Say, Start, Work, packed_fingerprints
from crawler.places import KEPT, Place
from crawler.url import Scope

# Beats are so far apart at most (seconds): then it is seen that a process has ended whose socket
# somebody else holds.
_BEAT = 1.0
_BEATS = 4  # without a sign of life, within `hang_timeout`
# What a child gets to load the spider (seconds), and to be gone when its socket is closed.
_TO_ARRIVE = 120.0
_LAST_WORDS = 1.0
# Stored links that wait to be told with the next page: beyond so many they are sent alone.
_MOST_UNTOLD = 10_000

# The crawler's own folder comes last on the path, and the working directory not at all: it may
# hold a `queue.py`. Once it runs, a child is told the owner's path.
_ROOT = str(Path(__file__).resolve().parent.parent)
_CODE = f"import sys; sys.path.append({_ROOT!r}); from crawler.child import main; main()"


class ChildLost(CrawlerError):
    """A child ended while it had a page; `reason` is `crashed` or `hung`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Asked = Callable[["Child", Message, Place | None], None]


class Process(Protocol):
    """What is asked of a process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def returncode(self) -> Any:
        """With what it has ended, once that is known: a status, or a signal, negative."""

    def poll(self) -> int | None:
        """Look whether it has ended, and return with what."""

    def wait(self) -> int:
        """Wait until it has ended, and return with what."""

    def kill(self) -> None:
        """End it at once, if it has not ended."""


class Ready(NamedTuple):
    """A process that waits for its first message, and our ends of its channel and its logs."""

    process: Process
    channel: socket
    logs: socket

    def close(self) -> None:
        """Close our ends."""
        self.channel.close()
        self.logs.close()


Ends = tuple[socket, socket]  # of the channel and of the logs, at one side

# Those that were forked before there was an event loop (`prefork.py`).
WAITING: list[Ready] = []


class Child:
    """One child process. `asked` is called with the requests that its callbacks make."""

    def __init__(self, process: Process, asked: "Asked") -> None:
        self._process = process
        self._asked = asked
        self._pages: dict[int, asyncio.Future[Message]] = {}
        self._kept: dict[int, Place] = {}  # the places among large bodies of these pages
        self._numbers = count()
        self._untold: list[int] = []  # links that are stored, which it has not heard of
        self._scope: Scope | None = None
        self._heard = True
        self._refusal: CrawlerError | None = None
        self._here = asyncio.Event()
        self._gone = asyncio.Event()
        self._mute = asyncio.Event()
        self._channel = Channel(self._receive, self._gone.set)
        self._logs = Channel(_log, self._mute.set)
        self._silent = 0  # beats without a sign of life

    @classmethod
    async def start(cls, start: Start, asked: "Asked") -> Self:
        """Start a process, or take one that waits; it is of use once it has arrived."""
        ready = WAITING.pop() if WAITING else made(_interpreter)
        child = cls(ready.process, asked)
        try:
            with suppress(OSError):  # it has died already, as will be seen
                send_first(ready.channel, (Say.START, *start))
            await child._channel.open(ready.channel)
            await child._logs.open(ready.logs)
        except BaseException:
            child.end()
            ready.close()
            raise
        return child

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def load(self) -> int:
        """How many pages it has."""
        return len(self._pages)

    @property
    def claim(self) -> tuple[bool, int]:
        """What is compared when a page is given away: the lowest gets it."""
        return self._silent > 0 or self._gone.is_set(), len(self._pages)

    async def arrive(self) -> ChildLost | None:
        """Wait until the child has loaded the spider; return how it was lost over that, if it was.

        Raises what was wrong with the spider.
        """
        gone = asyncio.ensure_future(self._gone.wait())
        here = asyncio.ensure_future(self._here.wait())
        try:
            await asyncio.wait(
                {gone, here}, timeout=_TO_ARRIVE, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            gone.cancel()
            here.cancel()
        if self._refusal is not None:
            raise self._refusal
        if self._here.is_set():
            return None
        return await self._lost(None if self._gone.is_set() else _TO_ARRIVE)

    async def last(self, hang_timeout: float) -> ChildLost:
        """Wait until the child is gone, or hangs; return which of them."""
        beat = min(_BEAT, hang_timeout / _BEATS)
        # Beats are counted, not seconds: this process may have been stopped, too.
        while not (hung := self._silent * beat >= hang_timeout):
            try:
                async with asyncio.timeout(beat):
                    await self._gone.wait()
            except TimeoutError:
                pass
            if self._gone.is_set() or self._process.poll() is not None:
                break
            self._silent = 0 if self._heard or not self._pages else self._silent + 1
            self._heard = False
            if self._pages:
                self._channel.send((Say.PING,))
        return await self._lost(hang_timeout if hung else None)

    async def _lost(self, hung: float | None) -> ChildLost:
        """End what is left of the process, hear what it logged, and return how it was lost.

        `hung` are the seconds without a sign of life, if that is why.
        """
        if hung is not None:
            self._process.kill()
        try:
            async with asyncio.timeout(_LAST_WORDS):
                while self._process.poll() is None:  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(0.005)
                await self._mute.wait()
        except TimeoutError:
            pass
        finally:
            self.end()
        if hung is not None:
            return ChildLost("hung", f"its process gave no sign of life for {hung:g} s")
        return ChildLost("crashed", f"its process ended with {_told(self._process)}")

    # ── pages ───────────────────────────────────────────────────────────────────────────

    async def parse(self, work: Work, scope: Scope) -> Message:
        """Have the child do its part of a page; return what came of it.

        Raises `ChildLost`. When cancelled, so is the callback.
        """
        if self._scope != scope:
            self._channel.send((Say.SCOPE, scope))
            self._scope = scope
            self._untold.clear()  # some may be stored as offsite, and be so no more
        number = next(self._numbers)
        stored = packed_fingerprints(self._untold)
        self._untold.clear()
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._pages[number] = answer
        if (kept := KEPT.get()) is not None:
            self._kept[number] = kept
        self._channel.send((Say.PAGE, number, stored, work.message), work.body)
        try:
            return await answer
        except asyncio.CancelledError:
            self._channel.send((Say.DROP, number))
            raise
        finally:
            del self._pages[number]
            self._kept.pop(number, None)

    def stored(self, fingerprints: Iterable[int]) -> None:
        """Tell the child, some time, that these requests are in the store."""
        self._untold.extend(fingerprints)
        if len(self._untold) > _MOST_UNTOLD:
            self._channel.send((Say.STORED, packed_fingerprints(self._untold)))
            self._untold.clear()

    def answer(self, message: bytes, body: bytes) -> None:
        """Send what came of a request that one of its callbacks made."""
        self._channel.send_pickled(message, body)

    def _receive(self, message: Message, _: bytes) -> None:
        self._heard = True
        match message:
            case (Say.DONE, number, done):
                if (answer := self._pages.get(number)) is not None and not answer.done():
                    answer.set_result(done)
            case (Say.FETCH, _, page, _):
                self._asked(self, message, self._kept.get(page))
            case (Say.CANCEL, _):
                self._asked(self, message, None)
            case (Say.READY,):
                self._here.set()
            case (Say.UNFIT, ours, text):
                self._refusal = (
                    SpiderError(text)
                    if ours
                    else SpiderError(f"a child process could not load the spider: {text}")
                )
                self._here.set()

    # ── the end ─────────────────────────────────────────────────────────────────────────

    def lose(self, lost: ChildLost) -> None:
        """Tell everybody who waits for one of its pages."""
        for answer in self._pages.values():
            if not answer.done():
                answer.set_exception(lost)

    def dismiss(self) -> None:
        """Tell the child that this is all."""
        self._channel.send((Say.END,))

    def end(self) -> None:
        """End the process at once, if it has not ended."""
        self._process.kill()
        self._process.wait()  # no zombie is left
        self._channel.close()
        self._logs.close()


def made(make: Callable[[Ends, Ends], Process]) -> Ready:
    """Return the process that `make` begins, given its ends of channel and logs, and then ours."""
    ours, theirs = zip(socketpair(), socketpair(), strict=True)
    with theirs[0], theirs[1], _signals_held_back():
        return Ready(make(theirs, ours), *ours)


def _interpreter(theirs: Ends, _: Ends) -> Process:
    descriptors = [end.fileno() for end in theirs]
    arguments = map(str, (*descriptors, os.getpid()))
    return subprocess.Popen(  # noqa: S603 (nothing of a stranger's; it takes 2 ms)
        [sys.executable, "-P", "-c", _CODE, *arguments],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        process_group=0,  # Ctrl-C is for the owner, which lets the pages in flight end
    )


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Have what is started meanwhile get no SIGINT and SIGTERM before it is ready for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _log(message: Message, _: bytes) -> None:
    log_transfer.take(message[1])


def _told(process: Process) -> str:
    code = process.returncode
    return f"signal {-code}" if code < 0 else f"status {code}"
