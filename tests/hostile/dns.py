"""What a name server can say, or not say; the names here are known to the crawl alone."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import chain, repeat
from socket import EAI_ADDRFAMILY, gaierror

from tests.hostile.case import Case
from tests.hostile.server import Hostile, Play, answer, redirect, site
from tests.names import BROKEN, NO_DATA, NXDOMAIN, SERVFAIL, Answer, Answers, name_server

_HERE = ["127.0.0.1"]
_FAR = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(1000)]  # nobody listens there
_FINE = answer("<title>fine</title>")
_BRIEF = {"connect_timeout": 0.3}
_SLOW = [f"slow{n}.test" for n in range(40)]

Listen = Callable[[], AbstractAsyncContextManager[str]]


def _named(
    answers: Answers, play: Play = _FINE, name: str = "start.test", **zone: Answers
) -> Listen:
    """Serve `play` under a name for which the name server gives `answers`."""

    @asynccontextmanager
    async def listen() -> AsyncIterator[str]:
        with name_server({name: answers, **{f"{n}.test": told for n, told in zone.items()}}):
            async with Hostile(play) as server:
                yield server.url.replace("127.0.0.1", name)

    return listen


def _in_turn(*answers: Answer) -> Listen:
    """Give these answers one after the other, the last one for ever."""

    @asynccontextmanager
    async def listen() -> AsyncIterator[str]:
        turns = chain(answers, repeat(answers[-1]))
        async with _named(lambda: next(turns))() as url:
            yield url

    return listen


@contextmanager
def _silence() -> Iterator[Callable[[], Answer]]:
    """Give an answer that comes when the crawl is over."""
    over = threading.Event()

    def wait() -> Answer:
        over.wait()
        return NXDOMAIN

    try:
        yield wait
    finally:
        over.set()


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    with _silence() as wait:
        async with _named(wait)() as url:
            yield url


@asynccontextmanager
async def _beside_silent_ones() -> AsyncIterator[str]:
    pages = {"/": _links("/a", "/b", *(f"http://{name}/" for name in _SLOW)), "/a": "", "/b": ""}
    with _silence() as wait, name_server(dict.fromkeys(_SLOW, wait)):
        async with _named(_HERE, site(pages))() as url:
            yield url


def _links(*urls: str) -> str:
    return "".join(f'<a href="{url}">x</a>' for url in urls)


def _case(name: str, answers: Answers, ends: str, tries: int = 1) -> Case:
    return Case(name, _FINE, ends, tries, settings=_BRIEF, listen=_named(answers))


CASES = (
    _case("NXDOMAIN", NXDOMAIN, "failed dns"),
    _case("a name without addresses", NO_DATA, "failed dns"),
    _case("SERVFAIL for ever", SERVFAIL, "failed dns", tries=2),
    _case("a name server that refuses", BROKEN, "failed dns", tries=2),
    _case("no route to a name server", OSError(101, "Network is unreachable"), "failed dns", 2),
    _case("a name that cannot be one", UnicodeError("label too long"), "failed dns"),
    _case("an answer of nothing", [], "failed dns"),
    _case("an answer of no addresses", ["", "localhost", "1.2.3", "not an address"], "failed dns"),
    _case(
        "IPv6 only, for a machine without",
        gaierror(EAI_ADDRFAMILY, "Address family for hostname not supported"),
        "failed dns",
    ),
    _case("garbage beside the address", ["not an address", "127.0.0.1", ""], "done"),
    _case("the same address a thousand times", _HERE * 1000, "done"),
    _case("a thousand addresses, the first of which answers", [*_HERE, *_FAR], "done"),
    _case("a thousand addresses, the second of which answers", [_FAR[0], *_HERE, *_FAR], "done"),
    _case("a thousand addresses where nobody is", _FAR, "failed connection", tries=2),
    Case("SERVFAIL, and then an answer", _FINE, "done", 2, listen=_in_turn(SERVFAIL, _HERE)),
    Case("no answer in time", _FINE, "failed dns", 2, settings=_BRIEF, listen=_silent),
    Case(
        "redirect to a name that does not exist",
        _FINE,
        "failed dns",
        listen=_named(_HERE, redirect("http://gone.test/"), gone=NXDOMAIN),
    ),
    Case(
        "redirect to a name whose name server fails",
        _FINE,
        "failed dns",
        tries=2,
        listen=_named(_HERE, redirect("http://gone.test/"), gone=SERVFAIL),
    ),
    Case(
        "forty names whose name server is silent hold up nobody else",
        _FINE,
        "done",
        settings={"connect_timeout": 2.0, "retries": 0, "concurrency": 64},
        listen=_beside_silent_ones,
        others={
            "{here}/a": "done",
            "{here}/b": "done",
            **{f"http://{name}/": "failed dns" for name in _SLOW},
        },
    ),
    Case(
        "a name of one letter more than a label may have",
        _FINE,
        "failed dns",
        listen=_named(UnicodeError("label too long"), name="a" * 64 + ".test"),
    ),
)
