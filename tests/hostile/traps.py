"""Traps: places without end, that a crawl must come out of by itself; and pages met again."""

from collections.abc import Callable
from datetime import date
from urllib.parse import parse_qsl

from tests.hostile.case import Case, Outcome
from tests.hostile.server import Connection, Play, response, site

_MANY = 3000  # more pages than any of these may cost
_HEX = "0123456789abcdef0123456789abcdef"


def _pages(page: Callable[[str], str]) -> Play:
    """A site in which every page there could be is there."""

    async def play(connection: Connection) -> None:
        while True:
            asked = await connection.request()
            await connection.send(response(page(asked.target)))

    return play


def _ends(*reasons: str, most: int = _MANY) -> Callable[[Outcome], None]:
    """The crawl came to its end by itself, and says where it did not go on."""

    def check(outcome: Outcome) -> None:
        assert outcome.summary.finish == "finished"
        assert outcome.summary.queued == 0
        assert len(outcome.asked) <= most
        assert set(reasons) <= set(outcome.summary.reasons["skipped"])

    return check


def _asked(*targets: str) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert sorted(asked.target for asked in outcome.asked) == sorted(targets)

    return check


def _month(target: str) -> tuple[int, int]:
    """Year and month that a calendar's address names; the present by default."""
    query = dict(parse_qsl(target.partition("?")[2]))
    today = date.today()
    return int(query.get("year", today.year)), int(query.get("month", today.month))


def _calendar(target: str) -> str:
    year, month = _month(target)
    after = (year + month // 12, month % 12 + 1)
    before = (year - (month == 1), (month - 2) % 12 + 1)
    return f"{year} {month}" + "".join(
        f"<a href='/calendar?year={y}&month={m}'>{y}</a>" for y, m in (before, after)
    )


def _calendar_in_path(target: str) -> str:
    parts = target.strip("/").split("/")
    year, month = (int(parts[0]), int(parts[1])) if len(parts) == 2 else (date.today().year, 1)
    year, month = year + month // 12, month % 12 + 1
    return f"{target}<a href='/{year:04}/{month:02}/'>next</a>"


def _days(target: str) -> str:
    when = dict(parse_qsl(target.partition("?")[2])).get("date")
    day = date.fromisoformat(when) if when else date.today()
    after = date.fromordinal(day.toordinal() + 7)
    return f"{day}<a href='/events?view=week&date={after}'>next week</a>"


def _counter(target: str) -> str:
    number = int(target.partition("=")[2] or 0)
    # Far beyond the limits here, and yet no burden where all cases are met without them.
    return f"<a href='/?n={number + 1}'>{target}</a>" if number < 100 else "the end"


def _sessions() -> Play:
    """Gives every page a session of its own, in all of its links."""
    visits = 0

    def page(target: str) -> str:
        nonlocal visits
        visits += 1
        session = f"{visits:032x}"
        return f"{target}" + "".join(
            f"<a href='/{name}{before}{session}'>{name}</a>"
            for name in ("a", "b", "c")
            for before in ("?PHPSESSID=", "?x=1&sid=", ";jsessionid=")
        )

    return _pages(page)


def _quota(outcome: Outcome) -> None:
    assert len(outcome.asked) == 5
    assert outcome.summary.done == 5
    assert set(outcome.summary.reasons["skipped"]) == {"max_pages_per_host"}


def _same_content(outcome: Outcome) -> None:
    assert outcome.summary.reasons["done"] == {"": 2, "duplicate_content": 2}
    assert len(outcome.items) == 4  # reported, not dropped
    assert sum(asked.target == "/deeper" for asked in outcome.asked) == 1


def _too_long(outcome: Outcome) -> None:
    assert len(outcome.asked) == 1
    assert outcome.summary.reasons["skipped"] == {"url_too_long": 1}
    assert max(map(len, outcome.rows)) < 3000


CASES = (
    Case("an endless calendar", _pages(_calendar), "done", check=_ends("trap")),
    Case(
        "an endless calendar without a word that says so",
        _pages(_calendar_in_path),
        "done",
        check=_ends("trap", most=100),
    ),
    Case("an endless calendar of weeks", _pages(_days), "done", check=_ends("trap", most=200)),
    Case(
        "a relative link that makes the path grow",
        _pages(lambda target: f"{target}<a href='again/'>on</a>"),
        "done",
        check=_ends("trap", most=5),
    ),
    Case(
        "two relative links that make the path grow in turns",
        _pages(lambda target: f"{target}<a href='a/'>a</a><a href='b/'>b</a>"),
        "done",
        check=_ends("trap", most=400),
    ),
    Case(
        "a path that grows by another word each time",
        _pages(lambda target: f"{target}<a href='{len(target)}-{'x' * 40}/'>on</a>"),
        "done",
        check=_ends("url_too_long", most=100),
    ),
    Case(
        "a query that grows by the same parameter",
        _pages(lambda t: f"{t}<a href='{t}{'&' if '?' in t else '?'}ref=1'>on</a>"),
        "done",
        check=_ends("trap", most=10),
    ),
    Case(
        "a counter that never stops, with a limit for the host",
        _pages(_counter),
        "done",
        settings={"max_pages_per_host": 5},
        check=_quota,
    ),
    Case(
        "a counter that never stops, with a limit of depth",
        _pages(_counter),
        "done",
        settings={"max_depth": 7},
        check=_ends("max_depth", most=8),
    ),
    Case(
        "a start URL may be where no link may lead",
        _pages(lambda target: f"{target}<a href='/x/x/x/x/x/'>x</a><a href='{target}'>same</a>"),
        "done",
        path="/x/x/x/x/",
        others={"{here}/x/x/x/x/": "done", "{here}/x/x/x/x/x/": "skipped trap"},
        check=_asked("/x/x/x/x/"),
    ),
    Case(
        "traps are entered by those who want to",
        _pages(lambda target: f"{target}<a href='again/'>on</a>"),
        "done",
        settings={"traps": False, "max_depth": 20},
        check=_ends("max_depth", most=21),
    ),
    Case(
        "a page that names another as its canonical url",
        site({"/": "<link rel=canonical href=/other?a=1&amp;b=2#x>", "/other": "x"}),
        "done",
        check=_asked("/"),
    ),
    Case(
        "a session for every visit",
        _sessions(),
        "done",
        check=_asked("/", "/a", "/b", "/c", "/a?x=1", "/b?x=1", "/c?x=1"),
    ),
    Case(
        "a tracking parameter on every link",
        _pages(lambda t: "".join(f"<a href='/a?utm_source={len(t)}{n}&q=1'></a>" for n in "abc")),
        "done",
        settings={"strip_params": ["utm_*"]},
        check=_asked("/", "/a?q=1"),
    ),
    Case(
        "a redirect to the same page with a session",
        site(
            {
                "/": "<title>home</title><a href=/page></a><a href='/in'></a>",
                "/in": response(b"", f"Location: /page?PHPSESSID={_HEX}", status=302),
                "/page": "<title>page</title>",
            }
        ),
        "done",
        others={"{here}/in": "done alias", "{here}/page": "done"},
        check=_asked("/", "/page", "/in"),
    ),
    Case(
        "pages with the same content",
        site(
            {
                "/": "<a href=/one></a><a href=/two></a><a href=/three></a>",
                "/one": "<p>the same</p><a href=/deeper></a>",
                "/two": "<p>the same</p><a href=/deeper></a>",
                "/three": "<p>the same</p><a href=/deeper></a>",
                "/deeper": response("<p>gone</p>", status=404),
            }
        ),
        "done",
        check=_same_content,
    ),
    Case(
        "a link of 10,000 characters",
        site({"/": f"<a href='/{'x' * 10_000}'>long</a>"}),
        "done",
        check=_too_long,
    ),
    Case(
        "a link of a million characters",
        site({"/": f"<a href='/?q={'x' * 1_000_000}'>long</a>"}),
        "done",
        check=_too_long,
    ),
    Case(
        "data urls are no longer in the file than others",
        site({"/": f"<a href='data:text/plain,{'x' * 100_000}'>x</a>"}),
        "done",
        check=lambda outcome: _short_rows(outcome),
    ),
    Case(
        "a page that asks not to follow, in its head",
        site({"/": "<meta name=robots content='noindex, NOFOLLOW'><a href=/a></a>", "/a": "a"}),
        "done",
        settings={"robots_meta": True},
        others={"{here}/a": "skipped nofollow"},
        check=_asked("/"),
    ),
    Case(
        "a page that asks not to follow, in its headers",
        site({"/": response("<a href=/a></a>", "X-Robots-Tag: crawler: none"), "/a": "a"}),
        "done",
        settings={"robots_meta": True},
        others={"{here}/a": "skipped nofollow"},
        check=_asked("/"),
    ),
    Case(
        "a link that asks not to be followed, and another to the same page that does not",
        site({"/": "<a href=/a rel=nofollow></a><a href=/b rel=nofollow></a><a href=/b></a>"}),
        "done",
        settings={"robots_meta": True},
        others={"{here}/a": "skipped nofollow", "{here}/b": "failed http_404"},
        check=_asked("/", "/b"),
    ),
    Case(
        "nofollow is advice to search engines unless we are told to take it",
        site({"/": "<meta name=robots content=nofollow><a href=/a rel=nofollow></a>", "/a": "a"}),
        "done",
        others={"{here}/a": "done"},
        check=_asked("/", "/a"),
    ),
)


def _short_rows(outcome: Outcome) -> None:
    assert outcome.summary.reasons["skipped"] == {"scheme": 1}
    assert max(map(len, outcome.rows)) < 3000
