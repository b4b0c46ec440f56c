"""`crawler list`, `new` and `init`: the spiders here, a new one, and a place for them."""

import json
import keyword
import re
from pathlib import Path
from typing import Any

import click

from crawler.cli import show
from crawler.cli.options import log_options
from crawler.errors import UsageError
from crawler.loading import SPIDERS, find_spiders
from crawler.settings import Settings
from crawler.url import canonical, is_web, redact

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")

_SPIDER = '''\
"""{title}: every page's title.

    crawler run {name}
    crawler query {name} "SELECT _url, title FROM latest_page LIMIT 5"
"""

from collections.abc import Iterator

from crawler import Item, Request, Response, Spider


class Page(Item):
    """A row of the table `page`; its column `_url` says which page it is."""

    title: str | None


class {class_name}(Spider):
    """Starts at start_urls and follows links that stay on the site."""

    name = "{name}"
    start_urls = [{url}]

    def parse(self, response: Response) -> Iterator[Page | Request]:
        """Turn a page into items and further requests."""
        yield Page(title=response.css("title::text").get())
        yield from response.follow_all("a")
'''

# What most projects change first, in this order.
COMMON_SETTINGS = (
    *("user_agent", "contact", "concurrency", "concurrency_per_host", "delay", "robots"),
    *("timeout", "retries", "max_depth", "max_pages", "max_items", "max_seconds"),
)
_CONFIG_HEAD = """\
# Settings for every spider of this project: take away a # to change one.
# A spider's own `settings`, and --set on the command line, override them.

"""
_CONFIG_TAIL = """
# For some hosts only:
# [[host]]
# match = "*.example.com"
# delay = 1.0
# concurrency = 2
"""


@click.command("list")
@log_options
def list_spiders() -> None:
    """List the spiders in ./spiders.

    Their files are read, not run; one that cannot be read, and a spider without a name, is told
    on standard error.

    \b
    Example:
      crawler list
    """
    spiders, broken, nameless = find_spiders()
    for line in broken:
        click.echo(f"not read: {line}", err=True)
    for line in nameless:
        click.echo(f"not listed: {line}", err=True)
    if spiders:
        rows = [(source.name, str(source.path), source.summary) for source in spiders]
        out = show.console()
        out.print(show.table(["spider", "file", "what it does"], rows, right=[]))
    elif not broken and not nameless:
        click.echo("no spiders in ./spiders; make one with: crawler new NAME URL", err=True)


@click.command()
@click.argument("name")
@click.argument("url")
@log_options
def new(name: str, url: str) -> None:
    """Write a new spider from a template.

    It goes to spiders/NAME.py and works as it is: it takes the title of every page and follows
    the links of the site. No file is overwritten.

    \b
    Example:
      crawler new news https://news.example/
    """
    address = _checked(name, url)
    taken = next((source for source in find_spiders().spiders if source.name == name), None)
    if taken is not None:
        raise UsageError(f"spider {name!r} is in {taken.path} already: choose another name")
    path = SPIDERS / f"{name.replace('-', '_')}.py"
    _write({path: _spider_text(name, address)})
    click.echo(f"wrote {path}; run it with: crawler run {name}")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@log_options
def init(directory: Path) -> None:
    """Make a new project.

    DIR gets spiders/ with a first spider, a config.toml with the commonest settings, and a
    .gitignore. No file is overwritten.

    \b
    Example:
      crawler init shop && cd shop && crawler run example
    """
    _write(
        {
            directory / "spiders" / "example.py": _spider_text("example", "https://example.com/"),
            directory / "config.toml": config_text(),
            directory / ".gitignore": "__pycache__/\ndata/\n",
        }
    )
    click.echo(f"made {directory}; next: cd {directory} && crawler run example")


def config_text() -> str:
    """Return a config.toml that changes nothing: each setting with its default, commented out."""
    lines = []
    for name in COMMON_SETTINGS:
        field = Settings.model_fields[name]
        lines.append(f"# {field.description}\n# {name} = {_toml(field.default, name)}\n")
    return _CONFIG_HEAD + "".join(lines) + _CONFIG_TAIL


def _toml(default: Any, name: str) -> str:
    if default is None:  # TOML has no null: an example instead
        return '"https://example.com/about-our-crawler"' if name == "contact" else "1000"
    return json.dumps(default)


def _checked(name: str, url: str) -> str:
    if keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot name a spider: it is a keyword of Python")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a spider: use a-z, 0-9, _ and -, a letter first")
    if "://" not in url:
        whole = redact(f"https://{url}")
        raise UsageError(f"not a whole URL: did you mean {whole} ?")
    address = canonical(url)
    if not is_web(address):
        raise UsageError(f"{address!r} is not an http or https URL")
    return address


def _spider_text(name: str, url: str) -> str:
    words = re.split("[_-]", name)
    return _SPIDER.format(
        name=name,
        title=" ".join(words).capitalize(),
        class_name="".join(word.capitalize() for word in words) + "Spider",
        url=json.dumps(url),
    )


def _write(files: dict[Path, str]) -> None:
    """Write the files, all of them or, when one exists, none."""
    for path in files:
        if path.exists():
            raise UsageError(f"{path} exists, and is left as it is: choose another name")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
