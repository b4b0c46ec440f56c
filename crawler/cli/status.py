"""`crawler status`: a crawl so far, read from its file."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import click

from crawler.cli import show
from crawler.cli.crawlfile import CrawlFile, crawl_file
from crawler.cli.logs import printable
from crawler.cli.options import db_option, log_options, spider_argument
from crawler.cli.summary import print_items, print_latency, print_pages, print_resting
from storage.lock import holder
from storage.records import ErrorReport, Report
from storage.report import errors, hosts, report


@click.command()
@spider_argument
@db_option
@click.option("--errors", "with_errors", is_flag=True, help="The latest failures, with tracebacks.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="How many failures --errors shows.",
)
@click.option("--run", "number", type=int, metavar="N", help="Another run than the last.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@log_options
def status(
    name: str,
    db: Path | None,
    with_errors: bool,
    limit: int,
    number: int | None,
    as_json: bool,
) -> None:
    """Show a crawl so far: by state, host and reason.

    It works while the crawl runs, and does not hold it up.

    \b
    Examples:
      crawler status books
      crawler status books --errors
    """
    with crawl_file(name, db) as file:
        file.connection.execute("BEGIN")  # one moment of the crawl, over all queries
        run = file.run(number)
        found = report(file.connection, run)
        failures = errors(file.connection, run, limit) if with_errors else []
        if as_json:
            click.echo(json.dumps(_as_json(file, found, failures, with_errors)))
        elif with_errors:
            _print_errors(failures)
        else:
            _print(file, found)


def _as_json(
    file: CrawlFile, found: Report, failures: list[ErrorReport], with_errors: bool
) -> dict[str, Any]:
    totals = found.totals
    reasons: dict[str, dict[str, int]] = {}
    for state, reason, pages in found.reasons:
        reasons.setdefault(state, {})[reason] = pages
    answer: dict[str, Any] = {
        "spider": found.spider,
        "run": found.run,
        "finish": found.finish,
        "running": holder(file.path) is not None,
        "arguments": found.arguments,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "done": totals.done,
        "failed": totals.failed,
        "skipped": totals.skipped,
        "queued": totals.queued,
        "items": totals.items,
        "bytes": found.bytes,
        "db": str(file.path),
        "reasons": reasons,
        "tables": {table.name: table.rows for table in found.tables},
        "coverage": {table.name: table.coverage for table in found.tables},
        "phases": {p.name: {"p50": p.p50, "p90": p.p90, "p99": p.p99} for p in found.phases},
        "resting": dict(found.resting),
        "hosts": [host._asdict() for host in hosts(file.connection, found.run)],
        "runs": [
            dict(zip(("run", "spider", "started_at", "finished_at", "finish"), row, strict=True))
            for row in _runs(file.connection)
        ],
    }
    if with_errors:
        answer["errors"] = [failure._asdict() for failure in failures]
    return answer


def _runs(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT id, spider, started_at, finished_at, finish FROM crawl_run "
        "ORDER BY id DESC LIMIT 20"
    ).fetchall()


def _print(file: CrawlFile, found: Report) -> None:
    out = show.console()
    totals = found.totals
    show.heading(out, f"{found.spider}, run {found.run}: {_how(file, found)}")
    if found.arguments:
        given = " ".join(f"{key}={value}" for key, value in found.arguments.items())
        show.line(out, f"arguments: {printable(given)}")
    show.line(
        out,
        f"{totals.done:,} done, {totals.failed:,} failed, {totals.skipped:,} skipped, "
        f"{totals.queued:,} queued; {totals.items:,} items",
    )
    print_resting(out, dict(found.resting))
    reasons: dict[str, dict[str, int]] = {}
    for state, reason, pages in found.reasons:
        reasons.setdefault(state, {})[reason] = pages
    print_pages(out, reasons)
    show.heading(out, "hosts")
    columns = ["host", "done", "failed", "skipped", "queued", "mean ms"]
    rows = [
        (*host[:5], "" if host.mean_ms is None else f"{host.mean_ms:,.0f}")
        for host in hosts(file.connection, found.run)
    ]
    out.print(show.table(columns, rows, right=columns[1:]))
    print_items(out, found.tables)
    print_latency(out, found.phases)
    show.heading(out, f"runs in {file.path}")
    runs = [
        (run, spider, started, finished or "", finish or "unfinished")
        for run, spider, started, finished, finish in _runs(file.connection)
    ]
    out.print(show.table(["run", "spider", "started", "finished", "finish"], runs, right=["run"]))


def _how(file: CrawlFile, found: Report) -> str:
    if found.finish is not None:
        return f"{found.finish} at {found.finished_at}"
    writer = holder(file.path)
    if writer is not None:
        return f"running since {found.started_at} (process {writer})"
    return "cut short; the same crawler run goes on with it"


def _print_errors(failures: list[ErrorReport]) -> None:
    out = show.console()
    if not failures:
        show.line(out, "no request has failed")
    for failure in failures:
        show.heading(out, f"{failure.reason}  {printable(failure.url)}")
        if failure.error:
            show.line(out, printable(failure.error.rstrip()))
