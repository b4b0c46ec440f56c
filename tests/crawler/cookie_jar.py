"""What tests of cookies have: a clock, a file, and what a jar sends."""

from collections.abc import Iterable
from typing import Any

from crawler.cookies import Cookies
from storage.records import CookieRecord


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def sent(cookies: Cookies, url: str, own: str = "", name: str = "") -> str | None:
    """The Cookie header of a request for `url`, which brings `own` itself."""
    headers = {"cookie": own} if own else {}
    headers = dict(cookies.with_ours(name, url, headers))
    return headers.get("cookie", headers.get("Cookie"))


class File:
    """Keeps what a store would."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Any, ...], CookieRecord] = {}

    def take(self, news: Iterable[CookieRecord]) -> None:
        for cookie in news:
            if cookie.expires == 0:
                self.kept.pop(cookie[:5], None)
            else:
                self.kept[cookie[:5]] = cookie

    def __iter__(self) -> Any:
        return iter(reversed(self.kept.values()))  # in no order that helps
