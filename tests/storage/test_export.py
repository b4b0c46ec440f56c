"""Items as CSV, JSON Lines and Parquet, and crawl files that are only read."""

import base64
import csv
import io
import json
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from pydantic import BaseModel, Field, create_model

from crawler.item import Item
from storage.columns import row_of
from storage.errors import RunMismatch, StoreError
from storage.export import STDOUT, TargetError, check_target, export
from storage.reader import open_reader
from storage.tables import REGISTRY_SQL, ItemTables, item_tables

AT = "2026-01-02T03:04:05.000Z"
URL = "http://site.example/"


class Book(Item):
    title: str
    price: float | None = None
    sold: bool = False
    tags: list[str] = Field(default_factory=list)
    cover: bytes | None = None


def store(path: Path, *items: BaseModel | dict[str, Any], run: int = 1) -> None:
    with closing(sqlite3.connect(path)) as connection:
        tables = ItemTables()
        rows = [row_of(item, URL) for item in items]
        for row in rows:
            tables.ensure(connection, row.table, "books")
        tables.insert(connection, run, AT, rows)
        connection.commit()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A crawl file of two runs without items."""
    path = tmp_path / "crawl.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            "CREATE TABLE crawl_run (id INTEGER PRIMARY KEY, spider TEXT NOT NULL);"
            f"INSERT INTO crawl_run VALUES (1, 'books'), (2, 'books'); {REGISTRY_SQL}"
        )
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty directory to export to."""
    path = tmp_path / "out"
    path.mkdir()
    return path


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def json_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [json.loads(line) for line in stream]


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


def titles(path: Path) -> list[str]:
    return [row["title"] for row in json_rows(path)]


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


# ── where to ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["books.txt", "books", "csv", ".csv"])
def test_a_name_without_a_known_suffix_is_refused(database: Path, out: Path, name: str) -> None:
    with pytest.raises(RunMismatch, match=r"name it \.csv, \.jsonl or \.parquet$"):
        export(database, out / name)


def test_a_given_format_counts_more_than_the_suffix(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    export(database, out / "books.txt", format="jsonl")
    assert titles(out / "books.txt") == ["a"]


def test_standard_output_gets_utf_8_and_stays_open(
    database: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    store(database, Book(title="é"), run=2)
    print("before")
    export(database, STDOUT)
    export(database, STDOUT, format="csv")
    print("after")
    lines = capsysbinary.readouterr().out.split(b"\n")
    assert lines[0] == b"before"
    assert json.loads(lines[1])["title"] == "é"
    assert lines[2].startswith(b"_id,_run")
    assert lines[-2] == b"after"
    with pytest.raises(RunMismatch, match=r"^parquet cannot go to standard output"):
        export(database, STDOUT, format="parquet")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_export_that_fails_leaves_the_old_file_and_no_other(
    database: Path, out: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    store(database, *(Book(title="x" * 100) for _ in range(5_000)), run=2)
    target = out / f"books.{suffix}"
    target.write_text("the old file")

    def full_disk(self: Path, target: Path) -> Path:
        assert self.stat().st_size > 0
        assert target.read_text() == "the old file"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(StoreError, match=r"cannot write .*: No space left on device$"):
        export(database, target)
    assert target.read_text() == "the old file"
    assert list(out.iterdir()) == [target]


def test_a_finished_export_replaces_the_old_file(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    target = out / "books.jsonl"
    target.write_text("the old file, longer than the new one" * 100)
    export(database, target)
    assert titles(target) == ["a"]
    assert list(out.iterdir()) == [target]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_who_may_read_the_old_file_may_read_the_new_one_and_nobody_else(
    database: Path, out: Path, suffix: str
) -> None:
    store(database, Book(title="a"), run=2)
    target = out / f"books.{suffix}"
    for mode in (0o600, 0o664, 0o400):
        target.touch()
        target.chmod(mode)
        export(database, target)
        assert target.stat().st_mode & 0o777 == mode


def test_a_link_stays_a_link_to_the_exported_file(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    (out / "link.jsonl").symlink_to("real.jsonl")
    export(database, out / "link.jsonl")
    assert (out / "link.jsonl").is_symlink()
    assert titles(out / "real.jsonl") == ["a"]


def test_the_crawl_itself_is_never_overwritten(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    renamed = database.rename(out / "crawl.csv")
    with pytest.raises(RunMismatch, match="not a file to be replaced"):
        export(renamed, renamed)


@pytest.mark.parametrize(
    ("name", "reason"), [("there.csv", "not a file"), ("no/books.csv", "there is no directory")]
)
def test_an_impossible_target_is_one_clear_line(
    database: Path, out: Path, name: str, reason: str
) -> None:
    store(database, Book(title="a"), run=2)
    (out / "there.csv").mkdir()
    for refused in (lambda: export(database, out / name), lambda: check_target(out / name)):
        with pytest.raises(RunMismatch, match=rf"^cannot export to [^\n]*{reason}[^\n]*$"):
            refused()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_what_the_system_has_against_a_target_is_one_line(
    database: Path, out: Path, suffix: str
) -> None:
    store(database, Book(title="a"), run=2)
    # As long as a name may be: the one of the file beside it, which is longer, cannot be
    # written, and cannot be taken away either.
    target = out / f"{'x' * (254 - len(suffix))}.{suffix}"
    for refused in (lambda: export(database, target), lambda: check_target(target)):
        with pytest.raises(TargetError, match=r"^cannot write [^\n]*: File name too long$"):
            refused()
    assert list(out.iterdir()) == []


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


# ── reading ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a?mode=rw.db", "a#b.db", "100%25.db", "sp ace é.db"])
def test_a_file_is_found_whatever_it_is_called(database: Path, out: Path, name: str) -> None:
    store(database, Book(title="a"), run=2)
    with closing(open_reader(database.rename(out / name))) as reader:
        assert reader.execute("SELECT title FROM latest_book").fetchall() == [("a",)]
        reader.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM book")


def test_a_reader_cannot_be_talked_into_writing(database: Path, tmp_path: Path) -> None:
    with closing(open_reader(database)) as reader:
        assert reader.execute("PRAGMA query_only").fetchone() == (1,)
        assert reader.execute("PRAGMA trusted_schema").fetchone() == (0,)
        reader.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("CREATE TABLE other.x (a)")


def test_a_reader_and_the_writer_do_not_wait_for_each_other(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE book SET title = 'uncommitted'")
        export(database, out / "books.jsonl")
        writer.execute("COMMIT")
    assert titles(out / "books.jsonl") == ["a"]


def test_a_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(RunMismatch, match=r"missing\.db does not exist: run the spider first"):
        open_reader(missing)
    with pytest.raises(RunMismatch, match="is not a file"):
        open_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("hello\n" * 200)
    with pytest.raises(RunMismatch, match=r"text\.db is not an SQLite file"):
        open_reader(text)


@pytest.mark.parametrize("schema", ["", "CREATE TABLE book (title TEXT)"])
def test_a_database_of_another_program_is_refused(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema)
    path.touch()
    with pytest.raises(RunMismatch, match="but not a crawl's"):
        open_reader(path)


def test_a_damaged_file_is_one_clear_line(database: Path, out: Path) -> None:
    store(database, *(Book(title="x" * 1000) for _ in range(100)), run=2)
    with database.open("r+b") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(8 * 4096)
        stream.write(b"\xff" * (size - 8 * 4096))
    with pytest.raises(StoreError, match=r"^[^\n]*crawl\.db (is damaged|cannot be read)[^\n]*$"):
        export(database, out / "books.jsonl")
    assert list(out.iterdir()) == []
