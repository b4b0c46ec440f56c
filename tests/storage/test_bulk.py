"""Many rows by one statement: all of them, in their order, however many there are."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import bulk


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE pair (id INTEGER PRIMARY KEY, a, b, UNIQUE (a))")
        yield connection


@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 128, 129, 1000])
def test_any_number_of_rows_goes_in_in_order(connection: sqlite3.Connection, count: int) -> None:
    rows = [(n, f"{n}") for n in range(count)]
    assert bulk.insert(connection, "INSERT INTO pair (a, b)", rows) == count
    assert connection.execute("SELECT a, b FROM pair ORDER BY id").fetchall() == rows


def test_only_what_was_changed_is_counted(connection: sqlite3.Connection) -> None:
    again = "ON CONFLICT (a) DO NOTHING"
    assert bulk.insert(connection, "INSERT INTO pair (a, b)", [(1, 1), (1, 2), (2, 1)], again) == 2
    assert bulk.insert(connection, "INSERT INTO pair (a, b)", [(2, 1), (3, 1)], again) == 1


def test_rows_of_many_values_go_in_within_the_limit_of_parameters(
    connection: sqlite3.Connection,
) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
    names = ", ".join(f"c{n}" for n in range(1_000))
    connection.execute(f"CREATE TABLE wide ({names})")
    rows = [tuple(range(row, row + 1_000)) for row in range(70)]
    assert bulk.insert(connection, f"INSERT INTO wide ({names})", rows) == 70
    assert connection.execute("SELECT * FROM wide ORDER BY c0").fetchall() == rows


_SPARSE = st.lists(st.tuples(*[st.sampled_from([None, 0, "", "x"])] * 3), min_size=1, max_size=40)


@pytest.mark.parametrize("same", [False, True])
@given(_SPARSE)
def test_what_is_none_is_null_whatever_the_other_rows_have(
    same: bool, values: list[tuple[Any, ...]]
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE sparse (id, a, b, c)")
        rows = [(n, *row) for n, row in enumerate(values)]
        assert bulk.insert(connection, "INSERT INTO sparse", rows, same=same) == len(rows)
        assert connection.execute("SELECT * FROM sparse ORDER BY id").fetchall() == rows
        changed = bulk.change(
            connection,
            "UPDATE sparse SET c = found.column1 FROM (",
            [(*row[1:], row[0]) for row in rows],
            ") AS found WHERE id = found.column4",
            key=3,
            same=same,
        )
        assert changed == len(rows)
        found = connection.execute("SELECT c FROM sparse ORDER BY id").fetchall()
        assert found == [(row[1],) for row in rows]


def test_items_of_which_any_field_may_be_missing_have_one_statement_for_each_size(
    connection: sqlite3.Connection,
) -> None:
    seen: set[str] = set()
    connection.execute("CREATE TABLE wide (id, a, b, c)")
    rows = [(n, *((1 if n >> bit & 1 else None) for bit in range(3))) for n in range(8)]
    for row in rows:
        for sql, _ in bulk._statements(
            "INSERT INTO wide SELECT * FROM (", [row], ")", 0, same=True
        ):
            seen.add(sql)
    assert len(seen) == 1


def test_what_is_found_comes_from_all_statements(connection: sqlite3.Connection) -> None:
    bulk.insert(connection, "INSERT INTO pair (a, b)", [(n, "x") for n in range(500)])
    wanted = [(n,) for n in range(400, 600)]
    found = bulk.select(
        connection,
        "SELECT one.column1 FROM (",
        wanted,
        ") AS one WHERE EXISTS (SELECT 1 FROM pair WHERE a = one.column1 AND b = ?)",
        "x",
    )
    assert sorted(found) == list(range(400, 500))
