"""Content codings: cut, wrong, nested, or made to burst."""

import gzip
import zlib
from collections.abc import Callable

import brotli

from tests.hostile.case import Case, Outcome
from tests.hostile.server import Connection, Play, answer, head, raw, response, site
from tests.hostile.tcp import Flood
from tests.zstandard import zstd

_TEXT = "<title>page</title>" + "".join(f"<p>{n} sheep</p>" for n in range(2000))
_PAGE = _TEXT.encode()
_NOTHING = bytes(1 << 20)


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


_PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its wrapping": ("deflate", _raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
}


def _pages(*texts: bytes) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        sizes = [(item["text"], item["size"]) for item in outcome.items]
        assert sizes == [(text.decode()[:200], len(text)) for text in texts]

    return check


def _coded(coding: str, body: bytes) -> Play:
    return answer(body, f"Content-Encoding: {coding}")


def _good(name: str, coding: str, body: bytes, page: bytes = _PAGE) -> Case:
    return Case(name, _coded(coding, body), "done", check=_pages(page))


def _bad(name: str, coding: str, body: bytes, why: str, tries: int = 1) -> Case:
    return Case(name, _coded(coding, body), f"failed {why}", tries=tries, check=_pages())


def _bomb(pack: Callable[[bytes], bytes], megabytes: int = 64) -> bytes:
    return pack(bytes(megabytes << 20))


def _gzip_bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(_NOTHING) for _ in range(megabytes)) + packer.flush()


def _steady(outcome: Outcome) -> None:
    """The event loop went on beating."""
    assert outcome.items == ()
    assert outcome.longest_block < 2


_MEMBER = gzip.compress(b"<p>a</p>")
_TINY = {"gzip": gzip.compress(b"a"), "zstd": zstd.compress(b"a")}
_BOMB = _gzip_bomb(64)
_RULES = b"User-agent: *\nDisallow: /private\n"
_CHUNKED = head(200, "Transfer-Encoding: chunked")
_LINKS = "<a href=/private/x>one</a><a href=/public>two</a>"
_CLOSE = "Connection: close"  # so that the page itself is not asked for in the moment of the end
_LAWFUL = {"robots": True}


def _with_robots(robots: Play) -> Play:
    """A site whose robots.txt is served so, over a connection of its own."""
    pages = site({"/": _LINKS, "/public": "<p>there</p>"})

    async def play(connection: Connection) -> None:
        await (robots if connection.server.connections == 1 else pages)(connection)

    return play


CASES = (
    # ── each coding: whole, cut, garbled, lied about ──
    *(_good(f"{name}, whole", coding, pack(_PAGE)) for name, (coding, pack) in _PACKERS.items()),
    *(
        _bad(f"{name}, cut in half", coding, half[: len(half) // 2], "truncated", tries=2)
        for name, (coding, pack) in _PACKERS.items()
        if (half := pack(_PAGE))
    ),
    *(
        _bad(f"{name}, without its last byte", coding, pack(_PAGE)[:-1], "truncated", tries=2)
        for name, (coding, pack) in _PACKERS.items()
    ),
    *(
        _bad(f"{name}, first byte only", coding, pack(_PAGE)[:1], "truncated", tries=2)
        for name, (coding, pack) in _PACKERS.items()
    ),
    *(
        Case(
            f"{name}, cut in half by the end of the connection",
            raw(head(200, f"Content-Encoding: {coding}"), half[: len(half) // 2]),
            "failed truncated",
            tries=2,
            check=_pages(),
        )
        for name, (coding, pack) in _PACKERS.items()
        if (half := pack(_PAGE))
    ),
    *(
        _bad(f"plain text that is called {coding}", coding, _PAGE, "bad_encoding")
        for coding in ("gzip", "br", "zstd")
    ),
    _bad("plain text that is called deflate", "deflate", b"\x7f" + _PAGE, "bad_encoding"),
    _bad("gzip that is called br", "br", gzip.compress(_PAGE), "bad_encoding"),
    _bad("br that is called gzip", "gzip", brotli.compress(_PAGE), "bad_encoding"),
    _bad("gzip that is called zstd", "zstd", gzip.compress(_PAGE), "bad_encoding"),
    _bad(
        "gzip with a wrong sum",
        "gzip",
        gzip.compress(_PAGE)[:-8] + bytes(4) + gzip.compress(_PAGE)[-4:],
        "bad_encoding",
    ),
    _bad("gzip, garbled", "gzip", gzip.compress(_PAGE)[:100] + b"\xff" * 500, "bad_encoding"),
    *(_good(f"{name}, and nothing in it", name, b"", b"") for name in ("gzip", "br", "zstd")),
    # ── what follows ──
    _good("gzip with padding after it", "gzip", gzip.compress(_PAGE) + bytes(512)),
    _good("gzip with garbage after it", "gzip", gzip.compress(_PAGE) + b"garbage" * 99),
    _good("zstd with garbage after it", "zstd", zstd.compress(_PAGE) + b"garbage" * 99),
    _good("deflate with garbage after it", "deflate", zlib.compress(_PAGE) + b"garbage" * 99),
    _bad("br with garbage after it", "br", brotli.compress(_PAGE) + b"garbage", "bad_encoding"),
    _good("gzip in two members", "gzip", gzip.compress(_PAGE) * 2, _PAGE * 2),
    _good("gzip in 5,000 members", "gzip", _MEMBER * 5000, b"<p>a</p>" * 5000),
    _bad("gzip, second member cut", "gzip", _MEMBER * 2 + _MEMBER[:-4], "truncated", tries=2),
    *(
        Case(
            f"{name} in 20,000 members",
            _coded(name, tiny * 20_000),
            "failed bad_encoding",
            check=_steady,
        )
        for name, tiny in _TINY.items()
    ),
    # ── names ──
    _good("x-gzip", "x-gzip", gzip.compress(_PAGE)),
    _good("GZIP", "GZIP", gzip.compress(_PAGE)),
    _good("identity", "identity", _PAGE),
    _good("a coding without a name", "", _PAGE),
    _good("commas for codings", " , ,", _PAGE),
    *(
        _bad(f"coding {name!r}", name, _PAGE, "unsupported_encoding")
        for name in ("compress", "utf-8", "x-unknown", "gzip;q=1", "gzip deflate", "*", "\xe4")
    ),
    Case(
        "coding in two headers",
        answer(
            zlib.compress(gzip.compress(_PAGE)),
            "Content-Encoding: gzip",
            "Content-Encoding: deflate",
        ),
        "done",
        check=_pages(_PAGE),
    ),
    # ── nested ──
    _good("gzip in gzip", "gzip, gzip", gzip.compress(gzip.compress(_PAGE))),
    _good("br in gzip", "br, gzip", gzip.compress(brotli.compress(_PAGE))),
    _bad(
        "gzip in gzip, cut inside",
        "gzip, gzip",
        gzip.compress(gzip.compress(_PAGE)[:-9]),
        "truncated",
        tries=2,
    ),
    _bad("gzip in gzip that says once", "gzip, gzip", gzip.compress(_PAGE), "bad_encoding"),
    _bad(
        "a hundred times gzip",
        ", ".join(["gzip"] * 100),
        gzip.compress(_PAGE),
        "unsupported_encoding",
    ),
    # ── bombs ──
    *(
        Case(f"{name} bomb", _coded(coding, _bomb(pack)), "failed too_large", check=_steady)
        for name, (coding, pack) in _PACKERS.items()
    ),
    Case(
        "gzip bomb in gzip",
        _coded("gzip, gzip", gzip.compress(_BOMB)),
        "failed too_large",
        check=_steady,
    ),
    Case(
        "gzip bomb in chunks without end",
        Flood(
            head(200, "Content-Encoding: gzip", "Transfer-Encoding: chunked"),
            b"%x\r\n%b\r\n" % (len(_BOMB), _BOMB),
        ),
        "failed too_large",
        check=_steady,
    ),
    Case(
        "bomb as an error page",
        answer(_BOMB, "Content-Encoding: gzip", status=404),
        "failed too_large",
    ),
    Case(
        "bomb on the way",
        site(
            {
                "/": response(_BOMB, "Content-Encoding: gzip", "Location: /next", status=302),
                "/next": "<p>there</p>",
            }
        ),
        "done",
        check=_pages(b"<p>there</p>"),
    ),
    Case(
        "garbage on the way",
        site(
            {
                "/": response(b"garbage", "Content-Encoding: gzip", "Location: /next", status=302),
                "/next": "<p>there</p>",
            }
        ),
        "done",
        check=_pages(b"<p>there</p>"),
    ),
    Case(
        "large, and packed well, and all right",
        _coded("gzip", gzip.compress(_PAGE * 100)),
        "done",
        check=_pages(_PAGE * 100),
    ),
    # ── robots.txt ──
    *(
        Case(
            f"robots.txt {name}",
            _with_robots(robots),
            "done",
            settings=_LAWFUL,
            others={"{here}/private/x": "skipped robots", "{here}/public": "done"},
        )
        for name, robots in (
            ("packed", raw(response(gzip.compress(_RULES), "Content-Encoding: gzip", _CLOSE))),
            ("of 20 MB", raw(response(_RULES + b"#\n" * (10 << 20), _CLOSE))),
            (
                "of 20 MB, packed",
                raw(
                    response(
                        gzip.compress(_RULES + b"# no comment\n" * (3 << 19)),
                        "Content-Encoding: gzip",
                        _CLOSE,
                    )
                ),
            ),
            (
                "as a bomb",
                raw(
                    response(
                        zstd.compress(_RULES + bytes(1 << 26)), "Content-Encoding: zstd", _CLOSE
                    )
                ),
            ),
            ("without end", Flood(head() + _RULES, b"# and on it goes\n" * 999)),
            (
                "without end, in chunks",
                Flood(_CHUNKED + b"%x\r\n%b\r\n" % (len(_RULES), _RULES), b"2\r\n#\n\r\n" * 999),
            ),
        )
    ),
    *(
        Case(
            f"robots.txt {name}",
            _with_robots(robots),
            f"failed {why}",
            tries=0,  # the page itself is never asked for
            settings={**_LAWFUL, "retries": 0},
            check=_pages(),
        )
        for name, robots, why in (
            ("cut", raw(head(length=999) + _RULES), "truncated"),
            ("reset", raw(head() + _RULES, then="reset"), "truncated"),
            (
                "packed and cut",
                raw(response(gzip.compress(_RULES)[:-9], "Content-Encoding: gzip")),
                "truncated",
            ),
            ("that is no HTTP", raw(_RULES), "bad_response"),
        )
    ),
)
