"""What spiders yield, however odd: it is stored, or its page fails with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from crawler import Item, Response, Spider
from tests.crawler.bad_page import (
    BAD,
    Good,
    Page,
    Rows,
    assert_only_the_bad_page_failed,
    run,
    states,
)


async def test_what_was_yielded_is_stored_whatever_becomes_of_it(db: Path, rows: Rows) -> None:
    class Nested(Item):
        tags: list[str]

    class Mutates(Good):
        items = (Nested,)

        def bad(self, response: Response) -> Any:
            shared: dict[str, Any] = {"n": 1, "list": [1]}
            nested = Nested(tags=["a"])
            request = response.follow("/1?again", callback="look", meta=shared)
            yield shared
            yield nested
            yield request
            shared["n"] = 2
            shared["list"].append(2)
            nested.tags.append("b")
            request.url = "http://127.0.0.1:1/elsewhere"
            yield shared

        def look(self, response: Response) -> Any:
            yield {"meta": response.meta}

    assert (await run(db, Mutates)).finish == "finished"
    first, second, third = map(json.loads, rows("SELECT data FROM item ORDER BY _id"))
    assert (first, second) == ({"n": 1, "list": [1]}, {"n": 2, "list": [1, 2]})
    assert third == {"meta": {"n": 1, "list": [1]}}
    assert rows("SELECT tags FROM nested") == ['["a"]']


async def test_a_model_called_item_and_dicts_are_both_stored(db: Path, rows: Rows) -> None:
    own = type("Item", (Item,), {"__annotations__": {"title": str}})

    class Both(Good):
        items = (own,)

        def bad(self, response: Response) -> Any:
            yield {"n": 1}
            yield own(title="a")
            yield {"n": 2}

    assert (await run(db, Both)).finish == "finished"
    found = rows("SELECT data, title FROM item")
    assert sorted(found, key=str) == [('{"n":1}', None), ('{"n":2}', None), (None, "a")]


class Text(Item):
    """A text column."""

    text: str


class Number(Item):
    """A number column."""

    number: float


def _yielding(*outputs: Any) -> type[Spider]:
    class Yields(Good):
        items = (Text, Number)

        def bad(self, response: Response) -> Any:
            yield from outputs

    return Yields


async def test_a_large_item_is_stored_as_it_is(db: Path, rows: Rows) -> None:
    text = "x" * 20_000_000
    await run(db, _yielding(Text(text=text), {"text": text}))
    assert states(rows)[BAD] == ("done", None)
    assert rows("SELECT text = ? FROM text", text) == [1]
    assert rows("SELECT data ->> 'text' = ? FROM item", text) == [1]


async def test_a_nul_in_a_text_is_stored(db: Path, rows: Rows) -> None:
    await run(db, _yielding(Text(text="a\0b"), {"text": "a\0b"}))
    assert states(rows)[BAD] == ("done", None)
    assert rows("SELECT text FROM text") == ["a\0b"]
    assert [json.loads(data) for data in rows("SELECT data FROM item")] == [{"text": "a\0b"}]


@pytest.mark.parametrize(
    "item",
    [
        Number(number=float("inf")),
        Number(number=float("-inf")),
        Number(number=float("nan")),
        {"number": float("nan")},
        {"deep": [{"number": float("inf")}]},
        Text.model_construct(text="\ud800"),
        {"text": "\ud800"},
        {"\ud800": 1},
    ],
    ids=lambda item: ascii(item),
)
async def test_what_no_file_can_hold_is_an_item_error(item: Any, db: Path, rows: Rows) -> None:
    assert (await run(db, _yielding(Page(path="lost"), item))).finish == "finished"
    assert_only_the_bad_page_failed(rows, "item_error")
    (why,) = rows("SELECT error FROM crawl_request WHERE state = 'failed'")
    assert why
