"""Many rows by one statement.

`executemany` gives the interpreter's lock up for every row and asks for it again, and while the
event loop computes, asking takes up to 5 ms: with a loop that is never idle a row took 800 µs
where this takes 25 to 45, and 5.2 instead of 5.9 where nothing else runs.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

Rows = Sequence[tuple[Any, ...]]

# Rows in one statement. For each statement the thread asks for the lock again, so the rows of a
# group are in two at most; and of so many sizes that the connection keeps them all prepared.
_MOST, _FEW = 128, 16
# SQLite's own limit for parameters is 32,766, where it is not raised.
_MOST_VALUES = 32_000


def change(connection: sqlite3.Connection, before: str, rows: Rows, after: str = "") -> int:
    """Run `before VALUES (rows) after`, in as many statements as it takes, in the rows' order.

    Return how many rows of the file were changed.
    """
    changes = connection.total_changes
    for sql, parameters in _statements(before, rows, after):
        connection.execute(sql, parameters)
    return connection.total_changes - changes


def select(
    connection: sqlite3.Connection, before: str, rows: Rows, after: str = "", *more: Any
) -> list[Any]:
    """Return the first column of what `before VALUES (rows) after` finds.

    `more` are the parameters in `after`.
    """
    found: list[Any] = []
    for sql, parameters in _statements(before, rows, after):
        found += [row[0] for row in connection.execute(sql, (*parameters, *more)).fetchall()]
    return found


def _statements(before: str, rows: Rows, after: str) -> Iterator[tuple[str, list[Any]]]:
    start = 0
    while start < len(rows):
        size = min(_size(len(rows) - start), _MOST_VALUES // len(rows[0]))
        some = rows[start : start + size]
        yield _sql(before, len(some[0]), size, after), list(chain.from_iterable(some))
        start += size


def _size(left: int) -> int:
    """Return how many of so many rows go into the next statement: all, or all but a few."""
    if left <= _FEW:
        return left
    return min(_MOST, left - left % (4 if left < _MOST // 2 else 16))


@lru_cache(maxsize=1024)
def _sql(before: str, width: int, size: int, after: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{before} VALUES {', '.join([row] * size)} {after}"
