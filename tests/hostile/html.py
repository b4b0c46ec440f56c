"""Pages made to hang or kill their parser, and pages that lie about where their links lead."""

from collections.abc import Callable
from typing import Any

import crawler
from tests.hostile.case import Case, Outcome, Reader
from tests.hostile.server import Play, answer, site

_TOO_COSTLY = "failed parse_budget"
# The issue allows a page to hold up the others for about 2 s; the machine may be busy.
_MOST_BLOCKED = 6.0


class Selecting(Reader):
    """Reads a page in every way there is."""

    def parse(self, response: crawler.Response) -> Any:
        yield {
            "title": response.css("title::text").get(),
            "elements": len(response.css("*")),
            "texts": len(response.css("body ::text")),
            "nested": len(response.css("body").css("div > div, ul li")),
            "html": len(response.css("body").get() or ""),
        }
        yield from response.follow_all("a")


class Own(Reader):
    """Makes a selection of a text of its own."""

    def parse(self, response: crawler.Response) -> Any:
        yield {"elements": len(crawler.Selector(text="<div>" * 100_000).css("*"))}


def _numbered(pattern: str, count: int) -> str:
    return "".join(pattern.replace("#", str(number)) for number in range(count))


def _never_blocked(outcome: Outcome) -> None:
    assert outcome.longest_block < _MOST_BLOCKED


def _refused(outcome: Outcome) -> None:
    _never_blocked(outcome)
    assert outcome.items == ()


def _costly(name: str, page: str, **more: Any) -> Case:
    return Case(name, answer(page), _TOO_COSTLY, check=_refused, **more)


def _harmless(name: str, page: str, **more: Any) -> Case:
    return Case(name, answer(page), "done", spider=Selecting, check=_never_blocked, **more)


def _links(page: str, **pages: str) -> Play:
    return site({"/": page, **{f"/{name}": "" for name in pages.values()}})


def _asked(*targets: str) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert sorted(asked.target for asked in outcome.asked) == sorted(targets)

    return check


def _based(name: str, page: str, leads_to: str, ends: str = "done") -> Case:
    """A page with one link, which leads there."""
    play = site({"/dir/page": page, "/dir/x": "", "/x": "", "/base/x": ""})
    return Case(name, play, "done", path="/dir/page", others={leads_to: ends})


CASES = (
    # ── nested ──────────────────────────────────────────────────────────────────────────────
    _costly("html: 100,000 nested divs", "<div>" * 100_000),
    _costly("html: 20,000 nested lists", "<ul><li>" * 20_000),
    _costly("html: definition lists, nested", "<dl><dd>" * 20_000),
    _costly("html: forms in divs, nested", "<form><div>" * 40_000),
    _costly("html: nested in upper case", "<DIV>" * 100_000),
    _costly("html: nested, each ended in an attribute", '<div title="</div>">' * 30_000),
    _costly("html: nested, each ended in a comment", "<div><!--</div>-->" * 30_000),
    _costly("html: nested, each ended in a script", "<div><script></div></script>" * 30_000),
    _costly("html: nested, each ended out of scope", "<div><object></div></object>" * 30_000),
    _costly("html: nested with slashes that end nothing", "<div/>" * 100_000),
    _costly("html: nested tables", "<table><tr><td>" * 30_000),
    _costly("html: nested elements of unknown names", "<x-y>" * 100_000),
    _costly("html: nested svg", "<svg>" * 100_000),
    _costly("html: nested groups in svg", "<svg>" + "<g>" * 100_000),
    _costly("html: html in svg in html", "<svg><foreignObject><div>" * 20_000),
    _costly("html: nested mathml", "<math><mi>" * 50_000),
    _harmless("html: nested templates", "<template>" * 100_000),
    _harmless("html: end tags far from what they end", "<div>" * 5_000 + "</x>" * 100_000),
    _costly("html: elements that svg alone nests", "<svg>" + "<wbr>" * 100_000),
    _costly("html: divs in an svg style", "<svg><style>" + "<g>" * 100_000),
    _harmless("html: nested as deep as is cheap", "<div>" * 5_000),
    _harmless("html: paragraphs never ended", "<p>one" * 50_000),
    _harmless("html: list items never ended", "<ul>" + "<li>one" * 50_000),
    _harmless("html: cells never ended", "<table>" + "<tr><td>1<td>2" * 20_000),
    # ── formatting made anew ────────────────────────────────────────────────────────────────
    _costly(
        "html: formatting made anew in every paragraph",
        "<p>" + _numbered("<b a=#>", 2_000) + "<p>x" * 20_000,
    ),
    _costly(
        "html: formatting made anew, in a small page",
        "<p>" + _numbered("<b a=#>", 2_000) + "<p>x" * 3_000,
    ),
    _costly(
        "html: formatting that goes on after a > in a value",
        "<p>" + _numbered("<b a='>#'>", 2_000) + "<p>x" * 3_000,
    ),
    _costly("html: one more formatting in every block", _numbered("<div><font a=#>x</div>", 5_000)),
    _costly("html: fonts of a thousand sizes", _numbered("<p><FONT size=#>x", 5_000)),
    _costly(
        "html: formatting whose end is out of scope",
        _numbered("<p><i a=#><table></i></table>", 3_000),
    ),
    _harmless("html: formatting that ends", _numbered("<p><b a=#>x</b></p>", 5_000)),
    _harmless("html: formatting crossed with blocks", "<b><div></b>" * 2_000),
    _harmless("html: text moved out of a table", "<table>" + "x<tr>" * 10_000),
    # ── many ────────────────────────────────────────────────────────────────────────────────
    _costly("html: 100,000 attributes of one tag", f"<div {_numbered('a# ', 100_000)}>"),
    _harmless("html: 30,000 attributes of an end tag", f"</div {_numbered('a#=1 ', 30_000)}>"),
    _costly("html: attributes behind quoted ends", "<i " + _numbered('a#=">" b#=1 ', 30_000) + ">"),
    _costly("html: attributes of <html>, tag by tag", _numbered("<html a#>", 50_000)),
    _costly("html: 200,000 different names of tags", _numbered("<x#></x#>", 200_000)),
    _costly("html: 200,000 different names of attributes", _numbered("<br a#>", 200_000)),
    _costly("html: a million elements", "<br>" * 1_000_000),
    _costly("html: a million links", "<a href=/x>x</a>" * 500_000),
    Case(
        "html: more links than a page may have",
        answer(_numbered("<a href=mailto:#>", 5_000)),  # nobody fetches them
        "failed too_many_results",
        settings={"max_results": 1_000},
        check=_refused,
    ),
    Case(
        "html: 76 MB of links, by a long base",
        answer(f"<base href='/{'x' * 1990}/'>{_numbered('<a href=#>', 38_000)}"),
        "failed too_many_results",
        settings={"max_depth": 0},  # nobody fetches them
        check=_refused,
        heavy=True,
    ),
    Case(
        "html: 100,000 links to one page",
        site({"/": "<a href=/x>x</a>" * 100_000, "/x": ""}),
        "done",
        others={"{here}/x": "done"},
        check=_never_blocked,
    ),
    _harmless("html: 20,000 options", "<select>" + "<option>x" * 20_000),
    _harmless("html: an attribute of a megabyte", f"<a title='{'x' * 1_000_000}'>"),
    _harmless("html: a name of a megabyte", f"<{'x' * 1_000_000}>"),
    _harmless("html: a comment without end", "<!--" * 250_000),
    _harmless("html: markup that is none", "<" * 500_000),
    _harmless("html: a tag that never ends", "<a " * 300_000),
    _harmless("html: quotes that never end", "<a b='" * 100_000),
    # ── who parses, and when ────────────────────────────────────────────────────────────────
    Case("html: a costly text of the spider's own", answer(""), _TOO_COSTLY, spider=Own),
    Case(
        "html: a budget for larger pages",
        answer("<div>" * 15_000),
        "done",
        settings={"parse_budget": 2.0},
        check=_never_blocked,
    ),
    Case(
        "html: a budget for smaller pages",
        answer("<div>" * 21_000),
        _TOO_COSTLY,
        settings={"parse_budget": 0.01},
    ),
    Case(
        "html: a costly page that is no html",
        answer("<div>" * 100_000, kind="text/plain"),
        "done",
        check=_never_blocked,
    ),
    # ── links ───────────────────────────────────────────────────────────────────────────────
    _based("base: relative", "<base href=/base/><a href=x>", "{here}/base/x"),
    _based("base: the first counts", "<base href=/base/><base href=/><a href=x>", "{here}/base/x"),
    _based("base: behind the links", "<a href=x>x</a><base href=/base/>", "{here}/base/x"),
    _based("base: without href", "<base target=_top><base href=/><a href=x>", "{here}/x"),
    _based("base: javascript", "<base href=javascript:alert(1)><a href=x>", "{here}/dir/x"),
    _based("base: data", "<base href='data:text/html,'><a href=x>", "{here}/dir/x"),
    _based("base: no url", "<base href='http://['><a href=x>", "{here}/dir/x"),
    _based("base: in a comment", "<!--<base href=/>--><a href=x>", "{here}/dir/x"),
    _based("base: in a template", "<template><base href=/></template><a href=x>", "{here}/dir/x"),
    _based("base: nothing is relative to it", "<base href=about:x><a href=x>", "{here}/dir/x"),
    Case(
        "a link that is broken, on a page whose base has another scheme",
        answer("<base href=https://127.0.0.1/><a href=http:>"),
        "done",
        others={"http:": "skipped invalid_url"},
    ),
    Case(
        "base: another site",
        answer("<base href=http://elsewhere.invalid/><a href=x>"),
        "done",
        spider=type("Staying", (Reader,), {"allowed_domains": ("127.0.0.1",)}),
        others={"http://elsewhere.invalid/x": "skipped offsite"},
    ),
    Case(
        "links: in comments, templates, scripts and styles",
        answer(
            "<!-- <a href=/1> --><template><a href=/2></template><script>'<a href=/3>'</script>"
            "<style><a href=/4></style><textarea><a href=/5></textarea><title><a href=/6></title>"
        ),
        "done",
        check=_asked("/"),
    ),
    Case(
        "links: in noscript",
        site({"/": "<noscript><a href=/x></a></noscript>", "/x": ""}),
        "done",
        others={"{here}/x": "done"},
    ),
    Case(
        "links: not to the web",
        answer("<a href=javascript:x()>1</a><a href=data:,x>2</a><a href=file:///etc/passwd>3</a>"),
        "done",
        others={
            "javascript:x()": "skipped scheme",
            "data:,x": "skipped scheme",
            "file:///etc/passwd": "skipped scheme",
        },
        check=_asked("/"),
    ),
    Case(
        "meta refresh: pages that lead to one another are done",
        site(
            {
                "/": "<meta http-equiv=refresh content='0; url=/'><a href=/x>x</a>",
                "/x": "<meta http-equiv=refresh content='0; url=/'>",
            }
        ),
        "done",
        others={"{here}/x": "done"},
        check=_asked("/", "/x"),
    ),
)
