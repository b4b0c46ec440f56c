"""`crawler query`: SQL on a crawl's file, which cannot change it."""

import csv
import json
import math
import re
import sqlite3
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import click

from crawler.cli import show
from crawler.cli.crawlfile import crawl_file
from crawler.cli.options import db_option, log_options, spider_argument
from crawler.errors import UsageError
from storage.tables import is_there, item_tables, quote

_ROWS_SHOWN = 200  # in a table; the other formats have all
_ROWS_COUNTED = 1_000_000  # of those that are not shown: who wants to know more says count(*)
# Steps of SQLite's virtual machine between two looks for Ctrl-C: some ten milliseconds.
_STEPS = 100_000
# Seconds for the rows of all views to be counted, and bytes that a value in them may have: one that
# somebody else has made may have no end.
_COUNTING, _LONGEST_COUNTED = 5.0, 64 << 20
_NEAR = re.compile(r'near "(\w+)": syntax error')
_READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_PRAGMA,
    }
)
# Faults of the query, and not of the file.
_USERS_FAULTS = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH}
)
# Too long, too much, or a view of what is not there: its rows cannot be counted.
_UNCOUNTABLE = frozenset({sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_ERROR})
_REFUSED = frozenset({sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY})


@click.command()
@spider_argument
@click.argument("sql", required=False)
@db_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help=f"A table shows {_ROWS_SHOWN} rows, the others all.",
)
@log_options
def query(name: str, sql: str | None, db: Path | None, form: str) -> None:
    """Run SQL on a crawl's file, or list its tables.

    The file is only read, also while the crawl runs. Every item table has a view of the last
    run's rows, latest_<table>.

    \b
    Examples:
      crawler query books
      crawler query books "SELECT title, price FROM latest_book ORDER BY price LIMIT 5"
    """
    with crawl_file(name, db) as file:
        file.connection.set_progress_handler(lambda: 0, _STEPS)
        if sql is None:
            headers: Sequence[str] = ["table", "rows"]
            rows: Iterator[Sequence[Any]] = _tables(file.connection)
            _write(form, headers, rows)
            return
        file.connection.set_authorizer(_authorize)
        try:
            cursor = file.connection.execute(sql)
            headers = [column[0] for column in cursor.description or ()]
            if headers:
                _write(form, headers, cursor)
        except (sqlite3.Error, sqlite3.Warning) as error:
            _explain(error, name, file.connection)
            raise


def _authorize(action: int, *_: str | None) -> int:
    # The file is open read-only; this is for what would write elsewhere: ATTACH, VACUUM INTO.
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _explain(error: Exception, name: str, connection: sqlite3.Connection) -> None:
    """Raise what the user is to be told, if the fault is the query's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        raise KeyboardInterrupt
    if code in _REFUSED:
        raise UsageError("a query only reads: it cannot change the crawl's file, or any other")
    if code in _USERS_FAULTS:
        hint = ""
        if "no such table" in str(error) or "no such column" in str(error):
            hint = f" (crawler query {name} lists the tables)"
        elif (near := _NEAR.fullmatch(str(error))) and is_there(connection, near[1]):
            hint = f' (as the name of a table: "{near[1]}", in quotes)'  # such as Order, Group
        raise UsageError(f"SQL: {error}{hint}") from error


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, int | None]]:
    """Yield every table and view with its rows: items, their latest views, the crawl's own.

    The rows are None for a view whose rows cannot be counted.
    """
    existing = dict(
        connection.execute(
            "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        ).fetchall()
    )
    items = item_tables(connection)
    ranks = dict.fromkeys(items, 0) | {f"latest_{name}": 1 for name in items}

    def rank(name: str) -> int:
        return ranks.get(name, 2 if name.startswith("crawl_") else 3)

    until = time.monotonic() + _COUNTING
    for name in sorted(existing, key=rank):
        if existing[name] == "view":
            yield name, _rows_of_view(connection, name, until)
        else:
            yield name, _rows(connection, name)


def _rows(connection: sqlite3.Connection, name: str) -> int:
    (rows,) = connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()
    return int(rows)


def _rows_of_view(connection: sqlite3.Connection, name: str, until: float) -> int | None:
    """Return its rows; None when that takes too long, or too much, or when it is of no table."""
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    longest = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_COUNTED)
    try:
        return _rows(connection, name)
    except (sqlite3.OperationalError, sqlite3.DataError) as error:
        if error.sqlite_errorcode & 0xFF not in _UNCOUNTABLE or (
            error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT and time.monotonic() <= until
        ):
            raise  # a Ctrl-C, too
        return None
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        connection.set_progress_handler(lambda: 0, _STEPS)


# ── formats ─────────────────────────────────────────────────────────────────────────────────


def _write(form: str, headers: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    if form != "table" and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # for programs, as `crawler export` writes it
    if form == "csv":
        _write_csv(headers, rows)
    elif form == "json":
        _write_json(_distinct(headers), rows)
    else:
        _write_table(headers, rows)


def _write_table(headers: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    out = show.console()
    show.result(out, headers, list(islice(rows, _ROWS_SHOWN)))
    more = sum(1 for _ in islice(rows, _ROWS_COUNTED + 1))
    if more:
        number = f"{more:,}" if more <= _ROWS_COUNTED else f"over {_ROWS_COUNTED:,}"
        plural = "s" if more > 1 else ""
        show.line(out, f"… {number} more row{plural}; --format csv shows all")


def _write_csv(headers: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout)  # RFC 4180, as `crawler export` writes it
    writer.writerow(headers)
    writer.writerows([_base64(value) for value in row] for row in rows)


def _write_json(headers: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    """Write an array with an object for each row, a row at a time."""
    before = "["
    for row in rows:
        record = dict(zip(headers, map(_plain, row), strict=True))
        sys.stdout.write(f"{before}\n{json.dumps(record, ensure_ascii=False)}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def _distinct(headers: Sequence[str]) -> list[str]:
    """Return the names with a number where one comes again, so that no value is lost."""
    found: list[str] = []
    for header in headers:
        name, number = header, 1
        while name in found:
            number += 1
            name = f"{header}_{number}"
        found.append(name)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return str(value)  # JSON has no infinity
    return _base64(value)


def _base64(value: Any) -> Any:
    return b64encode(value).decode("ascii") if isinstance(value, bytes) else value
