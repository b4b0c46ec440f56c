"""Content codings, undone within limits (RFC 9110 section 8.4).

gzip (RFC 1952), deflate (RFC 1950, and RFC 1951 without its wrapping), br (RFC 7932) and
zstd (RFC 8878).
"""

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from crawler.errors import FetchError

MAX_CODINGS = 3  # of one body, one over the other; real servers use one
MAX_MEMBERS = 10_000  # of one body; each costs a fresh decompressor, however little is in it
MAX_RATIO = 200  # decoded bytes per byte on the wire; real pages stay below 50 ...
RATIO_FREE = 1 << 20  # ... but small ones may do as they like


_OWN_ZSTD = sys.version_info >= (3, 14)  # backports.zstd cannot be installed there


def _zstd_module() -> str | None:
    if _OWN_ZSTD:
        return "compression.zstd" if find_spec("_zstd") else None
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
        where = "it was left out of this Python" if _OWN_ZSTD else "install backports.zstd"
        raise FetchError("unsupported_encoding", f"zstd: {where}")
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
    may_stop_at: int | None = None  # a cap at which it does not fail
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
        if self.made > cap and cap != self.may_stop_at:
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


def decoder_for(content_encoding: str | None, *, max_body: int, beginning: bool = False) -> Decoder:
    """Return a decoder for a `Content-Encoding`, which lists codings in the order applied.

    With `beginning`, more than `max_body` bytes are no failure: it gives at least one more, and
    is of no more use then. Raises `FetchError` with the reason `unsupported_encoding`.
    """
    listed = (content_encoding or "").lower().split(",")
    names = [name for part in listed if (name := part.strip())] or ["identity"]
    if len(names) > MAX_CODINGS:
        raise FetchError("unsupported_encoding", f"more than {MAX_CODINGS} codings on one body")
    for name in names:
        if name not in _CODINGS:
            raise FetchError("unsupported_encoding", f"{name[:40]!r} is not a known coding")
    stages = [_Stage(name, _CODINGS[name]()) for name in reversed(names)]
    if beginning:
        stages[-1].may_stop_at = max_body
    return Decoder(stages, max_body)
