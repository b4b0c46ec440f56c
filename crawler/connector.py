"""aiohttp's connector, which makes the connections of `wire.py`."""

import errno
import functools
import os
import resource
import ssl
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey

from crawler.wire import Wire

# What the system says when this process, or all of them, may have no more files open.
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
# Connections that may rest here, and as many in the `Exchange`: at most, and of the files that
# the process may have open. The rest is for those in use, and for what else is a file.
_MOST_KEPT = 512
_KEPT_PART = 8
# Files of a crawl that are no connections to its hosts: the store's, look-ups of names (128 of them
# at once), logs, what a spider has open; and those of each process that runs callbacks.
_OTHERS, _OF_A_PROCESS = 256, 8


class WireConnector(aiohttp.TCPConnector):
    """aiohttp's pool of connections, of `Wire`s, with TLS 1.2 or later, verified."""

    def __init__(self, *, min_rate: float, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(  # type: ignore[assignment]
            Wire, loop=self._loop, min_rate=min_rate, distrusted={}
        )
        self.most_kept = most_kept()

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        super()._release(key, protocol, should_close=should_close)
        if sum(map(len, self._conns.values())) > self.most_kept:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        key = min(self._conns, key=lambda key: self._conns[key][0][1])
        kept = self._conns[key]
        kept.popleft()[0].close()
        if not kept:
            del self._conns[key]

    def make_room(self) -> bool:
        """Close at once all connections that rest here; say whether there were any."""
        kept = [wire for kept in self._conns.values() for wire, _ in kept]
        self._conns.clear()
        for wire in kept:
            wire.abort()
        return bool(kept)

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        # Made for the first url that needs it: a crawl over http begins 20 ms earlier.
        return tls_context() if req.is_ssl() else None


def most_kept() -> int:
    """Return how many connections may be kept in one place, so that files are left to open.

    Each is a file, and by itself stays open for up to a minute, in which a crawl of many hosts
    makes more of them than many a system lets a process have.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_KEPT
    return max(1, min(_MOST_KEPT, soft // _KEPT_PART))


def files_needed(concurrency: int, processes: int) -> int:
    """Return how many files a crawl must be allowed to open for so many fetches at once.

    Of these `most_kept` has its two parts: a quarter, up to a number.
    """
    used = concurrency + _OTHERS + _OF_A_PROCESS * processes
    return min(-(-used * _KEPT_PART // (_KEPT_PART - 2)), used + 2 * _MOST_KEPT)


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
