"""Fetches from servers that answer by path, what they answer, and what fetches fail with."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crawler.cookies import Cookies
from crawler.errors import FetchError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.throttle import Throttle
from tests.hostile.server import Answer, Asked, Connection, Hostile, response, site

Pages = Mapping[str, bytes | str | Answer]


def serving(pages: Pages, tls: ssl.SSLContext | None = None) -> Hostile:
    """A server of these pages, which may be changed while it is up."""
    return Hostile(site(pages), tls=tls)


@asynccontextmanager
async def fetching(jars: Cookies | None = None, **settings: Any) -> AsyncIterator[Fetcher]:
    """A fetcher that may go anywhere on 127.0.0.1, unless the settings say otherwise."""
    values = Settings(**{"allow_private": ["127.0.0.1"], "timeout": 20.0, **settings})
    async with Fetcher(values, Guard(values.allow_private), Throttle(values), jars) as fetcher:
        yield fetcher


async def fetch(url: str, settings: dict[str, Any] | None = None, **request: Any) -> Response:
    async with fetching(**(settings or {})) as fetcher:
        return await fetcher.fetch(Request(url, **request))


async def failure(url: str, settings: dict[str, Any] | None = None, **request: Any) -> FetchError:
    """What a fetch fails with."""
    with pytest.raises(FetchError) as caught:
        await fetch(url, settings, **request)
    return caught.value


def ok(body: bytes = b"hello", *headers: str) -> bytes:
    return response(body, *headers)


def moved(status: int, location: str, *headers: str) -> bytes:
    return response(b"", f"Location: {location}", *headers, status=status)


async def hang_up(_: Asked, connection: Connection) -> None:
    """Close the connection without an answer."""
    connection.writer.close()


async def silence(_: Asked, connection: Connection) -> None:
    """Say nothing until the client hangs up."""
    await connection.hang()
