"""Models as tables, items as rows, and tables that follow their models."""

import json
import math
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    TypeAdapter,
    computed_field,
    create_model,
)

from crawler.item import Item
from storage import bulk
from storage.columns import row_of, table_of
from storage.errors import RunMismatch
from storage.records import Column, Table
from storage.tables import (
    REGISTRY_SQL,
    ItemTables,
    columns_of,
    coverage,
    create_table_sql,
    insert_sql,
    item_tables,
    quote,
)

T = TypeVar("T")
Isbn = NewType("Isbn", str)
AT = "2026-01-02T03:04:05.000Z"
URL = "http://site.example/"


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Mixed(Enum):
    A = 1
    B = "b"


class Book(Item):
    title: str
    price: float | None = None


class Loud(str):
    def __str__(self) -> str:
        return self.upper() + "!"


class Shelf(BaseModel):
    books: list[str] = Field(default_factory=list, serialization_alias="Books")


class Page(BaseModel, Generic[T]):
    content: T


def new_file(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "CREATE TABLE crawl_run (id INTEGER PRIMARY KEY, spider TEXT NOT NULL);" + REGISTRY_SQL
    )
    return connection


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = new_file(tmp_path / "crawl.db")
    connection.executemany("INSERT INTO crawl_run VALUES (?, 'books')", [(1,), (2,)])
    yield connection
    connection.close()


def store(
    connection: sqlite3.Connection,
    *items: BaseModel | dict[str, Any],
    run: int = 1,
    tables: ItemTables | None = None,
    spider: str = "books",
) -> None:
    tables = tables or ItemTables()
    rows = [row_of(item, URL) for item in items]
    for row in rows:
        tables.ensure(connection, row.table, spider)
    tables.insert(connection, run, AT, rows)


def versions(**fields: Any) -> type[BaseModel]:
    """Return the model Book as it is with these fields."""
    return create_model("Book", **{name: (kind, None) for name, kind in fields.items()})


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


# ── rows ────────────────────────────────────────────────────────────────────────────────────


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


# ── the file ────────────────────────────────────────────────────────────────────────────────


def test_a_stored_item_says_which_run_page_and_time_it_is_from(file: sqlite3.Connection) -> None:
    store(file, Book(title="Dune", price=1.5))
    cursor = file.execute("SELECT * FROM book")
    names = [name for name, *_ in cursor.description]
    assert names == ["_id", "_run", "_url", "_at", "title", "price"]
    assert cursor.fetchall() == [(1, 1, URL, AT, "Dune", 1.5)]


def test_items_of_several_models_keep_their_order_within_each_table(
    file: sqlite3.Connection,
) -> None:
    store(file, Book(title="a"), {"n": 1}, Book(title="b"), {"n": 2})
    assert file.execute("SELECT title FROM book ORDER BY _id").fetchall() == [("a",), ("b",)]
    found = file.execute("SELECT data ->> 'n' FROM item ORDER BY _id").fetchall()
    assert found == [(1,), (2,)]


def test_fields_and_tables_may_be_called_like_sql_keywords(file: sqlite3.Connection) -> None:
    order = create_model("Order", select=(int, 1), group=(str, "g"), table=(str, "t"))
    store(file, order())
    assert file.execute('SELECT "select", "group", "table" FROM "order"').fetchall() == [
        (1, "g", "t")
    ]
    assert coverage(file, "order", 1) == {"select": (1, 1), "group": (1, 1), "table": (1, 1)}


def test_a_model_without_fields_is_a_table_of_pages(file: sqlite3.Connection) -> None:
    store(file, create_model("Marker")())
    assert file.execute("SELECT _url FROM marker").fetchall() == [(URL,)]


def test_a_quoted_name_is_a_name_whatever_is_in_it() -> None:
    assert quote('a"b') == '"a""b"'


def test_the_view_shows_the_last_run_only(file: sqlite3.Connection) -> None:
    store(file, Book(title="old"), run=1)
    assert file.execute("SELECT title FROM latest_book").fetchall() == []
    store(file, Book(title="new"), run=2)
    assert file.execute("SELECT title FROM latest_book").fetchall() == [("new",)]


def test_the_view_does_not_mind_the_runs_of_other_spiders(file: sqlite3.Connection) -> None:
    store(file, Book(title="new"), run=2)
    file.execute("INSERT INTO crawl_run VALUES (3, 'other')")
    assert file.execute("SELECT title FROM latest_book").fetchall() == [("new",)]


def test_the_rows_of_a_run_are_found_by_index(file: sqlite3.Connection) -> None:
    store(file, Book(title="a"))
    (plan,) = file.execute("EXPLAIN QUERY PLAN SELECT * FROM book WHERE _run = 1").fetchall()
    assert "crawl_book_by_run" in plan[3]


# ── evolution ───────────────────────────────────────────────────────────────────────────────


def test_a_model_that_gains_a_field_gains_a_column(
    file: sqlite3.Connection, tmp_path: Path
) -> None:
    reader = sqlite3.connect(tmp_path / "crawl.db")
    store(file, versions(title=str)(title="a"), run=2)
    assert reader.execute("SELECT title FROM latest_book").fetchall() == [("a",)]
    newer = versions(title=str, pages=int)
    ItemTables().check(file, [table_of(newer)])
    store(file, newer(title="b", pages=7), run=2)
    # The view too, also for a connection that was open before.
    rows = reader.execute("SELECT title, pages FROM latest_book").fetchall()
    reader.close()
    assert rows == [("a", None), ("b", 7)]


def test_a_field_that_goes_keeps_its_column_and_may_come_back(file: sqlite3.Connection) -> None:
    store(file, versions(title=str, pages=int)(title="a", pages=1))
    store(file, versions(title=str)(title="b"))
    store(file, versions(title=str, pages=int)(title="c", pages=3))
    rows = file.execute("SELECT title, pages FROM book").fetchall()
    assert rows == [("a", 1), ("b", None), ("c", 3)]


def test_a_field_that_comes_back_as_another_kind_is_refused(file: sqlite3.Connection) -> None:
    store(file, versions(title=str, pages=int)(title="a", pages=1))
    store(file, versions(title=str)(title="b"))
    with pytest.raises(RunMismatch):
        ItemTables().check(file, [table_of(versions(title=str, pages=str))])


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (int, str, "text now and integer"),
        (int, float, "real now and integer"),
        (int, bool, "boolean now and integer"),
        (str, datetime, "datetime now and text"),
        (list[str], str, "text now and json"),
    ],
)
def test_a_field_whose_kind_changed_is_one_clear_line(
    file: sqlite3.Connection, old: Any, new: Any, kinds: str
) -> None:
    store(file, versions(x=old)())
    changed = table_of(versions(x=new))
    line = f"^table 'book': field 'x' is {kinds} in this file: rename the field, or use another"
    with pytest.raises(RunMismatch, match=line):
        ItemTables().check(file, [changed])
    with pytest.raises(RunMismatch, match=line):
        ItemTables().ensure(file, changed, "books")


def test_a_field_that_became_optional_has_not_changed(file: sqlite3.Connection) -> None:
    store(file, versions(x=int)(x=1))
    store(file, versions(x=int | None)())
    assert file.execute("SELECT x FROM book").fetchall() == [(1,), (None,)]


def test_a_field_that_changed_only_its_case_is_the_same_column(file: sqlite3.Connection) -> None:
    store(file, versions(ISBN=str)(ISBN="a"))
    store(file, versions(isbn=str)(isbn="b"))
    assert file.execute("SELECT isbn FROM book").fetchall() == [("a",), ("b",)]
    with pytest.raises(RunMismatch, match="integer now and text"):
        ItemTables().check(file, [table_of(versions(Isbn=int))])


def test_a_table_that_another_spider_filled_counts_too(file: sqlite3.Connection) -> None:
    store(file, versions(x=int)(x=1), spider="other")
    with pytest.raises(RunMismatch):
        ItemTables().check(file, [table_of(versions(x=str))])


def test_a_table_that_no_crawl_made_is_left_alone(file: sqlite3.Connection) -> None:
    file.execute("CREATE VIEW Book AS SELECT 1 AS title")
    with pytest.raises(RunMismatch, match=r"^this file has a 'book' that no crawl made"):
        ItemTables().check(file, [table_of(Book)])


def test_a_check_changes_nothing_in_the_file(file: sqlite3.Connection) -> None:
    before = file.execute("SELECT * FROM sqlite_schema").fetchall()
    ItemTables().check(file, [table_of(Book)])
    assert file.execute("SELECT * FROM sqlite_schema").fetchall() == before


def test_two_different_models_of_one_table_are_refused_before_the_run(
    file: sqlite3.Connection,
) -> None:
    tables = [table_of(versions(title=str)), table_of(versions(title=str, pages=int))]
    with pytest.raises(RunMismatch, match=r"^two models with different fields \('pages'\) share"):
        ItemTables().check(file, tables)


def test_two_different_models_of_one_table_are_refused_within_a_run(
    file: sqlite3.Connection,
) -> None:
    tables = ItemTables()
    store(file, {"a": 1}, tables=tables)
    with pytest.raises(RunMismatch, match="share the table 'item'"):
        store(file, create_model("Item", title=(str, "x"))(), tables=tables)
    tables.forget()
    with pytest.raises(RunMismatch, match="share the table 'item'"):
        store(file, create_model("Item", title=(str, "x"))(), tables=tables)


def test_the_next_run_may_have_another_model_of_that_name(file: sqlite3.Connection) -> None:
    tables = ItemTables()
    store(file, versions(title=str)(title="a"), tables=tables)
    newer = versions(title=str, pages=int)
    tables.check(file, [table_of(newer)])
    store(file, newer(title="b", pages=1), tables=tables, run=2)
    assert coverage(file, "book", 2) == {"title": (1, 1), "pages": (1, 1)}


def test_two_models_of_one_table_with_the_same_fields_share_it(file: sqlite3.Connection) -> None:
    models = [versions(title=str, pages=int), versions(pages=int, title=str)]
    ItemTables().check(file, map(table_of, models))
    store(file, *(model(title="a", pages=1) for model in models))
    assert file.execute("SELECT title, pages FROM book").fetchall() == [("a", 1)] * 2


def test_a_table_is_looked_after_once(file: sqlite3.Connection) -> None:
    tables = ItemTables()
    store(file, Book(title="a"), tables=tables)
    statements: list[str] = []
    file.set_trace_callback(statements.append)
    tables.ensure(file, table_of(Book), "books")
    assert statements == []
    tables.ensure(file, table_of(Book), "other")
    assert statements != []


def test_after_a_rollback_the_table_is_made_again(file: sqlite3.Connection) -> None:
    tables = ItemTables()
    file.execute("BEGIN IMMEDIATE")
    file.execute("SAVEPOINT visit")
    store(file, Book(title="lost"), tables=tables)
    file.execute("ROLLBACK TO visit")
    file.execute("RELEASE visit")
    assert item_tables(file) == []
    tables.forget()
    store(file, Book(title="kept"), tables=tables)
    file.execute("COMMIT")
    assert file.execute("SELECT title FROM book").fetchall() == [("kept",)]


def test_nothing_is_committed_behind_the_callers_back(file: sqlite3.Connection) -> None:
    store(file, versions(title=str)(title="a"))
    file.execute("BEGIN IMMEDIATE")
    store(file, versions(title=str, pages=int)(title="b", pages=1))
    assert file.in_transaction
    file.execute("ROLLBACK")
    assert [column.name for column in columns_of(file, "book")][4:] == ["title"]
    store(file, versions(title=str, other=str)(title="c", other="x"))
    assert coverage(file, "book", 1) == {"title": (2, 2), "other": (1, 2)}


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def test_coverage_counts_the_values_of_one_run(file: sqlite3.Connection) -> None:
    store(file, Book(title="old", price=1), run=1)
    store(file, Book(title="a"), Book(title="b", price=2), Book(title=""), run=2)
    assert coverage(file, "book", 2) == {"title": (3, 3), "price": (1, 3)}
    assert coverage(file, "book", 9) == {"title": (0, 0), "price": (0, 0)}


def test_a_table_that_somebody_dropped_is_no_item_table(file: sqlite3.Connection) -> None:
    store(file, Book(title="a"), {"n": 1})
    file.execute("DROP TABLE book")
    assert item_tables(file) == ["item"]


def test_the_columns_of_a_table_are_those_of_the_file(file: sqlite3.Connection) -> None:
    store(file, Book(title="a"))
    file.execute("ALTER TABLE book ADD COLUMN mark INTEGER")
    assert columns_of(file, "book")[4:] == [
        Column("title", "text", "TEXT"),
        Column("price", "real", "REAL"),
        Column("mark", "integer", "INTEGER"),
    ]
