"""A spider that wanders over hostile servers, which have names of the test's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler import Request, Response, Spider
from tests.hostile.certificates import side_of, trusted_authority
from tests.hostile.server import Asked, Hostile
from tests.names import name_server

Crawl = Callable[..., Awaitable[crawler.Summary]]
Rows = Callable[..., list[Any]]

_PATIENCE = 60.0  # seconds; a hang fails the test, and not the whole suite
HERE = ["127.0.0.1"]


class Wanderer(Spider):
    """Begins with `requests`, keeps what each page is, and follows its links."""

    name = "wanderer"
    allowed_domains = ("*",)
    requests: Sequence[Request] = ()

    async def start(self) -> AsyncIterator[Request]:
        for request in self.requests:
            yield request

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "size": len(response.body), "text": response.text[:200]}
        yield from response.follow_all("a")


@pytest.fixture
def wander(crawl: Crawl) -> Crawl:
    """Crawl from these requests: no robots.txt, no retries, any address unless said otherwise."""

    async def run(*requests: Request | str, of: type[Spider] = Wanderer, **settings: Any) -> Any:
        given = [Request(one) if isinstance(one, str) else one for one in requests]
        values = {"robots": False, "retries": 0, "timeout": 20.0, "allow_private": ["*"]}
        async with asyncio.timeout(_PATIENCE):
            return await crawl(type("S", (of,), {"requests": given}), **{**values, **settings})

    return run


@pytest.fixture
def ends(rows: Rows) -> Callable[[], dict[str, str]]:
    """How each request ended, by its url: "done", "failed too_large", "skipped scheme" ..."""

    def look() -> dict[str, str]:
        found = rows("SELECT url, state, reason FROM crawl_request")
        return {url: f"{state} {reason}" if reason else state for url, state, reason in found}

    return look


@pytest.fixture
def names() -> dict[str, Sequence[str]]:
    """The whole DNS of a test: name -> addresses on loopback."""
    return {}


@pytest.fixture(autouse=True)
def look_ups(names: dict[str, Sequence[str]]) -> Iterator[list[str]]:
    """The names that were looked up, in order."""
    with name_server(names) as asked:
        yield asked


def named(server: Hostile, name: str, path: str = "/") -> str:
    """The url of a page of `server` under another name."""
    scheme, _, host = server.url.partition("://")
    return f"{scheme}://{name}:{host.rpartition(':')[2]}{path}"


def asked_as(server: Hostile, name: str) -> list[Asked]:
    """What `server` was asked under that name."""
    return [one for one in server.asked if str(one.header("Host")).rpartition(":")[0] == name]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ssl.SSLContext]:
    """A server's side of TLS with a certificate for these names, by an authority we trust."""
    authority = trusted_authority(tmp_path, monkeypatch)
    return lambda *hosts: side_of(authority.issue_cert(*hosts))
