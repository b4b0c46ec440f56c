"""Text that lies about what it is: charsets, content types, JSON."""

import gzip
import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import crawler
from tests.hostile.case import Case, Outcome, Reader
from tests.hostile.server import answer

_PAGE = "<title>title</title><a href=/x>link</a>"
_LATIN = b"<title>caf\xe9</title>"
_UTF8 = "<title>café</title>".encode()


class Json(Reader):
    """Reads JSON."""

    def parse(self, response: crawler.Response) -> Any:
        yield {"json": response.json()}


def _zip() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("page.html", _PAGE)
    return file.getvalue()


def _title(title: str | None) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert [item["title"] for item in outcome.items] == [title]
        assert len(outcome.rows) == 1  # no links

    return check


def _charset(name: str, body: bytes, title: str, kind: str = "text/html") -> Case:
    return Case(f"charset: {name}", answer(body, kind=kind), "done", check=_title(title))


def _is_no_page(name: str, body: bytes, kind: str = "text/html") -> Case:
    return Case(f"no page: {name}", answer(body, kind=kind), "done", check=_title(None))


_NO_CHARSETS = ("rot13", "hex", "utf-7", "unicode_escape", "idna", "punycode", "base64", "zlib")

CASES = (
    # ── which charset ───────────────────────────────────────────────────────────────────────
    _charset("mark over header", b"\xef\xbb\xbf" + _UTF8, "café", "text/html; charset=latin1"),
    _charset("header over meta", b"<meta charset=utf-8>" + _LATIN, "café", "text/html; charset=l1"),
    _charset("meta over nothing", b"<meta charset=latin1>" + _LATIN, "café"),
    _charset("nothing is utf-8", _UTF8, "café"),
    _charset("utf-16 by its mark", b"\xff\xfe" + _UTF8.decode().encode("utf-16-le"), "café"),
    _charset("latin1 is windows-1252", b"<title>\x80</title>", "€", "text/html; charset=latin1"),
    _charset("bytes that are none", b"<title>a\xff\xfeb</title>", "a\ufffd\ufffdb"),
    _charset("nul", b"<title>a\0b</title>", "a\ufffdb"),
    *(
        _charset(f"{label} in the header", _UTF8, "café", f"text/html; charset={label}")
        for label in _NO_CHARSETS
    ),
    *(
        _charset(f"{label} in meta", b"<meta charset=%s>" % label.encode() + _UTF8, "café")
        for label in _NO_CHARSETS
    ),
    # ── what is no page ─────────────────────────────────────────────────────────────────────
    _is_no_page("a pdf", b"%PDF-1.7\n" + _PAGE.encode()),
    _is_no_page("a png", b"\x89PNG\r\n\x1a\n" + _PAGE.encode()),
    _is_no_page("a jpeg", b"\xff\xd8\xff\xe0" + _PAGE.encode()),
    _is_no_page("a gif", b"GIF89a" + _PAGE.encode()),
    _is_no_page("gzip", gzip.compress(_PAGE.encode(), 0)),
    _is_no_page("a zip archive", _zip()),
    _is_no_page("html as plain text", _PAGE.encode(), "text/plain"),
    _is_no_page("html as bytes", _PAGE.encode(), "application/octet-stream"),
    _is_no_page("html as json", _PAGE.encode(), "application/json"),
    # ── long, deep, and without end ─────────────────────────────────────────────────────────
    Case(
        "text: a line of 10 MB",
        answer(b"<title>one</title>" + b"x" * 10_000_000),
        "done",
        check=_title("one"),
        heavy=True,
    ),
    Case(
        "text: nothing but NULs",
        answer(b"\0" * 1_000_000),
        "done",
        check=_title(None),
    ),
    Case(
        "text: entities of xml are not expanded",
        answer(
            '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">'
            '<!ENTITY c "&b;&b;&b;"><!ENTITY file SYSTEM "file:///etc/passwd">]>'
            "<x><title>&c;&file;</title></x>",
            kind="application/xml",
        ),
        "done",
        check=_title("&c;&file;"),
    ),
    Case(
        "text: a million entities",
        answer(b"<title>x</title>" + b"&amp;" * 1_000_000),
        "done",
        check=_title("x"),
    ),
    Case(
        "json: nested 100,000 deep",
        answer(b"[" * 100_000 + b"]" * 100_000, kind="application/json"),
        "failed spider_error",
        spider=Json,
    ),
    Case(
        "json: an integer of 100,000 digits",
        answer(b"1" * 100_000, kind="application/json"),
        "failed spider_error",
        spider=Json,
    ),
    Case(
        "json: cut short",
        answer(json.dumps([1, 2, 3])[:-1], kind="application/json"),
        "failed spider_error",
        spider=Json,
    ),
)
