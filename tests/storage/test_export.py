"""Items as CSV, JSON Lines and Parquet."""

import base64
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyarrow import parquet
from pydantic import create_model

from storage.columns import row_of
from storage.errors import RunMismatch, StoreError
from storage.export import export
from storage.tables import REGISTRY_SQL, ItemTables, item_tables
from tests.storage.export_file import AT, URL, Book, csv_rows, json_rows, store, titles
from tests.storage.export_file import database as database
from tests.storage.export_file import out as out

# ── CSV ─────────────────────────────────────────────────────────────────────────────────────


def test_csv_has_a_header_and_every_column(database: Path, out: Path) -> None:
    store(database, Book(title="Dune", price=1.5, sold=True, tags=["a", "é"]), run=2)
    assert export(database, out / "books.csv") == 1
    assert (out / "books.csv").read_bytes().decode() == (
        "_id,_run,_url,_at,title,price,sold,tags,cover\r\n"
        f'1,2,{URL},{AT},Dune,1.5,1,"[""a"",""é""]",\r\n'
    )


def test_csv_of_no_rows_is_a_header(database: Path, out: Path) -> None:
    store(database, Book(title="old"), run=1)
    assert export(database, out / "books.csv") == 0
    text = (out / "books.csv").read_text(encoding="utf-8")
    assert text == "_id,_run,_url,_at,title,price,sold,tags,cover\n"


@pytest.mark.parametrize(
    "text", ['say "hi"', "a,b", "two\r\nlines", "two\nlines", " padded ", "naïve 😀", "a\0b", ""]
)
def test_csv_gives_text_back_as_it_was(database: Path, out: Path, text: str) -> None:
    store(database, Book(title=text, cover=b"\0\xff"), run=2)
    export(database, out / "books.csv")
    (row,) = csv_rows(out / "books.csv")
    assert row["title"] == text
    assert base64.b64decode(row["cover"]) == b"\0\xff"


def test_csv_has_columns_that_were_added_later(database: Path, out: Path) -> None:
    store(database, create_model("Book", title=(str, "a"))(), run=2)
    store(database, create_model("Book", title=(str, "b"), pages=(int, 7))(), run=2)
    export(database, out / "books.csv")
    rows = csv_rows(out / "books.csv")
    assert [(row["title"], row["pages"]) for row in rows] == [("a", ""), ("b", "7")]


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_leaves_formulas_alone_unless_told(database: Path, out: Path, text: str) -> None:
    store(database, Book(title=text, price=-1.0), run=2)
    export(database, out / "books.csv")
    assert csv_rows(out / "books.csv")[0]["title"] == text
    export(database, out / "books.csv", escape_formulas=True)
    (row,) = csv_rows(out / "books.csv")
    assert (row["title"], row["price"]) == ("'" + text, "-1.0")


def test_csv_takes_one_table_and_names_those_there_are(database: Path, out: Path) -> None:
    store(database, Book(title="a"), {"n": 1}, run=2)
    with pytest.raises(RunMismatch, match=r"has book, item: choose one with --table[^\n]*$"):
        export(database, out / "x.csv")
    assert list(out.iterdir()) == []
    assert export(database, out / "x.csv", table="book") == 1


# ── JSON Lines ──────────────────────────────────────────────────────────────────────────────


def test_jsonl_has_values_as_they_are(database: Path, out: Path) -> None:
    store(database, Book(title="a\nb", sold=True, tags=["x"], cover=b"\xff"), run=2)
    assert export(database, out / "books.jsonl") == 1
    framework = {"_id": 1, "_run": 2, "_url": URL, "_at": AT}
    (row,) = json_rows(out / "books.jsonl")
    assert row == framework | {
        "title": "a\nb",
        "price": None,
        "sold": True,
        "tags": ["x"],
        "cover": "/w==",
    }


def test_jsonl_of_several_tables_says_which(database: Path, out: Path) -> None:
    store(database, Book(title="a"), {"n": [1, {"m": None}]}, run=2)
    assert export(database, out / "all.jsonl") == 2
    book, item = json_rows(out / "all.jsonl")
    assert (book["_table"], book["title"]) == ("book", "a")
    assert (item["_table"], item["data"]) == ("item", {"n": [1, {"m": None}]})


def test_jsonl_of_one_table_does_not(database: Path, out: Path) -> None:
    store(database, Book(title="a"), {"n": 1}, run=2)
    export(database, out / "all.jsonl", table="book")
    assert "_table" not in json_rows(out / "all.jsonl")[0]


def test_jsonl_of_a_crawl_without_items_is_empty(database: Path, out: Path) -> None:
    assert export(database, out / "all.jsonl") == 0
    assert (out / "all.jsonl").read_bytes() == b""
    with pytest.raises(RunMismatch, match="has none yet"):
        export(database, out / "all.csv")


def test_jsonl_tells_the_truth_about_a_column_that_was_written_by_hand(
    database: Path, out: Path
) -> None:
    store(database, Book(title="a"), run=2)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE book SET tags = 'no json', sold = 'maybe'")
        connection.commit()
    export(database, out / "books.jsonl")
    (row,) = json_rows(out / "books.jsonl")
    assert (row["tags"], row["sold"]) == ("no json", "maybe")


# ── Parquet ─────────────────────────────────────────────────────────────────────────────────


def test_parquet_has_typed_columns(database: Path, out: Path) -> None:
    model = create_model("Sale", __base__=Book, at=(datetime, ...), paid=(Decimal, ...))
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    store(
        database,
        model(title="a", price=1.5, sold=True, cover=b"\xff", at=moment, paid=Decimal("1.10")),
        model(title="b", at=moment, paid=Decimal(2)),
        run=2,
    )
    assert export(database, out / "sales.parquet") == 2
    table = parquet.read_table(out / "sales.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "_id": "int64",
        "_run": "int64",
        "_url": "string",
        "_at": "string",
        "title": "string",
        "price": "double",
        "sold": "bool",
        "tags": "string",
        "cover": "binary",
        "at": "string",
        "paid": "string",
    }
    first, second = table.to_pylist()
    assert (first["price"], first["sold"], first["cover"]) == (1.5, True, b"\xff")
    assert (first["at"], first["paid"]) == ("2026-01-02T00:00:00Z", "1.10")
    assert (second["price"], second["sold"], second["cover"]) == (None, False, None)


def test_parquet_of_no_rows_has_the_columns(database: Path, out: Path) -> None:
    store(database, Book(title="old"), run=1)
    assert export(database, out / "books.parquet") == 0
    assert "title" in parquet.read_table(out / "books.parquet").schema.names


def test_parquet_refuses_a_value_that_was_written_by_hand(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE book SET price = 'cheap'")
        connection.commit()
    with pytest.raises(StoreError, match=r"^a value of table 'book' .*write \.jsonl"):
        export(database, out / "books.parquet")
    assert list(out.iterdir()) == []


def test_parquet_without_pyarrow_says_what_to_install(
    database: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, Book(title="a"), run=2)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RunMismatch, match=r"pip install 'crawler\[parquet\]'"):
        export(database, out / "books.parquet")
    assert list(out.iterdir()) == []


# ── which rows ──────────────────────────────────────────────────────────────────────────────


def test_the_last_run_is_exported_unless_another_is_named(database: Path, out: Path) -> None:
    store(database, Book(title="old"), run=1)
    store(database, Book(title="new"), run=2)
    target = out / "books.jsonl"
    assert (export(database, target), titles(target)) == (1, ["new"])
    assert (export(database, target, run=1), titles(target)) == (1, ["old"])
    assert (export(database, target, run="all"), titles(target)) == (2, ["old", "new"])


def test_a_run_that_is_not_there_is_refused(database: Path, out: Path) -> None:
    store(database, Book(title="a"))
    with pytest.raises(RunMismatch, match=r"has no run 7; its last is 2$"):
        export(database, out / "books.csv", run=7)


def test_a_table_that_is_not_there_is_refused(database: Path, out: Path) -> None:
    store(database, Book(title="a"))
    with pytest.raises(RunMismatch, match=r"no item table 'crawl_run'; it has book$"):
        export(database, out / "books.csv", table="crawl_run")


def test_an_export_shows_one_moment_of_a_crawl_that_goes_on(
    database: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, Book(title="a"), {"n": 1}, run=2)

    def meanwhile(connection: sqlite3.Connection) -> list[str]:
        names = item_tables(connection)
        store(database, Book(title="later"), run=2)
        return names

    monkeypatch.setattr("storage.export.item_tables", meanwhile)
    assert export(database, out / "all.jsonl") == 2


# ── size ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl file with 50,000 items of about 500 bytes."""
    path = tmp_path_factory.mktemp("large") / "crawl.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE crawl_run (id INTEGER PRIMARY KEY, spider TEXT NOT NULL);"
            f"INSERT INTO crawl_run VALUES (1, 'books'); {REGISTRY_SQL}"
        )
        tables, row = ItemTables(), row_of(Book(title="x" * 450, tags=["a", "b"]), URL)
        tables.ensure(connection, row.table, "books")
        tables.insert(connection, 1, AT, [row] * 50_000)
        connection.commit()
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_many_rows_take_no_more_memory_than_few(large: Path, out: Path, suffix: str) -> None:
    tracemalloc.start()
    try:
        number = export(large, out / f"books.{suffix}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == 50_000
    # All rows at once would be 25 MB of text alone; a batch of Parquet is 1 MB.
    assert peak < 6_000_000
