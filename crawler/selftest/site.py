"""The server of a synthetic site; see spec.py for what is on it."""

import asyncio
from functools import lru_cache

from crawler.selftest.server import Reply, Request, Server
from crawler.selftest.spec import Kind, SiteSpec

_HTML = (("Content-Type", "text/html; charset=utf-8"),)
_KEPT_PAGES = 20_000  # about 30 MB of HTML; a page takes longer to make than to send


class SiteServer(Server):
    """Serves `spec`; what happens once happens once in the life of this object."""

    def __init__(self, spec: SiteSpec, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self.spec = spec
        self._troubled: set[int] = set()  # pages that have had their one failure
        self._body = lru_cache(_KEPT_PAGES)(lambda i: spec.html(i).encode())
        self._kind = lru_cache(_KEPT_PAGES)(spec.kind)

    async def answer(self, request: Request) -> Reply:
        """Page, redirect or failure, as the spec has it."""
        room, _, number = request.path.strip("/").partition("/")
        i = int(number) if number.isdecimal() else -1
        if not 0 <= i < self.spec.pages or request.path != f"/{room}/{i}":
            return _not_found()
        if room == "p":
            return await self._page(i)
        if room == "r" and self._kind(i) is Kind.MOVED:
            return Reply(302, (("Location", f"/p/{i}"),), b"")
        return _not_found()

    async def _page(self, i: int) -> Reply:
        kind = self._kind(i)
        if kind is Kind.MISSING:
            return _not_found()
        body = self._body(i)
        if kind is Kind.SLOW:
            await asyncio.sleep(self.spec.slow_seconds)
        elif kind in (Kind.FAILS_ONCE, Kind.CUT_ONCE) and i not in self._troubled:
            self._troubled.add(i)
            if kind is Kind.FAILS_ONCE:
                return Reply(500, _HTML, b"<h1>Not now</h1>")
            return Reply(200, (*_HTML, ("Content-Length", str(len(body)))), body[: len(body) // 2])
        return Reply(200, _HTML, body)


def _not_found() -> Reply:
    return Reply(404, _HTML, b"<h1>Not found</h1>")
