"""Middleware: what wraps the fetcher like an onion.

A middleware is a plain coroutine function, three lines at its smallest:

    async def shout(request, call_next):
        response = await call_next(request)
        return response

It may change the request, answer without calling `call_next`, call it again, look at the
response, or raise `DropRequest`. It must not sleep to retry: raise `RetryLater`, and the request
goes back into the frontier.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from crawler.request import Request
from crawler.response import Response

Handler = Callable[[Request], Awaitable[Response]]
Middleware = Callable[[Request, Handler], Awaitable[Response]]

__all__ = ["Handler", "Middleware", "around", "compose"]


def compose(middleware: Sequence[Middleware], fetch: Handler) -> Handler:
    """Return `fetch` wrapped in `middleware`, the first one outermost."""
    handler = fetch
    for layer in reversed(middleware):
        handler = around(_checked(layer), handler)
    return handler


def around(layer: Middleware, inner: Handler) -> Handler:
    """Return `inner` with one layer around it, which is trusted to return a response."""

    def handle(request: Request) -> Awaitable[Response]:
        return layer(request, inner)

    return handle


def _checked(layer: Middleware) -> Middleware:
    name = getattr(layer, "__name__", repr(layer))

    async def checked(request: Request, call_next: Handler) -> Response:
        answer: Any = layer(request, call_next)
        if not isinstance(answer, Awaitable):
            kind = type(answer).__name__
            raise TypeError(
                f"middleware {name} is awaited, and its {kind} cannot be: write async def"
            )
        response: Any = await answer
        if not isinstance(response, Response):
            raise TypeError(f"middleware {name} returned {type(response).__name__}, no Response")
        return response

    return checked
