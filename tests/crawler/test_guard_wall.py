"""What is connected to, whatever names resolve to; no connection leaves this machine."""

import asyncio
import socket
import threading
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from crawler.errors import DropRequest, FetchError
from crawler.fetcher import Fetcher
from crawler.guard import AddressRefused, Guard
from crawler.request import Request
from crawler.url import address_of
from tests.child.sitecustomize import is_here
from tests.crawler import plain_fetches
from tests.names import name_server
from tests.site import serve

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


def fetching(*allow: str) -> AbstractAsyncContextManager[Fetcher]:
    return plain_fetches.fetching(allow_private=list(allow), connect_timeout=5)


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
