"""`crawler shell`: one page, and a prompt to try selectors on it."""

import asyncio
import os
import pty
import sys
from typing import Any

import pytest

from tests.crawler.cli.project import ENVIRONMENT, PATIENCE, Project, page
from tests.site import serve

PAGES: dict[str, Any] = {"/": page(0, "/1"), "/1": page(1)}


async def test_shell_takes_commands_from_a_pipe(project: Project) -> None:
    commands = """
css("title::text").get()
for link in css("a::attr(href)"):
    print(link.get())
fetch(response.urljoin("/1"))
css("title::text").get(), request.url == response.url
"""
    async with serve(PAGES) as site:
        result = await project.crawler("shell", site.url, stdin=commands)
        last = f"<200 {site.url}1>"
    assert result.out.splitlines() == ["'page 0'", "/1", last, "('page 1', True)"]
    assert (result.status, result.err) == (0, "")


async def test_the_shell_keeps_cookies_while_it_runs(project: Project) -> None:
    def page_for(request: Any) -> Any:
        return (200, {"Set-Cookie": "a=1"}, request.headers.get("cookie", "none"))

    async with serve({"/": page_for}) as site:
        result = await project.crawler(
            "shell", site.url, stdin="fetch(response.url)\nresponse.text"
        )
        off = await project.crawler(
            *("shell", site.url, "--set", "cookies=false"),
            stdin="fetch(response.url)\nresponse.text",
        )
    assert result.out.splitlines()[-1] == "'a=1'"
    assert off.out.splitlines()[-1] == "'none'"


async def test_a_wrong_command_in_the_shell_is_one_line(project: Project) -> None:
    async with serve(PAGES) as site:
        wrong = await project.crawler("shell", site.url, stdin="respones.url")
        broken = await project.crawler("shell", site.url, stdin="x = 1\nx +")
    assert "NameError: name 'respones' is not defined" in wrong.error
    assert wrong.status == 1
    assert "standard input, line 2: invalid syntax" in broken.error
    assert broken.status == 2


EXITS = [
    ("exit()", 0, ""),
    ("quit()", 0, ""),
    ("import sys; sys.exit(0)", 0, ""),
    ("raise SystemExit(7)", 7, ""),
    ("raise SystemExit('that is all')", 1, "that is all\n"),
]


@pytest.mark.parametrize(("command", "status", "said"), EXITS)
async def test_exit_in_a_pipe_ends_the_shell_as_it_ends_python(
    project: Project, command: str, status: int, said: str
) -> None:
    async with serve(PAGES) as site:
        result = await project.crawler("shell", site.url, stdin=f"1\n{command}\n2")
    assert (result.status, result.out, result.err) == (status, "1\n", said)


# ── the prompt ──────────────────────────────────────────────────────────────────────────────


async def at_the_prompt(project: Project, url: str, *commands: str) -> tuple[str, int]:
    """What a terminal shows when the commands are typed, and the exit status."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crawler", "shell", url),
        cwd=project.path,
        env=ENVIRONMENT | {"TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, "".join(f"{command}\n" for command in commands).encode())
    async with asyncio.timeout(PATIENCE):
        shown = await asyncio.to_thread(_all_of, ours)
        status = await process.wait()
    return shown.replace("\r\n", "\n"), status


def _all_of(terminal: int) -> str:
    parts = []
    with open(terminal, "rb", buffering=0) as stream:
        try:
            while part := stream.read(4096):
                parts.append(part)
        except OSError:
            pass  # Linux says EIO when the other side is closed
    return b"".join(parts).decode()


@pytest.mark.parametrize(("command", "status", "said"), EXITS)
async def test_exit_at_the_prompt_ends_the_shell_as_it_ends_python(
    project: Project, command: str, status: int, said: str
) -> None:
    async with serve(PAGES) as site:
        shown, ended = await at_the_prompt(project, site.url, "1 + 1", command)
    assert ended == status
    assert "2\n" in shown
    assert "Error" not in shown
    assert "SystemExit: " not in shown
    assert shown.endswith(f"\n{said}")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fetch('http://127.0.0.1:1/')", "UsageError: "),
        ("fetch('/private')", "DropRequest: robots: "),
        ("fetch('ftp://example.com/')", "UsageError: "),
        ("css('[')", "ValueError: not a CSS selector: '['"),
        ("response.css('[')", "ValueError: not a CSS selector: '['"),
    ],
)
async def test_what_the_crawler_refuses_at_the_prompt_is_one_line(
    project: Project, command: str, said: str
) -> None:
    pages = PAGES | {"/robots.txt": "User-agent: *\nDisallow: /private"}
    async with serve(pages) as site:
        shown, _ = await at_the_prompt(project, site.url, command, "exit()")
    assert "Traceback" not in shown
    assert f"\n{said}" in shown


async def test_nobody_there_is_one_line_at_the_prompt(project: Project) -> None:
    async with serve({}) as site:
        nobody = site.url
    async with serve(PAGES) as site:
        shown, _ = await at_the_prompt(project, site.url, f"fetch({nobody!r})", "exit()")
    assert "Traceback" not in shown
    assert "\nFetchError: " in shown


@pytest.mark.parametrize("command", ["int('x')", "css(1, 2, 3)"])
async def test_the_users_own_mistake_keeps_its_traceback(project: Project, command: str) -> None:
    async with serve(PAGES) as site:
        shown, _ = await at_the_prompt(project, site.url, command, "exit()")
    assert "Traceback (most recent call last):" in shown
    assert 'File "<console>", line 1' in shown
