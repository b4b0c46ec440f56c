"""`crawler demo`: the whole thing on a small site that it serves itself on loopback."""

import asyncio
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import click

from crawler.cli import show
from crawler.cli.drive import Outcome, drive
from crawler.cli.logs import configure, notice
from crawler.cli.options import LogOptions, log_options
from crawler.cli.run import status_of
from crawler.cli.summary import print_summary
from crawler.demo.books import Books
from crawler.demo.site import DemoSite
from crawler.engine import Crawl
from crawler.watchdog import run_loop
from storage.reader import open_reader

_ROWS = "SELECT title, category, price, rating FROM latest_book ORDER BY price DESC LIMIT 5"


@click.command()
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The crawl's file. [default: data/demo.db]",
)
@click.option("--keep", is_flag=True, help="Go on serving the shop until Ctrl-C, to try things on.")
@log_options
@click.pass_obj
def demo(options: LogOptions, db: Path | None, keep: bool) -> int:
    """Crawl a small bookshop that it serves itself; needs no network.

    It takes a few seconds, and leaves a file to query.

    \b
    Example:
      crawler demo
    """
    configure(options)
    path = db if db is not None else Path("data") / "demo.db"
    return run_loop(_demo(options, path, db, keep))


async def _demo(options: LogOptions, path: Path, db: Path | None, keep: bool) -> int:
    async with DemoSite() as site:
        notice(f"a bookshop is open on {site.url}", options)
        crawl = Crawl(Books, db=path, fresh=True, arguments={"url": site.url})
        outcome: Outcome = await drive(crawl, options)
        print_summary(outcome.summary, "demo", db)
        if outcome.summary.finish == "finished":
            _print_rows(path)
            if keep:
                notice(f"the shop stays open on {site.url} until Ctrl-C", options)
                await asyncio.Event().wait()
        return status_of(outcome)


def _print_rows(path: Path) -> None:
    out = show.console()
    show.heading(out, shlex.join(["crawler", "query", "demo", _ROWS]))
    with closing(open_reader(path)) as connection:
        cursor: sqlite3.Cursor = connection.execute(_ROWS)
        show.result(out, [column[0] for column in cursor.description], cursor.fetchall())
