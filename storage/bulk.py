"""Many rows by one statement.

`executemany` gives the interpreter's lock up for every row and asks for it again, and while the
event loop computes, asking takes up to 5 ms: with a loop that is never idle a row took 800 µs
where this takes 25 to 45, and 5.2 instead of 5.9 where nothing else runs.

A None takes the sqlite3 module ten times as long as a number, for it looks for an adapter. So what
is None in all rows is in the text of the statement, and of the rows that fill it up it is the key.
But not of items: with fifty fields of which any may be missing each group would have a text of its
own, and to prepare one takes longer than all the Nones.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, compress
from typing import Any

Rows = Sequence[tuple[Any, ...]]

# Rows in one statement. For each statement the thread asks for the lock again, so the rows of a
# group are in one. It has room for some more, which stay empty: there are so few sizes then that
# the connection keeps them all prepared (which takes 25 µs a row, and an empty row less than 1).
_MOST, _STEP = 128, 32
# SQLite's own limit for parameters is 32,766, where it is not raised.
_MOST_VALUES = 32_000


def insert(
    connection: sqlite3.Connection, into: str, rows: Rows, conflict: str = "", *, same: bool = False
) -> int:
    """Run `into VALUES (rows) conflict`, in the rows' order; their first values are not None.

    `same`: by the same texts, whatever is None in the rows. Return how many rows of the file were
    changed.
    """
    return change(connection, f"{into} SELECT * FROM (", rows, _FILLED + conflict, same=same)


_FILLED = ") AS given WHERE column1 IS NOT NULL "


def change(
    connection: sqlite3.Connection,
    before: str,
    rows: Rows,
    after: str,
    *,
    key: int = 0,
    same: bool = False,
) -> int:
    """Run `before VALUES (rows) after`, in as many statements as it takes, in the rows' order.

    Among them may be rows whose key is NULL, which are to change nothing; that of the others is not
    None. `key` is its place, `same` as for `insert`. Return how many rows of the file were changed.
    """
    changes = connection.total_changes
    for sql, parameters in _statements(before, rows, after, key, same=same):
        connection.execute(sql, parameters)
    return connection.total_changes - changes


def select(
    connection: sqlite3.Connection, before: str, rows: Rows, after: str, *more: Any
) -> list[Any]:
    """Return the first column of what `before VALUES (rows) after` finds.

    That is to be nothing for rows whose first value is NULL; `more` are the parameters in `after`.
    """
    found: list[Any] = []
    for sql, parameters in _statements(before, rows, after, 0):
        found += [row[0] for row in connection.execute(sql, (*parameters, *more)).fetchall()]
    return found


def _statements(
    before: str, rows: Rows, after: str, key: int, *, same: bool = False
) -> Iterator[tuple[str, list[Any]]]:
    if not rows:
        return
    most = min(_MOST, _MOST_VALUES // len(rows[0]))
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        size = min(_size(len(some)), most)
        columns = list(zip(*some, strict=True))
        given = tuple(same or any(one) or one.count(None) < len(one) for one in columns)
        parameters = list(chain.from_iterable(zip(*compress(columns, given), strict=True)))
        empty = compress((None if place == key else 0 for place in range(len(given))), given)
        parameters += [*empty] * (size - len(some))
        yield _sql(before, given, size, after), parameters


def _size(count: int) -> int:
    """Return for how many rows a statement is made that is to take so many."""
    if count <= _STEP:
        return 1 << (count - 1).bit_length()
    return -(-count // _STEP) * _STEP


@lru_cache(maxsize=1024)
def _sql(before: str, given: tuple[bool, ...], size: int, after: str) -> str:
    row = f"({', '.join('?' if one else 'NULL' for one in given)})"
    return f"{before} VALUES {', '.join([row] * size)} {after}"
