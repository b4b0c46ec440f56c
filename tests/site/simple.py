"""A site for one test, written down as a dictionary.

    async with serve({
        "/": "<a href=/x>x</a>",                                  # text: HTML, status 200
        "/data": b"\\x00\\x01",                                     # bytes: octet-stream
        "/gone": (410, {}, "no more"),                            # status, headers, body
        "/two": (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], ""),
        "/cut": (200, {"Content-Length": "100"}, "too short"),    # the connection ends early
        "/page?n=2": "with this query only",                      # else "/page" would answer
        "/login": login,                                          # async def login(request)
        "/silent": None,                                          # hangs up without an answer
    }) as site:
        ... site.url + "x" ...        # site.url is "http://127.0.0.1:PORT/", with the slash
        assert site.hits["/x"] == 1   # by path, robots.txt and missing pages included

A handler may be a function of the `Request` (`.method`, `.path`, `.query`, `.headers`, `.body`)
that returns, or when awaited gives, any of the above. What is not in the dictionary is 404,
`/robots.txt` included. Beside `hits` there are `requests` (each a tuple of method, target,
headers, body), `arrivals`, `in_flight` and `max_in_flight`; see `Server`. `site.pages` is the
dictionary itself and may be changed while the site is up.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import isawaitable
from ssl import SSLContext
from typing import Any

from crawler.selftest.server import Reply, Request, Server

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
Answer = str | bytes | tuple[int, Headers, str | bytes] | None
Page = Answer | Callable[[Request], Answer | Awaitable[Answer]]


def serve(
    pages: Mapping[str, Any],  # of Page; Any, for a dictionary's values are invariant
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl: SSLContext | None = None,
) -> "Handlers":
    """Return a site of these pages, to be used in an `async with`."""
    return Handlers(dict(pages), host=host, port=port, ssl=ssl)


class Handlers(Server):
    """The site that `serve` returns."""

    def __init__(
        self,
        pages: dict[str, Page],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl: SSLContext | None = None,
    ) -> None:
        super().__init__(host=host, port=port, ssl=ssl)
        self.pages = pages
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> Reply | None:
        """What the page of this target, or else of this path, says."""
        self.requests.append(request)
        for key in (request.target, request.path):
            if key in self.pages:
                return await _ask(self.pages[key], request)
        return _reply((404, {}, "<h1>Not found</h1>"))


async def _ask(page: Page, request: Request) -> Reply | None:
    if not callable(page):
        return _reply(page)
    answer = page(request)
    return _reply(await answer if isawaitable(answer) else answer)


def _reply(answer: Answer) -> Reply | None:
    if answer is None:
        return None
    status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    if not any(name.lower() == "content-type" for name, _ in pairs):
        kind = "text/html; charset=utf-8" if isinstance(body, str) else "application/octet-stream"
        pairs = (("Content-Type", kind), *pairs)
    return Reply(status, pairs, body.encode() if isinstance(body, str) else body)
