"""Ways into private networks, and to ports that are no web server's: none is taken.

`here` is reachable because it is a start URL. `there` is another server of this machine, which
most of these crawls have no leave to ask. Everything else is not even asked here: the tests'
own `open_socket` would fail the test.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import crawler
from crawler.url import canonical
from tests.hostile.case import Case, Outcome, Reader
from tests.hostile.server import Hostile, Play, redirect, response, site
from tests.names import Answers, name_server

_PRIVATE = {
    "loopback": "http://127.0.0.3/",
    "the end of 127/8": "http://127.255.255.254/",
    "loopback by https": "https://127.0.0.3/",
    "IPv6 loopback": "http://[::1]/",
    "IPv6 loopback written out": "http://[0:0:0:0:0:0:0:1]/",
    "0.0.0.0": "http://0.0.0.0/",
    "another of 0/8": "http://0.1.2.3/",
    "the unspecified IPv6 address": "http://[::]/",
    "10/8": "http://10.0.0.1/",
    "172.16/12": "http://172.31.255.255/",
    "192.168/16": "http://192.168.1.1/",
    "carrier NAT": "http://100.64.0.1/",
    "the metadata service": "http://169.254.169.254/latest/meta-data/",
    "the metadata service of containers": "http://169.254.170.2/v2/credentials",
    "a metadata service in carrier NAT": "http://100.100.100.200/",
    "a metadata service among protocol assignments": "http://192.0.0.192/",
    "a metadata service by IPv6": "http://[fd00:ec2::254]/",
    "unique local": "http://[fd12:3456:789a::1]/",
    "IPv6 link-local": "http://[fe80::1]/",
    "site-local": "http://[fec0::1]/",
    "multicast": "http://224.0.0.251/",
    "IPv6 multicast": "http://[ff02::1]/",
    "240/4": "http://240.0.0.1/",
    "broadcast": "http://255.255.255.255/",
    "benchmarking": "http://198.18.0.1/",
    "documentation": "http://203.0.113.1/",
    "IPv4-mapped": "http://[::ffff:127.0.0.3]/",
    "IPv4-mapped in hex": "http://[::ffff:a9fe:a9fe]/",
    "IPv4-compatible": "http://[::127.0.0.3]/",
    "IPv4-translated": "http://[::ffff:0:10.0.0.1]/",
    "NAT64": "http://[64:ff9b::7f00:3]/",
    "NAT64 of a local prefix": "http://[64:ff9b:1::a00:1]/",
    "6to4": "http://[2002:7f00:3::]/",
    "Teredo": "http://[2001:0:7f00:1::1]/",
    "ISATAP": "http://[2606:4700::5efe:10.0.0.1]/",
    "decimal": "http://2130706435/",
    "hex": "http://0x7f000003/",
    "hex and short": "http://0x7f.3/",
    "octal": "http://0177.0.0.3/",
    "octal in one": "http://017700000003/",
    "short": "http://127.3/",
    "zero": "http://0/",
    "mixed bases": "http://0x7f.0.0.03/",
    "a trailing dot": "http://127.0.0.3./",
    "full-width digits": "http://１２７.０.０.３/",
    "circled digits": "http://①②⑦.⓪.⓪.③/",
    "ideographic full stops": "http://127。0。0。3/",
    "percent-encoded": "http://%31%32%37.0.0.%33/",
    "a soft hyphen": "http://127.0.0.\u00ad3/",
    "a name before the @": "http://books.example@127.0.0.3/",
    "a backslash for a slash": "http://127.0.0.3\\@books.example/",
    "a tab within": "http://127.0.\t0.3/",
    "no scheme": "//127.0.0.3/",
    "localhost": "http://localhost/",
    "LocalHost with a dot": "http://LocalHost./",
    "a name under localhost": "http://books.localhost/",
    "localhost in full-width letters": "http://ｌｏｃａｌｈｏｓｔ/",
}
_NO_ADDRESS = {
    "a number too large": "http://127.0.0.256/",
    "five numbers": "http://127.0.0.0.3/",
    "a name that ends in a number": "http://books.3/",
    "an IPv6 address with a zone": "http://[fe80::1%25eth0]/",
    "an IPv6 address left open": "http://[::1/",
}
# Names, and what they resolve to.
_NAMES: dict[str, Answers] = {
    "v4.test": ["127.0.0.3"],
    "v6.test": ["::1"],
    "many.test": ["10.0.0.1", "::1", "192.168.0.1", "fd00::1"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:127.0.0.3"],
    "zone.test": ["fe80::1%2"],
    "nowhere.test": ["0.0.0.0"],
}
_BAD_PORTS = (1, 22, 25, 6000, 6667, 10080)


class Fetching(Reader):
    """Fetches by itself what `self.tempting` names, and keeps how that ended."""

    tempting: tuple[str, ...] = ()

    async def parse(self, response: crawler.Response) -> Any:
        for url in self.tempting:
            try:
                await self.fetch(crawler.Request(url))
            except crawler.DropRequest as drop:
                yield {"url": url, "reason": drop.reason}


class Homely(Reader):
    """Stays on the site it starts from."""

    allowed_domains = None


class Tempted(Fetching):
    """Tries a private network and a bad port from a callback."""

    tempting = ("http://10.0.0.1/", "http://127.3/", "http://books.example:25/")


def _kept(outcome: Outcome) -> None:
    reasons = [item["reason"] for item in outcome.items]
    assert reasons == ["private_address", "private_address", "bad_port"]


def _sent(url: str) -> str:
    """Return `url` as a header's text that stands for its UTF-8 bytes."""
    return url.encode().decode("latin-1")


def _page(*urls: str) -> str:
    return "".join(f'<a href="{url}">x</a>' for url in urls)


def _not_asked(outcome: Outcome) -> None:
    assert outcome.asked_there == ()


def _robots_at(location: str) -> Play:
    moved = response(b"", f"Location: {location}", status=302)
    return site({"/robots.txt": moved, "/": "<title>here</title>"})


def _serving(
    play: Play, names: Mapping[str, Answers], name: str = ""
) -> Callable[[], AbstractAsyncContextManager[str]]:
    """Serve `play` where `names` are known; the start URL has `name` in place of 127.0.0.1."""

    @asynccontextmanager
    async def listen() -> AsyncIterator[str]:
        with name_server(names):
            async with Hostile(play) as server:
                yield server.url.replace("127.0.0.1", name or "127.0.0.1")

    return listen


@asynccontextmanager
async def _bad_port() -> AsyncIterator[str]:
    yield "http://127.0.0.1:6000"


CASES = (
    *(
        Case(f"redirect to {name}", redirect(_sent(url)), "skipped private_address")
        for name, url in _PRIVATE.items()
    ),
    *(
        Case(f"redirect to {name}", redirect(_sent(url)), "failed bad_redirect")
        for name, url in _NO_ADDRESS.items()
    ),
    Case(
        "links to every private address",
        site({"/": "<meta charset=utf-8>" + _page(*_PRIVATE.values())}),
        "done",
        others={
            canonical(url, "http://127.0.0.1/"): "skipped private_address"
            for url in _PRIVATE.values()
        },
    ),
    Case(
        "links to a private address beside what the robots.txt there would say",
        site({"/": _page("http://10.0.0.1/", "http://127.3:8080/x")}),
        "done",
        settings={"robots": True},
        others={
            "http://10.0.0.1/": "skipped private_address",
            "http://127.0.0.3:8080/x": "skipped private_address",
        },
    ),
    Case(
        "a link to another port of a start URL's host",
        site({"/": _page("{there}/", "/a"), "/a": ""}),
        "done",
        settings={"allow_private": []},
        others={"{there}/": "skipped private_address", "{here}/a": "done"},
        check=_not_asked,
    ),
    Case(
        "a redirect to another port of a start URL's host",
        redirect("{there}/"),
        "skipped private_address",
        settings={"allow_private": []},
        check=_not_asked,
    ),
    Case(
        "a redirect to the metadata service, which is offsite too",
        redirect("http://169.254.169.254/"),
        "skipped private_address",
        spider=Homely,
    ),
    Case(
        "a robots.txt that redirects to the metadata service",
        _robots_at("http://169.254.169.254/robots.txt"),
        "skipped private_address",
        settings={"robots": True},
        tries=0,
    ),
    Case(
        "a robots.txt that redirects to another server of this machine",
        _robots_at("{there}/robots.txt"),
        "skipped private_address",
        settings={"robots": True, "allow_private": []},
        tries=0,
        check=_not_asked,
    ),
    Case(
        "a robots.txt that redirects to a bad port",
        _robots_at("http://books.example:25/"),
        "skipped bad_port",
        settings={"robots": True},
        tries=0,
    ),
    Case("self.fetch of what is off limits", site({"/": ""}), "done", spider=Tempted, check=_kept),
    Case(
        "links to names that resolve to private addresses",
        site({"/": ""}),
        "done",
        listen=_serving(site({"/": _page(*(f"http://{name}/" for name in _NAMES))}), _NAMES),
        others={f"http://{name}/": "skipped private_address" for name in _NAMES},
    ),
    *(
        Case(
            f"redirect to a name that resolves to {answer}",
            site({"/": ""}),
            "skipped private_address",
            listen=_serving(redirect(f"http://{name}/"), _NAMES),
        )
        for name, answer in _NAMES.items()
    ),
    Case(
        "a robots.txt that redirects to a name that resolves to a private address",
        site({"/": ""}),
        "skipped private_address",
        settings={"robots": True},
        tries=0,
        listen=_serving(_robots_at("http://v4.test/"), _NAMES),
    ),
    Case(
        "a start URL's name that resolves to a private address, and the name at another port",
        site({"/": ""}),
        "done",
        listen=_serving(
            site({"/": _page("/a", "http://start.test:8080/"), "/a": ""}),
            {"start.test": ["127.0.0.1"]},
            "start.test",
        ),
        others={"{here}/a": "done", "http://start.test:8080/": "skipped private_address"},
    ),
    Case(
        "a start URL under localhost, which no name server is asked for",
        site({"/": ""}),
        "done",
        listen=_serving(site({"/": "<title>x</title>"}), {}, "shop.localhost"),
    ),
    *(
        Case(f"redirect to port {port}", redirect(f"http://127.0.0.1:{port}/"), "skipped bad_port")
        for port in _BAD_PORTS
    ),
    Case("redirect to port 0", redirect("http://127.0.0.1:0/"), "skipped bad_port"),
    Case("redirect to a bad port by https", redirect("https://[::1]:25/"), "skipped bad_port"),
    Case(
        "links to bad ports",
        site({"/": _page(*(f"http://127.0.0.1:{port}/" for port in _BAD_PORTS))}),
        "done",
        others={f"http://127.0.0.1:{port}/": "skipped bad_port" for port in _BAD_PORTS},
    ),
    Case("a start URL at a bad port", site({}), "skipped bad_port", tries=0, listen=_bad_port),
)
