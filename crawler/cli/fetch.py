"""`crawler fetch`: one page, as a spider would get it."""

import sys
from pathlib import Path
from typing import Any

import click

from crawler.cli.logs import configure, printable
from crawler.cli.options import LogOptions, log_options, settings_option
from crawler.cli.page import PageFetcher, page_settings
from crawler.errors import FetchError, UsageError
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.watchdog import run_loop


@click.command()
@click.argument("url")
@click.option("--headers", is_flag=True, help="Print the status and headers, not the body.")
@click.option(
    "-o",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the body to a file.",
)
@settings_option
@log_options
@click.pass_obj
def fetch(
    options: LogOptions, url: str, headers: bool, out: Path | None, overrides: dict[str, Any]
) -> int:
    """Fetch one page as a spider would, and print it.

    With this directory's config.toml, robots.txt, redirects, and the body decoded. The exit
    status is 1 for a page that a spider would count as failed.

    \b
    Example:
      crawler fetch https://example.com/ --headers
    """
    configure(options)
    response = run_loop(_fetch(url, page_settings(overrides)))
    if out is not None:
        _save(out, response.body)
    if headers:
        _print_headers(response)
    elif out is None:
        _print_body(response)
    if not response.ok:
        sys.stdout.flush()
        raise FetchError(f"http_{response.status}", response.url)
    return 0


async def _fetch(url: str, settings: Settings) -> Response:
    async with PageFetcher(settings) as pages:
        return await pages.fetch(Request(url))


def _save(out: Path, body: bytes) -> None:
    try:
        out.write_bytes(body)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error


def _print_headers(response: Response) -> None:
    click.echo(f"{response.status} {response.url}")
    for name, value in response.headers.items():
        click.echo(printable(f"{name}: {value}"))


def _print_body(response: Response) -> None:
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(response.body)
    elif b"\0" in response.body:
        raise UsageError("this is not text: keep it off the terminal with -o FILE")
    else:
        click.echo(printable(response.text))
