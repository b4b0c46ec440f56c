"""Advisories of redirects and links that lead astray."""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crawler import Request, Response
from tests.hostile.server import Hostile, answer, head, raw, response, site
from tests.hostile.wanderer import HERE, Crawl, Rows, Wanderer, named
from tests.hostile.wanderer import ends as ends
from tests.hostile.wanderer import look_ups as look_ups
from tests.hostile.wanderer import names as names
from tests.hostile.wanderer import tls as tls
from tests.hostile.wanderer import wander as wander


async def test_ghsa_23j4_mw76_5v7h_a_redirect_leads_to_web_pages_only(
    wander: Crawl, ends: Any, rows: Rows, tmp_path: Path
) -> None:
    """Scrapy: a redirect to `file:`, `data:`, `ftp:` or `s3:` was followed."""
    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    targets = [
        secret.as_uri(),
        "FILE://localhost" + str(secret),
        "data:text/html,secret",
        "ftp://127.0.0.1/secret",
        "s3://bucket/secret",
        "javascript:secret",
        "gopher://127.0.0.1/secret",
        "about:secret",
    ]
    pages = {f"/{n}": head(302, f"Location: {to}", length=0) for n, to in enumerate(targets)}
    async with Hostile(site(pages)) as server:
        await wander(*(server.url + path for path in pages))
    assert set(ends().values()) == {"failed bad_redirect"}
    assert len(ends()) == len(server.asked) == len(targets)
    assert rows("SELECT 1 FROM sqlite_schema WHERE name = 'item'") == []


async def test_cve_2026_46497_nothing_that_a_site_lists_leads_into_private_networks(
    wander: Crawl, ends: Any, names: dict[str, Sequence[str]]
) -> None:
    """Crawlee: a sitemap, or the robots.txt naming it, led to any host and any scheme."""
    names.update({"public.example": HERE, "inside.example": ["127.0.0.2"]})

    class Sitemaps(Wanderer):
        def parse(self, response: Response) -> Any:
            for loc in re.findall("<loc>(.*?)</loc>", response.text):
                yield Request(loc)

    async with Hostile(answer("inside"), host="127.0.0.2") as inside:
        listed = {
            inside.url + "/": "skipped private_address",
            named(inside, "inside.example"): "skipped private_address",
            "http://127.0.0.1:8099/": "skipped private_address",
            "http://169.254.169.254/latest/": "skipped private_address",
            "http://[::ffff:a00:1]/": "skipped private_address",
            "file:///etc/passwd": "skipped scheme",
            "gopher://127.0.0.1/": "skipped scheme",
            "ftp://127.0.0.1/": "skipped scheme",
        }
        robots = f"Sitemap: {inside.url}/sitemap.xml\n"
        locs = "".join(f"<loc>{url}</loc>" for url in listed)
        async with Hostile(site({"/robots.txt": robots, "/sitemap.xml": locs})) as server:
            start = named(server, "public.example", "/sitemap.xml")
            await wander(start, of=Sitemaps, robots=True, allow_private=[])
            found = ends()
            assert found.pop(start) == "done"
    assert found == listed
    assert inside.asked == []
    assert inside.connections == 0


async def test_cve_2026_54275_each_name_has_its_own_certificate_on_the_same_address(
    wander: Crawl, names: dict[str, Sequence[str]], ends: Any, tls: Callable[..., ssl.SSLContext]
) -> None:
    """aiohttp: a connection made for one name was used again for another."""
    names.update({"mine.example": HERE, "other.example": HERE})
    async with Hostile(answer("in"), tls=tls("mine.example")) as server:
        mine, other = (named(server, name) for name in names)
        await wander(mine, other, mine + "x", concurrency=1)
        again = "done duplicate_content"
        assert ends() == {mine: "done", other: "failed tls", mine + "x": again}
    assert {one.header("Host") for one in server.asked} == {mine.split("/")[2]}


async def test_cve_2022_33987_a_redirect_leads_to_no_socket_file(
    wander: Crawl, ends: Any, tmp_path: Path
) -> None:
    """got, which Crawlee stands on: a redirect to `http://unix:/…` spoke with a local socket."""
    spoken: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(await reader.read(100))
        writer.close()

    path = tmp_path / "s"
    async with await asyncio.start_unix_server(listen, path):
        targets = [f"http://unix:{path}:/x", f"unix:{path}:/x", f"http+unix://{path}/x"]
        pages = {f"/{n}": head(302, f"Location: {to}", length=0) for n, to in enumerate(targets)}
        async with Hostile(site(pages)) as server:
            await wander(*(server.url + path for path in pages))
    assert [end.partition(" ")[0] for end in ends().values()] == ["failed"] * 3
    assert spoken == []


@pytest.mark.parametrize("url", ["http://[::1", "http://[::1]x/", "http://[v1.f]/", "//[", "h[t:"])
async def test_cve_2022_33124_a_broken_address_ends_nothing_but_itself(
    wander: Crawl, ends: Any, url: str
) -> None:
    """aiohttp (disputed): an invalid IPv6 address in a url raised where nobody expected it."""
    pages = {
        "/": f'<a href="{url}">x</a><a href="/next">x</a><a href="/away">x</a>',
        "/next": "next",
        "/away": head(302, f"Location: {url}", length=0),
    }
    async with Hostile(site(pages)) as server:
        summary = await wander(server.url + "/")
        found = ends()
        assert found.pop(server.url + "/next") == "done"
    assert summary.finish == "finished"
    assert set(found.values()) <= {
        "done", "skipped invalid_url", "failed bad_redirect", "failed http_404", "skipped scheme"
    }  # fmt: skip


async def test_cve_2026_34513_the_memory_of_addresses_is_bounded(
    wander: Crawl, names: dict[str, Sequence[str]], look_ups: list[str]
) -> None:
    """aiohttp: every host name ever looked up stayed in memory."""
    hosts = [f"h{number}.example" for number in range(1300)]
    names.update(dict.fromkeys(hosts, HERE))

    class Round(Wanderer):
        pages = 0

        def parse(self, response: Response) -> Any:
            self.pages += 1
            if self.pages == len(hosts):
                yield Request(named(server, hosts[0], "/again"))

    async with Hostile(raw(response("in", "Connection: close"))) as server:
        summary = await wander(*(named(server, host) for host in hosts), of=Round)
    assert summary.done == len(hosts) + 1
    assert look_ups.count(hosts[0]) == 2
