"""Where HTML5 and libxml2 build another tree, or selectors mean something else: both answers."""

import parsel
import pytest

from crawler.selection import Selector

# What differs: the page, the query, our answer and parsel's.
KNOWN_DIFFERENCES = {
    "HTML5 gives every table a tbody": (
        "<table><tr><td>x</td></tr></table>",
        "table > tr td::text",
        [],
        ["x"],
    ),
    "HTML5 drops the newline at the start of <pre>": (
        "<pre>\nx</pre>",
        "pre::text",
        ["x"],
        ["\nx"],
    ),
    "a mere attribute has no value; libxml2 repeats its name if it knows it": (
        "<input disabled>",
        "input::attr(disabled)",
        [""],
        ["disabled"],
    ),
    "an attribute is always written in double quotes": (
        """<p title='a "b"'></p>""",
        "p",
        ['<p title="a &quot;b&quot;"></p>'],
        ["""<p title='a "b"'></p>"""],
    ),
    "HTML5 has whitespace after </body> in the body": (
        "<html><body><p>x</p></body>\n</html>",
        "body::text",
        ["\n"],
        [],
    ),
    "what is in a <template> is not part of the page": (
        "<template><b>x</b></template>",
        "b::text",
        [],
        ["x"],
    ),
    "a paragraph ends where a block begins": (
        "<p>a<div>b</div>c</p>",
        "p::text",
        ["a"],
        ["a"],
    ),
    "misnested formatting is repaired, not cut": (
        "<p><b>1<i>2</b>3</i></p>",
        "i::text",
        ["2", "3"],
        ["2"],
    ),
    "a nested form is dropped": (
        "<form><div><form><input></form></div></form>",
        "form form",
        [],
        ["<form><input></form>"],
    ),
    "SVG keeps its capitals": (
        "<svg viewBox='0 0 1 1'></svg>",
        "svg",
        ['<svg viewBox="0 0 1 1"></svg>'],
        ['<svg viewbox="0 0 1 1"></svg>'],
    ),
    "::attr() does not mind capitals": ("<a href=x>", "a::attr(HREF)", ["x"], []),
    "without a doctype, classes and ids do not mind capitals": (
        "<p class=A>x</p>",
        ".a::text",
        ["x"],
        [],
    ),
    "the html element is not the first child of anything": (
        "<!doctype html><html lang=en></html>",
        "html:first-child::attr(lang)",
        [],
        ["en"],
    ),
}


@pytest.mark.parametrize("name", KNOWN_DIFFERENCES)
def test_a_known_difference_is_still_as_described(name: str) -> None:
    page, query, ours, theirs = KNOWN_DIFFERENCES[name]
    assert Selector(page).css(query).getall() == ours
    assert parsel.Selector(page).css(query).getall() == theirs
