"""The fetcher and redirects: where they lead, and what goes along."""

import asyncio
import time
from pathlib import Path

import pytest

from crawler.errors import DropRequest, FetchError
from crawler.request import Request
from tests.crawler.plain_fetches import failure, fetch, fetching, moved, ok, serving, silence
from tests.hostile.certificates import side_of, trusted_authority
from tests.hostile.server import Hostile, answer


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"),
        (302, "GET", "GET"),
        (303, "GET", "GET"),
        (307, "GET", "GET"),
        (308, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "PUT", "GET"),
        (301, "HEAD", "HEAD"),
        (303, "HEAD", "HEAD"),
    ],
)
async def test_a_redirect_keeps_or_changes_the_method_as_browsers_do(
    status: int, method: str, becomes: str
) -> None:
    body = b"payload" if method in ("POST", "PUT") else None
    async with serving({"/old": moved(status, "/new"), "/new": ok(b"")}) as server:
        response = await fetch(
            server.url + "/old",
            method=method,
            body=body,
            headers={"Content-Type": "text/x", "X-Kept": "1"},
        )
    old, new = server.asked
    assert (old.method, old.body) == (method, body or b"")
    kept = becomes == method
    assert (new.method, new.body) == (becomes, body or b"" if kept else b"")
    assert new.header("X-Kept") == "1"
    assert new.header("Content-Type") == ("text/x" if kept else None)
    assert response.url == server.url + "/new"
    assert response.redirects == (server.url + "/old",)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("next", "/a/next"),
        ("/top?x=1#part", "/top?x=1"),
        ("?q=2", "/a/b?q=2"),
        ("//{host}/y", "/y"),
        ("http://{host}/z", "/z"),
        ("HTTP://user:pw@{host}/z", "/z"),
        ("/sp ace", "/sp%20ace"),
    ],
)
async def test_a_location_is_read_as_a_browser_reads_it(location: str, leads_to: str) -> None:
    async with serving({leads_to: ok(), "/a/b": moved(302, location)}) as server:
        response = await fetch(server.url + "/a/b")
    assert response.url == server.url + leads_to
    assert server.asked[1].header("Authorization") is None


@pytest.mark.parametrize("location", ["http://[", "ftp://host.example/", "javascript:1", "data:,x"])
async def test_a_redirect_that_leads_nowhere_fails(location: str) -> None:
    async with serving({"/": moved(302, location)}) as server:
        error = await failure(server.url + "/")
    assert (error.reason, error.retryable) == ("bad_redirect", False)


async def test_a_redirect_without_a_location_is_a_response() -> None:
    async with Hostile(answer(status=302)) as server:
        assert (await fetch(server.url + "/")).status == 302


async def test_only_so_many_redirects_are_followed() -> None:
    pages = {f"/{n}": moved(302, f"/{n + 1}") for n in range(9)}
    async with serving({**pages, "/3": ok()}) as server:
        assert (await fetch(server.url + "/0", {"max_redirects": 3})).status == 200
        error = await failure(server.url + "/0", {"max_redirects": 2})
        assert (error.reason, error.retryable) == ("too_many_redirects", False)
        assert (await failure(server.url + "/2", {"max_redirects": 0})).reason == error.reason


async def test_a_loop_of_redirects_ends() -> None:
    async with serving({"/a": moved(302, "/b"), "/b": moved(302, "/a")}) as server:
        assert (await failure(server.url + "/a")).reason == "too_many_redirects"
    assert len(server.asked) == 11


async def test_secrets_do_not_follow_a_redirect_to_another_origin() -> None:
    secrets = {
        "Authorization": "Basic x",
        "Cookie": "a=1",
        "X-Api-Key": "k",
        "Proxy-Authorization": "y",
        "Referer": "http://a.example/secret",
    }
    harmless = {"Accept": "text/x", "accept-language": "de", "User-Agent": "mine"}
    async with serving({"/": ok(), "/back": ok()}) as other:
        pages = {"/": moved(307, other.url + "/"), "/here": moved(307, "/")}
        async with serving(pages) as server:
            await fetch(server.url + "/here", headers={**secrets, **harmless})
    here, on_the_same_origin = server.asked
    (there,) = other.asked
    for name, value in secrets.items():
        assert here.header(name) == on_the_same_origin.header(name) == value
        assert there.header(name) is None
    for name, value in harmless.items():
        assert there.header(name) == value


async def test_secrets_do_not_come_back_by_way_of_another_origin() -> None:
    pages = {"/back": ok()}
    async with (
        serving(pages) as server,
        serving({"/": moved(302, server.url + "/back")}) as other,
    ):
        pages["/"] = moved(302, other.url + "/")
        await fetch(server.url + "/", headers={"Authorization": "Basic x"})
    assert [asked.header("Authorization") for asked in server.asked] == ["Basic x", None]


async def test_a_hosts_own_headers_go_to_that_host_only() -> None:
    async with serving({"/": ok()}) as other, serving({"/": moved(302, other.url + "/")}) as server:
        await fetch(server.url + "/", {"host": [{"match": server.host, "headers": {"X-Key": "k"}}]})
    assert server.asked[0].header("X-Key") == "k"
    assert other.asked[0].header("X-Key") is None


async def test_headers_of_the_settings_do_not_follow_a_redirect_to_another_origin() -> None:
    given = {"Authorization": "Basic x", "X-Api-Key": "k", "Accept-Language": "de"}
    async with serving({"/": ok()}) as other:
        pages = {"/": moved(302, "/in"), "/in": moved(302, other.url + "/")}
        async with serving(pages) as server:
            await fetch(server.url + "/", {"headers": given, "user_agent": "mine"})
    for asked in server.asked:
        assert [asked.header(name) for name in given] == list(given.values())
    (there,) = other.asked
    assert [there.header(name) for name in given] == [None, None, "de"]
    assert there.header("User-Agent") == "mine"


async def test_a_hosts_own_headers_do_not_go_from_https_to_plain_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = side_of(trusted_authority(tmp_path, monkeypatch).issue_cert("127.0.0.1"))
    own = {"host": [{"match": "127.0.0.1", "headers": {"X-Key": "k", "Accept": "text/x"}}]}
    async with serving({"/": moved(302, "/in"), "/in": ok()}) as plain:
        async with serving({"/": moved(302, plain.url + "/")}, tls=tls) as server:
            await fetch(server.url + "/", own)
        await fetch(plain.url + "/in", own)
    assert server.asked[0].header("X-Key") == "k"
    assert [asked.header("X-Key") for asked in plain.asked] == [None, None, "k"]
    assert [asked.header("Accept") for asked in plain.asked] == ["text/x"] * 3


async def test_each_hop_passes_the_guard() -> None:
    async with (
        serving({"/": ok()}) as inside,
        serving({"/": moved(302, inside.url + "/")}) as server,
    ):
        with pytest.raises(DropRequest, match="private_address"):
            await fetch(server.url + "/", {"allow_private": [server.host]})
    assert inside.asked == []


async def test_each_hop_asks_for_leave() -> None:
    hops: list[tuple[str, str]] = []

    async def before(url: str, target: str) -> None:
        hops.append((url, target))
        if target.endswith("/3"):
            raise DropRequest("robots")

    pages = {f"/{n}": moved(302, f"/{n + 1}") for n in range(4)}
    async with serving(pages) as server, fetching() as fetcher:
        with pytest.raises(DropRequest, match="robots"):
            await fetcher.fetch(Request(server.url + "/0"), before)
    assert hops == [(f"{server.url}/{n}", f"{server.url}/{n + 1}") for n in range(3)]
    assert [asked.target for asked in server.asked] == ["/0", "/1", "/2"]


async def test_the_deadline_does_not_run_while_a_hop_waits_for_its_turn() -> None:
    async def wait_for_long(url: str, target: str) -> None:
        over = time.monotonic() + 0.6
        while time.monotonic() < over:
            await asyncio.sleep(0.01)

    pages = {"/": moved(302, "/x"), "/x": ok()}
    async with serving(pages) as server, fetching(timeout=0.5) as fetcher:
        response = await fetcher.fetch(Request(server.url + "/"), wait_for_long)
    assert response.status == 200


async def test_after_a_wait_the_deadline_runs_on() -> None:
    async def wait(url: str, target: str) -> None:
        await asyncio.sleep(0)

    pages = {"/": moved(302, "/x"), "/x": silence}
    async with serving(pages) as server, fetching(timeout=0.1) as fetcher:
        with pytest.raises(FetchError, match="timeout"):
            await fetcher.fetch(Request(server.url + "/"), wait)
