"""`crawler shell`: one page, and a prompt to try selectors on it."""

import ast
import asyncio
import code
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from crawler import css
from crawler.cli.logs import configure
from crawler.cli.options import LogOptions, log_options, settings_option
from crawler.cli.page import PageFetcher, page_settings
from crawler.errors import CrawlerError, UsageError
from crawler.request import Request
from crawler.response import Response
from crawler.selection import SelectorList

_BANNER = "{response}: try css('title::text').get(), response, request, fetch('https://…')"


@click.command()
@click.argument("url")
@settings_option
@log_options
@click.pass_obj
def shell(options: LogOptions, url: str, overrides: dict[str, Any]) -> int:
    """Try selectors on one page.

    The page is fetched as a spider would, with this directory's config.toml. At the prompt
    there are `response`, `request`, `css(query)` and `fetch(url)`, which goes to another page.
    Commands may also come from a pipe. IPython is used where it is installed.

    \b
    Examples:
      crawler shell https://example.com/
      echo "css('a::attr(href)').getall()" | crawler shell https://example.com/
    """
    configure(options)
    settings = page_settings(overrides)
    with asyncio.Runner() as runner:
        pages = runner.run(_open(PageFetcher(settings)))
        try:
            names = _names(runner, pages, url)
            if sys.stdin.isatty():
                _prompt(names)
            else:
                run_commands(sys.stdin.read(), names)
        except SystemExit as asked:
            return _exit_status(asked)
        finally:
            runner.run(pages.__aexit__(None, None, None))
    return 0


def _exit_status(asked: SystemExit) -> int:
    """Return what Python's own prompt would end with; it prints what is not a number."""
    if asked.code is None or isinstance(asked.code, int):
        return asked.code or 0
    click.echo(asked.code, err=True)
    return 1


async def _open(pages: PageFetcher) -> PageFetcher:
    return await pages.__aenter__()


def _names(runner: asyncio.Runner, pages: PageFetcher, url: str) -> dict[str, Any]:
    """Return what is known at the prompt, the first page fetched."""
    names: dict[str, Any] = {"Request": Request}

    def fetch(target: str | Request) -> Response:
        """Fetch another page: `response`, `request` and `css` are about it then."""
        if isinstance(target, str) and "response" in names:
            target = names["response"].urljoin(target)
        request = target if isinstance(target, Request) else Request(target)
        response = runner.run(pages.fetch(request))
        names.update(response=response, request=response.request)
        return response

    def css(query: str) -> SelectorList:
        """Return what matches on the page, as `response.css` does."""
        found: SelectorList = names["response"].css(query)
        return found

    fetch(url)
    names.update(fetch=fetch, css=css)  # not a copy: `fetch` changes it later
    return names


def _prompt(names: dict[str, Any]) -> None:
    banner = _BANNER.format(response=names["response"])
    if find_spec("IPython") is None:
        _plain_prompt(names, banner)
    else:
        import_module("IPython").embed(user_ns=names, banner1=banner, colors="neutral")


def _plain_prompt(names: dict[str, Any], banner: str) -> None:
    try:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:
        pass  # a Python without it: no history and completion
    _Prompt(names).interact(banner, exitmsg="")


class _Prompt(code.InteractiveConsole):
    """Python's own prompt, but what the crawler says on purpose is one line."""

    def showtraceback(self) -> None:
        """Show the error that has just been raised; the user's own have their traceback."""
        error = sys.exception()
        if error is None or not _is_ours(error):
            super().showtraceback()
            return
        sys.last_value = error
        self.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")


def _is_ours(error: BaseException) -> bool:
    """Return whether the text of an error says it all: of ours, or of a wrong selector."""
    if isinstance(error, CrawlerError):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, ValueError) and last == css.__file__


def run_commands(source: str, names: dict[str, Any]) -> None:
    """Run commands as at the prompt: the value of an expression is printed.

    Raises what a command raises; `UsageError` when they are not Python.
    """
    try:
        commands = ast.parse(source, "<stdin>").body
    except SyntaxError as error:
        raise UsageError(f"standard input, line {error.lineno}: {error.msg}") from error
    for command in commands:
        exec(compile(ast.Interactive([command]), "<stdin>", "single"), names)  # noqa: S102
