"""Items as rows: which values are stored, and how."""

import json
import math
import sqlite3
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, create_model

from crawler.item import Item
from storage import bulk
from storage.columns import row_of
from storage.records import Column, Table
from storage.tables import create_table_sql, insert_sql
from tests.storage.items import AT, URL, Book, Colour, Mixed, Size


class Loud(str):
    def __str__(self) -> str:
        return self.upper() + "!"


class Shelf(BaseModel):
    books: list[str] = Field(default_factory=list, serialization_alias="Books")


def test_an_item_changed_after_it_was_yielded_is_stored_as_it_was() -> None:
    class Tagged(Item):
        title: str
        tags: list[str]

    item = Tagged(title="a", tags=["x"])
    loose = {"tags": ["x"]}
    row, dict_row = row_of(item, URL), row_of(loose, URL)
    item.title = "b"
    item.tags.append("y")
    loose["tags"].append("y")
    assert row.values == ("a", '["x"]')
    assert dict_row.values == ('{"tags":["x"]}',)


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (str, "a\0b", "a\0b"),
        (Colour, Colour.RED, "red"),
        (str, Colour.RED, "red"),
        (Size, Size.BIG, 3),
        (Mixed, Mixed.B, '"b"'),
        (bool, True, 1),
        (int | float, 3, 3.0),
        (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath, PurePosixPath("a/b"), "a/b"),
        (HttpUrl, "http://a.example", "http://a.example/"),
        (Decimal, Decimal("1.10"), "1.10"),
        (datetime, datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00Z"),
        (datetime, datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
        (
            datetime,
            datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=-5))),
            "2026-01-02T03:00:00-05:00",
        ),
        (date, date(2026, 1, 2), "2026-01-02"),
        (time, time(1, 2, 3), "01:02:03"),
        (timedelta, timedelta(days=1, hours=2), "P1DT2H"),
        (Any, {"d": Decimal("1.0"), "b": b"\xff\xfe"}, '{"d":"1.0","b":"__4="}'),
        (set[str], {"b", "c", "a"}, '["a","b","c"]'),
        (Any, "NaN and Infinity", '"NaN and Infinity"'),
        (list[Book], [Book(title="é")], '[{"title":"é","price":null}]'),
        (Shelf, Shelf(), '{"books":[]}'),
        (list[int] | None, None, None),
    ],
)
def test_a_value_is_stored_in_its_plain_form(annotation: Any, value: Any, stored: Any) -> None:
    model = create_model("Thing", x=(annotation, ...))
    (found,) = row_of(model(x=value), URL).values
    assert (found, type(found)) == (stored, type(stored))


def test_enum_values_in_place_of_enums_are_stored_alike() -> None:
    class Shirt(BaseModel):
        model_config = ConfigDict(use_enum_values=True)
        colour: Colour

    assert row_of(Shirt(colour=Colour.RED), URL).values == ("red",)


def test_text_that_prints_as_something_else_is_stored_as_it_is() -> None:
    row = row_of(Book.model_construct(title=Loud("quiet")), URL)
    assert (row.values, type(row.values[0])) == (("quiet", None), str)


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (int, 2**63, "more than 64 bits"),
        (int, -(2**63) - 1, "more than 64 bits"),
        pytest.param(int, 10**5000, "more than 64 bits", id="huge"),
        (int, "7", "int expected, not str"),
        (int, True, "int expected, not bool"),
        (bool, 1, "bool expected, not int"),
        (float, math.nan, "nan is not a finite number: use None"),
        (float, -math.inf, "-inf is not a finite number: use None"),
        (float, 10**400, "too large"),
        (float, "7", "float expected, not str"),
        (str, "\ud800", "surrogates not allowed"),
        (Path, Path("\udcff"), "surrogates not allowed"),
        (str, b"x", "str expected, not bytes"),
        (bytes, "x", "bytes expected, not str"),
        (Decimal, Decimal("NaN"), "NaN is not a finite number: use None"),
        (datetime, date(2026, 1, 2), "datetime expected, not date"),
        (date, datetime(2026, 1, 2), "date expected, not datetime"),
        (list[float], [1.0, math.inf], "Infinity is not a finite number: use None"),
        (list[str], ["\ud800"], "surrogates not allowed"),
        (Any, object(), "Unable to serialize unknown type"),
    ],
)
def test_a_value_that_cannot_be_stored_is_named_in_one_line(
    annotation: Any, value: Any, reason: str
) -> None:
    model = create_model("Thing", before=(int, 1), x=(annotation, None), after=(int, 1))
    item = model()
    item.__dict__["x"] = value  # past pydantic, as model_construct would
    with pytest.raises(ValueError, match=rf"^Thing\.x: .*{reason}") as caught:
        row_of(item, URL)
    assert "\n" not in str(caught.value)


def test_fields_beyond_the_declared_ones_are_refused_rather_than_lost() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int

    assert row_of(Open(a=1), URL).values == (1,)
    with pytest.raises(ValueError, match=r"^Open has no columns for b, c"):
        row_of(Open(a=1, b=2, c=3), URL)  # type: ignore[call-arg]


def test_a_dict_goes_to_the_table_item_as_json() -> None:
    row = row_of({"a": 1, "when": datetime(2026, 1, 2, tzinfo=UTC), "s": {1}}, URL)
    assert row.table == Table("item", (Column("data", "json", "TEXT"),))
    assert row.values == ('{"a":1,"when":"2026-01-02T00:00:00Z","s":[1]}',)


@pytest.mark.parametrize("value", [object(), math.nan, "\ud800", [[math.inf]]])
def test_a_dict_that_is_no_json_names_the_key(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^dict item, key 'bad': [^\n]+$"):
        row_of({"good": 1, "bad": value}, URL)


def test_a_dict_that_contains_itself_is_refused() -> None:
    item: dict[str, Any] = {}
    item["self"] = item
    with pytest.raises(ValueError, match=r"^dict item, key 'self': .*[Cc]ircular"):
        row_of(item, URL)


def test_what_is_neither_model_nor_dict_is_no_item() -> None:
    with pytest.raises(ValueError, match=r"^str is no item"):
        row_of("text", URL)  # type: ignore[arg-type]


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: FINITE,
    str: TEXT,
    bytes: st.binary(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(timezones=st.none() | st.just(UTC) | OFFSETS),
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    list[int]: st.lists(st.integers(-(2**80), 2**80)),
    dict[str, list[float | str | bool | None]]: st.dictionaries(
        TEXT, st.lists(FINITE | TEXT | st.booleans() | st.none())
    ),
}


@pytest.mark.parametrize("annotation", KINDS, ids=str)
@given(data=st.data())
def test_every_value_comes_back_from_the_file_as_it_was(annotation: Any, data: Any) -> None:
    model = create_model("Thing", x=(annotation | None, ...))
    value = data.draw(KINDS[annotation] | st.none())
    row = row_of(model(x=value), URL)
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(create_table_sql(row.table))
        bulk.insert(connection, insert_sql(row.table), [(1, row.url, AT, *row.values)])
        (stored,) = connection.execute("SELECT x FROM thing").fetchone()
    finally:
        connection.close()
    if stored is not None and row.table.columns[0].kind == "json":
        stored = json.loads(stored)
    assert TypeAdapter(annotation | None).validate_python(stored) == value
