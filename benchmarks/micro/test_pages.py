"""From bytes to a tree, and from a tree to values."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from crawler import Response
from crawler.annotations import canonical_of, forbids_following
from crawler.charset import decode_text
from crawler.decoding import decoder_for
from crawler.markup import parse
from crawler.traps import content_of

CHUNK = 1 << 16


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_body_decoded(benchmark: Any, body: bytes, coding: str) -> None:
    wire = gzip.compress(body) if coding == "gzip" else body

    def decode() -> bytes:
        decoder = decoder_for(coding, max_body=1 << 24)
        parts = [decoder.feed(wire[at : at + CHUNK]) for at in range(0, len(wire), CHUNK)]
        return b"".join([*parts, decoder.finish()])

    assert benchmark(decode) == body


def test_a_body_as_text(benchmark: Any, body: bytes) -> None:
    benchmark(decode_text, body, "utf-8")


def test_a_text_parsed_by_lexbor_alone(benchmark: Any, body: bytes) -> None:
    benchmark(LexborHTMLParser, body.decode())


def test_a_text_parsed_within_the_budget(benchmark: Any, body: bytes) -> None:
    benchmark(parse, body.decode())


@pytest.mark.parametrize("query", ["h1::text", "title::text", "a::attr(href)", "section > h2"])
def test_a_selection(benchmark: Any, respond: Callable[[], Response], query: str) -> None:
    response = respond()
    assert benchmark(lambda: response.css(query).getall())


def test_the_first_of_a_selection(benchmark: Any, respond: Callable[[], Response]) -> None:
    response = respond()
    assert benchmark(lambda: response.css("h1::text").get()) == "Page 7"


def test_fields_of_each_part_of_a_page(benchmark: Any, respond: Callable[[], Response]) -> None:
    response = respond()

    def fields() -> list[tuple[str | None, str | None, list[str]]]:
        return [
            (
                section.css("h2 > a::attr(href)").get(),
                section.css("h2::text").re_first(r"\d+"),
                section.css("p a.reference::attr(href)").getall(),
            )
            for section in response.css("section")
        ]

    assert benchmark(fields)[7][:2] == ("#s7", "7")


def test_an_xpath(benchmark: Any, respond: Callable[[], Response]) -> None:
    pytest.importorskip("parsel")
    assert benchmark(lambda: respond().xpath("//h1/text()").get()) == "Page 7"


def test_what_a_page_says_of_itself(benchmark: Any, respond: Callable[[], Response]) -> None:
    response = respond()
    assert response.base_url  # found beforehand
    benchmark(lambda: (canonical_of(response), forbids_following(response, "crawler")))


def test_the_hash_of_a_body(benchmark: Any, body: bytes) -> None:
    benchmark(content_of, body)
