"""A name server of a test's own, in place of `socket.getaddrinfo`: no query leaves the machine."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

# Addresses, what looking up the name raises, or a function that returns or raises these; it
# runs in the thread of the look-up.
Answer = Sequence[str] | Exception
Answers = Answer | Callable[[], Answer]

NXDOMAIN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_DATA = socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
BROKEN = socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution")


@contextmanager
def name_server(zone: Mapping[str, Answers]) -> Iterator[list[str]]:
    """Answer from `zone` for the length of a `with`; yields the names asked for, in order.

    What is not in the zone is left to the real `getaddrinfo`, such as literal addresses.
    """
    real = socket.getaddrinfo
    asked: list[str] = []

    def look_up(host: Any, port: Any, family: int = 0, *arguments: Any, **keywords: Any) -> Any:
        if host not in zone:
            return real(host, port, family, *arguments, **keywords)
        asked.append(host)
        answer = zone[host]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return [_entry(address, port) for address in answer]

    with patch("socket.getaddrinfo", look_up):
        yield asked


def _entry(address: str, port: int) -> Any:
    plain, _, zone = address.partition("%")
    if ":" in plain:
        place: Any = (plain, port, 0, int(zone or 0))
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (plain, port)
