"""No way into private networks from a public page.

An address that is not public may be contacted only under a host and port that the spider's own
start URLs named, or that the setting `allow_private` admits.
"""

import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from crawler.errors import DropRequest
from crawler.url import address_of, canonical

# Networks whose addresses stand for an IPv4 address, and the bits by which to shift it out.
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056
# Not for the public either, though `is_global` of Python 3.11 says so (RFC 8215, 6666, 4380).
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/32",
            "3fff::/20",  # RFC 9637
            "fec0::/10",
            "192.0.0.0/24",  # RFC 6890; 192.0.0.192 is the metadata service of one cloud
        ),
    )
)


class Guard:
    """Decides which addresses the fetcher may connect to."""

    def __init__(self, allow_private: Iterable[str] = ()) -> None:
        self._anything = False
        self._named: set[tuple[str, int]] = set()
        self._hosts: set[str] = set()
        for entry in allow_private:
            self._allow(entry)

    def _allow(self, entry: str) -> None:
        if entry == "*":
            self._anything = True
        elif "://" in entry:
            self._named.add(address_of(canonical(entry)))
        elif entry.count(":") == 1 or "]:" in entry:
            self._named.add(address_of(canonical(f"http://{entry}/")))
        else:
            self._hosts.add(entry.strip("[]").lower())

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

    def check(self, url: str) -> None:
        """Refuse a url whose host is a literal address that is off limits.

        Raises `DropRequest("private_address")`. Host names are checked as they are resolved.
        """
        hostname, port = address_of(url)
        if _is_address(hostname) and not self.admits(hostname, port, hostname):
            raise DropRequest("private_address")

    def resolver(self) -> AbstractResolver:
        """Return a resolver that gives only addresses that may be contacted."""
        return _GuardedResolver(self)


class _GuardedResolver(AbstractResolver):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = ThreadedResolver()

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


@lru_cache(maxsize=4096)
def is_public(address: str) -> bool:
    """Say whether an IP address belongs to the public internet, whatever form it is in."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = _embedded_ipv4(found) or found
    if any(found in network for network in _NOT_PUBLIC):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to `address` end up at, if there is one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
