"""What came over the wire, turned into bytes and text.

Content codings by RFC 9110 section 8.4: gzip (RFC 1952), deflate (RFC 1950, and RFC 1951
without its wrapping), br (RFC 7932) and zstd (RFC 8878). Character encodings by the WHATWG
Encoding and HTML standards.
"""

import re
import sys
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, charmap_decode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from crawler.errors import FetchError

MAX_CODINGS = 3  # of one body, one over the other; real servers use one
MAX_MEMBERS = 10_000  # of one body; each costs a fresh decompressor, however little is in it
MAX_RATIO = 200  # decoded bytes per byte on the wire; real pages stay below 50 ...
RATIO_FREE = 1 << 20  # ... but small ones may do as they like
META_WINDOW = 1024  # bytes in which HTML must name its encoding

# ── content codings ─────────────────────────────────────────────────────────────────────


def _zstd_module() -> str | None:
    if sys.version_info >= (3, 14) and find_spec("_zstd"):
        return "compression.zstd"
    # Asking for the child of a package that is not there raises; so ask for the parent first.
    return "backports.zstd" if find_spec("backports") and find_spec("backports.zstd") else None


def _brotli_module() -> Any:
    # Imported at once, in half a millisecond: without an output limit, which came in 1.2, it
    # must not be used, and then not be offered to servers either.
    brotli = import_module("brotli") if find_spec("brotli") else None
    return (
        brotli if hasattr(getattr(brotli, "Decompressor", None), "can_accept_more_data") else None
    )


_ZSTD = _zstd_module()  # 3 ms, so imported when first needed
_BROTLI = _brotli_module()

#: The value of `Accept-Encoding`: the codings that can be decoded here.
ACCEPT_ENCODING = "gzip, deflate" + ", br" * (_BROTLI is not None) + ", zstd" * (_ZSTD is not None)


class _Coding(Protocol):
    """One content coding of one body.

    `decode` gives what `data` adds to the output and may stop at `limit` bytes, which is at
    least 1 and one more than the body may have: whoever reaches it is refused.
    """

    errors: tuple[type[Exception], ...]

    def decode(self, data: bytes, limit: int) -> bytes: ...

    def ended(self) -> bool:
        """Whether the end of the stream was reached."""


class _Identity:
    """The body as it is (RFC 9110 section 12.5.3)."""

    errors: tuple[type[Exception], ...] = ()

    def decode(self, data: bytes, limit: int) -> bytes:
        return data

    def ended(self) -> bool:
        return True


class _Members:
    """Gzip members (RFC 1952 section 2.2) or zstd frames (RFC 8878 section 3.1) in a row.

    Bytes after the last one are ignored, as browsers do: some servers pad.
    """

    _WINDOW = 1 << 14  # a member's end copies what follows it in the input, so that is kept short

    def __init__(
        self,
        errors: tuple[type[Exception], ...],
        new: Callable[[], Any],
        begins: Callable[[bytes], bool],
    ) -> None:
        self.errors = errors
        self._new = new
        self._begins = begins  # whether 4 bytes are the beginning of a member
        self._member = new()
        self._members = 1
        self._held = b""  # after a member, fewer bytes than it takes to know what they are
        self._over = False  # what follows is not a member

    def decode(self, data: bytes, limit: int) -> bytes:
        if self._over:
            return b""
        if self._member.eof:
            return self._following(self._held + data, limit)
        decoded: bytes = self._member.decompress(data, limit)
        if self._member.eof and self._member.unused_data:
            decoded += self._following(self._member.unused_data, limit - len(decoded))
        return decoded

    def _following(self, data: bytes, limit: int) -> bytes:
        parts = []
        view = memoryview(data)
        while view and limit > 0:
            if self._member.eof and not self._next(bytes(view[:4])):
                break
            window = view[: self._WINDOW]
            parts.append(self._member.decompress(window, limit))
            limit -= len(parts[-1])
            view = view[len(window) - len(self._member.unused_data) :]
        return b"".join(parts)

    def _next(self, head: bytes) -> bool:
        self._held = head if len(head) < 4 else b""
        self._over = not self._held and not self._begins(head)
        if self._held or self._over:
            return False
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise FetchError("bad_encoding", f"the body has more than {MAX_MEMBERS} members")
        self._member = self._new()
        return True

    def ended(self) -> bool:
        return bool(self._member.eof)


def _gzip() -> _Coding:
    def begins(head: bytes) -> bool:
        return head.startswith(b"\x1f\x8b\x08")

    return _Members((zlib.error,), lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), begins)


def _zstd() -> _Coding:
    if _ZSTD is None:
        raise FetchError("unsupported_encoding", "zstd: install backports.zstd")
    zstd = import_module(_ZSTD)
    # RFC 9659: a server must not ask for a window of more than 8 MiB.
    options = {zstd.DecompressionParameter.window_log_max: 23}

    def begins(head: bytes) -> bool:
        magic = int.from_bytes(head, "little")
        return magic == 0xFD2FB528 or magic & ~0xF == 0x184D2A50  # a frame, or one to skip

    return _Members((zstd.ZstdError,), lambda: zstd.ZstdDecompressor(options=options), begins)


class _Deflate:
    """A zlib stream (RFC 1950), or the bare deflate data (RFC 1951) that some servers send."""

    errors: tuple[type[Exception], ...] = (zlib.error,)

    def __init__(self) -> None:
        self._stream: Any = None
        self._head = b""

    def decode(self, data: bytes, limit: int) -> bytes:
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return b""
            # RFC 1950 section 2.2: method 8, and a header that is a multiple of 31.
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        if self._stream.eof:
            return b""
        decoded: bytes = self._stream.decompress(data, limit)
        return decoded

    def ended(self) -> bool:
        return self._stream is not None and bool(self._stream.eof)


class _Brotli:
    """A brotli stream (RFC 7932). Bytes after its end are an error; the library insists."""

    def __init__(self) -> None:
        if _BROTLI is None:
            raise FetchError("unsupported_encoding", "br: install brotli 1.2 or later")
        self.errors: tuple[type[Exception], ...] = (_BROTLI.error,)
        self._stream = _BROTLI.Decompressor()

    def decode(self, data: bytes, limit: int) -> bytes:
        # The limit is kept to whole blocks, so up to twice as much may come.
        decoded: bytes = self._stream.process(data, output_buffer_limit=limit)
        return decoded

    def ended(self) -> bool:
        return bool(self._stream.is_finished())


_CODINGS: dict[str, Callable[[], _Coding]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,  # RFC 9110 section 8.4.1.3
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _zstd,
    "identity": _Identity,
}


@dataclass(slots=True)
class _Stage:
    name: str
    coding: _Coding
    fed: bool = False
    made: int = 0

    def decode(self, data: bytes, cap: int) -> bytes:
        self.fed = True
        try:
            decoded = self.coding.decode(data, cap - self.made + 1)
        except self.coding.errors as error:
            raise FetchError(
                "bad_encoding", f"the body is not valid {self.name}: {error}"
            ) from error
        self.made += len(decoded)
        if self.made > cap:
            raise FetchError("too_large", f"the body has more than {cap} bytes after decoding")
        return decoded


class Decoder:
    """Undoes the content codings of one body, piece by piece; made by `decoder_for`.

    `feed` and `finish` raise `FetchError` with the reason `too_large` (over `max_body` bytes,
    or over `MAX_RATIO` times the bytes on the wire), `bad_encoding`, or `truncated`. Decoding
    stops at the cap, so that a bomb is never inflated. After an error it is of no more use.
    """

    def __init__(self, stages: list[_Stage], max_body: int) -> None:
        self._stages = stages
        self._max_body = max_body
        self._wire = 0

    def feed(self, chunk: bytes) -> bytes:
        """Return what `chunk` adds to the decoded body."""
        self._wire += len(chunk)
        cap = min(self._max_body, max(RATIO_FREE, MAX_RATIO * self._wire))
        for stage in self._stages:
            if not chunk:
                break
            chunk = stage.decode(chunk, cap)
        return chunk

    def finish(self) -> bytes:
        """Return the rest of the decoded body; call it when the wire has no more.

        An empty body is complete whatever its codings.
        """
        for stage in self._stages:
            if stage.fed and not stage.coding.ended():
                detail = f"the {stage.name} body ends early, after {self._wire} bytes"
                raise FetchError("truncated", detail, retryable=True)
        return b""  # every coding gives at once whatever it can


def decoder_for(content_encoding: str | None, *, max_body: int) -> Decoder:
    """Return a decoder for a `Content-Encoding`, which lists codings in the order applied.

    Raises `FetchError` with the reason `unsupported_encoding`.
    """
    listed = (content_encoding or "").lower().split(",")
    names = [name for part in listed if (name := part.strip())] or ["identity"]
    if len(names) > MAX_CODINGS:
        raise FetchError("unsupported_encoding", f"more than {MAX_CODINGS} codings on one body")
    for name in names:
        if name not in _CODINGS:
            raise FetchError("unsupported_encoding", f"{name[:40]!r} is not a known coding")
    return Decoder([_Stage(name, _CODINGS[name]()) for name in reversed(names)], max_body)


def decode_body(body: bytes, content_encoding: str | None, *, max_body: int) -> bytes:
    """Return a whole body without its content codings; raises `FetchError` like `Decoder`."""
    decoder = decoder_for(content_encoding, max_body=max_body)
    return decoder.feed(body) + decoder.finish()


# ── character encodings ─────────────────────────────────────────────────────────────────

# Python's codec, then its labels (Encoding standard section 4.2). No label means what Python
# makes of it: `latin1` is windows-1252, and `utf-7` or `rot13` are not labels. Where the
# standard says "replacement" (hz-gb-2312, iso-2022-kr ...) the label is passed over: the ASCII
# of such a page is of more use than one U+FFFD. A codec may be wider than its name says
# (gb18030 for gbk, euc_jis_2004 for euc-jp), as the standard's decoders are.
_LABELS = """
utf-8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8
cp866 866 cp866 csibm866 ibm866
iso8859-2 csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
iso8859-3 csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
iso8859-4 csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
iso8859-5 csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5
iso8859-5 iso_8859-5:1988
iso8859-6 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6
iso8859-6 iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
iso8859-7 csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597
iso8859-7 iso_8859-7 iso_8859-7:1987 sun_eu_greek
iso8859-8 csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8
iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical
iso8859-10 csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso8859-13 iso-8859-13 iso8859-13 iso885913
iso8859-14 iso-8859-14 iso8859-14 iso885914
iso8859-15 csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9
iso8859-16 iso-8859-16
koi8-r cskoi8r koi koi8 koi8-r koi8_r
koi8-u koi8-ru koi8-u
mac-roman csmacintosh mac macintosh x-mac-roman
mac-cyrillic x-mac-cyrillic x-mac-ukrainian
cp874 dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874
cp1250 cp1250 windows-1250 x-cp1250
cp1251 cp1251 windows-1251 x-cp1251
cp1252 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1
cp1252 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252
cp1253 cp1253 windows-1253 x-cp1253
cp1254 cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5
cp1254 latin5 windows-1254 x-cp1254
cp1255 cp1255 windows-1255 x-cp1255
cp1256 cp1256 windows-1256 x-cp1256
cp1257 cp1257 windows-1257 x-cp1257
cp1258 cp1258 windows-1258 x-cp1258
gb18030 chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030
big5hkscs big5 big5-hkscs cn-big5 csbig5 x-x-big5
euc_jis_2004 cseucpkdfmtjapanese euc-jp x-euc-jp
iso2022_jp_ext csiso2022jp iso-2022-jp
cp932 csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis
cp949 cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
cp949 windows-949
utf-16-be unicodefffe utf-16be
utf-16-le csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le
cp1252 x-user-defined
"""

_BOMS = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
_CHARSET = re.compile(r"\bcharset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.I)
_META = re.compile(
    rb"<!(?=--).*?(?:-->|\Z)|<meta(?=[\s/])((?:[^>\"']|\"[^\"]*\"|'[^']*')*)", re.I | re.S
)
_ATTRIBUTE = re.compile(r"(?<![^\s\"'/])([^\s=/>\"']++)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))")
_XML = re.compile(rb"\s*<\?xml\s[^>]*?\bencoding\s*=\s*[\"']\s*([^\s\"'>]+)")


def charset_of(body: bytes, content_type: str | None) -> str:
    """Return the Python codec for a page's text.

    A byte order mark decides; else the `charset` of the `Content-Type`; else what an HTML or
    XML page says of itself; else it is utf-8. Labels that no browser knows do not count.
    """
    for bom, codec in _BOMS.items():
        if body.startswith(bom):
            return codec
    kind, charset = _content_type(content_type or "")
    return charset or _declared(body[:META_WINDOW], kind) or "utf-8"


def decode_text(body: bytes, content_type: str | None) -> str:
    """Return a body as text without its byte order mark; invalid bytes become U+FFFD."""
    codec = charset_of(body, content_type)
    if codec.startswith("utf-"):
        text = str(body, codec, "replace")
        return text[1:] if text.startswith("\ufeff") else text
    if codec.startswith(("cp125", "cp874")):
        return charmap_decode(body, "replace", _windows_table(codec))[0]
    return str(body, codec, "replace")


@cache
def _codecs() -> dict[str, str]:
    rows = [line.split() for line in _LABELS.split("\n") if line]
    return {label: row[0] for row in rows for label in row[1:]}


def _codec(label: str) -> str | None:
    return _codecs().get(label.strip("\t\n\f\r ").lower())


@lru_cache(maxsize=256)
def _content_type(value: str) -> tuple[str, str | None]:
    charset = _CHARSET.search(value)
    return value.partition(";")[0].strip().lower(), _codec(charset[1]) if charset else None


@cache
def _windows_table(codec: str) -> str:
    """Return the 256 characters of a windows code page, with C1 controls in its gaps.

    That is how the standard fills them; Python's codecs leave them undefined.
    """
    text = [bytes([byte]).decode(codec, "replace") for byte in range(256)]
    return "".join(
        chr(byte) if character == "\ufffd" and 0x80 <= byte < 0xA0 else character
        for byte, character in enumerate(text)
    )


def _declared(head: bytes, kind: str) -> str | None:
    """Return the codec that the beginning of an HTML or XML page names, if it does."""
    if "xml" in kind:
        codec = _of_declaration(head) or (_of_meta(head) if "html" in kind else None)
    elif "html" in kind or not kind:
        codec = _of_meta(head) or _of_declaration(head)
    else:
        return None
    if codec is None and head.startswith((b"<\0?\0", b"\0<\0?")):
        return "utf-16-le" if head[0] else "utf-16-be"
    # Whoever could read this as ASCII is not reading UTF-16 (HTML standard section 13.2.3.2).
    return "utf-8" if codec in ("utf-16-le", "utf-16-be") else codec


def _of_declaration(head: bytes) -> str | None:
    declaration = _XML.match(head)
    return _codec(declaration[1].decode("latin-1")) if declaration else None


def _of_meta(head: bytes) -> str | None:
    for tag in _META.finditer(head):
        attributes: dict[str, str] = {}
        for name, *values in _ATTRIBUTE.findall((tag[1] or b"").decode("latin-1")):
            attributes.setdefault(name.lower(), "".join(values))
        label = attributes.get("charset")
        if label is None and attributes.get("http-equiv", "").lower() == "content-type":
            charset = _CHARSET.search(attributes.get("content", ""))
            label = charset[1] if charset else None
        codec = _codec(label) if label else None
        if codec:
            return codec
    return None
