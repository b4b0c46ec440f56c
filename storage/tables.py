"""Item tables in the file: their statements, how they evolve, and what is in them."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from storage import bulk
from storage.columns import DICT_TABLE, fold
from storage.errors import RunMismatch
from storage.records import Column, ItemRow, Table

# ── statements ──────────────────────────────────────────────────────────────────────────────

# Which spiders fill which item table, and the kinds of its fields.
REGISTRY_SQL = """
CREATE TABLE crawl_table (
    name TEXT NOT NULL,
    spider TEXT NOT NULL,
    columns TEXT NOT NULL,              -- JSON object: field -> kind
    PRIMARY KEY (name, spider)
) WITHOUT ROWID;
"""

_FRAMEWORK = (
    Column("_id", "integer", "INTEGER PRIMARY KEY"),
    Column("_run", "integer", "INTEGER NOT NULL"),
    Column("_url", "text", "TEXT NOT NULL"),
    Column("_at", "datetime", "TEXT NOT NULL"),
)


def quote(name: str) -> str:
    """Return the name as SQL takes it, keyword or not."""
    return '"' + name.replace('"', '""') + '"'


def create_table_sql(table: Table) -> str:
    """Return the statement that makes the item table, the crawler's own columns first."""
    columns = (f"{quote(column.name)} {column.sql_type}" for column in _FRAMEWORK + table.columns)
    return f"CREATE TABLE {quote(table.name)} ({', '.join(columns)})"


def add_column_sql(table: Table, column: Column) -> str:
    """Return the statement that gives an existing table one more field; old rows have NULL."""
    return f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column.name)} {column.sql_type}"


def insert_sql(table: Table) -> str:
    """Return the statement that adds rows, up to VALUES: `_run`, `_url`, `_at`, then the fields."""
    names = [column.name for column in _FRAMEWORK[1:] + table.columns]
    return f"INSERT OR FAIL INTO {quote(table.name)} ({', '.join(map(quote, names))})"


def last_run_sql(name: str) -> str:
    """Return the expression for the last run, items or none, of the spiders that fill a table."""
    literal = "'" + name.replace("'", "''") + "'"
    return (
        "(SELECT max(crawl_run.id) FROM crawl_run WHERE crawl_run.spider IN "
        f"(SELECT crawl_table.spider FROM crawl_table WHERE crawl_table.name = {literal}))"
    )


def latest_view_sql(table: Table) -> str:
    """Return the statement that makes the view of the last run's rows.

    SQLite expands the `*` when the view is used, so columns that are added later appear.
    """
    return (
        f"CREATE VIEW IF NOT EXISTS {quote('latest_' + table.name)} AS "
        f"SELECT * FROM {quote(table.name)} WHERE _run = {last_run_sql(table.name)}"
    )


# ── evolution ───────────────────────────────────────────────────────────────────────────────


class ItemTables:
    """Keeps the item tables of one file in step with the models of a run.

    For the database thread. It issues no BEGIN, COMMIT or SAVEPOINT: what it does is part of
    the caller's transaction. After a rollback the caller says `forget()`.
    """

    def __init__(self) -> None:
        self._used: dict[str, Table] = {}  # what this run's items call by a name
        self._ready: dict[tuple[str, str], Table] = {}  # by name and spider: as it should be

    def forget(self) -> None:
        """Look again before the next insert: what `ensure` did may have been rolled back."""
        self._ready.clear()

    def check(self, connection: sqlite3.Connection, tables: Iterable[Table]) -> None:
        """Do nothing when a new run may fill these tables; changes nothing in the file.

        New fields and missing ones are fine. Raises `RunMismatch` for a field whose kind is
        another in the file (strictly: integer is not real), for a table that is not a crawl's,
        and for two models of one table whose fields differ.
        """
        self._used.clear()
        together: dict[str, Table] = {}
        for table in tables:
            _same_model(together, table)
            _fits(connection, table)

    def ensure(self, connection: sqlite3.Connection, table: Table, spider: str) -> None:
        """Make sure that the file has the table, its columns, index, view and registration.

        Cheap after the first call, until `forget()`. Raises `RunMismatch` as `check` does.
        """
        key = (table.name, spider)
        known = self._ready.get(key)
        if known is table or known == table:
            return
        _same_model(self._used, table)
        _fits(connection, table)
        existing = {fold(column.name) for column in columns_of(connection, table.name)}
        if not existing:
            connection.execute(create_table_sql(table))
        else:
            for column in table.columns:
                if fold(column.name) not in existing:
                    connection.execute(add_column_sql(table, column))
        connection.execute(
            f"CREATE INDEX IF NOT EXISTS {quote(f'crawl_{table.name}_by_run')} "
            f"ON {quote(table.name)} (_run)"
        )
        connection.execute(latest_view_sql(table))
        _register(connection, table, spider)
        self._ready[key] = table

    def insert(
        self, connection: sqlite3.Connection, run_id: int, at: str, rows: Iterable[ItemRow]
    ) -> None:
        """Add the rows, in order within each table, to tables that `ensure` has seen."""
        groups: dict[int, tuple[Table, list[tuple[Any, ...]]]] = {}
        for table, values, url in rows:
            group = groups.get(id(table))
            if group is None:
                group = groups[id(table)] = (table, [])
            group[1].append((run_id, url, at, *values))
        for table, parameters in groups.values():
            bulk.insert(connection, insert_sql(table), parameters, same=True)


def _same_model(tables: dict[str, Table], table: Table) -> None:
    if table == DICT_TABLE:
        return  # a model called Item shares it: whether there will be dicts, nobody knows before
    other = tables.setdefault(table.name, table)
    differing = set(other.columns) ^ set(table.columns)
    if differing:
        raise RunMismatch(
            f"two models with different fields ({min(differing).name!r}) share the table "
            f"{table.name!r}: rename one, or set its __table__"
        )


def _fits(connection: sqlite3.Connection, table: Table) -> None:
    kinds = _registered_kinds(connection, table.name)
    if kinds is None:
        if is_there(connection, table.name):
            raise RunMismatch(
                f"this file has a {table.name!r} that no crawl made: rename the model, or use "
                "another file with --db"
            )
        return
    for column in table.columns:
        old = kinds.get(fold(column.name), column.kind)
        if old != column.kind:
            raise RunMismatch(
                f"table {table.name!r}: field {column.name!r} is {column.kind} now and {old} in "
                "this file: rename the field, or use another file with --db"
            )


def is_there(connection: sqlite3.Connection, name: str) -> bool:
    """Say whether the file has a table, a view or an index of that name, in whatever case."""
    query = "SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE"
    return connection.execute(query, (name,)).fetchone() is not None


def _register(connection: sqlite3.Connection, table: Table, spider: str) -> None:
    row = connection.execute(
        "SELECT columns FROM crawl_table WHERE name = ? AND spider = ?", (table.name, spider)
    ).fetchone()
    # A field that the model lost keeps its column, and its kind: it may come back.
    columns = json.loads(row[0]) if row else {}
    columns |= {column.name: column.kind for column in table.columns}
    connection.execute(
        "INSERT INTO crawl_table (name, spider, columns) VALUES (?, ?, ?) "
        "ON CONFLICT (name, spider) DO UPDATE SET columns = excluded.columns",
        (table.name, spider, json.dumps(columns, ensure_ascii=False)),
    )


def _registered_kinds(connection: sqlite3.Connection, name: str) -> dict[str, str] | None:
    """Return folded field name -> kind, over all spiders; None for an unknown table."""
    rows = connection.execute("SELECT columns FROM crawl_table WHERE name = ?", (name,)).fetchall()
    if not rows:
        return None
    return {fold(field): kind for (text,) in rows for field, kind in json.loads(text).items()}


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def item_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the file's item tables, in alphabetical order."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT DISTINCT name FROM crawl_table WHERE name IN "
            "(SELECT name FROM sqlite_schema WHERE type = 'table') ORDER BY name"
        )
    ]


def columns_of(connection: sqlite3.Connection, name: str) -> list[Column]:
    """Return the columns that the table has in the file, the crawler's own first.

    A column that somebody added by hand is of the kind that its declared type suggests.
    """
    framework = {column.name: column for column in _FRAMEWORK}
    kinds = _registered_kinds(connection, name) or {}
    guesses = {"INTEGER": "integer", "REAL": "real", "BLOB": "bytes"}
    found = []
    for column, declared in connection.execute(
        "SELECT name, type FROM pragma_table_info(?)", (name,)
    ):
        kind = kinds.get(fold(column), guesses.get(declared.upper(), "text"))
        found.append(framework.get(column) or Column(column, kind, declared))
    return found


def coverage(connection: sqlite3.Connection, name: str, run_id: int) -> tuple[int, dict[str, int]]:
    """Return how many rows the run has, and for each field how many of these have a value.

    Removed fields are among them, for the file still has their columns.
    """
    own = {column.name for column in _FRAMEWORK}
    fields = [column.name for column in columns_of(connection, name) if column.name not in own]
    counts = "".join(f", count({quote(field)})" for field in fields)
    rows, *filled = connection.execute(
        f"SELECT count(*){counts} FROM {quote(name)} WHERE _run = ?", (run_id,)
    ).fetchone()
    return rows, dict(zip(fields, filled, strict=True))
