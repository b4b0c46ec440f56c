"""Models as tables: their names and their columns."""

import sqlite3
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pytest
from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    HttpUrl,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    create_model,
)

from storage.columns import row_of, table_of
from storage.records import Column, Table
from tests.storage.items import URL, Book, Colour, Mixed, Size, store
from tests.storage.items import file as file

T = TypeVar("T")
Isbn = NewType("Isbn", str)


class Page(BaseModel, Generic[T]):
    content: T


# ── names ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "table"),
    [
        ("Book", "book"),
        ("BookReview", "book_review"),
        ("HTMLPage", "html_page"),
        ("Book2Review", "book2_review"),
        ("ISBN13", "isbn13"),
        ("Book_Review", "book_review"),
        ("Straße", "straße"),
        ("Order", "order"),
    ],
)
def test_a_table_is_named_after_its_model_in_snake_case(model: str, table: str) -> None:
    assert table_of(create_model(model, x=(int, 1))).name == table


def test_a_generic_model_has_a_table_per_argument() -> None:
    assert table_of(Page[int]) == Table("page_int", (Column("content", "integer", "INTEGER"),))
    assert table_of(Page[list[str]]).name == "page_list_str"


def test_a_model_may_name_its_table_and_its_subclasses_do_not_inherit_the_name() -> None:
    class Novel(Book):
        __table__: ClassVar[str] = "fiction"

    class Crime(Novel):
        pass

    assert table_of(Novel).name == "fiction"
    assert table_of(Crime).name == "crime"


@pytest.mark.parametrize("model", ["CrawlRequest", "LatestBook", "SqliteThing", "_Hidden"])
def test_a_name_that_would_hide_a_table_of_the_crawler_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match=rf"^{model}: the table name .* is reserved .*__table__$"):
        table_of(create_model(model, x=(int, 1)))


@pytest.mark.parametrize("name", ["Books", 'bo"ok', "a b", "", "1st", 7])
def test_a_given_name_that_is_no_lower_case_word_is_refused(name: object) -> None:
    model = type("Odd", (BaseModel,), {"__table__": name, "__annotations__": {"x": int}})
    with pytest.raises(ValueError, match=r"^Odd: .* cannot be a table's name"):
        table_of(model)


def test_fields_that_differ_only_by_case_are_refused() -> None:
    with pytest.raises(ValueError, match="'isbn' and 'ISBN' apart"):
        table_of(create_model("Book", isbn=(str, ""), ISBN=(str, "")))


def test_fields_that_sqlite_can_tell_apart_are_not_refused(file: sqlite3.Connection) -> None:
    store(file, create_model("Book", é=(int, 1), É=(int, 2))())
    assert file.execute('SELECT é, "É" FROM book').fetchone() == (1, 2)


def test_a_computed_field_cannot_take_the_name_of_a_crawlers_column() -> None:
    class Odd(BaseModel):
        @computed_field  # type: ignore[prop-decorator]
        @property
        def _run(self) -> int:
            return 1

    with pytest.raises(ValueError, match=r"^Odd\._run: names with a leading _"):
        table_of(Odd)


def test_an_annotation_that_names_nothing_is_refused() -> None:
    class Odd(BaseModel):
        x: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ValueError, match=r"^Odd: a field's annotation names something undefined"):
        table_of(Odd)


@pytest.mark.parametrize(
    "kind", [SecretStr, SecretBytes | None, Secret[int], Annotated[SecretStr, 1]]
)
def test_a_secret_is_refused_for_pydantic_makes_stars_of_it(kind: Any) -> None:
    model = create_model("Login", name=str, password=kind)
    with pytest.raises(ValueError, match=r"^Login\.password: a secret is not stored: "):
        table_of(model)
    kept = create_model("Login", name=str, password=(kind, Field(exclude=True)))
    assert [column.name for column in table_of(kept).columns] == ["name"]


def test_a_model_with_more_fields_than_a_table_takes_is_refused(file: sqlite3.Connection) -> None:
    fields: dict[str, Any] = {f"f{number}": (int, number) for number in range(1996)}
    store(file, create_model("Wide", **fields)())
    with pytest.raises(ValueError, match=r"^Wide has 1,997 fields, and a table holds 1,996"):
        table_of(create_model("Wide", **fields, more=int))


# ── columns ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("annotation", "kind", "sql_type"),
    [
        (int, "integer", "INTEGER"),
        (bool, "boolean", "INTEGER"),
        (float, "real", "REAL"),
        (int | float, "real", "REAL"),
        (str, "text", "TEXT"),
        (Isbn, "text", "TEXT"),
        (Colour, "text", "TEXT"),
        (Size, "integer", "INTEGER"),
        (Mixed, "json", "TEXT"),
        (Literal["a", "b"], "text", "TEXT"),
        (Literal["a", None], "text", "TEXT"),
        (Literal[1, "a"], "json", "TEXT"),
        (UUID, "text", "TEXT"),
        (Path, "text", "TEXT"),
        (HttpUrl, "text", "TEXT"),
        (str | HttpUrl, "text", "TEXT"),
        (IPv4Address, "text", "TEXT"),
        (Decimal, "decimal", "TEXT"),
        (bytes, "bytes", "BLOB"),
        (datetime, "datetime", "TEXT"),
        (AwareDatetime, "datetime", "TEXT"),
        (date, "date", "TEXT"),
        (time, "time", "TEXT"),
        (timedelta, "duration", "TEXT"),
        (list[str], "json", "TEXT"),
        (tuple[int, ...], "json", "TEXT"),
        (set[int], "json", "TEXT"),
        (dict[str, int], "json", "TEXT"),
        (Book, "json", "TEXT"),
        (Any, "json", "TEXT"),
        (int | str, "json", "TEXT"),
        (list[int] | None, "json", "TEXT"),
        (int | None, "integer", "INTEGER"),
        (Annotated[int, Field(gt=2)] | None, "integer", "INTEGER"),
        (Annotated[Annotated[Decimal, "x"], Field(gt=2)], "decimal", "TEXT"),
    ],
)
def test_a_field_is_a_column_of_its_kind(annotation: Any, kind: str, sql_type: str) -> None:
    table = table_of(create_model("Thing", x=(annotation, ...)))
    assert table.columns == (Column("x", kind, sql_type),)


def test_computed_fields_are_columns_and_excluded_fields_are_none() -> None:
    class Box(BaseModel):
        width: int
        secret: str = Field("", exclude=True)

        @computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int | None:
            return self.width**2

    row = row_of(Box(width=3), URL)
    assert [column.name for column in row.table.columns] == ["width", "area"]
    assert row.values == (3, 9)


def test_a_tables_columns_are_worked_out_once() -> None:
    assert table_of(Book) is table_of(Book)
    assert row_of(Book(title="a"), URL).table is table_of(Book)
