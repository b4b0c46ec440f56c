"""robots.txt from servers that are broken, or mean it (RFC 9309)."""

import gzip

from tests.hostile.case import Case, Outcome
from tests.hostile.server import (
    Connection,
    Play,
    answer,
    head,
    raw,
    response,
    site,
)

_CLOSED = "User-agent: *\nDisallow: /\n"
_ON = {"robots": True}


def _robots(reply: bytes | str) -> Play:
    """A site of one page, and of a robots.txt that is this."""
    if isinstance(reply, str):
        reply = response(reply, kind="text/plain")
    return site({"/": "<title>page</title>", "/robots.txt": reply})


def _hops(number: int, last: bytes) -> Play:
    """A robots.txt that is so many redirects away."""
    pages = {
        f"/{n}.txt": response(b"", f"Location: /{n + 1}.txt", status=302) for n in range(1, number)
    }
    first = response(b"", "Location: /1.txt", status=301)
    return site({"/": "x", "/robots.txt": first, **pages, f"/{number}.txt": last})


def _endless(beginning: bytes) -> Play:
    """A robots.txt that never ends."""

    async def play(connection: Connection) -> None:
        while True:
            asked = await connection.request()
            if asked.target != "/robots.txt":
                await connection.send(response("<title>page</title>"))
                continue
            await connection.send(head(kind="text/plain") + beginning)
            while True:
                await connection.send(b"# nothing\n" * 1000)

    return play


def _first_answers(*replies: bytes) -> Play:
    """A robots.txt that is another at every look; the last one stays."""
    left = list(replies)

    async def play(connection: Connection) -> None:
        while True:
            asked = await connection.request()
            if asked.target == "/robots.txt":
                await connection.send(left.pop(0) if len(left) > 1 else left[0])
            else:
                await connection.send(response("<title>page</title>"))

    return play


def _page_was_not_asked_for(outcome: Outcome) -> None:
    assert {asked.target for asked in outcome.asked} == {"/robots.txt"}


def _no_credentials(outcome: Outcome) -> None:
    asked = [one for one in (*outcome.asked, *outcome.asked_there) if one.target.endswith(".txt")]
    assert asked
    assert all(one.header("Cookie") is None for one in asked)


def _closed(name: str, reply: bytes | str) -> Case:
    return Case(
        f"robots.txt {name}",
        _robots(reply),
        "skipped robots",
        tries=0,
        settings=_ON,
        check=_page_was_not_asked_for,
    )


def _open(name: str, reply: bytes | str) -> Case:
    return Case(f"robots.txt {name}", _robots(reply), "done", settings=_ON)


def _unavailable(name: str, reply: bytes, reason: str = "robots_unavailable") -> Case:
    return Case(
        f"robots.txt {name}",
        _robots(reply),
        f"failed {reason}",
        tries=0,
        settings=_ON,
        check=_page_was_not_asked_for,
    )


CASES = (
    # ── what counts as a file
    _closed("that closes everything", _CLOSED),
    _closed("behind a byte order mark", "\ufeff" + _CLOSED),
    _closed("with the line ends of old Macs", _CLOSED.replace("\n", "\r")),
    _closed("without a line end", _CLOSED.rstrip()),
    _closed("in capitals", _CLOSED.upper().replace("/", "/")),
    _closed("in UTF-8 and Latin-1 at once", response(b"# \xff\xfe\xe9\n" + _CLOSED.encode())),
    _closed("called HTML", response(_CLOSED)),
    _closed("with NULs around it", response(b"\x00\n" + _CLOSED.encode() + b"\x00" * 100)),
    _closed("that begins with NULs", response(b"\x00\x00" + _CLOSED.encode())),
    _closed("in gzip", response(gzip.compress(_CLOSED.encode()), "Content-Encoding: gzip")),
    _closed("of half a megabyte, closed at its end", "#" + "x" * 500_000 + "\n" + _CLOSED),
    _open("of which only the part past 500 KiB is closed", "#" + "x" * 512_000 + "\n" + _CLOSED),
    _open("that is a page", response("<html>Disallow: /")),
    _open("that is empty", ""),
    _open("of random bytes", response(bytes(range(256)) * 100, kind="text/plain")),
    _open("of one line of 400 KB", "Disallow: /" + "*" * 400_000),
    _open(
        "with a pattern to go back and forth in",
        "User-agent: *\nDisallow: /" + "*a" * 5000 + "b$\n",
    ),
    _closed("with 100,000 groups", "".join(f"User-agent: a{n}\n" for n in range(20_000)) + _CLOSED),
    Case(
        "robots.txt that never ends, and closes at its beginning",
        _endless(_CLOSED.encode()),
        "skipped robots",
        tries=0,
        settings=_ON,
    ),
    Case("robots.txt that never ends", _endless(b""), "done", settings=_ON),
    # ── no file, and none for now
    *(
        _open(f"that is {status}", response(_CLOSED, status=status))
        for status in (400, 401, 403, 404, 410, 418, 451)
    ),
    *(
        _unavailable(f"that is {status}", response(b"", status=status))
        for status in (429, 500, 502, 503, 599)
    ),
    _open("that redirects without saying where", response(b"", status=302)),
    _open("that redirects to itself", response(b"", "Location: /robots.txt", status=302)),
    _open("that redirects to a file", response(b"", "Location: file:///etc/passwd", status=302)),
    Case(
        "robots.txt that is cut short",
        raw(head(length=100, kind="text/plain") + _CLOSED.encode()),
        "failed truncated",
        tries=0,
        settings=_ON,
        check=_page_was_not_asked_for,
    ),
    _unavailable("that is garbage", b"garbage\r\n\r\n", "bad_response"),
    _unavailable(
        "of half a gzip",
        response(gzip.compress(b"#" * 5000 + _CLOSED.encode())[:-12], "Content-Encoding: gzip"),
        "truncated",
    ),
    Case(
        "robots.txt that hangs",
        site({"/robots.txt": head(length=5), "/": "x"}),
        "failed timeout",
        tries=0,
        settings={**_ON, "timeout": 0.3},
    ),
    Case(
        "robots.txt that answers at the second try",
        _first_answers(response(b"", status=503), response("")),
        "done",
        settings=_ON,
    ),
    Case(
        "robots.txt that closes at the second try",
        _first_answers(response(b"", status=503), response(_CLOSED)),
        "skipped robots",
        tries=0,
        settings=_ON,
    ),
    # ── redirects
    Case(
        "robots.txt five redirects away",
        _hops(5, response(_CLOSED)),
        "skipped robots",
        tries=0,
        settings={**_ON, "max_redirects": 0},
    ),
    Case(
        "robots.txt on another host binds the first",
        site({"/": "x", "/robots.txt": response(b"", "Location: {there}/rules.txt", status=302)}),
        "skipped robots",
        tries=0,
        settings=_ON,
        there=answer(_CLOSED, kind="text/plain"),
        check=_no_credentials,
    ),
    Case(
        "robots.txt in a private network",
        site({"/": "x", "/robots.txt": response(b"", "Location: http://10.0.0.1/", status=302)}),
        "skipped private_address",
        tries=0,
        settings=_ON,
        check=_page_was_not_asked_for,
    ),
    Case(
        "robots.txt is not asked for when nobody wants it",
        raw(response("x"), then="again"),
        "done",
        check=lambda outcome: _asked_for_the_page_only(outcome),
    ),
)


def _asked_for_the_page_only(outcome: Outcome) -> None:
    assert [asked.target for asked in outcome.asked] == ["/"]
