"""Redirects: where they may lead, what goes along, and that no page is visited twice."""

from collections.abc import AsyncIterator, Mapping

import crawler
from tests.hostile.case import Case, Outcome, Reader
from tests.hostile.server import (
    Connection,
    Play,
    answer,
    head,
    raw,
    redirect,
    response,
    site,
)

_SECRETS = {
    "Authorization": "Bearer secret",
    "Cookie": "session=secret",
    "Proxy-Authorization": "Basic secret",
    "X-Api-Key": "secret",
    "X-Custom": "secret",
}


class Secretive(Reader):
    """Sends secrets with its first request."""

    async def start(self) -> AsyncIterator[crawler.Request]:
        yield crawler.Request(self.start_urls[0], headers=_SECRETS)


class Poster(Reader):
    """Begins with a POST."""

    async def start(self) -> AsyncIterator[crawler.Request]:
        yield crawler.Request(self.start_urls[0], form={"name": "value"})


def _chain(hops: int) -> Play:
    pages = {f"/{n or ''}": response(status=302) for n in range(hops)}
    for number in range(hops):
        pages[f"/{number or ''}"] = response(b"", f"Location: /{number + 1}", status=302)
    return site({**pages, f"/{hops}": "<title>the end</title>"})


def _to(location: str, status: int = 302, **pages: str) -> Play:
    """A site whose first page redirects."""
    return site(
        {
            "/": response(b"", f"Location: {location}", status=status),
            **{f"/{name}": page for name, page in pages.items()},
        }
    )


def _final(url: str) -> "object":
    def check(outcome: Outcome) -> None:
        assert [item["url"].split("/", 3)[3] for item in outcome.items] == [url]

    return check


def _no_secret_there(outcome: Outcome) -> None:
    (asked,) = outcome.asked_there
    assert "secret" not in repr(asked)
    assert "secret" in repr(outcome.asked[0])


def _secrets_stay_here(outcome: Outcome) -> None:
    assert [asked.header("X-Api-Key") for asked in outcome.asked] == ["secret", "secret"]


def _method(method: str, body: bytes) -> "object":
    def check(outcome: Outcome) -> None:
        last = outcome.asked[-1]
        assert (last.target, last.method, last.body) == ("/end", method, body)
        assert (last.header("Content-Type") is not None) == bool(body)

    return check


def _asked_once(*targets: str) -> "object":
    def check(outcome: Outcome) -> None:
        asked = [one.target for one in outcome.asked]
        assert {target: asked.count(target) for target in targets} == dict.fromkeys(targets, 1)
        urls = [item["url"] for item in outcome.items]
        assert len(urls) == len(set(urls))

    return check


def _gated() -> Play:
    """`/` sends to `/gate`, which sends back to `/`; only then is there a page."""
    passed = False

    async def play(connection: Connection) -> None:
        nonlocal passed
        while True:
            asked = await connection.request()
            if asked.target == "/gate":
                passed = True
                await connection.send(response(b"", "Location: /", status=302))
            elif passed:
                await connection.send(response("<title>inside</title><a href=/gate>gate</a>"))
            else:
                await connection.send(response(b"", "Location: /gate", status=302))

    return play


def _once_a_connection(pages: Mapping[str, bytes]) -> Play:
    """Keep the connection after an answer, but break it when it is asked again."""

    async def play(connection: Connection) -> None:
        asked = await connection.request()
        await connection.send(pages.get(asked.target, response(b"", status=404)))
        await connection.request()
        connection.reset()

    return play


def _one_item(outcome: Outcome) -> None:
    assert [item["title"] for item in outcome.items] == ["inside"]


CASES = (
    # ── loops and chains
    Case("redirect to itself for ever", redirect("/"), "failed too_many_redirects"),
    Case("an empty Location is the page itself", redirect(""), "failed too_many_redirects"),
    Case("a fragment is the page itself", redirect("#x"), "failed too_many_redirects"),
    Case("to another page", _to("/a", a="x"), "done"),
    Case(
        "a loop over three pages",
        site(
            {
                "/": response(b"", "Location: /a", status=301),
                "/a": response(b"", "Location: /b", status=307),
                "/b": response(b"", "Location: /", status=308),
            }
        ),
        "failed too_many_redirects",
    ),
    Case("ten hops are followed", _chain(10), "done", check=_final("10")),
    Case("eleven hops are too many", _chain(11), "failed too_many_redirects"),
    Case(
        "redirects that grow for ever",
        redirect("?x=1"),
        "failed too_many_redirects",
        settings={"max_redirects": 3},
    ),
    Case(
        "no redirect is followed when none may be",
        redirect("/a"),
        "failed too_many_redirects",
        settings={"max_redirects": 0},
    ),
    Case(
        "over a connection that is broken whenever it is used again",
        _once_a_connection({"/": response(b"", "Location: /a", status=302), "/a": response("a")}),
        "done",
        tries=2,
        check=_final("a"),
    ),
    Case("a page that is reached through a gate, and back", _gated(), "done", check=_one_item),
    # ── what is in Location
    Case("relative to the page", _to("a", a="<title>a</title>"), "done", check=_final("a")),
    Case("relative with dots", _to("./x/../a", a="x"), "done", check=_final("a")),
    Case("above the top", _to("../../../a", a="x"), "done", check=_final("a")),
    Case("with a query only", _to("?q=1"), "failed too_many_redirects"),
    Case("without a scheme", _to("//{host}/a", a="x"), "done", check=_final("a")),
    Case("without slashes", _to("http:a", a="x"), "done", check=_final("a")),
    Case("with backslashes", _to("\\\\{host}\\a", a="x"), "done", check=_final("a")),
    Case("with white space around it", _to("  /a\t ", a="x"), "done", check=_final("a")),
    Case("with a tab in it", _to("/\ta", a="x"), "done", check=_final("a")),
    Case("scheme in capitals", _to("HTTP://{host}/a", a="x"), "done", check=_final("a")),
    Case("in Latin-1", _to("/caf\xe9", **{"caf%E9": "x"}), "done", check=_final("caf%E9")),
    Case("missing", answer(b"", status=302), "failed http_302"),
    Case("of 100 KB", redirect("/" + "a" * 100_000), "failed bad_response", tries=2),
    Case("no host in it", redirect("http://"), "failed bad_redirect"),
    Case("a bracket that is not closed", redirect("http://[::1"), "failed bad_redirect"),
    Case("a port that is none", redirect("http://127.0.0.1:99999/"), "failed bad_redirect"),
    Case("a space in the host", redirect("http://a b/"), "failed bad_redirect"),
    Case("file", redirect("file:///etc/passwd"), "failed bad_redirect"),
    Case("data", redirect("data:text/html,<title>x</title>"), "failed bad_redirect"),
    Case("javascript", redirect("javascript:alert(1)"), "failed bad_redirect"),
    Case("ftp", redirect("ftp://127.0.0.1/x"), "failed bad_redirect"),
    Case("mailto", redirect("mailto:someone@example.com"), "failed bad_redirect"),
    Case("about", redirect("about:blank"), "failed bad_redirect"),
    Case("view-source", redirect("view-source:http://127.0.0.1/"), "failed bad_redirect"),
    Case("s3, which some download tools know", redirect("s3://bucket/key"), "failed bad_redirect"),
    Case(
        "user and password in it are not sent",
        redirect("http://user:secret@127.0.0.2/"),
        "skipped private_address",
    ),
    Case(
        "user and password for another origin are dropped",
        redirect("http://user:secret@{host there}/"),
        "done",
        check=lambda outcome: _no_userinfo(outcome),
    ),
    Case(
        "a Refresh header is not followed",
        answer("x", "Refresh: 0; url=/a"),
        "done",
        check=_final(""),
    ),
    Case("300 lets a person choose", answer("x", "Location: /a", status=300), "failed http_300"),
    Case("304 that nobody asked for", raw(head(304)), "failed http_304"),
    Case("305 names a proxy", answer("x", "Location: /a", status=305), "failed http_305"),
    # ── what goes along
    Case(
        "secrets to another origin: 301",
        redirect("{there}/", status=301),
        "done",
        spider=Secretive,
        check=_no_secret_there,
    ),
    Case(
        "secrets to another origin: 307",
        redirect("{there}/", status=307),
        "done",
        spider=Secretive,
        check=_no_secret_there,
    ),
    Case(
        "secrets to another origin: 308",
        redirect("{there}/", status=308),
        "done",
        spider=Secretive,
        check=_no_secret_there,
    ),
    Case(
        "secrets on the way to another origin and back",
        redirect("{there}/"),
        "failed too_many_redirects",
        spider=Secretive,
        there=redirect("{there}/"),
        check=lambda outcome: _lost_for_good(outcome),
    ),
    Case(
        "secrets within the origin",
        _to("/end", end="x"),
        "done",
        spider=Secretive,
        check=_secrets_stay_here,
    ),
    *(
        Case(
            f"POST becomes GET at {status}",
            _to("/end", status, end="x"),
            "done",
            spider=Poster,
            check=_method("GET", b""),
        )
        for status in (301, 302, 303)
    ),
    *(
        Case(
            f"POST stays POST at {status}",
            _to("/end", status, end="x"),
            "done",
            spider=Poster,
            check=_method("POST", b"name=value"),
        )
        for status in (307, 308)
    ),
    # ── to a page that is off limits, or known
    Case(
        "offsite",
        redirect("{there}/"),
        "skipped offsite",
        spider=type("Stays", (Reader,), {"allowed_domains": ("127.0.0.1",)}),
        check=lambda outcome: _never_asked(outcome),
    ),
    Case(
        "to a page that robots.txt closes",
        _to("{there}/private/x"),
        "skipped robots",
        settings={"robots": True},
        there=site(
            {"/robots.txt": response("User-agent: *\nDisallow: /private", kind="text/plain")}
        ),
        check=lambda outcome: _asked_for_robots_only(outcome),
    ),
    Case(
        "to a page that is linked as well",
        site(
            {
                "/": "<a href=/r1></a><a href=/page></a><a href=/r2></a>",
                "/r1": response(b"", "Location: /page", status=302),
                "/r2": response(b"", "Location: /page", status=301),
                "/page": "<title>page</title>",
            }
        ),
        "done",
        others={"{here}/r1": "done alias", "{here}/r2": "done alias", "{here}/page": "done"},
        check=_asked_once("/page"),
    ),
    Case(
        "to a page that is visited already",
        site(
            {
                "/": "<title>home</title><a href=/r1></a>",
                "/r1": response(b"", "Location: /", status=302),
            }
        ),
        "done",
        others={"{here}/r1": "done alias"},
        check=_asked_once("/", "/r1"),
    ),
    Case(
        "two that lead to each other, both of them linked",
        site(
            {
                "/": "<a href=/a></a><a href=/b></a>",
                "/a": response(b"", "Location: /b", status=302),
                "/b": response(b"", "Location: /a", status=302),
            }
        ),
        "done",
        check=lambda outcome: _one_gives_up(outcome),
    ),
)


def _no_userinfo(outcome: Outcome) -> None:
    (asked,) = outcome.asked_there
    assert asked.header("Authorization") is None
    assert "secret" not in repr((outcome.rows, outcome.items, outcome.asked_there))


def _lost_for_good(outcome: Outcome) -> None:
    assert "secret" not in repr(outcome.asked[1:])
    assert "secret" not in repr(outcome.asked_there)


def _never_asked(outcome: Outcome) -> None:
    assert outcome.asked_there == ()


def _asked_for_robots_only(outcome: Outcome) -> None:
    assert [asked.target for asked in outcome.asked_there] == ["/robots.txt"]


def _one_gives_up(outcome: Outcome) -> None:
    ends = sorted(outcome.rows["{here}" + path].ends for path in ("/a", "/b"))
    assert ends == ["done alias", "failed too_many_redirects"]
