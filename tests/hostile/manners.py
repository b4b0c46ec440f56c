"""Hosts that push back, and what they may say about it: no nonsense parks a crawl."""

from email.utils import formatdate

from tests.hostile.case import Case
from tests.hostile.server import Connection, Play, answer, head, response

_PAGE = response("<title>at last</title>")


def _once(refusal: bytes) -> Play:
    """Refuse the first request of all, and answer the others."""

    async def play(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(refusal if len(connection.server.asked) == 1 else _PAGE)

    return play


def _busy(*retry_after: str, status: int = 429) -> bytes:
    return response("slow down", *(f"Retry-After: {text}" for text in retry_after), status=status)


_NONSENSE = {
    "nothing": "",
    "a word": "soon",
    "a negative number": "-86400",
    "a number with an exponent": "1e9",
    "infinity": "inf",
    "not a number": "nan",
    "a superscript digit": "\xb2",
    "hexadecimal": "0xFFFFFF",
    "a unit": "3600s",
    "a fraction of nothing": ".",
    "seconds and a comment": "3600 (an hour)",
    "a list": "3600, 7200",
    "a date long past": formatdate(0, usegmt=True),
    "a date that is none": "Mon, 99 Foo 2026 99:99:99 GMT",
    "a year of ten digits": "Wed, 01 Jan 9999999999 00:00:00 GMT",
    "bytes that are not ASCII": "d\xe8s que possible",
    "60 KB of spaces": " " * 60_000 + "x",
}

CASES = (
    *(
        Case(f"Retry-After is {what}", _once(_busy(text)), "done", tries=2)
        for what, text in _NONSENSE.items()
    ),
    Case("two Retry-After of which the first is nonsense", _once(_busy("x", "y")), "done", tries=2),
    Case("Retry-After: 0", _once(_busy("0")), "done", tries=2),
    Case("429 for ever", answer("no", status=429), "failed http_429", tries=2),
    Case("503 for ever", answer("no", "Retry-After: 0", status=503), "failed http_503", tries=2),
    Case("a 429 whose body never ends in time", _once(head(429, length=99)), "done",
         tries=2, settings={"timeout": 0.5}),
    Case("a Retry-After of an hour on a page that is fine",
         answer("<title>fine</title>", "Retry-After: 3600"), "done"),
    Case("a Retry-After of an hour on a page that is gone",
         answer("gone", "Retry-After: 3600", status=404), "failed http_404"),
)  # fmt: skip
