"""Bodies as they come over the wire, and the bytes and text that they mean."""

import gzip
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import FetchError
from crawler.decoding import (
    _OWN_ZSTD,
    ACCEPT_ENCODING,
    MAX_CODINGS,
    MAX_MEMBERS,
    MAX_RATIO,
    RATIO_FREE,
    decoder_for,
)
from tests.zstandard import zstd

MAX = 10 * 1024 * 1024


def decode_body(body: bytes, content_encoding: str | None, *, max_body: int) -> bytes:
    decoder = decoder_for(content_encoding, max_body=max_body)
    return decoder.feed(body) + decoder.finish()


WORDS = random.Random(1)
PAGE = b"".join(b"<p>%d</p>\n" % WORDS.randrange(10**9) for _ in range(3000))


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "identity": bytes,
}
COMPRESSED = [name for name in ENCODERS if name != "identity"]


def coding(name: str) -> str:
    return name.removeprefix("raw ")


def decode(wire: bytes, content_encoding: str | None, *, pieces: int = 0, cap: int = MAX) -> bytes:
    """Decode at once, or in pieces of that many bytes."""
    if not pieces:
        return decode_body(wire, content_encoding, max_body=cap)
    decoder = decoder_for(content_encoding, max_body=cap)
    cuts = range(0, len(wire), pieces)
    return b"".join([*(decoder.feed(wire[at : at + pieces]) for at in cuts), decoder.finish()])


def refusal(wire: bytes, content_encoding: str | None, **how: int) -> FetchError:
    with pytest.raises(FetchError) as caught:
        decode(wire, content_encoding, **how)
    return caught.value


# ── content codings ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pieces", [0, 1, 7, 4096])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_coded_page_comes_back_however_it_was_cut(name: str, pieces: int) -> None:
    assert decode(ENCODERS[name](PAGE), coding(name), pieces=pieces) == PAGE


@given(
    data=st.binary(max_size=3000),
    names=st.lists(st.sampled_from(sorted(ENCODERS)), max_size=MAX_CODINGS),
    pieces=st.integers(min_value=1, max_value=500),
)
def test_any_body_survives_any_codings(data: bytes, names: list[str], pieces: int) -> None:
    wire = data
    for name in names:
        wire = ENCODERS[name](wire)
    listed = ", ".join(coding(name) for name in names)
    assert decode(wire, listed, pieces=pieces) == data
    assert decode(wire, listed) == data


@pytest.mark.parametrize("content_encoding", [None, "", " , ", "identity", "Identity"])
def test_without_a_coding_the_body_is_as_it_came(content_encoding: str | None) -> None:
    assert decode(PAGE, content_encoding) == PAGE


@pytest.mark.parametrize("content_encoding", ["GZIP", " gzip ", "gzip,", "identity, gzip"])
def test_the_header_may_be_written_loosely(content_encoding: str) -> None:
    assert decode(gzip.compress(PAGE), content_encoding) == PAGE


@pytest.mark.parametrize("name", [*COMPRESSED, "gzip, br"])
def test_an_empty_body_is_complete_whatever_its_coding(name: str) -> None:
    assert decode(b"", coding(name)) == b""


@pytest.mark.parametrize("part", [0.01, 0.3, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("name", COMPRESSED)
def test_a_body_that_ends_early_is_truncated_and_worth_another_try(name: str, part: float) -> None:
    wire = ENCODERS[name](PAGE)
    for pieces in (0, 1000):
        error = refusal(wire[: int(len(wire) * part)], coding(name), pieces=pieces)
        assert (error.reason, error.retryable) == ("truncated", True)


@pytest.mark.parametrize("name", COMPRESSED)
def test_one_byte_of_a_coded_body_is_truncated(name: str) -> None:
    assert refusal(ENCODERS[name](PAGE)[:1], coding(name)).reason == "truncated"


def test_a_cut_in_an_inner_coding_is_seen() -> None:
    wire = brotli.compress(gzip.compress(PAGE)[:-100])
    assert refusal(wire, "gzip, br").reason == "truncated"


@pytest.mark.parametrize("pieces", [0, 3])
@pytest.mark.parametrize("name", COMPRESSED)
def test_garbage_is_refused_for_good(name: str, pieces: int) -> None:
    error = refusal(b"\xffthis is not compressed at all" * 10, coding(name), pieces=pieces)
    assert (error.reason, error.retryable) == ("bad_encoding", False)


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
def test_damage_that_only_the_checksum_shows_is_refused(name: str) -> None:
    if name == "zstd":
        wire = zstd.compress(PAGE, options={zstd.CompressionParameter.checksum_flag: 1})
    else:
        wire = ENCODERS[name](PAGE)
    at = -8 if name == "gzip" else -4
    damaged = wire[:at] + bytes([wire[at] ^ 1]) + wire[at:][1:]
    assert refusal(damaged, name).reason == "bad_encoding"


def test_an_unknown_coding_is_named_in_the_error() -> None:
    error = refusal(b"x", "gzip, rot13")
    assert error.reason == "unsupported_encoding"
    assert "rot13" in str(error)


def test_more_codings_than_anyone_needs_are_refused() -> None:
    wire = PAGE
    for _ in range(MAX_CODINGS + 1):
        wire = gzip.compress(wire)
    error = refusal(wire, ", ".join(["gzip"] * (MAX_CODINGS + 1)))
    assert error.reason == "unsupported_encoding"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 5, 100_000])
def test_members_follow_one_another(name: str, pieces: int) -> None:
    encode = ENCODERS[name]
    wire = encode(b"") + encode(b"one, ") + encode(PAGE) + encode(b"") + encode(b" the end")
    assert decode(wire, name, pieces=pieces) == b"one, " + PAGE + b" the end"


def test_the_last_member_must_be_whole_too() -> None:
    wire = gzip.compress(b"one") + gzip.compress(PAGE)[:-9]
    assert refusal(wire, "gzip").reason == "truncated"


def test_a_zstd_frame_that_is_to_be_skipped_is_skipped() -> None:
    skippable = (0x184D2A57).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"notes"
    wire = skippable + zstd.compress(b"one, ") + skippable + zstd.compress(PAGE) + skippable
    for pieces in (0, 5):
        assert decode(wire, "zstd", pieces=pieces) == b"one, " + PAGE


@pytest.mark.parametrize(
    "padding", [b"\0", b"\0" * 600, b"\x1f", b"\x1f\x8bno", b"<!-- served -->"]
)
@pytest.mark.parametrize("pieces", [0, 1, 50])
@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
def test_bytes_after_the_end_are_ignored(name: str, pieces: int, padding: bytes) -> None:
    assert decode(ENCODERS[name](b"all of it") + padding, name, pieces=pieces) == b"all of it"


def test_a_body_of_countless_empty_members_is_refused() -> None:
    empty = gzip.compress(b"")
    assert decode(empty * MAX_MEMBERS, "gzip") == b""
    assert refusal(empty * (MAX_MEMBERS + 1), "gzip").reason == "bad_encoding"


def test_a_zstd_window_over_8_mib_is_refused() -> None:
    window = {int(zstd.CompressionParameter.window_log): 27}
    stream = zstd.ZstdCompressor(options=window)
    wire = stream.compress(PAGE) + stream.flush()
    assert refusal(wire, "zstd").reason == "bad_encoding"


# ── caps ────────────────────────────────────────────────────────────────────────────────


def test_bare_deflate_that_begins_like_zlib_is_told_apart_by_the_header_check() -> None:
    stored = b"\x08" + (5).to_bytes(2, "little") + (5 ^ 0xFFFF).to_bytes(2, "little") + b"hello"
    last = b"\x01\x00\x00\xff\xff"
    assert decode(stored + last, "deflate") == b"hello"


@pytest.mark.parametrize("pieces", [0, 1000])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_body_may_be_as_large_as_allowed_and_no_larger(name: str, pieces: int) -> None:
    wire = ENCODERS[name](PAGE)
    assert decode(wire, coding(name), pieces=pieces, cap=len(PAGE)) == PAGE
    error = refusal(wire, coding(name), pieces=pieces, cap=len(PAGE) - 1)
    assert (error.reason, error.retryable) == ("too_large", False)


@cache
def bomb(name: str) -> bytes:
    """Hundreds of megabytes of zeros in few bytes; twice compressed, a gigabyte in 10 KB."""
    if name == "br":
        stream = brotli.Compressor(quality=1)
        return b"".join([*(stream.process(bytes(10**6)) for _ in range(300)), stream.finish()])
    if name in ("gzip", "zstd"):
        return ENCODERS[name](b"harmless") + ENCODERS[name](bytes(300 * 10**6))
    twice = zlib.compressobj(wbits=31)
    once = zlib.compressobj(wbits=31)
    megabyte = bytes(10**6)
    wire = b"".join(twice.compress(once.compress(megabyte)) for _ in range(1000))
    wire += twice.compress(once.flush()) + twice.flush()
    assert len(wire) < 10_000
    return wire


@pytest.mark.parametrize("pieces", [0, 512])
@pytest.mark.parametrize("name", ["gzip", "gzip, gzip", "br", "zstd"])
def test_a_bomb_is_stopped_while_it_is_small(name: str, pieces: int) -> None:
    wire = bomb(name)
    assert len(wire) < 400_000
    tracemalloc.start()
    try:
        error = refusal(wire, name, pieces=pieces, cap=MAX)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.reason == "too_large"
    assert peak < 4 * MAX


def test_a_ratio_that_no_page_has_is_refused_below_the_cap() -> None:
    data = bytes(8 * RATIO_FREE)
    wire = gzip.compress(data)
    assert len(wire) * MAX_RATIO < len(data) < MAX
    assert refusal(wire, "gzip").reason == "too_large"


def test_a_small_page_may_shrink_as_far_as_it_likes() -> None:
    data = bytes(RATIO_FREE)
    wire = gzip.compress(data)
    assert len(data) > MAX_RATIO * len(wire)
    assert decode(wire, "gzip") == data


@pytest.mark.parametrize("pieces", [1, 100, 10**6])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_beginning_of_a_body_may_be_had_however_much_follows(name: str, pieces: int) -> None:
    wire = ENCODERS[name](PAGE)
    decoder = decoder_for(coding(name), max_body=1000, beginning=True)
    found = b""
    for at in range(0, len(wire), pieces):
        found += decoder.feed(wire[at : at + pieces])
        if len(found) > 1000:
            break
    assert found[:1001] == PAGE[:1001]


def test_the_beginning_of_a_body_is_no_bomb_either() -> None:
    bomb = gzip.compress(bytes(8 * RATIO_FREE))
    decoder = decoder_for("gzip", max_body=6 * RATIO_FREE, beginning=True)
    with pytest.raises(FetchError, match="too_large"):
        decoder.feed(bomb)


# ── what is offered to servers ──────────────────────────────────────────────────────────


def test_every_coding_that_is_offered_can_be_decoded() -> None:
    assert ACCEPT_ENCODING == "gzip, deflate, br, zstd"
    for name in ACCEPT_ENCODING.split(", "):
        assert decode(ENCODERS[name](PAGE), name) == PAGE


def test_without_the_extras_only_zlib_is_offered_and_the_rest_says_what_to_install() -> None:
    program = """
import importlib.util
find_spec = importlib.util.find_spec
hidden = {"brotli", "backports", "_zstd"}
importlib.util.find_spec = lambda name: None if name in hidden else find_spec(name)
from crawler.decoding import ACCEPT_ENCODING, decoder_for
print(ACCEPT_ENCODING)
for name in ("br", "zstd"):
    try:
        decoder_for(name, max_body=10)
    except Exception as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    missing = "it was left out of this Python" if _OWN_ZSTD else "install backports.zstd"
    assert done.stdout.splitlines() == [
        "gzip, deflate",
        "unsupported_encoding: br: install brotli 1.2 or later",
        f"unsupported_encoding: zstd: {missing}",
    ]


def test_importing_it_loads_neither_aiohttp_nor_the_zstd_library() -> None:
    program = (
        "import sys, crawler.decoding\n"
        "print({'aiohttp', 'backports.zstd', 'compression.zstd'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"
