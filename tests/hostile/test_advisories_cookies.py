"""Advisories of the jar of cookies."""

import re
import ssl
from collections.abc import Callable, Sequence

import pytest

from crawler import Request
from tests.hostile.server import Hostile, answer, head, raw, response, site
from tests.hostile.wanderer import HERE, Crawl, Rows, asked_as, named
from tests.hostile.wanderer import look_ups as look_ups
from tests.hostile.wanderer import names as names
from tests.hostile.wanderer import tls as tls
from tests.hostile.wanderer import wander as wander


def cookies_of(server: Hostile, name: str, target: str) -> set[str]:
    """The cookies that came with a request for `target` under that name."""
    (asked,) = [one for one in asked_as(server, name) if one.target == target]
    return set(filter(None, str(asked.header("Cookie") or "").split("; ")))


async def test_ghsa_mfjm_vh54_3f96_a_cookie_for_a_public_suffix_is_refused(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """Scrapy: a site could set a cookie for all of `co.uk`."""
    names.update({"shop.co.uk": HERE, "bank.co.uk": HERE})
    pages: dict[str, bytes | str] = {"/in": "in"}
    async with Hostile(site(pages)) as server:
        hrefs = [named(server, host, "/in") for host in ("shop.co.uk", "bank.co.uk")]
        cookies = ("a=1; Domain=co.uk", "b=1; Domain=.uk", "c=1; Domain=CO.UK.", "own=1")
        pages["/"] = response(
            "".join(f'<a href="{href}">x</a>' for href in hrefs),
            *(f"Set-Cookie: {cookie}" for cookie in cookies),
        )
        await wander(named(server, "shop.co.uk"))
    assert cookies_of(server, "shop.co.uk", "/in") == {"own=1"}
    assert cookies_of(server, "bank.co.uk", "/in") == set()


async def test_cve_2026_47265_the_cookies_of_a_request_are_for_its_host(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """aiohttp: the cookies given with a request were sent wherever it was redirected."""
    names.update({"shop.example": HERE, "evil.example": HERE})
    pages: dict[str, bytes | str] = {"/in": "in"}
    async with Hostile(site(pages)) as server:
        pages["/"] = response('<a href="/away">x</a>', "Set-Cookie: theirs=1; Path=/")
        pages["/away"] = head(302, f"Location: {named(server, 'evil.example', '/in')}", length=0)
        await wander(Request(named(server, "shop.example"), cookies={"mine": "1"}))
    assert cookies_of(server, "shop.example", "/") == {"mine=1"}
    assert cookies_of(server, "shop.example", "/away") == {"mine=1", "theirs=1"}
    assert cookies_of(server, "evil.example", "/in") == set()


async def test_cve_2026_54279_a_cookie_of_one_host_stays_so_in_the_file(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """aiohttp: saved and loaded again, a host's own cookie went to its subdomains too."""
    names.update({"shop.example": HERE, "sub.shop.example": HERE})
    pages: dict[str, bytes | str] = {"/in": "in"}
    async with Hostile(site(pages)) as server:
        hrefs = [named(server, host, "/in") for host in names]
        pages["/"] = response(
            "".join(f'<a href="{href}">x</a>' for href in hrefs),
            "Set-Cookie: own=1; Path=/; Max-Age=999",
            "Set-Cookie: all=1; Path=/; Domain=shop.example; Max-Age=999",
        )
        first = await wander(named(server, "shop.example"), max_pages=1)
        assert (first.finish, len(server.asked)) == ("limit", 1)
        await wander(named(server, "shop.example"))
    assert cookies_of(server, "shop.example", "/in") == {"own=1", "all=1"}
    assert cookies_of(server, "sub.shop.example", "/in") == {"all=1"}


async def test_cve_2026_111749_a_subdomain_does_not_widen_a_cookie_of_its_parent(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """aiohttp: a cookie of the same name made a host's own one go to subdomains."""
    hosts = ("shop.example", "evil.shop.example", "other.shop.example")
    names.update(dict.fromkeys(hosts, HERE))
    pages: dict[str, bytes | str] = {"/in": "in"}
    async with Hostile(site(pages)) as server:
        evil = named(server, "evil.shop.example", "/evil")
        pages["/"] = response(f'<a href="{evil}">x</a>', "Set-Cookie: a=own; Path=/")
        pages["/evil"] = response(
            "".join(f'<a href="{named(server, host, "/in")}">x</a>' for host in hosts),
            "Set-Cookie: a=evil; Path=/; Domain=shop.example",
        )
        await wander(named(server, "shop.example"))
    assert "a=own" in cookies_of(server, "shop.example", "/in")
    assert cookies_of(server, "other.shop.example", "/in") == {"a=evil"}
    assert cookies_of(server, "evil.shop.example", "/in") == {"a=evil"}


async def test_pysec_2026_4392_a_flood_of_cookies_is_dammed(wander: Crawl, rows: Rows) -> None:
    """aiohttp: any number of cookies was kept and sent, attributes nobody knows among them."""
    pages: dict[str, bytes | str] = {}
    for page in range(40):
        cookies = [f"Set-Cookie: c{page}-{n}={'x' * 100}; y{page}-{n}=1" for n in range(50)]
        pages[f"/{page}"] = response(f'<a href="/{page + 1}">x</a>', *cookies)
    async with Hostile(site(pages)) as server:
        await wander(server.url + "/0", max_pages=40)
    assert [one.target for one in server.asked] == [f"/{page}" for page in range(40)]
    sent = [str(one.header("Cookie")) for one in server.asked[1:]]
    assert "c0-" in sent[0]
    assert max(map(len, sent)) < 16 * 1024  # what servers take
    assert not any(re.search(r"\by\d", cookies) for cookies in sent)
    assert 0 < rows("SELECT count(*) FROM crawl_cookie")[0] <= 200


async def test_cve_2025_69230_a_hundred_broken_cookies_make_no_hundred_lines(
    wander: Crawl, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """aiohttp: each cookie that could not be read was a line in the log."""
    broken = [f"Set-Cookie: a{n}\x7f(){{}}=\xff; Max-Age=x{n}; Domain=[{n}" for n in range(100)]
    page = response("in", *broken)
    async with Hostile(raw(page)) as server:
        summary = await wander(server.url + "/")
    assert summary.done == 1
    lines = capfd.readouterr()
    assert len(caplog.records) + lines.out.count("\n") + lines.err.count("\n") < 20


async def test_cve_2026_111063_a_secure_cookie_stays_off_plain_http(
    wander: Crawl, names: dict[str, Sequence[str]], tls: Callable[..., ssl.SSLContext]
) -> None:
    """aiohttp: a cookie marked Secure was sent without encryption."""
    names["shop.example"] = HERE
    pages: dict[str, bytes | str] = {"/in": "in"}
    async with (
        Hostile(answer("in")) as plain,
        Hostile(site(pages), tls=tls("shop.example")) as safe,
    ):
        hrefs = [named(plain, "shop.example", "/in"), named(safe, "shop.example", "/in")]
        pages["/"] = response(
            "".join(f'<a href="{href}">x</a>' for href in hrefs),
            "Set-Cookie: secret=1; Path=/; Secure",
            "Set-Cookie: plain=1; Path=/",
        )
        await wander(named(safe, "shop.example"))
    assert cookies_of(safe, "shop.example", "/in") == {"secret=1", "plain=1"}
    assert cookies_of(plain, "shop.example", "/in") == {"plain=1"}
