"""What several commands take: the spider's name, its file, settings, and how to log."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class LogOptions:
    """How much is told on standard error, and in which form."""

    verbose: bool = False
    level: str | None = None
    format: str = "text"

    @property
    def least(self) -> str:
        """The level from which on lines are logged."""
        return self.level or ("debug" if self.verbose else "info")


def log_options(command: F) -> F:
    """Add -v, --log-level and --log-format; they may stand before or after the command."""

    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        options = ctx.find_object(LogOptions)
        if value and options is not None and parameter.name is not None:
            setattr(options, parameter.name.removeprefix("log_"), value)

    for option in (
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            expose_value=False,
            callback=keep,
            help="Log lines for people (text, the default) or one JSON object a line.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            expose_value=False,
            callback=keep,
            help="The least that is logged (info; with -v debug).",
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=keep,
            help="Log everything, and show the traceback of an error.",
        ),
    ):
        command = option(command)
    return command


def _spider_names(_: click.Context, __: click.Parameter, incomplete: str) -> Any:
    shell = import_module("click.shell_completion")
    spiders = import_module("crawler.loading").find_spiders().spiders
    found = [
        shell.CompletionItem(source.name, help=source.summary)
        for source in spiders
        if source.name.startswith(incomplete)
    ]
    # No such spider: then it may be the path of a file, which the shell knows about.
    return found or [shell.CompletionItem(incomplete, type="file")]


def spider_argument(command: F) -> F:
    """Add the argument NAME: a spider's name, or the path of its file."""
    return click.argument("name", shell_complete=_spider_names)(command)


def db_option(command: F) -> F:
    """Add --db: the crawl's file."""
    return click.option(
        "--db",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The crawl's file. [default: data/NAME.db]",
    )(command)


def _pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    pairs = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", ctx, parameter)
        pairs[key] = value
    return pairs


def pairs_option(*names: str, text: str) -> Callable[[F], F]:
    """Return what adds an option of KEY=VALUE pairs, which becomes a dictionary."""
    return click.option(*names, multiple=True, metavar="K=V", callback=_pairs, help=text)


settings_option = pairs_option(
    "--set", "overrides", text="Override a setting, as in --set delay=0.5; may be repeated."
)
