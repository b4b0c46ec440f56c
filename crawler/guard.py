"""No way into private networks from a public page.

An address that is not public may be contacted only under a host and port that the spider's own
start URLs named, or that the setting `allow_private` admits. Three looks, each at what is known
by then: at the URL before anything is sent (`check`), at what DNS answered (`resolver`), and at
the address of each socket before it is made (`open`). The last one is the wall: nothing is
looked up between it and the connection. The others are there to say no earlier.

A connection that is kept alive needs no further look. aiohttp keeps it under its host name and
port, so it serves only URLs for which it was made, and what is admitted is never taken back.
"""

import socket
from collections.abc import Iterable
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from crawler.errors import DropRequest
from crawler.url import BAD_PORTS, address_of, origin_of, place_of

# The host name and port that the running task connects to. aiohttp makes each connection in
# the task that asked for it, or in tasks that this one starts, which inherit the context. The
# default admits public addresses only.
_REMEMBERED = 4096  # addresses and origins that were looked at

_DESTINATION: ContextVar[tuple[str, int]] = ContextVar("destination", default=("", 0))

# Networks whose addresses stand for an IPv4 address.
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056
# The second half of an address in any network begins so when an IPv4 address is the rest: a
# tunnel to that (ISATAP, RFC 5214). The bit left out tells a unique address from a local one.
_ISATAP, _ISATAP_BITS = 0x00005EFE, 0xFDFFFFFF
# Not for the public either, though `is_global` of one Python or another says so (RFC 8215, 6666,
# 2928).
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",  # IETF protocols: Teredo, ORCHID and others; no website is in it
            "3fff::/20",  # RFC 9637
            "fec0::/10",
            "192.0.0.0/24",  # RFC 6890; 192.0.0.192 is the metadata service of one cloud
        ),
    )
)


class AddressRefused(OSError):
    """A socket to an address that is off limits was not made.

    An `OSError`, because aiohttp goes on to a name's next address after these only.
    """


def open_socket(addr_info: Any) -> socket.socket:
    """Return a new socket for an entry of `getaddrinfo`: the one place where they are made."""
    family, kind, protocol, _, _ = addr_info
    return socket.socket(family, kind, protocol)


class Guard:
    """Decides which addresses the fetcher may connect to."""

    def __init__(self, allow_private: Iterable[str] = ()) -> None:
        self._anything = False
        self._named: set[tuple[str, int]] = set()
        self._hosts: set[str] = set()
        self._checked: dict[str, tuple[str, int]] = {}
        for entry in allow_private:
            self._allow(entry)

    def _allow(self, entry: str) -> None:
        if entry == "*":
            self._anything = True
            return
        host, port = place_of(entry)
        if port is None:
            self._hosts.add(host)
        else:
            self._named.add((host, port))

    def name(self, url: str) -> None:
        """Make the host and port of a start URL reachable, whatever address it has."""
        self._named.add(address_of(url))

    def admits(self, hostname: str, port: int, address: str) -> bool:
        """Say whether `address` may be contacted under that host name and port."""
        return (
            is_public(address)
            or self._anything
            or (hostname, port) in self._named
            or hostname in self._hosts
            or address in self._hosts
        )

    def check(self, url: str) -> tuple[str, int]:
        """Refuse a canonical url by its port, or by its host when that is a literal address.

        Returns host name and port. Raises `DropRequest("bad_port")`, and
        `DropRequest("private_address")`; whether a name leads to one is seen on connecting.
        """
        hostname, port = address = address_of(url)
        if port in BAD_PORTS:
            raise DropRequest("bad_port")
        if _is_address(hostname) and not self.admits(hostname, port, hostname):
            raise DropRequest("private_address")
        return address

    def approach(self, url: str) -> None:
        """Check `url`; the connections that this task makes from now on are for it.

        Raises as `check` does.
        """
        origin = origin_of(url)
        address = self._checked.get(origin)
        if address is None:
            address = self.check(url)
            if len(self._checked) >= _REMEMBERED:
                self._checked.clear()
            self._checked[origin] = address  # what may be contacted once may be for good
        if _DESTINATION.get() is not address:  # to set it takes ten times as long
            _DESTINATION.set(address)

    def open(self, addr_info: Any) -> socket.socket:
        """Return a socket for a connection to an entry of `getaddrinfo`: a `socket_factory`.

        Raises `AddressRefused` when the url that was approached must not lead there.
        """
        if not self.admits(*_DESTINATION.get(), addr_info[4][0]):
            raise AddressRefused("private_address")
        return open_socket(addr_info)

    def resolver(self, inner: AbstractResolver) -> AbstractResolver:
        """Return a resolver that gives only those addresses of `inner` that may be contacted.

        It raises `DropRequest("private_address")` when that leaves none.
        """
        return _GuardedResolver(self, inner)


class _GuardedResolver(AbstractResolver):
    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        self._guard = guard
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        admitted = [one for one in found if self._guard.admits(host, port, one["host"])]
        if found and not admitted:
            raise DropRequest("private_address")
        return admitted

    async def close(self) -> None:
        await self._inner.close()


@lru_cache(maxsize=_REMEMBERED)
def is_public(address: str) -> bool:
    """Say whether an IP address belongs to the public internet, whatever form it is in."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if (int(found) >> 32) & _ISATAP_BITS == _ISATAP and not is_public(str(_low_bits(found))):
            return False
        found = _embedded_ipv4(found) or found
    if any(found in network for network in _NOT_PUBLIC):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to `address` end up at, if there is one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return _low_bits(address)
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    return None


def _low_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


@lru_cache(maxsize=_REMEMBERED)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
