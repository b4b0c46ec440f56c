"""Keeps tests on this machine. Python imports it at the start of the processes they start.

A test shows what the guard refuses, and a broken guard must not be shown by packets: nothing
connects to anything but loopback, and no name is looked up but `localhost`.
"""

import socket
from ipaddress import ip_address
from typing import Any

_connect = socket.socket.connect
_look_up = socket.getaddrinfo


def is_here(address: str) -> bool:
    """Tell whether a literal address is in 127/8, or is ::1."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return found.is_loopback and str(found) == address


def connect(self: socket.socket, address: Any) -> None:
    """Connect as `socket.connect` does, on this machine."""
    if isinstance(address, tuple) and not is_here(address[0]):
        raise AssertionError(f"a test tried to connect to {address}")
    _connect(self, address)


def look_up(host: Any, *arguments: Any, **keywords: Any) -> Any:
    """Look up as `socket.getaddrinfo` does what needs no name server."""
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost"):
        try:
            ip_address(name.partition("%")[0])
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "tests ask no name server") from None
    return _look_up(host, *arguments, **keywords)


socket.socket.connect = connect  # type: ignore[method-assign]
socket.getaddrinfo = look_up
