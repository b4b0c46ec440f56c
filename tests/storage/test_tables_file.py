"""Tables in the file: what they hold, how they follow their models, how they are read."""

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from storage.columns import table_of
from storage.errors import RunMismatch
from storage.records import Column
from storage.tables import ItemTables, columns_of, coverage, item_tables, quote
from tests.storage.items import AT, URL, Book, store
from tests.storage.items import file as file


def versions(**fields: Any) -> type[BaseModel]:
    """Return the model Book as it is with these fields."""
    return create_model("Book", **{name: (kind, None) for name, kind in fields.items()})


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
    assert coverage(file, "order", 1) == (1, {"select": 1, "group": 1, "table": 1})


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
    store(file, versions(title=str)(title="a"), tables=tables)
    with pytest.raises(RunMismatch, match="share the table 'book'"):
        store(file, versions(pages=int)(pages=1), tables=tables)
    tables.forget()
    with pytest.raises(RunMismatch, match="share the table 'book'"):
        store(file, versions(pages=int)(pages=1), tables=tables)


def test_a_model_called_item_shares_the_table_of_the_dicts(file: sqlite3.Connection) -> None:
    tables = ItemTables()
    model = create_model("Item", title=(str, "x"))
    for _ in range(2):
        store(file, {"a": 1}, model(title="b"), {"c": 2}, tables=tables)
    found = file.execute("SELECT data, title FROM item").fetchall()
    assert found.count((None, "b")) == 2
    assert found.count(('{"a":1}', None)) == found.count(('{"c":2}', None)) == 2
    assert coverage(file, "item", 1) == (6, {"data": 4, "title": 2})
    with pytest.raises(RunMismatch, match="share the table 'item'"):
        store(file, create_model("Item", other=(str, "x"))(), tables=tables)


def test_a_field_in_the_place_of_the_dicts_is_told(file: sqlite3.Connection) -> None:
    tables = ItemTables()
    store(file, create_model("Item", data=(str, "x"))(), tables=tables)
    with pytest.raises(RunMismatch, match="field 'data' is json now and text in this file"):
        store(file, {"a": 1}, tables=tables)


def test_the_next_run_may_have_another_model_of_that_name(file: sqlite3.Connection) -> None:
    tables = ItemTables()
    store(file, versions(title=str)(title="a"), tables=tables)
    newer = versions(title=str, pages=int)
    tables.check(file, [table_of(newer)])
    store(file, newer(title="b", pages=1), tables=tables, run=2)
    assert coverage(file, "book", 2) == (1, {"title": 1, "pages": 1})


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
    assert coverage(file, "book", 1) == (2, {"title": 2, "other": 1})


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def test_coverage_counts_the_values_of_one_run(file: sqlite3.Connection) -> None:
    store(file, Book(title="old", price=1), run=1)
    store(file, Book(title="a"), Book(title="b", price=2), Book(title=""), run=2)
    assert coverage(file, "book", 2) == (3, {"title": 3, "price": 1})
    assert coverage(file, "book", 9) == (0, {"title": 0, "price": 0})


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
