"""Host names to addresses, in threads of its own, each look-up within a deadline.

The loop's default threads are few (six on two cores, four under uvloop), and a name whose DNS
server is silent holds one for half a minute: a handful of such names would stop all others.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from queue import SimpleQueue
from threading import Thread
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

# What `getaddrinfo` says when DNS has answered, and there is no such name or address: asking
# again is of no use. Not all systems have all of them.
NO_SUCH_NAME = frozenset(
    getattr(socket, name, socket.EAI_NONAME)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
)

# Look-ups at once. One that is past its deadline still counts: glibc gives up after 10 s per
# server, and cannot be interrupted. A waiting thread takes 20 KB.
_MOST_THREADS = 128
# Addresses of a name that are used, of each family. aiohttp goes through all of them, and then
# again without the first, and so on: n addresses are n * (n + 1) / 2 attempts.
_MOST_ADDRESSES = 4
# `localhost` and what is under it is this machine, and no name server is asked (RFC 6761, 6.3).
_LOOPBACK: tuple[tuple[int, str], ...] = (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::1"),
)


class Resolver(AbstractResolver):
    """Looks up names with the system's `getaddrinfo`; for one event loop.

    It neither remembers answers nor joins look-ups of one name: aiohttp's connector does both.
    Its threads keep no process from exiting. There are as many as there ever were look-ups at
    once, and they wait for more until `close`: to start one takes 0.3 ms.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._turns = asyncio.Semaphore(_MOST_THREADS)
        self._look_ups: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0

    async def resolve(
        self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, at least one.

        Raises `socket.gaierror`: with an `errno` of `NO_SUCH_NAME` when there is none, and
        with another when there was no answer, or none within the deadline. A look-up whose
        caller is cancelled goes on in its thread, and nobody hears of its end.
        """
        if host.removesuffix(".").rpartition(".")[2] == "localhost":
            found = list(_LOOPBACK)
        else:
            try:
                async with asyncio.timeout(self._deadline):
                    answer = await self._answer(host, port, family)
            except TimeoutError:
                late = f"no answer in {self._deadline:g} s"
                raise socket.gaierror(socket.EAI_AGAIN, late) from None
            found = _addresses(answer, socket.AF_INET) + _addresses(answer, socket.AF_INET6)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address in found
        ]

    async def _answer(self, host: str, port: int, family: int) -> list[Any]:
        """Return what `getaddrinfo` does, or raise the `OSError` that it raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Any] | OSError] = loop.create_future()

        def settle(outcome: list[Any] | OSError) -> None:
            self._idle += 1
            self._turns.release()
            if not done.done():
                done.set_result(outcome)

        def look_up() -> None:
            outcome: list[Any] | OSError
            try:
                outcome = socket.getaddrinfo(
                    host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except OSError as error:
                outcome = error
            except ValueError as error:  # a label of more than 63 characters, or an empty one
                outcome = socket.gaierror(socket.EAI_NONAME, str(error))
            except Exception as error:  # noqa: BLE001 - told to who waits; the thread lives on
                outcome = socket.gaierror(socket.EAI_FAIL, repr(error))
            with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(settle, outcome)

        await self._turns.acquire()
        try:
            self._occupy_thread()
        except RuntimeError as error:  # no more threads for this process
            self._turns.release()
            raise socket.gaierror(socket.EAI_AGAIN, str(error)) from error
        self._look_ups.put(look_up)
        outcome = await done
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def _occupy_thread(self) -> None:
        """Count on one thread more to take a look-up, and start it if all have one."""
        if self._idle:
            self._idle -= 1
        else:
            Thread(target=_serve, args=(self._look_ups,), name="dns", daemon=True).start()
            self._threads += 1

    async def close(self) -> None:
        """Let the threads end, each after what it looks up now; the resolver is used no more."""
        for _ in range(self._threads):
            self._look_ups.put(None)


def _serve(look_ups: "SimpleQueue[Callable[[], None] | None]") -> None:
    """Do one look-up after the other, until there is a None in their place."""
    while (look_up := look_ups.get()) is not None:
        look_up()


def _addresses(answer: list[Any], family: int) -> list[tuple[int, str]]:
    """Return the first addresses of one family in what `getaddrinfo` answered, each once."""
    found: dict[tuple[int, str], None] = {}
    for kind, _, _, _, place in answer:
        if kind != family:
            continue
        address = place[0]
        if len(place) == 4 and place[3] and "%" not in address:
            address = f"{address}%{place[3]}"  # link-local: of no use without its interface
        with suppress(ValueError):  # nobody promises that it is one
            ip_address(address)
            found[family, address] = None
        if len(found) == _MOST_ADDRESSES:
            break
    return list(found)
