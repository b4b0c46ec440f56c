"""What is told off a terminal while a crawl runs, and how."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

import crawler
from crawler.cli import progress
from crawler.cli.logs import configure, notice
from crawler.cli.options import LogOptions
from crawler.progress import Snapshot
from tests.crawler.cli.project import page
from tests.site import serve


class Site(crawler.Spider):
    name = "site"

    def parse(self, response: crawler.Response) -> None:
        logging.getLogger("elsewhere").warning("plain %s", "logging")


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_off_a_terminal_a_line_tells_how_far_the_crawl_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_EVERY", 0.01)
    asked, told = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> str:
        asked.set()
        await told.wait()
        return page(0)

    options = LogOptions(format="json")
    configure(options)
    async with serve({"/": slow}) as site:
        Site.start_urls = [site.url]
        crawl = crawler.Crawl(Site, db=tmp_path / "c.db")
        async with progress.shown(crawl, options):
            running = asyncio.create_task(crawl.run())
            await asked.wait()
            lines: list[dict[str, object]] = []
            while not any(line.get("in_flight") == 1 for line in lines):
                await asyncio.sleep(0.01)
                lines += said(capsys)
            told.set()
            await running
    line = next(line for line in lines if line.get("in_flight") == 1)
    assert (line["event"], line["level"], line["logger"]) == ("progress", "info", "crawler.cli")
    wanted = {"done", "queued", "failed", "skipped", "items", "pages_per_second", "hosts"}
    assert wanted | {"in_flight", "elapsed"} <= set(line)
    plain = [line for line in lines + said(capsys) if line["logger"] == "elsewhere"]
    assert [line["event"] for line in plain] == ["plain logging"]


def test_what_is_not_known_is_left_out() -> None:
    early = Snapshot(0, 0, 0, 1, 0, 0, 0, None, None, 0.0, None, 0.1)
    assert not {"slowest_host", "seconds_left"} & set(progress.facts(early))
    late = Snapshot(9, 0, 0, 1, 0, 0, 2, "a.example", 0.2504, 3.0, 4.4, 3.0)
    facts = progress.facts(late)
    assert (facts["slowest_host"], facts["slowest_ms"], facts["seconds_left"]) == (
        "a.example",
        250,
        4,
    )


def test_a_notice_is_told_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        options = LogOptions(level="error", format=form)
        configure(options)
        notice("resuming", options)
    text, line = capsys.readouterr().err.splitlines()
    assert text == "resuming"
    assert json.loads(line)["event"] == "resuming"


def test_an_exception_in_a_json_log_is_part_of_the_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogOptions(format="json"))
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("mine").exception("broken\x1b[31m")
    (line,) = said(capsys)
    assert "KeyError: 'x'" in str(line["exception"])


def test_a_page_cannot_steer_the_terminal_through_a_log_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogOptions())
    logging.getLogger("mine").info("title \x1b]0;owned\x07")
    assert "\x1b" not in capsys.readouterr().err


def test_debug_lines_appear_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (LogOptions(), LogOptions(verbose=True)):
        configure(options)
        logging.getLogger("crawler.timing").debug("fine %d", options.verbose)
        logging.getLogger("asyncio").debug("too fine")
    assert "fine 1" in (err := capsys.readouterr().err)
    assert "fine 0" not in err
    assert "too fine" not in err
