"""What the head of an answer says, and what is wrong with it."""

import re

from aiohttp.http import HttpVersion10, HttpVersion11, RawResponseMessage
from multidict import CIMultiDict, CIMultiDictProxy

from crawler.errors import FetchError

# A byte of a header that is not UTF-8, as aiohttp gives it.
_BYTE = re.compile("[\udc80-\udcff]")


def headers_as_text(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """Return the headers as text: UTF-8, or else Latin-1, in which every byte is a character.

    aiohttp leaves lone surrogates where it is not UTF-8, and no file or database takes those.
    In a `Location` they are escaped: browsers ask for such bytes as they are.
    """
    if all(map(str.isascii, headers.values())):
        return headers
    return CIMultiDictProxy(CIMultiDict((k, _text(k, value)) for k, value in headers.items()))


def _text(name: str, value: str) -> str:
    if not _BYTE.search(value):
        return value
    if name.lower() == "location":
        return _BYTE.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", value)
    return value.encode("utf-8", "surrogateescape").decode("latin-1")


def fault_in(message: str) -> str:
    """Return what is wrong in one line, from a message of aiohttp's parser, which has several."""
    return " ".join(message.partition("\n\n")[0].split()).rstrip(":")


def fault_of(message: RawResponseMessage) -> str:
    """Return what is wrong with a response's head, "" for nothing.

    What the parser itself refuses does not come here: lengths that are no number, or two, or
    with a transfer coding; names with odd characters; bare CR; NUL.
    """
    if message.code < 200:
        return f"nobody asked for status {message.code}"
    if message.version not in (HttpVersion10, HttpVersion11):
        return "not HTTP/1"
    if "Transfer-Encoding" in message.headers:
        codings = message.headers.getall("Transfer-Encoding")
        # RFC 9112, 6.1 and 6.3: with any other, or in HTTP/1.0, the end of the body is a guess.
        if message.version == HttpVersion10 or [one.lower() for one in codings] != ["chunked"]:
            return f"Transfer-Encoding is {', '.join(codings)[:40]!r}"
    return ""


def unreadable(error: BaseException) -> FetchError:
    """Return the error that an answer fails with which the parser has given up."""
    if isinstance(error, FetchError):
        return error
    return FetchError("bad_response", fault_in(getattr(error, "message", "")), retryable=True)
