"""`crawler export`: a crawl's items in a file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

import click

from crawler.cli.crawlfile import crawl_file
from crawler.cli.interrupt import Interrupted, interruptible
from crawler.cli.logs import notice
from crawler.cli.options import LogOptions, db_option, log_options, spider_argument
from crawler.summary import Summary
from storage import RunMismatch, StoreError
from storage.export import TargetError, check_target
from storage.export import export as write
from storage.reader import open_reader
from storage.tables import item_tables, quote


def _run_number(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> int | Literal["all"] | None:
    if value is None or value == "all":
        return "all" if value else None
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor 'all'", ctx, parameter)
    return int(value)


@click.command()
@spider_argument
@click.option(
    "-o",
    "out",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="The file to write: .csv, .jsonl or .parquet; - is JSON Lines on standard output.",
)
@click.option("--table", metavar="TABLE", help="The item table, when there are several.")
@click.option(
    "--run", callback=_run_number, metavar="N|all", help="One run, or all. [default: the last]"
)
@db_option
@log_options
@click.pass_obj
def export(
    options: LogOptions,
    name: str,
    out: Path,
    table: str | None,
    run: int | Literal["all"] | None,
    db: Path | None,
) -> None:
    """Write a crawl's items to a CSV, JSON Lines or Parquet file.

    Any number of items takes the same memory; the file appears when it is complete. It works
    while the crawl runs. JSON Lines takes all tables at once, the others one: say which with
    --table when the run has items in several.

    \b
    Example:
      crawler export books -o books.csv
    """
    check_target(out)
    with crawl_file(name, db) as file:
        chosen = run if run is not None else file.run()
        path = file.path
    rows = _export_items(path, out, run=chosen, table=table)
    if str(out) != "-":
        notice(_told(rows, out), options)


class Unwritten(NamedTuple):
    """Why a run's items are not in the file that was asked for, and the exit status for it."""

    why: str
    status: int


def export_run(summary: Summary, out: Path, options: LogOptions) -> Unwritten | None:
    """Write the run's items to `out` and tell of it; return what was in the way.

    The crawl is over then: its summary comes first, and to go on with it would not help.
    """
    try:
        notice(_exported(summary, out), options)
    except StoreError as error:
        return Unwritten(str(error), 1)
    except Interrupted as interrupt:
        return Unwritten(f"{interrupt}: {out} is not written", interrupt.status)
    return None


def _exported(summary: Summary, out: Path) -> str:
    """Write the run's items to `out`, and return the line that tells of it.

    A format that holds one table gets a file for each: `books.csv` becomes `books.author.csv`.
    """
    filled = [table.name for table in summary.tables]
    if not filled:
        try:
            return _told(_export_items(summary.db, out, run=summary.run), out)
        except TargetError:
            raise
        except RunMismatch:
            return f"no items: {out} is not written"
    if len(filled) == 1 or out.suffix.lower() == ".jsonl" or str(out) == "-":
        return _told(_export_items(summary.db, out, run=summary.run), out)
    lines = []
    for table in filled:
        part = out.with_suffix(f".{table}{out.suffix}")
        lines.append(_told(_export_items(summary.db, part, run=summary.run, table=table), part))
    return "; ".join(lines)


def _told(rows: int, out: Path) -> str:
    """Return the line that tells of a file with so many rows."""
    return f"wrote {rows:,} row{'' if rows == 1 else 's'} to {out}"


def _export_items(
    db: Path, out: Path, *, run: int | Literal["all"], table: str | None = None
) -> int:
    """Write the items of a run and return how many; a table that is the only one is chosen."""
    if table is None and out.suffix.lower() in (".csv", ".parquet"):
        with closing(open_reader(db)) as connection:
            table = _only_table(connection, run)
    with interruptible():
        return write(db, out, table=table, run=run)


def _only_table(connection: sqlite3.Connection, run: int | Literal["all"]) -> str | None:
    """Return the table that alone has items of the run, so that nobody needs to name it."""
    filled = [
        name
        for name in item_tables(connection)
        if connection.execute(
            f"SELECT 1 FROM {quote(name)} WHERE :run = 'all' OR _run = :run LIMIT 1", {"run": run}
        ).fetchone()
    ]
    return filled[0] if len(filled) == 1 else None
