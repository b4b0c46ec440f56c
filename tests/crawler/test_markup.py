"""Which texts are parsed, and which are refused because they would cost too much."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import Request, Response, Selector, Spider
from crawler.errors import CrawlerError, ParseBudgetError
from crawler.markup import BUDGET, LEVELS, _Model, parse
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


def depth_of(text: str) -> int:
    """How deep the parser's tree really is."""
    deepest = depth = 0
    node = parse(text).root
    while node is not None:
        deepest = max(deepest, depth)
        if node.first_child is not None:
            node, depth = node.first_child, depth + 1
            continue
        while node is not None and node.next is None:
            node, depth = (node.parent, depth - 1) if depth > 0 else (None, 0)
        node = node.next if node is not None else None
    return deepest


def seems_flat(page: str) -> bool:
    """Whether the model sees next to nothing open in a page of at least 200 tags."""
    model = _Model(1.0)
    model._most_levels = 2_000
    try:
        model.read(page)
    except ParseBudgetError:
        return False
    return True


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


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_page_comes_nowhere_near_the_limit_of_depth(text: str) -> None:
    model = _Model(1.0)
    model.read(text)
    assert model._levels < LEVELS / 4


def test_a_page_is_read_as_without_the_budget() -> None:
    tree = parse("<ul><li>1<li>2</ul><select><option selected>3</select>")
    assert tree.body is not None
    assert tree.body.html == (
        '<body><ul><li>1</li><li>2</li></ul><select><option selected="">3</option></select></body>'
    )


# ── costly pages ────────────────────────────────────────────────────────────────────────────


def test_the_error_says_what_is_too_much_and_which_setting_it_is() -> None:
    with pytest.raises(ParseBudgetError, match=r"15,000,000 characters.*parse_budget.*nested"):
        parse("<span>" * 2_500_000)
    assert issubclass(ParseBudgetError, CrawlerError)


def test_a_small_page_with_formatting_that_multiplies_is_refused() -> None:
    page = "<p>" + numbered("<b a=#>", 1_000) + "<p>x" * 2_000
    assert len(page) < 20_000
    with pytest.raises(ParseBudgetError):
        parse(page)


@pytest.mark.parametrize(
    "pattern", ["<p><b a=#>x</b></p>", "<p><code class=c#><span>x</span></code>"]
)
def test_the_same_with_end_tags_is_an_ordinary_page(pattern: str) -> None:
    assert len(parse(numbered(pattern, 4_000)).css("p")) == 4_000


def test_attributes_hidden_in_a_long_page_are_found() -> None:
    text = "<p>one</p>" * 1_000
    tag = "<i " + numbered('a#=">" ', 40_000) + ">"
    with pytest.raises(ParseBudgetError):
        parse(text + tag + text)


@pytest.mark.parametrize(
    "page",
    [
        "<svg>" + "<title>" * 1_400_000,  # each looks for its end, and there is none
        "<svg>" + "<title>" * 1_400_000 + "</title>",
        "<template>" + "<style>" * 1_400_000,
        "<li><dd>" * 2_500 + "</ul>" * 19_000,  # each looks for what it ends
        "<p><b a></p>" + "<span>" * 4_500 + "</b>" * 20_000,
        "<xmp></xmp>" * 900_000,  # elements, though nothing is open
    ],
)
def test_a_page_made_to_be_costly_for_the_estimate_is_refused_early(page: str) -> None:
    with pytest.raises(ParseBudgetError):
        parse(page)  # or this test would take minutes


def test_a_larger_budget_lets_a_costly_page_through() -> None:
    page = "<div>" * 15_000
    with budget(2.0):
        assert len(parse(page).css("div")) == 15_000
    page = "<br>" * 30_000
    with budget(0.05), pytest.raises(ParseBudgetError):
        parse(page)


LIES = {
    "ended in an attribute": ("", "<div a='</div>'>"),
    "ended in a comment": ("", "<div><!--</div>-->"),
    "ended in a script": ("", "<div><script></div></script>"),
    "ended in a script in a script": ("", "<div><script><!--<script></script></div>--></script>"),
    "ended in character data": ("<svg>", "<g><![CDATA[></g>]]>"),
    "ended out of scope": ("", "<div><object></div></object>"),
    "ended in a paragraph": ("", "<span><p></span><div></div>"),
    "a row where none may be": ("", "<span><tr><p></tr></span><div></div>"),
    "elements in an svg style": ("<svg>", "<style><g>"),
    "elements in a template's text area": ("<template><col><textarea>", "<mi></template><td>"),
    "a slash that ends nothing": ("", "<path/>"),
    "a slash that ends nothing any more": ("<i><math>", "</i><mi />"),
    "a void element in svg": ("<svg>", "<wbr>"),
    "a cell in svg": ("<svg>", "<td>"),
}


@pytest.mark.parametrize(("before", "again"), LIES.values(), ids=LIES)
def test_nesting_is_seen_through_what_seems_to_end_it(before: str, again: str) -> None:
    page = before + again * 200
    assert depth_of(page) > 190
    assert not seems_flat(page)


_INLINE = ("span", "b", "i", "a", "font", "br", "wbr", "input", "button", "object", "x-y")
_BLOCKS = ("div", "p", "li", "ul", "dd", "dl", "form", "h1", "table", "tr", "td", "template")
_FOREIGN = ("svg", "path", "g", "desc", "foreignObject", "math", "mi")
_TEXT = ("title", "style", "script", "textarea", "select", "option")
TAG = st.builds(
    "<{}{}{}>".format,
    st.sampled_from(["", "/"]),
    st.sampled_from(_INLINE + _BLOCKS + _FOREIGN + _TEXT),
    st.sampled_from(["", " a=1", " /"]),
)
ODD = st.sampled_from(["x", "<!-- -->", "<![CDATA[", "]]>", "<!x>", "</>", '"', "'", "<!--", "-->"])


@settings(max_examples=300, deadline=None)
@given(
    st.text("x", max_size=1),
    st.lists(TAG | ODD, max_size=3),
    st.lists(TAG | ODD, min_size=1, max_size=6),
)
def test_what_nests_without_end_is_never_taken_for_flat(
    text: str, before: list[str], again: list[str]
) -> None:
    page = text + "".join(before) + "".join(again) * 200
    assert not seems_flat(page) or depth_of(page) < 200


@settings(max_examples=200, deadline=None)
@given(st.lists(TAG | ODD | st.sampled_from(["<", "<a b='", '<a b="', "</", "=", "/", " "])))
def test_any_soup_is_parsed_or_refused(soup: list[str]) -> None:
    page = "".join(soup)
    _Model(1.0).read(page)
    assert parse(page).root is not None


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
