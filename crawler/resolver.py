"""Host names to addresses, in threads of its own, each look-up within a deadline.

The loop's default threads are few (six on two cores, four under uvloop), and a name whose DNS
server is silent holds one for half a minute: a handful of such names would stop all others.
"""

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address
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
# server, and cannot be interrupted. A waiting thread takes 60 KB.
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
    Its threads end with their look-up, and keep no process from exiting.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._threads = asyncio.Semaphore(_MOST_THREADS)

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
            self._threads.release()
            if not done.done():
                done.set_result(outcome)

        def look_up() -> None:
            outcome: list[Any] | OSError = socket.gaierror(socket.EAI_FAIL, "the look-up failed")
            try:
                outcome = socket.getaddrinfo(
                    host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except OSError as error:
                outcome = error
            except ValueError as error:  # a label of more than 63 characters, or an empty one
                outcome = socket.gaierror(socket.EAI_NONAME, str(error))
            finally:
                with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                    loop.call_soon_threadsafe(settle, outcome)

        await self._threads.acquire()
        try:
            Thread(target=look_up, name=f"dns {host}", daemon=True).start()
        except RuntimeError as error:  # no more threads for this process
            self._threads.release()
            raise socket.gaierror(socket.EAI_AGAIN, str(error)) from error
        outcome = await done
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Do nothing: there is nothing to be closed."""


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
