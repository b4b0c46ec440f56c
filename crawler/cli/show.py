"""Tables on standard output: as wide as the terminal, or as wide as they need to be in a file."""

import errno
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crawler.cli.logs import printable

# Off a terminal nothing is cut or folded for the width of a screen that is not there.
_UNBOUNDED = 100_000
# A longer text is cut in a table; JSON and CSV have all of it.
_LONGEST = 1_000
_WIDEST_COLUMN = 100  # off a terminal
_NARROWEST_COLUMN = 12  # on a terminal; with less than that a row is shown from top to bottom


class QuietConsole(Console):
    """A console whose reader may leave: rich would end the process with status 1 then."""

    def on_broken_pipe(self) -> NoReturn:
        """Say what happened, as any other way of writing does; `main` knows what to do."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console() -> Console:
    """Return the console for results, on standard output."""
    return QuietConsole(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else _UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
    )


def heading(out: Console, text: str) -> None:
    """Print a line that names what comes next."""
    out.print()
    out.print(Text(text, style="bold"), soft_wrap=True)


def line(out: Console, text: str = "") -> None:
    """Print a line as it is, however long."""
    out.print(Text(text), soft_wrap=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], right: Collection[str]) -> Table:
    """Return a table; the columns named in `right` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        made.add_column(
            Text(header),
            justify="right" if header in right else "left",
            overflow="fold",
        )
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def result(out: Console, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print the rows of a query: as a table, or row by row when there is no room for one."""
    texts = [[cell(value) for value in row] for row in rows]
    widths = [
        max([len(header), *(row[place].cell_len for row in texts)])
        for place, header in enumerate(headers)
    ]
    if sum(min(width, _NARROWEST_COLUMN) + 2 for width in widths) > out.width:
        _from_top_to_bottom(out, headers, texts)
        return
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    widest = None if out.is_terminal else _WIDEST_COLUMN
    for place, header in enumerate(headers):
        numbers = bool(rows) and all(isinstance(row[place], int | float | None) for row in rows)
        made.add_column(
            Text(printable(header)),
            justify="right" if numbers else "left",
            overflow="fold",
            max_width=widest,
        )
    for text in texts:
        made.add_row(*text)
    out.print(made)


def _from_top_to_bottom(out: Console, headers: Sequence[str], rows: list[list[Text]]) -> None:
    for number, row in enumerate(rows, start=1):
        out.print(Text(f"row {number}", style="dim"))
        made = Table(box=None, show_header=False, pad_edge=False)
        # An expression has its own text for a name: it must leave room for the value.
        made.add_column(style="bold", overflow="fold", max_width=max(out.width // 2, 1))
        made.add_column(overflow="fold")
        for header, value in zip(headers, row, strict=True):
            made.add_row(Text(printable(header)), value)
        out.print(made)


def cell(value: Any) -> Text:
    """Return one value as it is shown in a table."""
    if value is None:
        return Text("NULL", style="dim")
    if isinstance(value, Text):
        return value
    if isinstance(value, bytes):
        return Text(f"<{len(value):,} bytes>", style="dim")
    text = printable(str(value))
    return Text(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def percent(part: int, whole: int) -> str:
    """Return a share in percent, rounded down: 100% means all of it."""
    return f"{100 * part // whole}%" if whole else ""


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
