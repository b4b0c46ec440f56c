"""`crawler backup`: a consistent copy of a crawl's file."""

from pathlib import Path

import click

from crawler.cli.crawlfile import crawl_file
from crawler.cli.interrupt import interruptible
from crawler.cli.logs import notice
from crawler.cli.options import LogOptions, db_option, log_options, spider_argument
from storage.backup import backup as write


@click.command()
@spider_argument
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@db_option
@log_options
@click.pass_obj
def backup(options: LogOptions, name: str, target: Path, db: Path | None) -> None:
    """Copy a crawl's file, whole and consistent, also while the crawl runs.

    The copy is an ordinary crawl file: it can be queried, and gone on with.

    \b
    Example:
      crawler backup books books-monday.db
    """
    with crawl_file(name, db) as file:
        path = file.path
    with interruptible():
        size = write(path, target)
    notice(f"wrote {size:,} bytes to {target}", options)
