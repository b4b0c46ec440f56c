"""aiohttp's connector, which makes the connections of `wire.py`."""

import functools
import os
import ssl
from typing import Any

import aiohttp

from crawler.wire import Wire


class WireConnector(aiohttp.TCPConnector):
    """aiohttp's pool of connections, of `Wire`s, with TLS 1.2 or later, verified."""

    def __init__(self, *, min_rate: float, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(  # type: ignore[assignment]
            Wire, loop=self._loop, min_rate=min_rate, distrusted={}
        )

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        # Made for the first url that needs it: a crawl over http begins 20 ms earlier.
        return tls_context() if req.is_ssl() else None


def tls_context() -> ssl.SSLContext:
    """Return a client's side of TLS that trusts the system's authorities.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` in the environment name others, as OpenSSL has it.
    """
    return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=1)  # to read the authorities takes 20 ms
def _trusting(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
