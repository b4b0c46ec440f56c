"""The system's certificate authorities, read when they are needed.

aiohttp reads them twice as it is imported, for contexts that a crawl has no use for: its own is
`connector.tls_context`. That is 36 ms of the 200 that a command takes to start. So aiohttp finds
none, and whoever connects by its context after all, as a spider may that uses aiohttp itself, has
them read first.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# By these OpenSSL is told where authorities are.
_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def read_when_needed() -> Iterator[None]:
    """Have aiohttp find no authorities while it is imported, and read them when it connects.

    Not where there are other threads, whose the environment is as well.
    """
    if "aiohttp" in sys.modules or threading.active_count() > 1:
        yield
        return
    before = {name: os.environ.get(name) for name in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
    if "aiohttp" in sys.modules:
        _complete_later()


def _complete_later() -> None:
    """Have the contexts that aiohttp has made complete themselves."""
    import ssl  # which aiohttp has imported; `crawler --help` does without

    class Incomplete(ssl.SSLContext):
        """A context that reads the authorities before its first connection."""

        def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
            return complete(self).wrap_bio(*arguments, **options)

        def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
            return complete(self).wrap_socket(*arguments, **options)

    def complete(context: ssl.SSLContext) -> ssl.SSLContext:
        context.load_default_certs()
        # Not before: another thread may connect by it meanwhile.
        context.__class__ = ssl.SSLContext
        return context

    modules = [module for name, module in sys.modules.items() if name.startswith("aiohttp")]
    for context in [value for module in modules for value in vars(module).values()]:
        if type(context) is ssl.SSLContext and context.verify_mode is ssl.CERT_REQUIRED:
            context.__class__ = Incomplete
