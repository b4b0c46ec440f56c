"""Bytes as text: the encoding of a page, by the WHATWG Encoding and HTML standards."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, charmap_decode
from functools import cache, lru_cache

META_WINDOW = 1024  # bytes in which HTML must name its encoding

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
_BOMS_BEGIN = frozenset(bom[:1] for bom in _BOMS)
_CHARSET = re.compile(r"\bcharset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.I)
# Possessive: nothing is kept to come back to, which takes half the time.
_META = re.compile(
    rb"<!(?=--).*?(?:-->|\Z)|<meta(?=[\s/])((?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)", re.I | re.S
)
_ATTRIBUTE = re.compile(r"(?<![^\s\"'/])([^\s=/>\"']++)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))")
_XML = re.compile(rb"\s*<\?xml\s[^>]*?\bencoding\s*=\s*[\"']\s*([^\s\"'>]+)")


def charset_of(body: bytes, content_type: str | None) -> str:
    """Return the Python codec for a page's text.

    A byte order mark decides; else the `charset` of the `Content-Type`; else what an HTML or
    XML page says of itself; else it is utf-8. Labels that no browser knows do not count.
    """
    if body[:1] in _BOMS_BEGIN:
        for bom, codec in _BOMS.items():
            if body.startswith(bom):
                return codec
    kind, charset = _content_type(content_type or "")
    return charset or _declared(body[:META_WINDOW], kind) or "utf-8"


def decode_text(body: bytes, codec: str) -> str:
    """Return a body as text without its byte order mark; invalid bytes become U+FFFD.

    `codec` is what `charset_of` says of it.
    """
    if codec.startswith("utf-"):
        text = str(body, codec, "replace")
        return text[1:] if text.startswith("\ufeff") else text
    if codec.startswith(("cp125", "cp874", "iso8859")):
        return charmap_decode(body, "replace", _table(codec))[0]
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
def _table(codec: str) -> str:
    """Return the 256 characters of a code page, with C1 controls in the gaps of windows' ones.

    That is how the standard fills them; Python's codecs leave them undefined. Of a page full of
    other gaps, the codec itself takes ten times as long.
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
        if tag[1] and (codec := _of_tag(tag[1])):
            return codec
    return None


@lru_cache(maxsize=256)  # the pages of a site say it in the same words
def _of_tag(text: bytes) -> str | None:
    attributes: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(text.decode("latin-1")):
        attributes.setdefault(name.lower(), "".join(values))
    label = attributes.get("charset")
    if label is None and attributes.get("http-equiv", "").lower() == "content-type":
        charset = _CHARSET.search(attributes.get("content", ""))
        label = charset[1] if charset else None
    return _codec(label) if label else None
