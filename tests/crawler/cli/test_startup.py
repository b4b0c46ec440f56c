"""Starting is quick, and help is complete."""

import asyncio
import gc
import os
import re
import ssl
import sys
import threading
from asyncio.subprocess import PIPE
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

from crawler.cli import COMMANDS, cli
from crawler.cli.authorities import _complete_later as complete_later
from tests.crawler.cli.project import ENVIRONMENT, Project
from tests.crawler.plain_fetches import ok, serving
from tests.hostile.certificates import side_of, trusted_authority

OWN = """
import aiohttp
from aiohttp import connector
from crawler import Item, Request, Spider

class Page(Item):
    text: str
    read: int

class Own(Spider):
    name = "own"
    url = own = ""

    async def start(self):
        yield Request(self.url)

    async def parse(self, response):
        read = len(connector._SSL_CONTEXT_VERIFIED.get_ca_certs())
        async with aiohttp.ClientSession() as session, session.get(self.own) as answer:
            yield Page(text=await answer.text(), read=read)
"""


async def imported(*arguments: str) -> set[str]:
    """The top-level packages that a Python process imports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", *arguments, stdout=PIPE, stderr=PIPE, env=ENVIRONMENT
    )
    _, err = await process.communicate()
    assert process.returncode == 0
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in err.decode().splitlines()}


CALLS = """
import resource, types
from crawler import __main__

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

exec("def called():\\n if 0: " + "".join(f"n{number} = " for number in range(100)) + "0")

def calling(depth):
    if depth:
        return calling(depth - 1)
    before = faults()
    for _ in range(500):
        called()
    return faults() - before

def main():
    calling(300)
    print(max(map(calling, range(300))))
    return 0

__main__.import_module = lambda name: types.SimpleNamespace(main=main)
"""


async def test_no_call_has_python_take_memory_for_its_frame_again_and_again() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"{CALLS}\n__main__.command()", stdout=PIPE, env=ENVIRONMENT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert int(out) < 50


async def test_help_imports_nothing_heavy() -> None:
    heavy = {"aiohttp", "pydantic", "rich", "aiosqlite", "sqlite3", "selectolax", "structlog"}
    found = await imported("-m", "crawler", "--help")
    assert "click" in found
    assert not found & heavy


async def test_importing_the_package_imports_nothing_heavy() -> None:
    found = await imported("-c", "import crawler")
    assert "crawler" in found
    assert not found & {"click", "rich", "aiosqlite", "sqlite3", "aiohttp", "pydantic"}


async def test_a_run_loads_only_what_every_run_needs() -> None:
    found = await imported("-c", "import crawler.cli.run, storage.sqlite")
    assert "aiohttp" in found
    assert not found & {"rich", "structlog", "pygments", "tenacity"}
    assert not found & {"difflib", "tomllib"}


async def test_a_spider_that_uses_aiohttp_itself_trusts_whom_the_system_does(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp has read nobody's certificate by then."""
    authority = trusted_authority(tmp_path, monkeypatch)
    tls = side_of(authority.issue_cert("127.0.0.1"))
    trusted = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    project.write("spiders/own.py", OWN)
    async with serving({"/": ok()}) as site, serving({"/": ok(b"safe")}, tls=tls) as safe:
        own = f"own={safe.url.replace('http:', 'https:')}"
        arguments = ("run", "own", "-a", f"url={site.url}", "-a", own, "--json")
        result = await project.crawler(*arguments, **trusted)
        other = await project.crawler(*arguments, "--fresh")
    assert result.status == 0, result.err
    assert project.rows("SELECT text, read FROM page", "data/own.db") == [("safe", 0)]
    assert "CERTIFICATE_VERIFY_FAILED" in other.err


def test_who_connects_while_another_thread_reads_the_authorities_has_them_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted_authority(tmp_path, monkeypatch)
    aiohttps = ModuleType("aiohttp_and_its_context")
    aiohttps.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, aiohttps.__name__, aiohttps)
    complete_later()
    found = []
    read = ssl.SSLContext.load_default_certs

    def connect() -> None:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        found.append(len(context.get_ca_certs()))

    def read_slowly(slow: ssl.SSLContext) -> None:
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", read)
        other = threading.Thread(target=connect)
        other.start()
        other.join()
        read(slow)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", read_slowly)
    connect()
    assert found == [1, 1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(import_module(f"crawler.cli.{module}"), attribute)
    assert command.name == name
    assert command.help.partition("\n")[0] == COMMANDS[name][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text_and_every_command_an_example(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert re.search(r"Examples?:", command.help or "")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_a_command_is_imported_without_looking_for_garbage_and_only_then() -> None:
    context = click.Context(cli)
    sys.modules.pop("crawler.cli.backup", None)
    for _ in range(2):
        assert cli.get_command(context, "backup") is not None
        assert gc.isenabled()


async def test_version_is_told(project: Project) -> None:
    result = await project.crawler("--version")
    assert result.status == 0
    assert re.fullmatch(r"crawler \d+\.\d+\.\d+\n", result.out)


async def test_no_command_is_bad_usage_and_shows_the_help(project: Project) -> None:
    result = await project.crawler()
    assert result.status == 2
    assert "Commands:" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "no such command 'rum': did you mean 'run'?"),
        (["crawl", "shop"], "no such command 'crawl': write crawler run (crawler --help shows"),
        (["startproject", "a"], "no such command 'startproject': write crawler init (crawler"),
        (["--nonsense"], "'--nonsense'"),
        (["run", "shop", "--nonsense"], "crawler run --help"),
        (["run"], "'NAME'"),
        (["run", "shop", "-a", "novalue"], "'novalue' is not KEY=VALUE"),
        (["export", "shop", "-o", "x.csv", "--run", "last"], "neither a number nor 'all'"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    project: Project, arguments: list[str], said: str
) -> None:
    result = project.here(*arguments)
    assert said in result.error
    assert result.status == 2


async def test_a_shell_completes_commands_and_spiders(project: Project) -> None:
    project.shop("http://127.0.0.1:1/")

    async def complete(words: str, position: int) -> str:
        result = await project.crawler(
            _CRAWLER_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(position)
        )
        return result.out

    assert await complete("crawler sta", 1) == "plain,status\n"
    assert await complete("crawler run sh", 2) == "plain,shop\n"
    assert "plain,--fresh" in await complete("crawler run --fr", 2)
