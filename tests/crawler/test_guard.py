"""Which addresses may be contacted; no connection leaves this machine, whatever is decided."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from crawler.errors import DropRequest, FetchError
from crawler.fetcher import Fetcher
from crawler.guard import AddressRefused, Guard, is_public
from crawler.request import Request
from crawler.settings import Settings
from crawler.throttle import Throttle
from crawler.url import BAD_PORTS, address_of, canonical, has_bad_port
from tests.child.sitecustomize import is_here
from tests.names import name_server
from tests.site import serve

PRIVATE = {
    "this network": ["0.0.0.0", "0.0.0.1", "0.255.255.255"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "loopback": ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1"],
    "metadata": [
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # containers at one of them
        "100.100.100.200",  # another
        "192.0.0.192",  # yet another
        "fd00:ec2::254",
        "fd20:ce::254",
    ],
    "carrier NAT": ["100.64.0.1", "100.127.255.255"],
    "protocol assignments": ["192.0.0.1", "192.0.0.8", "192.0.0.170"],
    "documentation": [
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "2001:db8::1",
        "3fff::1",
        "3fff:fff::1",
    ],
    "benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "::2"],
    "unspecified": ["::"],
    "unique local": ["fc00::1", "fd12:3456:789a::1"],
    "site-local": ["fec0::1", "feff::1"],
    "discard-only": ["100::1"],
    "IPv4 within IPv6": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"],
    "IPv4-compatible": ["::127.0.0.1", "::a00:1"],
    "IPv4 behind NAT64": ["64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8"],
    "IPv4 in 6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1"],
    "ISATAP": ["2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:127.0.0.1", "fd00::5efe:8.8.8.8"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "segment routing": ["5f00::1"],
}
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize(
    "address", [address for addresses in PRIVATE.values() for address in addresses]
)
def test_an_address_that_is_not_the_publics_is_refused(address: str) -> None:
    assert not is_public(address)
    assert not Guard().admits("name.example", 80, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_admitted(address: str) -> None:
    assert is_public(address)
    assert Guard().admits("name.example", 80, address)


@given(integers(0, 2**32 - 1))
def test_an_ipv4_address_is_as_public_within_ipv6_as_by_itself(number: int) -> None:
    public = is_public(str(IPv4Address(number)))
    for around in (0xFFFF << 32, 0x64FF9B << 96, 0x2002 << 112):
        within = number << 80 if around >> 112 == 0x2002 else number
        assert is_public(str(IPv6Address(around | within))) is public
    # As the rest of an address elsewhere it can only close, never open.
    isatap = 0x5EFE << 32 | number
    assert is_public(str(IPv6Address(0x2606_4700 << 96 | isatap))) is public
    assert not is_public(str(IPv6Address(0xFD << 120 | isatap)))


@given(integers(0, 2**32 - 1), sampled_from(["{0}", "0x{0:x}", "0{0:o}", "{1}.", "{2}"]))
def test_an_address_is_refused_in_whatever_form_it_is_written(number: int, form: str) -> None:
    plain = str(IPv4Address(number))
    wide = plain.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    url = canonical(f"http://{form.format(number, plain, wide)}/")
    assert refused(Guard(), url) is not is_public(plain)


# ── literal addresses in urls ───────────────────────────────────────────────────────────────


def refused(guard: Guard, url: str) -> bool:
    try:
        guard.check(url)
    except DropRequest as drop:
        return drop.reason == "private_address"
    return False


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:8000/x",
        "https://10.0.0.1/",
        "http://[::1]/",
        "http://[::1]:8080/",
        "http://[::ffff:7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_a_url_with_a_private_address_is_dropped(url: str) -> None:
    assert refused(Guard(), url)


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/", "https://[2606:2800:220:1::1]/", "http://localhost/", "http://a/"]
)
def test_public_addresses_and_names_pass_the_look_at_the_url(url: str) -> None:
    assert not refused(Guard(), url)


# ── what a start URL names ──────────────────────────────────────────────────────────────────


def test_a_start_url_opens_its_host_and_port_only() -> None:
    guard = Guard()
    guard.name("http://127.0.0.1:8000/start")
    assert not refused(guard, "http://127.0.0.1:8000/other")
    assert refused(guard, "http://127.0.0.1:8001/")
    assert refused(guard, "http://127.0.0.1/")
    assert refused(guard, "http://127.0.0.2:8000/")


def test_a_start_url_without_a_port_opens_the_default_one() -> None:
    guard = Guard()
    guard.name("https://10.0.0.1/")
    assert not refused(guard, "https://10.0.0.1/x")
    assert refused(guard, "http://10.0.0.1/x")
    assert not refused(guard, "http://10.0.0.1:443/x")


def test_a_name_that_a_start_url_gives_may_resolve_to_anything() -> None:
    guard = Guard()
    guard.name("http://intranet.example/")
    assert guard.admits("intranet.example", 80, "10.0.0.1")
    assert not guard.admits("intranet.example", 8080, "10.0.0.1")
    assert not guard.admits("other.example", 80, "10.0.0.1")


# ── allow_private ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("entry", "opens", "keeps_shut"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8001/"),
        ("127.0.0.1", "http://127.0.0.1:1234/", "http://127.0.0.2/"),
        ("[::1]:8000", "http://[::1]:8000/", "http://[::1]:8001/"),
        ("[::1]", "http://[::1]:8000/", "http://[::2]/"),
        ("::1", "http://[::1]:8000/", "http://[::2]/"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/x", "http://127.0.0.1/"),
        ("https://10.0.0.1/path", "https://10.0.0.1/", "http://10.0.0.1/"),
        ("127.1", "http://127.0.0.1/", "http://127.0.0.2/"),
        ("0:0:0:0:0:0:0:1", "http://[::1]/", "http://[::2]/"),
        ("127.0.0.1:80", "http://127.0.0.1/", "http://127.0.0.1:81/"),
    ],
)
def test_allow_private_opens_what_it_names(entry: str, opens: str, keeps_shut: str) -> None:
    guard = Guard([entry])
    assert not refused(guard, opens)
    assert refused(guard, keeps_shut)


def test_allow_private_may_name_a_host_in_any_case() -> None:
    guard = Guard(["Intranet.Example", "other.example:8080", "bücher.example"])
    assert guard.admits("xn--bcher-kva.example", 80, "10.0.0.1")
    assert guard.admits("intranet.example", 80, "10.0.0.1")
    assert guard.admits("intranet.example", 9999, "::1")
    assert guard.admits("other.example", 8080, "10.0.0.1")
    assert not guard.admits("other.example", 80, "10.0.0.1")


def test_an_address_in_allow_private_is_open_to_every_name_that_resolves_to_it() -> None:
    guard = Guard(["10.0.0.1"])
    assert guard.admits("any.example", 80, "10.0.0.1")
    assert not guard.admits("any.example", 80, "10.0.0.2")


def test_a_star_opens_everything() -> None:
    guard = Guard(["*"])
    for addresses in PRIVATE.values():
        assert all(guard.admits("x.example", 1, address) for address in addresses)


# ── resolving ───────────────────────────────────────────────────────────────────────────────


class Zone(AbstractResolver):
    """A resolver that knows what the test tells it."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def resolved(guard: Guard, *addresses: str, port: int = 80) -> list[str]:
    resolver = guard.resolver(Zone(*addresses))
    return [one["host"] for one in await resolver.resolve("name.example", port)]


async def test_a_name_that_resolves_to_a_private_address_is_dropped() -> None:
    with pytest.raises(DropRequest, match="private_address"):
        await resolved(Guard(), "127.0.0.1")
    with pytest.raises(DropRequest, match="private_address"):
        await resolved(Guard(), "10.0.0.1", "::1", "fe80::1%2")


async def test_of_a_mixed_answer_the_public_addresses_are_used() -> None:
    assert await resolved(Guard(), "10.0.0.1", "8.8.8.8", "::1") == ["8.8.8.8"]


async def test_a_named_host_gets_the_whole_answer() -> None:
    guard = Guard()
    guard.name("http://name.example:8080/")
    assert await resolved(guard, "10.0.0.1", "8.8.8.8", port=8080) == ["10.0.0.1", "8.8.8.8"]
    assert await resolved(guard, "10.0.0.1", "8.8.8.8", port=80) == ["8.8.8.8"]


async def test_a_name_without_addresses_is_not_called_private() -> None:
    assert await resolved(Guard()) == []


async def test_closing_closes_the_resolver_inside() -> None:
    zone = Zone()
    resolver = Guard().resolver(zone)
    await resolver.close()
    assert zone.closed


# ── the wall: what is connected to ──────────────────────────────────────────────────────────

PUBLIC_V4, PUBLIC_V6 = "93.184.216.34", "2606:2800:220:1::1"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a socket was asked for; beyond loopback, all refuse to connect."""
    addresses: list[str] = []

    def open_socket(addr_info: Any) -> socket.socket:
        family, kind, protocol, _, place = addr_info
        addresses.append(place[0])
        if not is_here(place[0]):
            raise ConnectionRefusedError(111, f"nobody at {place[0]}")
        return socket.socket(family, kind, protocol)

    monkeypatch.setattr("crawler.guard.open_socket", open_socket)
    return addresses


@pytest.fixture
def no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks before the last one see nothing: what is left is the wall."""

    async def resolve(self: Any, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return await self._inner.resolve(host, port, family)  # type: ignore[no-any-return]

    monkeypatch.setattr("crawler.guard._GuardedResolver.resolve", resolve)
    monkeypatch.setattr(Guard, "check", lambda _, url: address_of(url))


@asynccontextmanager
async def fetching(*allow: str) -> AsyncIterator[Fetcher]:
    values = Settings(allow_private=list(allow), connect_timeout=5)
    async with Fetcher(values, Guard(values.allow_private), Throttle(values)) as fetcher:
        yield fetcher


async def reason_of(fetcher: Fetcher, url: str) -> str:
    with pytest.raises((DropRequest, FetchError)) as caught:
        await fetcher.fetch(Request(url))
    kind = "skipped" if isinstance(caught.value, DropRequest) else "failed"
    return f"{kind} {caught.value.reason}"


@pytest.mark.usefixtures("no_filter")
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/", "https://[::ffff:a00:1]/"]
)
async def test_no_socket_is_made_for_a_private_literal(url: str, opened: list[str]) -> None:
    async with fetching() as fetcher:
        assert await reason_of(fetcher, url) == "skipped private_address"
    assert opened == []


@pytest.mark.usefixtures("no_filter")
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        # Several are tried in tasks of their own.
        ["127.0.0.1", "::1"],
        ["10.0.0.1", "192.168.0.1", "fd00::1", "fe80::1%2", "169.254.169.254"],
    ],
    ids=len,
)
async def test_no_socket_is_made_for_a_name_with_private_addresses(
    addresses: list[str], opened: list[str]
) -> None:
    with name_server({"inside.test": addresses}):
        async with fetching() as fetcher:
            assert await reason_of(fetcher, "http://inside.test/") == "skipped private_address"
    assert opened == []


@pytest.mark.usefixtures("no_filter")
async def test_of_a_mixed_answer_the_wall_lets_the_public_addresses_through(
    opened: list[str],
) -> None:
    with name_server({"mixed.test": ["10.0.0.1", PUBLIC_V4, "::1", PUBLIC_V6, "127.0.0.1"]}):
        async with fetching() as fetcher:
            await reason_of(fetcher, "http://mixed.test/")
    assert set(opened) == {PUBLIC_V4, PUBLIC_V6}


@pytest.mark.usefixtures("no_filter")
async def test_each_of_many_fetches_at_once_is_for_its_own_host(opened: list[str]) -> None:
    async with serve({"/": "hello"}) as site:
        names = {f"name{n}.test": ["127.0.0.1", "::1"] for n in range(20)}
        with name_server(names):
            async with fetching("name7.test", f"name9.test:{site.port}") as fetcher:

                async def outcome(name: str) -> str:
                    try:
                        return (await fetcher.fetch(Request(f"http://{name}:{site.port}/"))).text
                    except DropRequest as drop:
                        return drop.reason

                found = dict(zip(names, await asyncio.gather(*map(outcome, names)), strict=True))
    assert [name for name, got in found.items() if got == "hello"] == ["name7.test", "name9.test"]
    assert set(found.values()) == {"hello", "private_address"}


async def test_a_name_that_moves_inside_after_its_check_is_refused(opened: list[str]) -> None:
    answers = iter([[PUBLIC_V4], ["127.0.0.1"], ["127.0.0.1", PUBLIC_V4]])
    with name_server({"moving.test": lambda: next(answers)}):
        async with fetching() as fetcher:
            url = "http://moving.test/"
            assert await reason_of(fetcher, url) == "failed connection"
            connector = fetcher._session.connector  # type: ignore[union-attr]
            connector.clear_dns_cache()  # type: ignore[union-attr]
            assert await reason_of(fetcher, url) == "skipped private_address"
            connector.clear_dns_cache()  # type: ignore[union-attr]
            assert await reason_of(fetcher, url) == "failed connection"
    assert set(opened) == {PUBLIC_V4}


async def test_callers_who_wait_for_one_look_up_are_all_refused(opened: list[str]) -> None:
    with name_server({"inside.test": ["10.0.0.1"]}) as asked:
        async with fetching() as fetcher:
            url = "http://inside.test/"
            reasons = await asyncio.gather(*(reason_of(fetcher, url) for _ in range(10)))
    assert set(reasons) == {"skipped private_address"}
    assert (asked, opened) == (["inside.test"], [])


async def test_a_thousand_addresses_are_not_all_tried(opened: list[str]) -> None:
    with name_server({"many.test": [f"93.184.216.{n}" for n in range(250)] * 4}):
        async with fetching() as fetcher:
            assert await reason_of(fetcher, "http://many.test/") == "failed connection"
    assert len(set(opened)) == 4
    assert len(opened) <= 10


async def test_the_threads_that_look_names_up_end_with_the_fetcher() -> None:
    with name_server({"inside.test": ["10.0.0.1"]}):
        async with fetching() as fetcher:
            await reason_of(fetcher, "http://inside.test/")
            (thread,) = (each for each in threading.enumerate() if each.name == "dns")
    thread.join(20)
    assert not thread.is_alive()


async def test_a_kept_connection_does_not_serve_another_name_of_the_same_address(
    opened: list[str],
) -> None:
    async with serve({"/": "hello"}) as site:
        with name_server({"start.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}):
            async with fetching(f"start.test:{site.port}") as fetcher:
                await fetcher.fetch(Request(f"http://start.test:{site.port}/"))
                other = f"http://other.test:{site.port}/"
                assert await reason_of(fetcher, other) == "skipped private_address"
                await fetcher.fetch(Request(f"http://start.test:{site.port}/"))
    assert opened == ["127.0.0.1"]


def test_without_a_destination_only_public_addresses_are_admitted(opened: list[str]) -> None:
    guard = Guard(["start.test"])
    with pytest.raises(AddressRefused):
        guard.open((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    assert opened == []


# ── ports ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("port", sorted(BAD_PORTS))
def test_a_port_that_is_another_services_is_refused_whoever_names_it(port: int) -> None:
    guard = Guard(["*"])
    url = f"http://books.example:{port}/"
    guard.name(url)
    with pytest.raises(DropRequest, match="bad_port"):
        guard.check(url)
    assert has_bad_port(f"books.example:{port}")
    assert has_bad_port(f"[::1]:{port}")


@pytest.mark.parametrize("host", ["books.example", "[::1]", "[::25]", "x:8080", "x:81", "[::]:443"])
def test_other_ports_are_not(host: str) -> None:
    assert not has_bad_port(host)
    Guard(["*"]).check(f"http://{host}/")


def test_the_bad_ports_are_those_of_the_fetch_standard() -> None:
    # 2.9 "Port blocking": how many there are, and a checksum of them all.
    assert (len(BAD_PORTS), sum(BAD_PORTS)) == (83, 115_595)
