"""Advisories of what a spider is made to send."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from crawler import Request
from tests.hostile.server import Hostile, answer
from tests.hostile.wanderer import Crawl
from tests.hostile.wanderer import ends as ends
from tests.hostile.wanderer import wander as wander

_LINE_ENDS = ["\r\n", "\n", "\r", "\x00"]


async def _refused(wander: Crawl, ends: Any, make: Callable[[str], Request]) -> None:
    """Nothing reaches the wire: the request fails, or cannot even be made."""
    async with Hostile(answer("in")) as server:
        try:
            request = make(server.url + "/")
        except ValueError:
            return
        await wander(request)
        assert [end for end in ends().values() if end != "failed bad_request"] == []
    assert server.asked == []


@pytest.mark.parametrize("end", _LINE_ENDS)
async def test_cve_2023_49082_a_method_smuggles_in_nothing(
    wander: Crawl, ends: Any, end: str
) -> None:
    """aiohttp: a method could hold line ends, and so a whole request."""
    method = f"GET / HTTP/1.1{end}X-A: 1{end}{end}GET"
    await _refused(wander, ends, lambda url: Request(url, method=method))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\t"])
async def test_cve_2023_49081_a_url_smuggles_in_no_version_and_no_header(
    wander: Crawl, end: str
) -> None:
    """aiohttp: the version of HTTP could hold line ends, and so headers and requests."""
    async with Hostile(answer("in")) as server:
        await wander(f"{server.url}/x HTTP/1.1{end}X-A: 1{end}{end}GET /smuggled")
    assert len(server.asked) <= 1
    assert "X-A" not in {name for one in server.asked for name, _ in one.headers}
    assert all(re.fullmatch(r"[!-~]+", one.target) for one in server.asked)


@pytest.mark.parametrize("end", _LINE_ENDS)
async def test_cve_2026_34514_a_content_type_smuggles_in_nothing(
    wander: Crawl, ends: Any, end: str
) -> None:
    """aiohttp: a content type could hold line ends, and so further headers."""
    headers = {"Content-Type": f"text/plain{end}X-A: 1"}
    await _refused(wander, ends, lambda url: Request(url, method="POST", body="x", headers=headers))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00"])
async def test_cve_2026_50269_a_form_smuggles_in_nothing(wander: Crawl, end: str) -> None:
    """aiohttp: names and values of a form could hold line ends, and so headers of its parts."""
    name, value = f'a"{end}X-A: 1{end}{end}', f"v{end}--boundary--{end}"
    async with Hostile(answer("in")) as server:
        await wander(Request(server.url + "/", form={name: value}))
    (asked,) = server.asked
    assert re.fullmatch(rb"[\w%.+=&-]+", asked.body)
    assert "X-A" not in {name for name, _ in asked.headers}


async def test_cve_2026_34525_one_host_header_is_sent(wander: Crawl) -> None:
    """aiohttp: a message with two Host headers was let through."""
    headers = {"Host": "a.example", "host": "b.example", "HOST": "c.example"}
    async with Hostile(answer("in")) as server:
        await wander(server.url + "/", Request(server.url + "/x", headers=headers))
    for asked in server.asked:
        assert len([name for name, _ in asked.headers if name.lower() == "host"]) == 1
