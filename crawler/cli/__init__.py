"""The command line: finds the command, and turns every error into one line and an exit status.

A command's module is imported only when it is used, so that `crawler --help` is quick.
"""

import errno
import gc
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import cast

import click

from crawler.cli.authorities import read_when_needed
from crawler.cli.interrupt import Interrupted
from crawler.cli.options import LogOptions, log_options
from crawler.errors import (
    CrawlerError,
    DropRequest,
    InvalidUrl,
    UsageError,
    did_you_mean,
    users_line,
)
from storage.errors import RunMismatch, StoreError

# name -> (module:attribute, the first line of its help; a test compares them)
COMMANDS = {
    "run": ("run:run", "Run a spider, or go on with its unfinished run."),
    "list": ("project:list_spiders", "List the spiders in ./spiders."),
    "new": ("project:new", "Write a new spider from a template."),
    "init": ("project:init", "Make a new project."),
    "status": ("status:status", "Show a crawl so far: by state, host and reason."),
    "query": ("query:query", "Run SQL on a crawl's file, or list its tables."),
    "export": ("export:export", "Write a crawl's items to a CSV, JSON Lines or Parquet file."),
    "backup": (
        "backup:backup",
        "Copy a crawl's file, whole and consistent, also while the crawl runs.",
    ),
    "shell": ("shell:shell", "Try selectors on one page."),
    "fetch": ("fetch:fetch", "Fetch one page as a spider would, and print it."),
    "demo": ("demo:demo", "Crawl a small bookshop that it serves itself; needs no network."),
    "selftest": (
        "selftest:selftest",
        "Kill crawls with SIGKILL again and again, and check that nothing is lost or twice.",
    ),
}

EX_TEMPFAIL = 75  # sysexits.h: try again later
# What a shell says of a program that SIGINT or SIGPIPE ended.
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_STANDARD_INPUT, _STANDARD_OUTPUT, _STANDARD_ERROR = 0, 1, 2
# What the system says of a disk that takes no more, or fails.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


# What Scrapy's commands are called here.
_SCRAPYS = {
    "crawl": "run",
    "genspider": "new",
    "parse": "shell",
    "runspider": "run",
    "startproject": "init",
    "view": "fetch",
}


class LazyGroup(click.Group):
    """The commands of the table above, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is that of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now; None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(_imported(f"crawler.cli.{module}"), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one is told what comes close."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = did_you_mean(name, COMMANDS)
            hint = f": {near}" if near else ""
            if name in _SCRAPYS:
                hint = f": write crawler {_SCRAPYS[name]}"
            raise click.UsageError(f"no such command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> "list[click.shell_completion.CompletionItem]":
        """Complete a command's name without importing all of them."""
        item = import_module("click.shell_completion").CompletionItem
        commands = [
            item(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)


def _imported(name: str) -> ModuleType:
    """Return a module; while it is imported for the first time, nobody looks for garbage.

    There is none, and the search took 30 ms of the 400 that a crawl may take to its first request.
    What is imported stays for ever, so later searches need not go through it either.
    """
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        with read_when_needed():
            module = import_module(name)
        gc.freeze()
    finally:
        gc.enable()
    return module


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        version = import_module("importlib.metadata").version("crawler")
        click.echo(f"crawler {version}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Tab completion, for bash (or zsh, fish): "
    'eval "$(_CRAWLER_COMPLETE=bash_source crawler)"',
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@log_options
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Write a spider, run it, query the SQLite file that it leaves.

    Begin with: crawler demo
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        return 2
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = LogOptions()
    _open_standard_streams()
    try:
        status = _invoke(arguments, options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _give_up_output()  # the reader has what it wanted
        return _BROKEN_PIPE
    except Interrupted as interrupt:
        return interrupt.status
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _INTERRUPTED
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the outermost place: all is a line)
        status, text = _explain(error)
        if _is_of_output(error):
            _give_up_output()
        with suppress(OSError):  # where the log goes there may be no room, and the status counts
            if options.verbose:
                traceback.print_exception(error)
            click.echo(f"crawler: error: {' '.join(text.split())}", err=True)
        return status


def _open_standard_streams() -> None:
    """Have standard output and error take whatever is written to them.

    The three that are closed, as a daemon's may be, lead nowhere: else files that are opened later
    have their numbers, and libuv, which does not expect that, ends the process.
    """
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        while (free := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
            os.set_inheritable(free, True)  # it is one of the three, for child processes too
        os.close(free)
        sys.stdin = sys.stdin or open(_STANDARD_INPUT)  # noqa: SIM115
        sys.stdout = sys.stdout or open(_STANDARD_OUTPUT, "w")  # noqa: SIM115
        sys.stderr = sys.stderr or open(_STANDARD_ERROR, "w")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        # A title may have characters that the terminal's encoding has not: standard error does so.
        sys.stdout.reconfigure(errors="backslashreplace")


def _give_up_output() -> None:
    """Let standard output lead nowhere: Python would complain once more as it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(arguments: list[str], options: LogOptions) -> int:
    completion = os.environ.get("_CRAWLER_COMPLETE")
    if completion:
        shell = import_module("click.shell_completion")
        return int(shell.shell_complete(cli, {}, "crawler", "_CRAWLER_COMPLETE", completion))
    try:
        with cli.make_context("crawler", arguments, obj=options) as ctx:
            status = cli.invoke(ctx)
    except click.exceptions.Exit as done:
        return done.exit_code
    return status if isinstance(status, int) else 0


def _explain(error: BaseException) -> tuple[int, str]:
    """Return the exit status for an error, and its line."""
    match error:
        case click.ClickException():
            ctx = getattr(error, "ctx", None)
            command = ctx.command_path if ctx else "crawler"
            text = error.format_message().rstrip(".")
            return error.exit_code, f"{text[:1].lower()}{text[1:]} ({command} --help shows how)"
        case UsageError() | RunMismatch() | InvalidUrl():
            return 2, str(error)
        case StoreError():
            return EX_TEMPFAIL, str(error)
        case DropRequest():
            return 1, f"not fetched: {error}"
        case CrawlerError():
            return 1, str(error)
        case OSError() if _is_of_output(error):
            said = error.strerror or str(error)
            return 1, f"cannot write to standard output: {said}: make room, or send it elsewhere"
        case FileNotFoundError() if _is_nowhere():
            return 2, "the working directory is not there any more: cd to one that is"
        case _:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            line = users_line(error)
            where = f", at {line}" if line else ""
            return 1, f"{said}{where} (run again with -v to see the traceback)"


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _is_of_output(error: BaseException) -> bool:
    """Return whether an error is that of standard output: of all that we write ourselves, the
    only thing whose errors nobody has explained on their way here.
    """
    return isinstance(error, OSError) and error.errno in _UNWRITABLE and not users_line(error)
