"""User and password in a URL: they reach no server, no file, no log and no message."""

from pathlib import Path

import pytest

from tests.crawler.cli.project import Project
from tests.site import serve

SECRET = "s3cr3t-of-nobody"
WITH = f"user:{SECRET}@"

LEAKY = """
from crawler import Request, Spider


class Leaky(Spider):
    name = "leaky"
    allowed_domains = ["*"]
    start_urls = {starts!r}

    async def parse(self, response):
        self.logger.info("got", request=response.request, response=response, url=response.url)
        yield {{"url": response.url}}
        for request in response.follow_all("a"):
            yield request
        for request in map(Request, {links!r}):
            self.logger.info("found", request=request)
            yield request
            try:
                await self.fetch(request)
            except Exception as error:
                self.logger.warning("not_fetched", said=str(error), error=error)
"""

# A trace quotes the source, and what stands there is the author's.
RELATIVE = """
from crawler import Request, Spider


class Leaky(Spider):
    name = "leaky"
    start_urls = [{start!r}]

    def parse(self, response):
        yield Request("//user:" + "-".join(["s3cr3t", "of", "nobody"]) + "@books.example/")
"""


def _moved(location: str) -> tuple[int, dict[str, str], str]:
    return 302, {"Location": location}, ""


def _leaks(folder: Path) -> list[Path]:
    """The files in which the secret is."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


async def test_they_are_in_no_file_and_no_output_of_a_crawl(project: Project) -> None:
    async with serve({"/x": ""}) as site:
        host = f"127.0.0.1:{site.port}"
        links = [
            f"http://{WITH}{host}/x?1",
            f"http://{WITH}127.0.0.1:25/",
            f"http://{WITH}10.0.0.1/",
            f"ftp://{WITH}{host}/",
            f"https://{WITH}{host}/tls",
            f"http://{WITH}gone.test/",
            f"http://{WITH}[::1/",
            f"http://{WITH}127.0.0.256/",
            f"http://{WITH}{host}:99999999/",
            f"http://{WITH}a b/",
            f"https:\\\\{WITH}a^b",
        ]
        moves = [
            *links,
            f"//{WITH}{host}/x?2",
            f"\\\\{WITH}{host}/x?3",
            f"//{WITH}[/",
        ]
        site.pages |= {f"/moved{n}": _moved(url) for n, url in enumerate(moves)}
        anchors = [*moves, *(f"/moved{n}" for n in range(len(moves)))]
        site.pages["/"] = "".join(f"<a href='{url}'>x</a>" for url in anchors)
        starts = [f"http://{WITH}{host}/", f"http://{WITH}127.0.0.1:6000/"]
        project.write("spiders/leaky.py", LEAKY.format(starts=starts, links=links))
        settings = ("--set", "retries=0", "--set", "connect_timeout=0.5")
        result = await project.crawler("run", "leaky", "--json", "-v", *settings)
        status = await project.crawler("status", "leaky")
        shown = await project.crawler("query", "leaky", "SELECT * FROM crawl_request")
        sent = repr(site.requests)
    assert result.json["finish"] == "finished", result.err
    reasons = project.rows("SELECT DISTINCT reason FROM crawl_request", "data/leaky.db")
    # Every way a URL can end was taken, and told of.
    assert {reason for (reason,) in reasons} >= {
        *("bad_port", "bad_redirect", "dns", "invalid_url", "private_address", "scheme")
    }
    assert "not_fetched" in result.err
    for said in (result.out, result.err, status.out, status.err, shown.out, sent):
        assert SECRET not in said
        assert "user:" not in said
    assert _leaks(project.path / "data") == []


async def test_they_are_not_in_the_error_of_a_callback(project: Project) -> None:
    async with serve({"/": ""}) as site:
        project.write("spiders/leaky.py", RELATIVE.format(start=site.url))
        result = await project.crawler("run", "leaky", "--json", "-v")
    ((error,),) = project.rows("SELECT error FROM crawl_request", "data/leaky.db")
    assert "relative url '//books.example/'" in error
    assert SECRET not in result.err + result.out
    assert _leaks(project.path) == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{WITH}[::1/",
        f"{WITH}books.example/",
        f"ftp://{WITH}books.example/",
        f"http://{WITH}books.example:25/",
        f"http://{WITH}gone.test/",
        f"http://{WITH}10.0.0.256/",
    ],
)
@pytest.mark.parametrize("command", ["fetch", "shell", "new"])
def test_no_command_repeats_them(command: str, url: str, project: Project) -> None:
    arguments = ("new", "books") if command == "new" else (command,)
    result = project.here(*arguments, url)
    assert result.out + result.err
    assert SECRET not in result.out + result.err
    assert _leaks(project.path) == []
