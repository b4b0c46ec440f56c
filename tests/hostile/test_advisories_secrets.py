"""Advisories of secrets that go to the wrong place."""

import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from crawler import Request
from tests.hostile.server import Asked, Hostile, answer, head, redirect, site
from tests.hostile.wanderer import HERE, Crawl, asked_as, named
from tests.hostile.wanderer import ends as ends
from tests.hostile.wanderer import look_ups as look_ups
from tests.hostile.wanderer import names as names
from tests.hostile.wanderer import tls as tls
from tests.hostile.wanderer import wander as wander

_SECRETS = {
    "Authorization": "Basic c2VjcmV0",
    "Cookie": "session=secret",
    "Proxy-Authorization": "Basic c2VjcmV0",
    "X-Api-Key": "secret",
}


def all_headers(asked: Sequence[Asked]) -> str:
    return "\n".join(f"{name}: {value}" for one in asked for name, value in one.headers)


async def test_cve_2021_41125_credentials_of_a_host_go_to_no_other(
    wander: Crawl, names: dict[str, Sequence[str]]
) -> None:
    """Scrapy: HTTP credentials of a spider were sent to every host, robots.txt included."""
    names.update({"shop.example": HERE, "evil.example": HERE})
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
    names["evil.example"] = HERE
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
        host = server.host
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
