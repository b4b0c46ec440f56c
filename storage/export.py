"""Items as files: the rows of a crawl file's item tables as CSV, JSON Lines or Parquet."""

import csv
import io
import json
import os
import sqlite3
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from shutil import copymode
from typing import Any, Literal, TextIO

from storage.errors import RunMismatch, StoreError
from storage.reader import explain_read_error, open_reader
from storage.records import Column
from storage.tables import columns_of, item_tables, last_run_sql, quote

Format = Literal["csv", "jsonl", "parquet"]
STDOUT = Path("-")

_FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
_BATCH_ROWS = 2_000  # of Parquet: what is in memory at a time
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NO_PYARROW = "parquet needs pyarrow: pip install 'crawler[parquet]', or write .csv or .jsonl"


class TargetError(RunMismatch):
    """The file to export to cannot be written: another one can, and the crawl is safe."""


def export(
    database: Path,
    out: Path,
    *,
    table: str | None = None,
    run: int | Literal["all"] | None = None,
    format: Format | None = None,  # noqa: A002  the option's name on the command line
    escape_formulas: bool = False,
) -> int:
    """Write the items of a crawl file to `out` and return how many there were.

    The format is that of the suffix (`.csv`, `.jsonl`, `.parquet`), unless given. `out` is a
    path, or `-` for standard output (CSV or JSON Lines, the default). `run` None: the last run
    of the spiders that fill the table; "all": every run. Without a `table`, JSON Lines has the
    rows of all item tables, each with its table's name as `_table` when there are several;
    the others take one table.

    CSV (RFC 4180, UTF-8): values as they are in the file, booleans 1 and 0, NULL and empty text
    both empty, bytes in base64. Text is not altered: `escape_formulas` puts a ' before what a
    spreadsheet would run as a formula; use it for files that people open in one.
    JSON Lines: booleans, lists and objects as such, bytes in base64 (RFC 4648).
    Parquet: typed columns; decimals, times and JSON as text.

    Any number of rows takes the same memory. A file appears under its name when it is complete,
    or not at all. Raises `RunMismatch` for what does not fit the file, `TargetError`, which is
    one, when `out` cannot be written, and `StoreError` when the file cannot be read.
    """
    chosen = _format(out, format)
    with closing(open_reader(database)) as connection:
        try:
            connection.execute("BEGIN")  # one moment of the crawl, also for several tables
            sources = _sources(connection, table, run, database)
            if chosen != "jsonl" and len(sources) != 1:
                names = ", ".join(source.name for source in sources) or "none yet"
                raise RunMismatch(
                    f"{chosen} takes one item table and {database} has {names}: choose one with "
                    "--table, or write .jsonl"
                )
            if chosen == "parquet":
                with _replacing(out, database) as part:
                    return _write_parquet(sources[0], part)
            with _text_stream(out, database) as stream:
                if chosen == "csv":
                    return _write_csv(sources[0], stream, escape_formulas)
                return _write_jsonl(sources, stream)
        except sqlite3.Error as error:
            raise explain_read_error(error, database) from error


def check_target(out: Path) -> None:
    """Raise `RunMismatch` for a file that is of no format we can write, or cannot be written.

    Only trying tells the latter: a file is made beside it, and taken away.
    """
    if _format(out, None) == "parquet" and find_spec("pyarrow") is None:
        raise RunMismatch(_NO_PYARROW)
    if out != STDOUT:
        with _beside(out) as part:
            part.touch(exist_ok=False)


def _format(out: Path, given: Format | None) -> Format:
    suffix = out.suffix.lower().removeprefix(".")
    found = next((name for name in _FORMATS if name == (given or suffix)), None)
    if out == STDOUT:
        if found == "parquet":
            raise RunMismatch("parquet cannot go to standard output: name a file")
        return found or "jsonl"
    if found is None:
        raise RunMismatch(f"cannot export to {out}: name it .csv, .jsonl or .parquet")
    return found


# ── rows ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows of one table that are wanted, read as they are asked for."""

    name: str
    columns: list[Column]
    connection: sqlite3.Connection
    run: int | Literal["all"] | None

    def rows(self) -> Iterator[tuple[Any, ...]]:
        names = ", ".join(quote(column.name) for column in self.columns)
        select = f"SELECT {names} FROM {quote(self.name)}"
        if self.run == "all":
            return self.connection.execute(f"{select} ORDER BY _id")
        if self.run is None:
            return self.connection.execute(
                f"{select} WHERE _run = {last_run_sql(self.name)} ORDER BY _id"
            )
        return self.connection.execute(f"{select} WHERE _run = ? ORDER BY _id", (self.run,))


def _sources(
    connection: sqlite3.Connection,
    table: str | None,
    run: int | Literal["all"] | None,
    database: Path,
) -> list[_Source]:
    names = item_tables(connection)
    if table is not None and table not in names:
        known = ", ".join(names) or "none yet"
        raise RunMismatch(f"{database} has no item table {table!r}; it has {known}")
    if isinstance(run, int):
        query = "SELECT 1 FROM crawl_run WHERE id = ?"
        if connection.execute(query, (run,)).fetchone() is None:
            (last,) = connection.execute("SELECT max(id) FROM crawl_run").fetchone()
            raise RunMismatch(f"{database} has no run {run}; its last is {last}")
    wanted = names if table is None else [table]
    return [_Source(name, columns_of(connection, name), connection, run) for name in wanted]


# ── formats ─────────────────────────────────────────────────────────────────────────────────


def _write_csv(source: _Source, stream: TextIO, escape_formulas: bool) -> int:
    writer = csv.writer(stream)
    writer.writerow([column.name for column in source.columns])
    cell = _escaped_cell if escape_formulas else _cell
    number = 0
    for row in source.rows():
        writer.writerow([cell(value) for value in row])
        number += 1
    return number


def _cell(value: Any) -> Any:
    return _base64(value) if isinstance(value, bytes) else value


def _escaped_cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return _cell(value)


def _write_jsonl(sources: list[_Source], stream: TextIO) -> int:
    number = 0
    for source in sources:
        label = {"_table": source.name} if len(sources) > 1 else {}
        readers = [(column.name, _JSON_VALUES.get(column.kind)) for column in source.columns]
        for row in source.rows():
            record: dict[str, Any] = dict(label)
            for (name, reader), value in zip(readers, row, strict=True):
                record[name] = value if reader is None or value is None else reader(value)
            stream.write(json.dumps(record, ensure_ascii=False, default=_base64) + "\n")
            number += 1
    return number


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _nested(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value  # somebody else wrote into the column; it is still the truth


def _boolean(value: Any) -> Any:
    return bool(value) if value in (0, 1) else value


_JSON_VALUES: dict[str, Callable[[Any], Any]] = {"json": _nested, "boolean": _boolean}


def _write_parquet(source: _Source, part: Path) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise RunMismatch(_NO_PYARROW) from error
    types = {
        "integer": pyarrow.int64(),
        "real": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "bytes": pyarrow.binary(),
    }
    schema = pyarrow.schema(
        [(column.name, types.get(column.kind, pyarrow.string())) for column in source.columns]
    )
    number = 0
    try:
        with parquet.ParquetWriter(part, schema) as writer:
            for rows in _batches(source.rows()):
                arrays = [
                    pyarrow.array(_typed(values, field.type == types["boolean"]), field.type)
                    for values, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
                number += len(rows)
    except pyarrow.ArrowException as error:
        raise StoreError(
            f"a value of table {source.name!r} is not of its column's type ({error}): "
            "write .jsonl, which takes any"
        ) from error
    return number


def _typed(values: tuple[Any, ...], boolean: bool) -> Iterable[Any]:
    return [value if value is None else bool(value) for value in values] if boolean else values


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield batch


# ── where it goes ───────────────────────────────────────────────────────────────────────────


@contextmanager
def _text_stream(out: Path, database: Path) -> Iterator[TextIO]:
    """Give a UTF-8 stream that leaves line ends alone: standard output, or the file to be."""
    if out == STDOUT:
        sys.stdout.flush()
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        try:
            yield stream
            stream.flush()
        finally:
            stream.detach()  # closing it would close standard output
        return
    with (
        _replacing(out, database) as part,
        part.open("w", encoding="utf-8", newline="") as stream,
    ):
        yield stream


@contextmanager
def _replacing(out: Path, database: Path) -> Iterator[Path]:
    """Give a path beside `out` to write to; it becomes `out` at the end, or goes away."""
    with _beside(out) as part:
        target = out.resolve()
        if target.exists() and target.samefile(database):
            raise _irreplaceable(out)
        replaces = target.exists()
        part.touch(0o600 if replaces else 0o666, exist_ok=False)
        yield part
        if replaces:
            copymode(target, part)  # who may read that one may read this one, and nobody else
        part.replace(target)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Give a path beside `out` for a file that is gone at the end, if it still has that name.

    Whatever the system has against it, then or in between, is a `TargetError`.
    """
    try:
        target = out.resolve()
        if target.exists() and not target.is_file():
            raise _irreplaceable(out)
        if not target.parent.is_dir():
            raise RunMismatch(f"cannot export to {out}: there is no directory {target.parent}")
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.unlink(missing_ok=True)
            yield part
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise TargetError(f"cannot write {out}: {error.strerror or error}") from error


def _irreplaceable(out: Path) -> RunMismatch:
    return RunMismatch(f"cannot export to {out}: that is not a file to be replaced")
