"""Cookies: giants, floods, lies about whose they are, and what the next request then carries."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import crawler
from crawler.cookies import LONGEST_HEADER, MOST_OF_SITE
from tests.hostile.case import Case, Outcome, Reader
from tests.hostile.server import Asked, Connection, Hostile, Play, response, site
from tests.names import name_server

Check = Callable[[Outcome], None]

_LINK = '<title>in</title><a href="/next">x</a>'


def _set(*cookies: str, body: str = _LINK, status: int = 200, to: str = "") -> bytes:
    """A response that sets cookies: a page with a link to `/next`, or a redirect."""
    lines = [f"Set-Cookie: {cookie}" for cookie in cookies]
    return response(body, *lines, *([f"Location: {to}"] if to else ()), status=status)


def _told(asked: Sequence[Asked], target: str = "/next") -> list[str | None]:
    """The Cookie headers of the requests for a page."""
    return [one.header("Cookie") for one in asked if one.target == target]


def _next_is_told(*expected: str | None) -> Check:
    def check(outcome: Outcome) -> None:
        assert _told(outcome.asked) == list(expected)

    return check


def _case(name: str, told: str | None, *cookies: str) -> Case:
    """A page sets cookies, and the page that it links to is told so much of them."""
    play = site({"/": _set(*cookies), "/next": "x"})
    return Case(name, play, "done", others={"{here}/next": "done"}, check=_next_is_told(told))


def _named(name: str, first: str, second: str, told: str | None, *cookies: str) -> Case:
    """A page of one host sets cookies, and a page of another is told so much of them."""
    stage = _Named(first, second, cookies, told)
    return Case(
        name,
        site({}),
        "done",
        listen=stage.listen,
        settings={"allow_private": ["*"]},
        check=stage.check,
    )


class _Named:
    """Two names for one server: `/` of the first links to `/next` of the second."""

    def __init__(self, first: str, second: str, cookies: Sequence[str], told: str | None) -> None:
        self._first, self._second, self._told = first, second, told
        self._lines = [f"Set-Cookie: {cookie}" for cookie in cookies]
        self._asked: list[Asked] = []

    async def _play(self, connection: Connection) -> None:
        link = connection.server.named(b'<a href="{there}/next">x</a>')
        while True:
            asked = await connection.request()
            page = response(link, *self._lines) if asked.target == "/" else response("x")
            await connection.send(page)

    def listen(self) -> AbstractAsyncContextManager[str]:
        return self._listen()

    @asynccontextmanager
    async def _listen(self) -> AsyncIterator[str]:
        zone = {name: ["127.0.0.1"] for name in (self._first, self._second)}
        async with Hostile(self._play) as server:
            self._asked = server.asked
            server.there = server.url.replace("127.0.0.1", self._second)
            with name_server(zone):
                yield server.url.replace("127.0.0.1", self._first)

    def check(self, outcome: Outcome) -> None:
        del outcome  # it knows of another server
        assert _told(self._asked) == [self._told]


def _bomb_fits(outcome: Outcome) -> None:
    (told,) = _told(outcome.asked)
    assert told is not None
    assert told.startswith("login=1; ")
    assert len(told) <= LONGEST_HEADER


def _fifty(outcome: Outcome) -> None:
    (told,) = _told(outcome.asked)
    assert told is not None
    assert told.split("; ") == [f"n{n}=1" for n in range(100 - MOST_OF_SITE, 100)]


def _wall() -> Play:
    """`/` is for those who have been to `/wall` and kept its cookie."""

    async def play(connection: Connection) -> None:
        while True:
            asked = await connection.request()
            if asked.target == "/wall":
                await connection.send(_set("seen=1; Path=/", body="", status=302, to="/"))
            elif asked.header("Cookie") == "seen=1":
                await connection.send(response("<title>inside</title>"))
            else:
                await connection.send(response(b"", "Location: /wall", status=302))

    return play


def _inside(outcome: Outcome) -> None:
    assert [item["title"] for item in outcome.items] == ["inside"]


def _growing() -> Play:
    """Each answer sets one more large cookie, and sends on to itself."""
    turn = 0

    async def play(connection: Connection) -> None:
        nonlocal turn
        while True:
            await connection.request()
            turn += 1
            await connection.send(_set(f"n{turn}={'x' * 4000}", body="", status=302, to=f"/{turn}"))

    return play


def _never_too_long(outcome: Outcome) -> None:
    assert len(outcome.asked) == 11
    assert all(len(one.header("Cookie") or "") <= LONGEST_HEADER for one in outcome.asked)


def _each_is_told_its_own(outcome: Outcome) -> None:
    assert [one.header("Cookie") for one in outcome.asked_there] == [None, "there=1"]
    assert _told(outcome.asked) == ["here=1"]


def _there_is_told_nothing(outcome: Outcome) -> None:
    assert [one.header("Cookie") for one in outcome.asked_there] == [None]


class Member(Reader):
    """Brings a session of its own, in both ways that there are."""

    async def start(self) -> AsyncIterator[crawler.Request]:
        yield crawler.Request(
            self.start_urls[0], headers={"Cookie": "typed=1"}, cookies={"session": "secret"}
        )


class Loner(Reader):
    """Wants no cookies."""

    async def start(self) -> AsyncIterator[crawler.Request]:
        yield crawler.Request(self.start_urls[0], meta={"dont_merge_cookies": True})

    def parse(self, response: crawler.Response) -> Any:
        yield from response.follow_all("a", meta={"dont_merge_cookies": True})


CASES = (
    # ── what is no cookie
    _case("cookie of 4097 bytes", "b=1", "a=" + "x" * 4096, "b=1"),
    _case("cookie of 60 KB", "b=1", "a=" + "x" * 60_000, "b=1"),
    _case("name of 60 KB", "b=1", "x" * 60_000 + "=a", "b=1"),
    _case("Set-Cookie with nothing in it", None, ""),
    _case("Set-Cookie with an equals sign only", None, "=", " = ; Path=/"),
    _case("cookie without a name", "alone", "alone"),
    _case("cookie that is not UTF-8", "b=1", "a=caf\xe9", "b=1"),
    _case("cookie name that is not UTF-8", "b=1", "caf\xe9=1", "b=1"),
    _case("two cookies in one header", "a=1, b=2", "a=1, b=2"),
    _case("a cookie in quotes", 'a="1', 'a="1; b=2"'),
    _case("twenty thousand attributes", "a=1", "a=1" + "; x" * 20_000),
    _case("an attribute of 60 KB", "a=1", "a=1; Path=/" + "x" * 60_000),
    _case("control characters in a cookie", "d=1", "a=1\x01b", "b=1; Path=\x1f", "c=\x7f", "d=1"),
    # ── when it ends
    _case("cookie that is over already", None, "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    _case("cookie that takes itself back", None, "a=1", "a=2; Max-Age=0"),
    _case("expires in 1601", None, "a=1; Expires=Mon, 01 Jan 1601 00:00:00 GMT"),
    _case("expires in 1600, which is no date", "a=1", "a=1; Expires=Fri, 01 Jan 1600 00:00:00 GMT"),
    _case("expires in 9999", "a=1", "a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT"),
    _case("expires in garbage", "a=1", "a=1; Expires=\xff\xfe; Max-Age=1e9"),
    _case("Max-Age of a thousand digits", "a=1", "a=1; Max-Age=" + "9" * 1000),
    _case("Max-Age of minus a thousand digits", None, "a=1; Max-Age=-" + "9" * 1000),
    # ── too many
    Case(
        "a hundred cookies",
        site({"/": _set(*(f"n{n}=1" for n in range(100))), "/next": "x"}),
        "done",
        check=_fifty,
    ),
    Case(
        "ten thousand Set-Cookie headers",
        site({"/": _set(*(f"n{n}=1" for n in range(10_000)))}),
        "failed bad_response",
        tries=2,
    ),
    Case(
        "cookies that would make the next request too large",
        site({"/": _set("login=1", *(f"n{n}={'x' * 4000}" for n in range(40))), "/next": "x"}),
        "done",
        check=_bomb_fits,
    ),
    Case(
        "redirects that set a large cookie each",
        _growing(),
        "failed too_many_redirects",
        check=_never_too_long,
    ),
    # ── whose it is
    _case("Domain of another address", None, "a=1; Domain=127.0.0.2"),
    _case("Domain of the end of an address", None, "a=1; Domain=.0.0.1", "b=1; Domain=1"),
    _case("Domain of a single dot", "a=1", "a=1; Domain=."),
    _case("Domain of two dots", None, "a=1; Domain=.."),
    _case("Path of another directory", None, "a=1; Path=/other", "b=1; Path=/nex"),
    _case("Secure over http", None, "a=1; Secure", "__Secure-b=1; Secure", "__Secure-c=1"),
    _case("__Host- over http", None, "__Host-a=1; Path=/; Secure", "__hOsT-b=1", "=__Host-c=1"),
    _named("Domain=co.uk", "evil.co.uk", "bank.co.uk", None, "a=1; Domain=co.uk"),
    _named("Domain=.co.uk", "evil.co.uk", "bank.co.uk", None, "a=1; Domain=.co.uk"),
    _named("Domain=..co.uk", "evil.co.uk", "bank.co.uk", None, "a=1; Domain=..co.uk"),
    _named("Domain=co.uk.", "evil.co.uk.", "bank.co.uk.", None, "a=1; Domain=co.uk."),
    _named("Domain=com", "evil.com", "bank.com", None, "a=1; Domain=com"),
    _named("Domain=github.io", "evil.github.io", "a.github.io", None, "a=1; Domain=github.io"),
    _named("Domain that is unknown", "evil.corp", "wiki.corp", None, "a=1; Domain=corp"),
    _named("another site", "evil.example", "bank.example", None, "a=1; Domain=bank.example"),
    _named("a longer name", "evilbank.test", "bank.test", None, "a=1; Domain=bank.test"),
    _named("the host's subdomain", "a.test", "b.a.test", None, "a=1; Domain=b.a.test"),
    _named("host only", "bank.test", "evil.bank.test", None, "a=1"),
    _named("its own site", "a.bank.test", "b.bank.test", "a=1", "a=1; Domain=.BANK.test"),
    # ── where it goes
    Case(
        "cookies on the way to another origin and back",
        site(
            {
                "/": _set("here=1; Path=/", body="", status=302, to="{there}/"),
                "/next": "x",
            }
        ),
        "done",
        there=site(
            {
                "/": _set("there=1; Path=/", body="", status=302, to="/on"),
                "/on": response(b"", "Location: {there}/next", status=302),
            }
        ),
        check=_each_is_told_its_own,
    ),
    Case(
        "a request's own cookies do not follow a redirect to another host",
        site({"/": _set(body="", status=302, to="{there}/")}),
        "done",
        spider=Member,
        check=_there_is_told_nothing,
    ),
    Case(
        "a request's own cookies within its host",
        site({"/": _set("a=1", body="", status=302, to="/next"), "/next": "x"}),
        "done",
        spider=Member,
        check=_next_is_told("typed=1; session=secret; a=1"),
    ),
    Case(
        "cookies that nobody wants",
        site({"/": _set("a=1"), "/next": "x"}),
        "done",
        spider=Loner,
        check=_next_is_told(None),
    ),
    Case("a wall that wants a cookie kept", _wall(), "done", check=_inside),
)
