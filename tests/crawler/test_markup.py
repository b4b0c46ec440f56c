"""Which texts are parsed, and which are refused because they would cost too much."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawler import Request, Response, Selector, Spider, markup
from crawler.errors import CrawlerError, ParseBudgetError
from crawler.markup import BUDGET, Look, parse, parse_aside, try_aside
from crawler.trial import TRIAL
from tests.site import serve

ROW = "SELECT state, reason, error FROM crawl_request WHERE parent IS NULL"


@contextmanager
def budget(units: float) -> Iterator[None]:
    token = BUDGET.set(units)
    try:
        yield
    finally:
        BUDGET.reset(token)


def numbered(pattern: str, count: int) -> str:
    return "".join(pattern.replace("#", str(number)) for number in range(count))


# ── ordinary pages ──────────────────────────────────────────────────────────────────────────

ROW_OF_TABLE = "<tr><td>1<td><a href=/#>two</a><br><td><b class=c#>three</b>"
SHAPE = "<svg viewBox='0 0 1 1'><title>t</title><g><path d='M#'/><circle r=1 /></g></svg><br>"
ORDINARY = {
    "many nested a little": "<div><p>one <em class=x>two</em></p><ul><li>three</ul></div>" * 20_000,
    "an old page with hardly an end tag": "<ul>" + "<li><p>one<p>two" * 30_000,
    "a long table": "<table>" + numbered(ROW_OF_TABLE, 20_000) + "</table>",
    "a list of words": "<dl>" + "<dt>one<dd>two<p>three" * 30_000,
    "icons": numbered(SHAPE, 20_000),
    "scripts full of markup": "<script>'<div>' + a<b && \"x'</script><p>" * 20_000,
    "comments full of markup": "<!-- <div> ' --><p>" * 40_000,
    "styles in templates": "<template><style>a > b {}</style><input></template>" * 10_000,
    "an image in its address": f"<img src='data:image/png;base64,{'A' * 5_000_000}'>",
    "a megabyte of script": f"<script>{'if (a < b) { c(); }' * 100_000}</script>",
    "a megabyte of text": "one two three 4 < 5 > 3 & 2 " * 50_000,
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_page_is_parsed_however_large(text: str) -> None:
    assert parse(text).root is not None


def test_no_second_look_is_taken_at_an_ordinary_page() -> None:
    page = "<div><p>one <em class=x>two</em><a href=/>three</a></p></div>" * 2_000
    assert not Look(page.encode()).is_suspicious


def test_a_page_is_read_as_without_the_budget() -> None:
    tree = parse("<ul><li>1<li>2</ul><select><option selected>3</select>")
    assert tree.body is not None
    assert tree.body.html == (
        '<body><ul><li>1</li><li>2</li></ul><select><option selected="">3</option></select></body>'
    )


def test_invalid_bytes_are_read_as_the_text_that_is_made_of_them() -> None:
    page = b"<p title='a\xffb'>one\xfe\xe2\x82 two\xed\xa0\x80</p>"
    theirs = parse(page.decode(errors="replace"))
    assert parse(page).html == theirs.html


@given(
    st.lists(
        st.sampled_from([b"<p>", b"<b a=", b">", b"'", b"\xff", b"\xe2\x82", b"\xc3\xa9", b"x"])
    )
)
def test_any_bytes_are_read_as_the_text_that_is_made_of_them(pieces: list[bytes]) -> None:
    page = b"".join(pieces)
    assert parse(page).html == parse(page.decode(errors="replace")).html


def test_a_lone_surrogate_is_no_obstacle() -> None:
    node = parse("<p>a\ud800b").css_first("p")
    assert node is not None
    assert node.text() == "a\ufffdb"


# ── costly pages ────────────────────────────────────────────────────────────────────────────

COSTLY = {
    "nested": "<div>" * 100_000,
    "nested lists": "<ul><li>" * 40_000,
    "formatting that multiplies": "<p>" + numbered("<b a=#>", 2_000) + "<p>x" * 20_000,
    "the same in capitals": "<p>" + numbered("<B a=#>", 2_000) + "<p>x" * 20_000,
    "formatting whose values hide how it goes on": (
        "<p>" + numbered("<b a='>#'>", 2_000) + "<p>x" * 3_000
    ),
    "the same, with a quote before": (
        "<p>" + numbered("""<b a"b= ">#">""", 2_000) + "<p>x" * 3_000
    ),
    "formatting that multiplies, in a small page": (
        "<p>" + numbered("<b a=#>", 2_000) + "<p>x" * 3_000
    ),
    "attributes of one tag": f"<div {numbered('a# ', 200_000)}>",
    "attributes hidden in a long page": (
        "<p>one</p>" * 1_000 + "<i " + numbered('a#=">" ', 100_000) + ">" + "<p>one</p>" * 1_000
    ),
    "names of tags": numbered("<x#></x#>", 200_000),
    "elements": "<a href=/x>x</a>" * 600_000,
}


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_a_costly_page_is_refused(text: str) -> None:
    with pytest.raises(ParseBudgetError):
        parse(text)


def test_the_error_says_what_is_too_much_and_which_setting_it_is() -> None:
    with pytest.raises(ParseBudgetError, match=r"15,000,000 bytes.*more than 1 s.*parse_budget"):
        parse("<span>" * 2_500_000)
    assert issubclass(ParseBudgetError, CrawlerError)


@pytest.mark.parametrize(
    "pattern", ["<p><b a=#>x</b></p>", "<p><code class=c#><span>x</span></code>"]
)
def test_formatting_with_end_tags_is_an_ordinary_page(pattern: str) -> None:
    assert len(parse(numbered(pattern, 4_000)).css("p")) == 4_000


def test_the_budget_says_how_costly_a_page_may_be() -> None:
    page = "<div>" * 21_000  # some 0.3 s
    with budget(30.0):
        assert len(parse(page).css("div")) == 21_000
    with budget(0.01), pytest.raises(ParseBudgetError):
        parse(page)


TAG = st.builds(
    "<{}{}{}>".format,
    st.sampled_from(["", "/"]),
    st.sampled_from(
        [
            "span",
            "b",
            "i",
            "a",
            "font",
            "br",
            "wbr",
            "input",
            "div",
            "p",
            "li",
            "ul",
            "table",
            "tr",
            "td",
            "template",
            "svg",
            "g",
        ]
    ),
    st.sampled_from(["", " a=1", " /"]),
)
ODD = st.sampled_from(["x", "<!-- -->", "<![CDATA[", "]]>", "<!x>", "</>", '"', "'", "<!--", "-->"])


@settings(max_examples=200, deadline=None)
@given(st.lists(TAG | ODD, max_size=3), st.lists(TAG | ODD, min_size=1, max_size=6))
def test_what_is_not_looked_at_twice_is_parsed_in_no_time(
    before: list[str], again: list[str]
) -> None:
    page = ("".join(before) + "".join(again) * 3_000).encode()[: 1 << 18]
    # The worst takes 0.9 s of the fifth that a selector has, on a slow machine; what is not to pass
    # takes minutes, or gigabytes.
    with budget(10.0):
        assert Look(page).is_suspicious or TRIAL.survives(page, BUDGET.get())


class Parsing:
    """The parser; knows which thread parsed a page, and whether it may end what it has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: dict[bytes, Thread] = {}
        self.may_end = Event()
        self._parse = markup._parse
        monkeypatch.setattr(markup, "_parse", self)

    def __call__(self, page: bytes) -> LexborHTMLParser:
        self.threads[page] = current_thread()
        if current_thread() is not main_thread():
            self.may_end.wait(30)
        return self._parse(page)


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> Parsing:
    return Parsing(monkeypatch)


async def test_a_page_can_be_tried_and_parsed_beside_the_event_loop(parsing: Parsing) -> None:
    page, costly = b"<p>one" * 10_000, b"<div>" * 100_000
    parsing.may_end.set()
    await try_aside(page, Look(page))
    tree = await parse_aside(page, Look(page))
    assert len(tree.css("p")) == 10_000
    assert parsing.threads[page] is not main_thread()
    with pytest.raises(ParseBudgetError):
        await try_aside(costly, Look(costly))


async def test_nobody_waits_for_a_thread_that_has_enough_to_do_but_for_what_takes_long(
    parsing: Parsing,
) -> None:
    large = (b"<p>text</p>" * 40_000, b"<p>large</p>" * 50_000, b"<p>suspicious" * 30_000)
    small = b"<p>one</p>" + b"<p>a paragraph of text</p>" * 5_000
    async with asyncio.TaskGroup() as tasks:
        aside = [tasks.create_task(parse_aside(page, Look(page))) for page in large]
        await asyncio.sleep(0)  # they are with the thread
        tree = await parse_aside(small, Look(small))
        assert not any(task.done() for task in aside)
        parsing.may_end.set()
    assert tree.css_first("p").text() == "one"
    assert parsing.threads.pop(small) is main_thread()
    (thread,) = {parsing.threads[page] for page in large}
    assert thread is not main_thread()

    await parse_aside(b"<p>two", Look(b"<p>two"))
    assert parsing.threads[b"<p>two"] is thread


# ── in a crawl ──────────────────────────────────────────────────────────────────────────────


def test_a_selector_of_a_costly_text_is_refused_when_it_is_used() -> None:
    selector = Selector(text="<div>" * 100_000)
    with pytest.raises(ParseBudgetError):
        selector.css("div")


def test_a_response_that_is_too_costly_still_has_its_text() -> None:
    response = Response(
        "http://a.example/", headers={"Content-Type": "text/html"}, body=b"<div>" * 100_000
    )
    assert response.text.startswith("<div><div>")
    with pytest.raises(ParseBudgetError):
        response.css("div")
    with pytest.raises(ParseBudgetError):
        _ = response.tree


async def test_a_costly_page_fails_with_one_line_and_the_others_go_on(crawl, rows) -> None:
    class Costly(Spider):
        name = "costly"

        def start(self):
            for path in ("/bad", "/good"):
                yield Request(self.url + path)

        def parse(self, response):
            yield {"divs": len(response.css("div"))}

    async with serve({"/bad": "<div>" * 100_000, "/good": "<div>"}) as site:
        Costly.url = site.url.rstrip("/")
        summary = await crawl(Costly)
    assert (summary.done, summary.failed, summary.items) == (1, 1, 1)
    [(_, reason, error)] = [row for row in rows(ROW) if row[0] == "failed"]
    assert reason == "parse_budget"
    assert "\n" not in error
    assert "parse_budget" in error


async def test_large_pages_are_with_their_callbacks_one_at_a_time(crawl) -> None:
    class Large(Spider):
        name = "large"
        now = most = seen = 0

        def start(self):
            for number in range(8):
                yield Request(f"{self.url}/{number}")

        async def parse(self, response):
            type(self).now += 1
            type(self).most = max(self.most, self.now)
            await asyncio.sleep(0.01)
            type(self).now -= 1
            type(self).seen += 1

    async with serve({f"/{number}": "x" * 600_000 for number in range(8)}) as site:
        Large.url = site.url.rstrip("/")
        await crawl(Large)
    assert (Large.seen, Large.most) == (8, 1)
