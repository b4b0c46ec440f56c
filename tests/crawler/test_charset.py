"""Which encoding a page is in, and its bytes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.charset import charset_of, decode_text

HTML = "text/html"


def decoded(body: bytes, content_type: str | None) -> str:
    return decode_text(body, charset_of(body, content_type))


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("iso-8859-1", "cp1252"),
        ("latin1", "cp1252"),
        ("us-ascii", "cp1252"),
        ("iso-8859-9", "cp1254"),
        ("iso-8859-2", "iso8859-2"),
        ("iso_8859-5:1988", "iso8859-5"),
        ("visual", "iso8859-8"),
        ("iso-8859-15", "iso8859-15"),
        ("koi8-r", "koi8-r"),
        ("koi8-ru", "koi8-u"),
        ("macintosh", "mac-roman"),
        ("tis-620", "cp874"),
        ("gb2312", "gb18030"),
        ("GBK", "gb18030"),
        ("big5", "big5hkscs"),
        ("shift_jis", "cp932"),
        ("x-sjis", "cp932"),
        ("euc-jp", "euc_jis_2004"),
        ("ks_c_5601-1987", "cp949"),
        ("utf-16", "utf-16-le"),
        ("unicodefffe", "utf-16-be"),
        ("x-user-defined", "cp1252"),
    ],
)
def test_labels_mean_what_browsers_make_of_them(label: str, codec: str) -> None:
    assert charset_of(b"", f"text/html; charset={label}") == codec
    assert "x".encode(codec)


@pytest.mark.parametrize(
    "label", ["rot13", "hex", "utf-7", "unicode_escape", "utf-32", "cp037", "punycode", "", "???"]
)
def test_what_no_browser_knows_is_not_a_label(label: str) -> None:
    assert charset_of(b"", f"text/html; charset={label}") == "utf-8"
    assert charset_of(b"<meta charset='koi8-r'>", f"text/html; charset={label}") == "koi8-r"
    assert charset_of(f"<meta charset='{label}'>".encode(), HTML) == "utf-8"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html;charset=koi8-r",
        'text/html; charset="koi8-r"',
        "text/html; charset='koi8-r'",
        "text/html; CHARSET = KOI8-R ; boundary=x",
        "text/html; version=1; charset=koi8-r; charset=utf-8",
    ],
)
def test_the_header_may_name_the_charset_in_many_ways(content_type: str) -> None:
    assert charset_of(b"<meta charset=utf-8>", content_type) == "koi8-r"


@pytest.mark.parametrize(
    ("bom", "codec"),
    [(b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")],
)
def test_a_byte_order_mark_overrides_everything_and_is_not_text(bom: bytes, codec: str) -> None:
    body = bom + "<meta charset=koi8-r>é".encode(codec)
    assert charset_of(body, "text/html; charset=gbk") == codec
    assert decoded(body, "text/html; charset=gbk") == "<meta charset=koi8-r>é"


@pytest.mark.parametrize(
    "meta",
    [
        b'<meta charset="koi8-r">',
        b"<META CHARSET=KOI8-R>",
        b"<meta name=x charset='koi8-r'/>",
        b"<meta\ncharset = koi8-r >",
        b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">',
        b"<meta content='text/html;charset=koi8-r' http-equiv=content-type>",
        b'<meta name="a" content="x > y"><meta charset=koi8-r>',
        b"<!-- <meta charset=utf-16> --><meta charset=koi8-r>",
        b"<!--><meta charset=koi8-r>",
        b"<meta http-equiv=content-type content='x; charset=gbk' charset=koi8-r>",
        b"<meta charset=nonsense><meta charset=koi8-r>",
    ],
)
def test_a_page_may_name_its_own_charset(meta: bytes) -> None:
    body = b"<!doctype html><html><head>" + meta + b"<title>x</title>"
    assert charset_of(body, HTML) == "koi8-r"
    assert charset_of(body, None) == "koi8-r"


@pytest.mark.parametrize(
    "body",
    [
        b"<!-- <meta charset=koi8-r> -->",
        b"<!-- <meta charset=koi8-r>",
        b"<meta name=description content='charset=koi8-r'>",
        b"<metadata charset=koi8-r>",
        b"<p charset=koi8-r>",
        b" " * 1024 + b"<meta charset=koi8-r>",
        b"<meta charset=koi8-r"[:12],
    ],
)
def test_what_only_looks_like_a_declaration_does_not_count(body: bytes) -> None:
    assert charset_of(body, HTML) == "utf-8"


def test_only_pages_speak_for_themselves() -> None:
    assert charset_of(b"<meta charset=koi8-r>", "text/plain") == "utf-8"
    assert charset_of(b"<meta charset=koi8-r>", "application/json") == "utf-8"
    assert charset_of(b"<meta charset=koi8-r>", "image/svg+xml") == "utf-8"


@pytest.mark.parametrize("content_type", ["text/xml", "application/rss+xml", None, HTML])
def test_an_xml_page_names_its_charset_in_the_declaration(content_type: str | None) -> None:
    body = b'<?xml version="1.0" encoding="windows-1251"?><a>\xe9</a>'
    assert charset_of(body, content_type) == "cp1251"
    assert decoded(body, content_type).endswith("<a>й</a>")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_xml_in_utf_16_is_known_by_its_first_bytes(codec: str) -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><a>é</a>'
    assert decoded(text.encode(codec), "text/xml") == text


@pytest.mark.parametrize(
    "body", [b"<meta charset=utf-16>", b"<?xml version='1' encoding='utf-16'?>"]
)
def test_ascii_that_claims_to_be_utf_16_is_utf_8(body: bytes) -> None:
    assert charset_of(body, HTML) == "utf-8"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"caf\xc3\xa9", None, "café"),
        (b"a\xffb\xe2\x82", None, "a\ufffdb\ufffd"),
        (b"\x80 caf\xe9", "text/plain; charset=latin1", "€ café"),
        (b"\x81\x8d\x8f\x90\x9d", "text/plain; charset=ascii", "\x81\x8d\x8f\x90\x9d"),
        (b"\x81\xaa", "text/plain; charset=windows-1253", "\x81\ufffd"),
        (b"\xa4", "text/plain; charset=iso-8859-15", "€"),
        (b"\xad\xa1", "text/plain; charset=euc-jp", "①"),
        (b"\x87\x40", "text/plain; charset=shift_jis", "①"),
        (b"\xb0\xa1\x81\x30\x81\x30", "text/plain; charset=gb2312", "啊\x80"),
        (b"", "text/html; charset=utf-16", ""),
        (b"a\0b", "text/html; charset=utf-16", "a\ufffd"),
    ],
)
def test_text_is_decoded_as_browsers_do(body: bytes, content_type: str | None, text: str) -> None:
    assert decoded(body, content_type) == text


@given(st.binary(max_size=200), st.sampled_from([None, HTML, "text/xml", "text/html; charset=gbk"]))
def test_any_bytes_give_some_text(body: bytes, content_type: str | None) -> None:
    assert isinstance(decoded(body, content_type), str)


@given(st.text().filter(lambda text: not text.startswith("\ufeff")))
def test_utf_8_text_comes_back(text: str) -> None:
    assert decoded(text.encode(), "text/plain; charset=utf-8") == text
