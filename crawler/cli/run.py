"""`crawler run`: runs a spider, shows how it goes, and says what came of it."""

import json
import shlex
from contextlib import AbstractContextManager, chdir, closing, nullcontext
from importlib import import_module
from pathlib import Path

import click

import storage.sqlite  # noqa: F401 - each run needs it, and now nobody looks for garbage
from crawler.cli.drive import Outcome, drive
from crawler.cli.logs import configure, notice
from crawler.cli.options import (
    LogOptions,
    db_option,
    log_options,
    pairs_option,
    settings_option,
    spider_argument,
)
from crawler.engine import Crawl
from crawler.loading import config_for, load_spider
from crawler.watchdog import run_loop
from storage import StoreError
from storage.reader import open_reader
from storage.report import last_run
from storage.runs import queued


@click.command()
@spider_argument
@db_option
@pairs_option(
    "-a", "arguments", text="Give the spider an argument, as in -a tag=poetry; may be repeated."
)
@settings_option
@click.option(
    "--processes",
    type=int,
    metavar="N",
    help="Run the spider's callbacks in N processes, to use N cores; as --set processes=N.",
)
@click.option("--fresh", is_flag=True, help="Abandon an unfinished run and start a new one.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object, last of all."
)
@click.option(
    "-o",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the run's items to this .csv, .jsonl or .parquet file at the end; items of several "
    "tables, but for .jsonl, to a file for each: books.author.csv.",
)
@log_options
@click.pass_obj
def run(
    options: LogOptions,
    name: str,
    db: Path | None,
    arguments: dict[str, str],
    overrides: dict[str, str],
    processes: int | None,
    fresh: bool,
    as_json: bool,
    out: Path | None,
) -> int:
    """Run a spider, or go on with its unfinished run.

    NAME is the name of a spider in ./spiders, or path/to/file.py[:Class]. Ctrl-C stops in good
    order, and the same command goes on from there.

    \b
    Example:
      crawler run books -a category=poetry --set delay=0.5 -o books.csv
    """
    if out is not None:
        import_module("storage.export").check_target(out)
    configure(options)
    with _children(processes):
        if processes is not None:
            overrides["processes"] = str(processes)
        crawl = Crawl(
            load_spider(name),
            db=db,
            fresh=fresh,
            arguments=arguments,
            config=config_for(name),
            overrides=overrides,
        )
        beginning = _earlier(crawl.path, crawl.spider_class.name, fresh=fresh)
        try:
            with chdir("."):  # back to here, if the spider goes elsewhere: so paths are meant
                outcome = run_loop(drive(crawl, options, beginning=beginning))
        finally:
            if as_json and crawl.summary is not None and crawl.summary.finish == "failed":
                click.echo(json.dumps(crawl.summary.as_json()))
    summary = outcome.summary
    # First of all: whoever reads our output may have gone.
    unwritten = None
    if out is not None:
        unwritten = import_module("crawler.cli.export").export_run(summary, out, options)
    if as_json:
        click.echo(json.dumps(summary.as_json()))
    else:
        import_module("crawler.cli.summary").print_summary(summary, name, db)
    if summary.finish != "finished":
        again = _again(name, db, arguments, overrides, out)
        why = "stopped" if summary.finish == "stopped" else "a limit was reached"
        if summary.queued and summary.queued == sum(summary.resting.values()):
            why = "hosts that do not answer rest"
        notice(f"{why}: {summary.queued:,} queued; go on with: {again}", options)
    if summary.all_starts_failed:
        what = "no start URL could be reached" if summary.resting else "every start URL failed"
        notice(f"crawler: error: {what}: {_errors_command(name, db)} shows why", options)
    if unwritten is not None:
        notice(f"crawler: error: {unwritten.why}; the items are in {summary.db}", options)
    return status_of(outcome) or (0 if unwritten is None else unwritten.status)


def status_of(outcome: Outcome) -> int:
    """Return the exit status for a crawl that came to its end."""
    if outcome.summary.finish == "stopped" and outcome.signal is not None:
        return 128 + outcome.signal
    return 1 if outcome.summary.all_starts_failed else 0


def _children(processes: int | None) -> AbstractContextManager[None]:
    """Fork what the crawl will need, before the spider's module is loaded."""
    if processes is None or processes < 2:
        return nullcontext()
    forked: AbstractContextManager[None] = import_module("crawler.prefork").forked(processes)
    return forked


def _earlier(path: Path, spider: str, *, fresh: bool) -> str:
    """Return what to say when the spider's last run in the file is followed by a new one."""
    if not path.is_file():
        return ""
    try:
        with closing(open_reader(path)) as connection:
            number = last_run(connection, spider)
            (finish,) = connection.execute(
                "SELECT finish FROM crawl_run WHERE id = ?", (number,)
            ).fetchone()
            if finish == "finished":
                return f"run {number} of {spider} is finished: starting a new run"
            if not fresh:
                return ""  # it goes on
            left = queued(connection, number)
    except StoreError:
        return ""  # whatever it is, the run itself will meet it and say so
    return f"run {number} of {spider} is left with {left:,} queued: starting a new run"


def _errors_command(name: str, db: Path | None) -> str:
    where = [] if db is None else ["--db", str(db)]
    return shlex.join(["crawler", "status", name, *where, "--errors"])


def _again(
    name: str,
    db: Path | None,
    arguments: dict[str, str],
    overrides: dict[str, str],
    out: Path | None,
) -> str:
    command = ["crawler", "run", name]
    if db is not None:
        command += ["--db", str(db)]
    for key, value in arguments.items():
        command += ["-a", f"{key}={value}"]
    for key, value in overrides.items():
        command += ["--set", f"{key}={value}"]
    if out is not None:
        command += ["-o", str(out)]
    return shlex.join(command)
