"""One regression test for each published advisory of Scrapy, aiohttp, Crawlee and their parts
that means something for a crawler; each is named after it. SECURITY.md has them in a table.
"""

import asyncio
import gzip
import pickle
import re
import sqlite3
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import Any

import brotli
import pytest
import trustme

import crawler
from crawler import Request, Response, Spider
from tests.hostile.server import (
    Asked,
    Connection,
    Hostile,
    Play,
    answer,
    head,
    raw,
    redirect,
    response,
    site,
)
from tests.names import name_server

Crawl = Callable[..., Awaitable[crawler.Summary]]
Rows = Callable[..., list[Any]]

_PATIENCE = 60.0  # seconds; a hang fails the test, and not the whole suite
_SECRETS = {
    "Authorization": "Basic c2VjcmV0",
    "Cookie": "session=secret",
    "Proxy-Authorization": "Basic c2VjcmV0",
    "X-Api-Key": "secret",
}
_HERE = ["127.0.0.1"]
MIB = 1 << 20


class Wanderer(Spider):
    """Begins with `requests`, keeps what each page is, and follows its links."""

    name = "wanderer"
    allowed_domains = ("*",)
    requests: Sequence[Request] = ()

    async def start(self) -> AsyncIterator[Request]:
        for request in self.requests:
            yield request

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "size": len(response.body), "text": response.text[:200]}
        yield from response.follow_all("a")


@pytest.fixture
def wander(crawl: Crawl) -> Crawl:
    """Crawl from these requests: no robots.txt, no retries, any address unless said otherwise."""

    async def run(*requests: Request | str, of: type[Spider] = Wanderer, **settings: Any) -> Any:
        given = [Request(one) if isinstance(one, str) else one for one in requests]
        values = {"robots": False, "retries": 0, "timeout": 20.0, "allow_private": ["*"]}
        async with asyncio.timeout(_PATIENCE):
            return await crawl(type("S", (of,), {"requests": given}), **{**values, **settings})

    return run


@pytest.fixture
def ends(rows: Rows) -> Callable[[], dict[str, str]]:
    """How each request ended, by its url: "done", "failed too_large", "skipped scheme" ..."""

    def look() -> dict[str, str]:
        found = rows("SELECT url, state, reason FROM crawl_request")
        return {url: f"{state} {reason}" if reason else state for url, state, reason in found}

    return look


@pytest.fixture
def names() -> dict[str, Sequence[str]]:
    """The whole DNS of a test: name -> addresses on loopback."""
    return {}


@pytest.fixture(autouse=True)
def look_ups(names: dict[str, Sequence[str]]) -> Iterator[list[str]]:
    """The names that were looked up, in order."""
    with name_server(names) as asked:
        yield asked


def named(server: Hostile, name: str, path: str = "/") -> str:
    """The url of a page of `server` under another name."""
    scheme, _, host = server.url.partition("://")
    return f"{scheme}://{name}:{host.rpartition(':')[2]}{path}"


def asked_as(server: Hostile, name: str) -> list[Asked]:
    """What `server` was asked under that name."""
    return [one for one in server.asked if str(one.header("Host")).rpartition(":")[0] == name]


def all_headers(asked: Sequence[Asked]) -> str:
    return "\n".join(f"{name}: {value}" for one in asked for name, value in one.headers)


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A response in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head(200, "Transfer-Encoding: chunked") + body + b"0\r\n" + trailers + b"\r\n"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ssl.SSLContext]:
    """A server's side of TLS with a certificate for these names, by an authority we trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    def certified(*hosts: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*hosts).configure_cert(context)
        return context

    return certified


# ── secrets that go to the wrong place ──────────────────────────────────────────────────────


async def test_cve_2021_41125_credentials_of_a_host_go_to_no_other(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """Scrapy: HTTP credentials of a spider were sent to every host, robots.txt included."""
    names.update({"shop.example": _HERE, "evil.example": _HERE})
    pages: dict[str, bytes | str] = {"/link": "link", "/in": "in"}
    async with Hostile(site(pages)) as server:
        link, away = (named(server, "evil.example", path) for path in ("/link", "/in"))
        pages["/"] = f'<a href="{link}">x</a><a href="/away">x</a>'
        pages["/away"] = head(302, f"Location: {away}", length=0)
        await wander(
            named(server, "shop.example"),
            robots=True,
            host=[{"match": "shop.example", "headers": {"Authorization": "Basic c2VjcmV0"}}],
            headers={"X-Api-Key": "secret"},
        )
    mine, others = asked_as(server, "shop.example"), asked_as(server, "evil.example")
    assert {one.header("Authorization") for one in mine} == {"Basic c2VjcmV0"}
    assert {one.target for one in others} == {"/robots.txt", "/link", "/in"}
    assert "c2VjcmV0" not in all_headers(others)
    assert [one.header("X-Api-Key") for one in others if one.target == "/in"] == [None]


async def _redirected(
    wander: Crawl, names: dict[str, Sequence[str]], secrets: dict[str, str]
) -> list[Asked]:
    """Return what another domain was asked, to which a request with `secrets` is redirected."""
    names["evil.example"] = _HERE
    pages: dict[str, bytes | str] = {"/in": "in"}
    async with Hostile(site(pages)) as server:
        pages["/"] = head(302, f"Location: {named(server, 'evil.example', '/in')}", length=0)
        await wander(Request(server.url + "/", headers=secrets))
    first, *others = server.asked
    assert {name: first.header(name) for name in secrets} == secrets
    assert others == asked_as(server, "evil.example")
    return others


async def test_cve_2022_0577_cookies_do_not_follow_a_redirect_to_another_domain(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """Scrapy: a request's own cookies went along to wherever it was redirected."""
    asked = await _redirected(wander, names, {"Cookie": "session=secret"})
    assert [one.header("Cookie") for one in asked] == [None]


async def test_cve_2024_3574_authorization_does_not_follow_a_redirect_to_another_domain(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """Scrapy: the Authorization header went along to another domain."""
    asked = await _redirected(wander, names, {"Authorization": "Basic c2VjcmV0"})
    assert [one.header("Authorization") for one in asked] == [None]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cve_2024_1968_authorization_does_not_follow_a_redirect_to_another_origin(
    wander: Crawl, tls: Callable[..., ssl.SSLContext], scheme: str
) -> None:
    """Scrapy: the same domain under another port or scheme was still given the header."""
    side = tls("127.0.0.1") if scheme == "https" else None
    async with Hostile(answer("in")) as there, Hostile(redirect("{there}/in"), tls=side) as here:
        here.there = there.url
        await wander(Request(here.url + "/", headers=_SECRETS))
    assert here.asked[0].header("Authorization") == _SECRETS["Authorization"]
    assert [one.header("Authorization") for one in there.asked] == [None]


async def test_ghsa_9x8m_2xpf_crp3_proxy_credentials_go_to_no_other_host(wander: Crawl) -> None:
    """Scrapy: the credentials for one proxy were sent to another."""
    secrets = {"Proxy-Authorization": "Basic c2VjcmV0"}
    async with Hostile(answer("in")) as there, Hostile(redirect("{there}/in")) as here:
        here.there = there.url
        await wander(Request(here.url + "/", headers=secrets))
    assert here.asked[0].header("Proxy-Authorization") == "Basic c2VjcmV0"
    assert [one.header("Proxy-Authorization") for one in there.asked] == [None]


async def test_cve_2026_34518_no_secret_of_any_name_crosses_an_origin(wander: Crawl) -> None:
    """aiohttp: Cookie and Proxy-Authorization were kept when a redirect crossed an origin."""
    twice = {**_SECRETS, "authorization": "Bearer secret", "COOKIE": "other=secret"}
    async with Hostile(answer("in")) as there, Hostile(redirect("{there}/in")) as here:
        here.there = there.url
        await wander(Request(here.url + "/", headers=twice))
    assert here.asked[0].header("X-Api-Key") == "secret"
    assert [one.target for one in there.asked] == ["/in"]
    sent = all_headers(there.asked).lower()
    assert not re.search("secret|c2vjcmv0|authorization|cookie", sent)


async def test_cve_2026_54276_no_challenge_is_answered_after_a_redirect(wander: Crawl) -> None:
    """aiohttp: a digest of the password was computed for whoever a redirect led to."""
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(Hostile(answer("", challenge, status=401)))
        here = await stack.enter_async_context(Hostile(redirect("{there}/in")))
        here.there = there.url
        secrets = {"Authorization": 'Digest username="me", realm="r"'}
        await wander(Request(here.url + "/", headers=secrets), retries=1)
    assert len(there.asked) == 1
    assert "authorization" not in all_headers(there.asked).lower()


@pytest.mark.parametrize("userinfo", ["me:secret", "me:secret%40evil.example:80"])
async def test_cve_2024_47081_no_netrc_is_read(
    wander: Crawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, userinfo: str
) -> None:
    """requests: a url could make it send the credentials of a host in .netrc to another."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login me password secret\nmachine 127.0.0.1 login me password secret")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Hostile(answer("in")) as server:
        host = server.url.partition("://")[2]
        await wander(server.url + "/", f"http://{userinfo}@{host}/x")
    assert [one.target for one in server.asked] == ["/", "/x"]
    assert "authorization" not in all_headers(server.asked).lower()


async def test_ghsa_jm3v_qxmh_hxwv_no_proxy_of_the_environment_is_used(
    wander: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapy: after a redirect to another scheme the proxy of the first one was asked."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Hostile(answer("proxy")))
        there = await stack.enter_async_context(Hostile(answer("there")))
        here = await stack.enter_async_context(Hostile(redirect("{there}/in")))
        here.there = there.url
        for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        summary = await wander(here.url + "/")
    assert summary.done == 1
    assert (len(proxy.asked), len(there.asked)) == (0, 1)


async def test_cve_2026_84366_no_request_to_a_bucket_is_signed_or_sent(
    wander: Crawl, ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapy: `s3://` urls were signed with the credentials at hand, and sent in plain text."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with Hostile(answer('<a href="s3://bucket/key">x</a>')) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "done", "s3://bucket/key": "skipped scheme"}
    assert "secret" not in all_headers(server.asked)


async def test_cve_2023_45803_a_body_does_not_follow_a_303(wander: Crawl) -> None:
    """urllib3: the body of a POST was sent again to where a 303 led."""
    async with Hostile(answer("in")) as there, Hostile(redirect("{there}/in", status=303)) as here:
        here.there = there.url
        await wander(Request(here.url + "/", form={"password": "secret"}))
    (asked,) = there.asked
    assert here.asked[0].body == b"password=secret"
    assert (asked.method, asked.body, asked.header("Content-Type")) == ("GET", b"", None)


# ── the jar of cookies ──────────────────────────────────────────────────────────────────────


def cookies_of(server: Hostile, name: str, target: str) -> set[str]:
    """The cookies that came with a request for `target` under that name."""
    (asked,) = [one for one in asked_as(server, name) if one.target == target]
    return set(filter(None, str(asked.header("Cookie") or "").split("; ")))


async def test_ghsa_mfjm_vh54_3f96_a_cookie_for_a_public_suffix_is_refused(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """Scrapy: a site could set a cookie for all of `co.uk`."""
    names.update({"shop.co.uk": _HERE, "bank.co.uk": _HERE})
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
    names.update({"shop.example": _HERE, "evil.example": _HERE})
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
    names.update({"shop.example": _HERE, "sub.shop.example": _HERE})
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
    names.update(dict.fromkeys(hosts, _HERE))
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
    names["shop.example"] = _HERE
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


# ── redirects and links that lead astray ────────────────────────────────────────────────────


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
    names.update({"public.example": _HERE, "inside.example": ["127.0.0.2"]})

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
    names.update({"mine.example": _HERE, "other.example": _HERE})
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
    names.update(dict.fromkeys(hosts, _HERE))

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


# ── bombs ───────────────────────────────────────────────────────────────────────────────────


def _counting(coding: str, body: bytes) -> bytes:
    return response(body, f"Content-Encoding: {coding}")


async def test_cve_2024_3572_a_gzip_bomb_is_not_inflated(wander: Crawl, ends: Any) -> None:
    """Scrapy: the limit on a body did not count its bytes after decompression."""
    bomb = gzip.compress(bytes(64 * MIB))
    async with Hostile(raw(_counting("gzip", bomb))) as server:
        await wander(server.url + "/", max_body=32 * MIB)
        assert ends() == {server.url + "/": "failed too_large"}
    assert len(bomb) < MIB


async def test_cve_2025_6176_a_brotli_bomb_is_not_inflated(wander: Crawl, ends: Any) -> None:
    """Scrapy: brotli, whose ratio is the highest, escaped the limit."""
    bomb = brotli.compress(bytes(64 * MIB))
    async with Hostile(raw(_counting("br", bomb))) as server:
        await wander(server.url + "/", max_body=32 * MIB)
        assert ends() == {server.url + "/": "failed too_large"}
    assert len(bomb) < 1000


async def test_cve_2025_69223_a_deflate_bomb_is_not_inflated(wander: Crawl, ends: Any) -> None:
    """aiohttp: its parser decompressed without a limit."""
    bombs = [zlib.compress(bytes(64 * MIB)), zlib.compress(bytes(64 * MIB))[2:-4]]
    pages = {f"/{n}": _counting("deflate", bomb) for n, bomb in enumerate(bombs)}
    async with Hostile(site(pages)) as server:
        await wander(*(server.url + path for path in pages), max_body=32 * MIB)
    assert set(ends().values()) == {"failed too_large"}


async def test_cve_2026_128131_many_empty_members_are_refused(wander: Crawl, ends: Any) -> None:
    """aiohttp: each of many members was decoded from a copy of all that followed it."""
    body = gzip.compress(b"") * 200_000
    async with Hostile(raw(_counting("gzip", body))) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "failed bad_encoding"}


async def test_cve_2025_66418_a_long_chain_of_codings_is_refused(wander: Crawl, ends: Any) -> None:
    """urllib3: a response could name any number of codings, one over the other."""
    body = b"x"
    for _ in range(10):
        body = gzip.compress(body)
    async with Hostile(raw(_counting(", ".join(["gzip"] * 10), body))) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "failed unsupported_encoding"}


async def test_cve_2026_21441_a_bomb_in_a_redirect_is_not_inflated(
    wander: Crawl, ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3: the body of a redirect, which nobody reads, was decompressed without a limit."""
    bomb = gzip.compress(bytes(64 * MIB))
    moved = head(302, "Location: /in", "Content-Encoding: gzip", length=len(bomb)) + bomb
    made = 0
    decoding = import_module("crawler.decoding")
    decode = decoding._Stage.decode

    def noting(stage: Any, data: bytes, cap: int) -> bytes:
        nonlocal made
        found: bytes = decode(stage, data, cap)
        made += len(found)
        return found

    monkeypatch.setattr(decoding._Stage, "decode", noting)
    async with Hostile(site({"/": moved, "/in": "in"})) as server:
        await wander(server.url + "/", max_body=MIB)
        assert set(ends().values()) <= {"failed too_large", "done"}
    assert made <= 2 * MIB


async def test_cve_2017_14158_a_body_without_end_is_cut(wander: Crawl, ends: Any) -> None:
    """Scrapy: whatever a server sent was held in memory."""
    sent = 0

    async def endless(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(head(200))
        while True:
            await connection.send(b"x" * 65536)
            sent += 65536

    async with Hostile(endless) as server:
        await wander(server.url + "/", max_body=MIB)
        assert ends() == {server.url + "/": "failed too_large"}
    assert sent < 32 * MIB  # what the sockets' buffers took


async def test_cve_2025_69229_many_small_chunks_hold_nothing_up(
    wander: Crawl, ends: Any, rows: Rows
) -> None:
    """aiohttp: a body in a great many chunks cost more with each of them."""
    many = chunked(*[b"x"] * 300_000)
    async with Hostile(site({"/": many, "/next": "next"})) as server:
        await wander(server.url + "/", server.url + "/next")
        assert ends() == {server.url + "/": "done", server.url + "/next": "done"}
    assert sorted(rows("SELECT bytes FROM crawl_request")) == [4, 300_000]


async def test_cve_2026_34516_the_parts_of_a_multipart_body_are_not_looked_at(
    wander: Crawl, rows: Rows
) -> None:
    """aiohttp: the headers of a multipart body's parts were parsed without a limit."""
    body = b"--b\r\n" + b"X-Header: 1\r\n" * 100_000 + b"\r\n\r\n--b--\r\n"
    page = response(body, kind="multipart/mixed; boundary=b")
    async with Hostile(raw(page)) as server:
        await wander(server.url + "/")
    assert rows("SELECT state, bytes FROM crawl_request") == [("done", len(body))]


# ── headers, framing, and the next answer on the same connection ────────────────────────────


async def _desync(wander: Crawl, rows: Rows, first: bytes) -> list[tuple[str, str, str]]:
    """Return (path, state, text) of a page that answers with `first`, and of one after it."""
    pages = {"/first": first.replace(b"{smuggled}", response("smuggled")), "/next": "own"}
    async with Hostile(site(pages)) as server:
        start = [Request(server.url + "/first", priority=1), Request(server.url + "/next")]
        await wander(*start, concurrency=1)
    kept = dict(rows("SELECT json_extract(data,'$.url'), json_extract(data,'$.text') FROM item"))
    found = rows("SELECT url, state FROM crawl_request ORDER BY id")
    return [(url.rpartition("/")[2], state, kept.get(url, "")) for url, state in found]


_NEXT = ("next", "done", "own")


@pytest.mark.parametrize(
    "line",
    ["Content-Length: +4", "Content-Length: 4_", "Content-Length: -4", "Content-Length: 4, 4",
     "Content-Length: 0x4", "Content-Length: 4 4", "Content-Length: \xb24"],
)  # fmt: skip
async def test_cve_2023_47627_a_length_is_digits(wander: Crawl, rows: Rows, line: str) -> None:
    """aiohttp: lengths and headers were read in ways that nobody else reads them."""
    first = f"HTTP/1.1 200 OK\r\n{line}\r\n\r\nbody".encode("latin-1") + b"{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert page[1:] in {("failed", ""), ("done", "body")}
    assert after == _NEXT


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked123",
        b"Content-Length: 5\r\nTransfer-Encoding: xchunked",
    ],
)
async def test_cve_2023_47641_a_body_with_two_lengths_answers_nothing_else(
    wander: Crawl, rows: Rows, lines: bytes
) -> None:
    """aiohttp: a length beside chunks was read by one side in this way, by the other in that."""
    first = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n0\r\n\r\n{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert "smuggled" not in page[2]
    assert after == _NEXT


@pytest.mark.parametrize(
    "line", [b"X-A : 1", b"X A: 1", b" X-A: 1", b"X-A", b"X\x00A: 1", b": 1", b"X(A): 1"]
)
async def test_cve_2024_23829_a_header_that_is_none_smuggles_in_nothing(
    wander: Crawl, rows: Rows, line: bytes
) -> None:
    """aiohttp: names of headers had characters in them that others take for separators."""
    first = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 4\r\n\r\nbody{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert "smuggled" not in page[2]
    assert after == _NEXT


@pytest.mark.parametrize("extension", [b";x\n", b";x\r", b";\n5", b";x=\x00", b"\n", b" \n"])
async def test_cve_2024_52304_a_line_end_in_a_chunk_extension_smuggles_in_nothing(
    wander: Crawl, rows: Rows, extension: bytes
) -> None:
    """aiohttp: a bare line feed within a chunk's extension was passed over."""
    first = head(200, "Transfer-Encoding: chunked") + b"4" + extension + b"\r\nbody\r\n0\r\n\r\n"
    page, after = await _desync(wander, rows, first + b"{smuggled}")
    assert page[1:] in {("failed", ""), ("done", "body")}
    assert after == _NEXT


@pytest.mark.parametrize("trailers", [b"{smuggled}", b"X: 1\r\n\r\n{smuggled}", b"\r\n{smuggled}"])
async def test_cve_2025_53643_what_follows_the_last_chunk_answers_nothing_else(
    wander: Crawl, rows: Rows, trailers: bytes
) -> None:
    """aiohttp: the trailers of a body were not read, and stood for the next message."""
    first = head(200, "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n" + trailers + b"\r\n"
    page, after = await _desync(wander, rows, first)
    assert page[1:] in {("failed", ""), ("done", "body")}
    assert after == _NEXT


@pytest.mark.parametrize("coding", ["chun\u212aed", "\uff43hunked", "chunked\u00a0"])
async def test_cve_2025_69224_letters_that_fold_to_ascii_are_not_ascii(
    wander: Crawl, rows: Rows, coding: str
) -> None:
    """aiohttp: a Kelvin sign made `chunKed` of what no other parser takes for chunked."""
    line = f"Transfer-Encoding: {coding}".encode()
    first = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{smuggled}"
    page, after = await _desync(wander, rows, first)
    assert page[1:] in {("failed", ""), ("done", "0\r\n\r")}
    assert after == _NEXT


async def test_cve_2026_22815_trailers_without_end_are_cut(wander: Crawl, ends: Any) -> None:
    """aiohttp: headers and trailers could be so many that they filled the memory."""
    sent = 0

    def endless(start: bytes) -> Play:
        async def play(connection: Connection) -> None:
            nonlocal sent
            await connection.request()
            await connection.send(start)
            while True:
                await connection.send(b"X-Header: " + b"x" * 1000 + b"\r\n")
                sent += 1000

        return play

    in_chunks = head(200, "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n"
    async with Hostile(endless(b"HTTP/1.1 200 OK\r\n")) as a, Hostile(endless(in_chunks)) as b:
        await wander(a.url + "/", b.url + "/", timeout=5.0)
    assert [end.partition(" ")[0] for end in ends().values()] == ["failed", "failed"]
    assert sent < 64 * MIB  # what the sockets' buffers took


async def test_cve_2026_54277_a_line_in_many_pieces_is_cut(wander: Crawl, ends: Any) -> None:
    """aiohttp: a line was measured piece by piece, so that it could be of any length."""
    sent = 0

    def endless(start: bytes) -> Play:
        async def play(connection: Connection) -> None:
            nonlocal sent
            await connection.request()
            await connection.send(start)
            while True:
                await connection.send(b"x" * 4000)
                sent += 4000
                await asyncio.sleep(0)

        return play

    starts = [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nX-A: "]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Hostile(endless(start))) for start in starts]
        await wander(*(server.url + "/" for server in servers), timeout=5.0)
    assert set(ends().values()) == {"failed bad_response"}
    assert sent < 64 * MIB  # what the sockets' buffers took


@pytest.mark.parametrize("byte", [b"\x00", b"\r", b"\x00\r", b"\rX-B: "])
async def test_cve_2026_34520_a_control_character_in_a_header_is_refused(
    wander: Crawl, ends: Any, byte: bytes
) -> None:
    """aiohttp: NULs and other control characters were let through in a response's headers."""
    page = b"HTTP/1.1 200 OK\r\nX-A: a" + byte + b"b\r\nContent-Length: 2\r\n\r\nok"
    async with Hostile(raw(page)) as server:
        await wander(server.url + "/")
        assert ends() == {server.url + "/": "failed bad_response"}


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n", b"4\r\nbodyX", b"4\r\nbody\r\n-1\r\n", b"4", b"4\rbody", b"f" * 40 + b"\r\n",
     b"4\r\nbody\r\n0\r\nX\x00: 1\r\n\r\n", b"4;" + b"\xff" * 9000 + b"\r\n", b"4\r\nbody\r\n\x00"],
)  # fmt: skip
async def test_cve_2026_69244_a_broken_chunk_fails_the_page_and_nothing_else(
    wander: Crawl, ends: Any, body: bytes
) -> None:
    """aiohttp: the message about a malformed chunk was made from memory beyond the buffer."""
    start = head(200, "Transfer-Encoding: chunked")
    pieces = [body[at : at + 1] for at in range(len(body))]

    async def bytewise(connection: Connection) -> None:
        await connection.request()
        for piece in (start, *pieces):
            await connection.send(piece)
            await asyncio.sleep(0)

    plays = (raw(start + body), bytewise, answer("next"))
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Hostile(play)) for play in plays]
        await wander(*(server.url + "/" for server in servers))
        at_once, bytewise_, after = (ends()[server.url + "/"] for server in servers)
    assert {at_once, bytewise_} <= {"failed bad_response", "failed truncated"}
    assert after == "done"


# ── what a spider is made to send ───────────────────────────────────────────────────────────

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


# ── text that is taken for code ─────────────────────────────────────────────────────────────


async def test_cve_2026_105782_a_referrer_policy_is_not_code(
    wander: Crawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapy: a Referrer-Policy that looked like a Python path was imported and called."""
    (tmp_path / "policy_of_evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for policy in ("sys.exit", "policy_of_evil.Policy", "os.abort", "no-referrer"):
        link = f'<a href="/{policy}">x</a>'
        async with Hostile(answer(link, f"Referrer-Policy: {policy}")) as server:
            summary = await wander(server.url + "/")
        assert (summary.finish, len(server.asked)) == ("finished", 2)
        assert [one.header("Referer") for one in server.asked] == [None, None]
    assert "policy_of_evil" not in sys.modules


async def test_cve_2026_34993_nothing_in_a_crawl_file_is_unpickled(
    wander: Crawl, db: Path, tmp_path: Path
) -> None:
    """aiohttp: a jar of cookies was kept as a pickle, which is code to whoever loads it."""
    mark = tmp_path / "unpickled"
    bomb = f"cbuiltins\nopen\n(V{mark}\nVw\ntR.".encode()
    pages = {"/": response('<a href="/2">x</a>', "Set-Cookie: a=1; Max-Age=999"), "/2": "in"}
    async with Hostile(site(pages)) as server:
        await wander(Request(server.url + "/", meta={"k": 1}), max_pages=1)
        with closing(sqlite3.connect(db)) as file, file:
            for table, column in (
                ("crawl_request", "payload"),
                ("crawl_cookie", "value"),
                ("crawl_host", "robots"),
            ):
                blobs = file.execute(
                    f"SELECT {column} FROM {table} WHERE typeof({column}) = 'blob'"
                ).fetchall()
                assert blobs == []
                file.execute(f"UPDATE {table} SET {column} = ?", (bomb,))
        summary = await wander(server.url + "/")
    assert summary.queued == 0
    assert not mark.exists()
    pickle.loads(bomb).close()
    assert mark.exists()


async def test_cve_2024_1892_text_that_never_ends_its_tags_holds_nothing_up(
    wander: Crawl, ends: Any
) -> None:
    """Scrapy: regular expressions over XML took quadratic time and more."""

    class Reading(Wanderer):
        def parse(self, response: Response) -> Any:
            yield {"items": len(response.css("item").getall()), "text": len(response.text)}
            yield from response.follow_all("a, link, loc")

    hostile = [
        "<?xml " * 50_000,
        '<?xml version="1.0"' + " " * 300_000,
        "<item>" + "<" + " " * 300_000 + "/item",
        "<!--" * 50_000,
        "<![CDATA[" * 50_000,
        "&" * 300_000,
        "<item " + "a='" * 50_000,
        '<meta charset="' + " " * 300_000,
    ]
    pages = {}
    for number, text in enumerate(hostile):
        pages[f"/{number}.xml"] = response(text, kind="application/xml")
        pages[f"/{number}.html"] = response(text)
    async with Hostile(site(pages)) as server:
        await wander(*(server.url + path for path in pages), of=Reading)
    handled = {"done", "done duplicate_content", "failed parse_budget"}
    assert set(ends().values()) <= handled


@pytest.mark.parametrize("kind", ["application/xml", "application/xhtml+xml", "text/html"])
async def test_cve_2026_41066_entities_are_neither_read_from_afar_nor_multiplied(
    wander: Crawl, rows: Rows, tmp_path: Path, kind: str
) -> None:
    """lxml, which Scrapy stands on: an entity in a document could be a file of the reader's."""
    pytest.importorskip("parsel")
    secret = tmp_path / "file"
    secret.write_text("secret")
    more = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    doctype = (
        f'<!DOCTYPE r [<!ENTITY far SYSTEM "{secret.as_uri()}">'
        f'<!ENTITY % dtd SYSTEM "{{here}}/dtd">%dtd;<!ENTITY e0 "boom">{more}]>'
    )
    page = f'<?xml version="1.0"?>{doctype}<r><item>&far;</item><item>&e9;</item></r>'

    class Reading(Wanderer):
        def parse(self, response: Response) -> Any:
            queries = ("//item//text()", "//item", "string(/)")
            found = [response.xpath(query).getall() for query in queries]
            yield {"xpath": found, "css": response.css("item::text, item").getall()}

    async with Hostile(answer(page, kind=kind)) as server:
        await wander(server.url + "/", of=Reading)
    (data,) = rows("SELECT data FROM item")
    assert "secret" not in data
    assert len(data) < 20_000
    assert [one.target for one in server.asked] == ["/"]


async def test_cve_2026_55520_stars_in_robots_txt_hold_nothing_up(wander: Crawl, ends: Any) -> None:
    """Protego, which Scrapy stands on: patterns of many stars took exponential time."""
    robots = "User-agent: *\n" + "Disallow: /" + "*a" * 1000 + "*b$\n" + "Disallow: /p\n"
    async with Hostile(site({"/robots.txt": robots, "/" + "a" * 1500: "in"})) as server:
        await wander(server.url + "/" + "a" * 1500, server.url + "/p", robots=True)
        assert sorted(ends().values()) == ["done", "skipped robots"]


# ── the table ───────────────────────────────────────────────────────────────────────────────


def test_the_table_in_security_md_has_every_test_here_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    rows = re.findall(r"^\| ([A-Z]+-[\w-]+) \|.*\| `(\w+)` \|$", text, re.MULTILINE)
    here = [name for name in globals() if re.match("test_(cve|ghsa|pysec)_", name)]
    assert sorted(test for _, test in rows) == sorted(here)
    for advisory, test in rows:
        assert test.startswith(f"test_{advisory.lower().replace('-', '_')}_")
    tested = {advisory for advisory, _ in rows}
    left_out = set(re.findall(r"(?:CVE|GHSA|PYSEC)-[\w-]+", text)) - tested
    assert len(left_out) > 20  # each with its reason, in the second table
