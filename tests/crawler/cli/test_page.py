"""`crawler fetch`: one page."""

from typing import Any

import pytest

from tests.crawler.cli.project import Project, page
from tests.site import serve

PAGES: dict[str, Any] = {
    "/": page(0, "/1"),
    "/1": page(1),
    "/old": (302, {"Location": "/1"}, ""),
    "/bytes": b"\x00\xff",
    "/robots.txt": "User-agent: *\nDisallow: /private",
    "/private": page(7),
    "/metadata": (302, {"Location": "http://127.0.0.1/"}, ""),
}


async def test_fetch_prints_the_body_byte_for_byte(project: Project) -> None:
    async with serve(PAGES) as site:
        result = await project.crawler("fetch", f"{site.url}old")
        assert (result.status, result.out, result.err) == (0, page(1), "")
        saved = await project.crawler("fetch", f"{site.url}bytes", "-o", "body")
    assert (saved.status, saved.out) == (0, "")
    assert (project.path / "body").read_bytes() == b"\x00\xff"


async def test_fetch_prints_status_and_headers(project: Project) -> None:
    async with serve(PAGES) as site:
        result = await project.crawler("fetch", f"{site.url}old", "--headers")
        first, *headers = result.out.splitlines()
        assert first == f"200 {site.url}1"
    assert "Content-Type: text/html; charset=utf-8" in headers


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing", "http_404: http://127.0.0.1:"),
        ("private", "not fetched: robots: "),
        ("metadata", "not fetched: private_address"),
    ],
)
async def test_fetch_fails_with_the_reason_in_one_line(
    project: Project, path: str, said: str
) -> None:
    async with serve(PAGES) as site:
        result = await project.crawler("fetch", site.url + path)
    assert said in result.error
    assert result.status == 1


async def test_fetch_obeys_the_settings(project: Project) -> None:
    async with serve(PAGES) as site:
        project.write("config.toml", "robots = false\nuser_agent = 'me'\n")
        result = await project.crawler("fetch", f"{site.url}private")
        assert site.requests[-1].headers["User-Agent"] == "me"
    assert (result.status, result.out) == (0, page(7))


async def test_nobody_there_is_one_line(project: Project) -> None:
    async with serve({}) as site:
        url = site.url
    result = await project.crawler("fetch", url, "--set", "robots=false")
    assert "connection: " in result.error
    assert result.status == 1


async def test_to_go_without_robots_txt_is_offered_where_it_would_help(project: Project) -> None:
    async with serve({"/robots.txt": (503, {}, ""), "/": page(0)}) as site:
        failed = await project.crawler("fetch", site.url)
        gone = await project.crawler("fetch", site.url, "--set", "robots=false")
    assert failed.error.endswith("(--set robots=false goes without)")
    assert (failed.status, gone.status) == (1, 0)
    nobody = await project.crawler("fetch", site.url)
    assert nobody.error == f"crawler: error: connection: robots.txt of {site.url[:-1]}"
    assert nobody.status == 1
