"""The same queries, on the same pages, to our selections and to parsel's: the answers are equal.

Where they cannot be, because HTML5 (lexbor) and libxml2 build another tree or because lexbor's
selectors mean something else, the case is in `KNOWN_DIFFERENCES`, with both answers; see
test_selection_against_parsel_differences.py.
"""

import parsel
import pytest

from crawler.selection import Selector
from tests.crawler.as_parsel import check, squeezed, without_repetition
from tests.crawler.selected_pages import PAGES, SHOP

CASES = [
    *(
        ("shop", query)
        for query in (
            "title::text",
            "h1::text",
            "h1 ::text",
            "h1 *::text",
            "article.book",
            "article.book h3 a::attr(title)",
            "article.book > h3 > a::text",
            ".price::text",
            ".price ::text",
            "p.price:not(.sale)::text",
            ".book:not(.featured) a::attr(href)",
            "article:has(img) a::attr(href)",
            "article:has(> img)::attr(data-id)",
            "article:first-of-type a::text",
            "article:nth-of-type(2)::attr(data-id)",
            "article:nth-child(2n+1)::attr(data-id)",
            "article:nth-last-child(1)::attr(data-id)",
            "article + article::attr(data-id)",
            "article ~ article h3 a::attr(href)",
            "h3 a::text, h3 a::attr(href)",
            "a::attr(href), p.price::text, h1",
            "p.price, .sale, p",
            "nav li a::text",
            "li.active + li a::text",
            "a[rel=nofollow]::text",
            "a[href^='/b/']::text",
            "a[href$='2']::text",
            "a[href*=ab]::text",
            "a[class]::text",
            "[data-id='12'] .stock::text",
            "[data-id!='12']::attr(data-id)",
            "a[title='']::text",
            "a[title!='']::attr(title)",
            "a[title*='\"the\"']::attr(title)",
            "a[rel=NOFOLLOW i]::text",
            "*[class~=sale] s::text",
            "button[disabled]::text",
            "img::attr(alt)",
            "img::attr(nothing)",
            "::attr(data-id)",
            "section ::attr(data-id)",
            "article ::attr(data-id)",
            "h3:contains('Soum') a::attr(href)",
            "p:contains('In stock (22)')::text",
            "article:contains('Sold out') h3 a::text",
            "a.next",
            ":root > body > main > h1 > small::text",
            "html::attr(lang)",
            "header *",
            "nothing::text",
        )
    ),
    *(
        ("quotes", query)
        for query in (
            "div.quote span.text::text",
            "div.quote small.author::text",
            ".quote .tags a.tag::text",
            ".quote .tags > a::attr(href)",
            ".quote ::text",
            "div.quote::text",
            "div::text",
            "blockquote ::text",
            "blockquote *::text",
            "div *::text",
            ".tags::text",
            "[itemprop]::text",
            "[itemscope]::attr(itemscope)",
            ".keywords::attr(content)",
            "span:not([class]) small::text",
            "span:not(.text):not(.tag-item)::text",
            "div > div > div",
            "div div.quote > span:first-child::text",
            ".quote:empty, .text:empty",
            "a.tag:last-child::text",
            "a:only-child::text",
            ".quote.empty .tags",
            "div:is(.quote, .tags-box) a::text",
            "div:not(.quote) > a::text",
            ":not(.tags) > a.tag::text",
            "div:has(h2) .tag::text",
            "q::text, blockquote::text, .inner::text",
            "h2:matches(h1, h2)::text",
            "[class|=col]::attr(class)",
            "[class^=col-md]::attr(class)",
        )
    ),
    *(
        ("docs", query)
        for query in (
            "title::text",
            "dt::attr(id)",
            "dt code.descname::text",
            "dt::text",
            "dt ::text",
            "dd p::text",
            "dd > p:first-child ::text",
            "p code, p em",
            "dl dt + dd p::text",
            "ul.toc > li::text",
            "ul.toc li::text",
            "ul li ul li::text",
            "ul ul::text",
            "li:last-child::text",
            "li:not(li li)::text",
            "li:nth-child(-n+2)::text",
            "li > ul > li:first-child::text",
            "#last ::text",
            "li#last b::text",
            "table.docutils td::text",
            "table tbody tr td:first-child::text",
            "tr.row-even td code::text",
            "td[colspan]::attr(colspan)",
            "th, td",
            "tr:nth-of-type(2) td::text",
            "pre::text",
            "pre ::text",
            "pre span.k::text",
            "script::text",
            "a[href^='#os']::attr(href)",
            "a[href^='#os'], a[href='#n'] code::text",
            "input:disabled::attr(name)",
            "input:enabled::attr(name)",
            ":disabled::attr(name)",
            ":checked::attr(name)",
            "option:checked::text",
            "a:link::attr(href)",
            "a:visited",
            "code:first-of-type::text",
            "code:last-of-type",
            "em:only-of-type::text",
            "p[lang|=de]::text",
            "input[type=radio]::attr(name)",
            "input[type=radio i]::attr(name)",
            "DIV.document DT::attr(id)",
        )
    ),
    *(
        ("odd", query)
        for query in (
            "title::text",
            "#ws::text",
            "#ent::text",
            "#ent",
            "#comment::text",
            "#comment::text, #only::text",
            "#only:empty, #empty:empty",
            "#br::text",
            "#nest::text",
            "#nest ::text",
            "#nest div::text",
            "#nest div > div::text",
            "div::text",
            "body::attr(data-x)",
            "body::attr(data-y)",
            "body::attr(data-empty)",
            "body::attr(data-void)",
            "a::attr(href)",
            "a[href]::text",
            "a:not([href])::text",
            "noscript img::attr(src)",
            "style::text",
            ".many.classes.here::text",
            ".here::attr(class)",
            "#a\\.b\\:c::text",
            ".a\\:b::text",
            "#\\31 23::text",
            "#123::text",
            "rt::text",
            "ruby::text",
            "input::attr(value)",
            "[disabled]::attr(value)",
            "x-card::attr(kind)",
            "x-card::text",
            "p:contains('123')::text",
            "p:contains(total)::text",
            ".price:contains('1'):contains('total') i::text",
            "p:contains('before after')",
            " p.price > b::text ",
            "p.price/* a comment */ b::text",
            "p::TEXT",
            "input::attr('value')",
            "p ,hr",
            "body >hr,p>br",
            "br+br",
        )
    ),
]

# Where a nested query begins, and the query.
NESTED_CASES = [
    ("shop", "article", "a::attr(href)"),
    ("shop", "article", "article a::attr(href)"),
    ("shop", "article", "section a::attr(href)"),
    ("shop", "article", "body article a"),
    ("shop", "article", ":scope > p::text"),
    ("shop", "article", ":scope > h3 > a::text, :scope"),
    ("shop", "article", "article:scope a::text"),
    ("shop", "article", "section:scope a::text"),
    ("shop", "article", "::attr(data-id)"),
    ("shop", "article", "::text"),
    ("shop", "article", " ::text"),
    ("shop", "article", "h3 + p::text"),
    ("shop", "article", "article + article::attr(data-id)"),
    ("shop", "article", "article ~ article a::text"),
    ("shop", "article", "p ~ p::text, h3 a::text"),
    ("shop", "article", "a::attr(title), p > b::text"),
    ("shop", "article", "p:not(.stock)::text"),
    ("shop", "article", "p:contains('stock') b::text"),
    ("shop", "article", ":first-child"),
    ("shop", "h3 a", "a"),
    ("shop", "h3 a::text", "a"),
    ("shop", "h3 a::attr(href)", "::text"),
    ("quotes", ".quote", ".quote .tag::text"),
    ("quotes", ".quote", "div > a::text"),
    ("quotes", "div", "div div::text"),
    ("quotes", "div", "div > div > span::text"),
    ("quotes", "blockquote", "div::text, q::text"),
    ("docs", "dt", "dt + dd p::text"),
    ("docs", "li", "li li::text"),
    ("docs", "li", "ul > li::text"),
    ("docs", "li", "li ::text"),
    ("docs", "tr", "td::text"),
    ("docs", "tr", "tr td:last-child ::text"),
    ("docs", "tr", "tbody td"),
    ("odd", "div", "div > div::text"),
    ("odd", "p", "p > b::text, b::text"),
]

REGEXES = [
    ("shop", ".price::text", r"\d+\.\d+"),
    ("shop", ".price", r"£(\d+)\.(\d+)"),
    ("shop", "a::attr(href)", r"/b/(?P<extract>\d+)"),
    ("shop", "h3 a", r'href="([^"]*)"'),
    ("shop", "article", r"(\d{4})?£"),
    ("quotes", ".author::text", r"(\w+)\s+(\w+)"),
    ("docs", "dt ::text", r"^\w+$"),
    ("docs", "pre", r"x .*"),
    ("odd", "#ent", r">(.*)<"),
    ("odd", "#ent::text", r".*"),
    ("odd", "#ws::text", r"\S+"),
    ("odd", "p", r"nothing"),
]


@pytest.mark.parametrize(("page", "query"), CASES)
def test_a_query_finds_what_parsel_finds(page: str, query: str) -> None:
    check(Selector(PAGES[page]), parsel.Selector(PAGES[page]), query)


@pytest.mark.parametrize(("page", "start", "query"), NESTED_CASES)
def test_a_nested_query_finds_what_parsel_finds(page: str, start: str, query: str) -> None:
    ours = Selector(PAGES[page]).css(start)
    theirs = parsel.Selector(PAGES[page]).css(start)
    assert ours
    for mine, other in zip(ours, theirs, strict=True):
        check(mine, other, query)
    check(ours, theirs, query)


@pytest.mark.parametrize(("page", "query", "regex"), REGEXES)
@pytest.mark.parametrize("replace", [True, False])
def test_a_regular_expression_gives_what_parsel_gives(
    page: str, query: str, regex: str, replace: bool
) -> None:
    ours, theirs = Selector(PAGES[page]).css(query), parsel.Selector(PAGES[page]).css(query)
    assert ours.re(regex, replace) == theirs.re(regex, replace)
    assert ours.re_first(regex, "none", replace) == theirs.re_first(regex, "none", replace)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.re_first(regex) == other.re_first(regex)


@pytest.mark.parametrize("page", PAGES)
def test_attributes_are_those_of_parsel(page: str) -> None:
    ours, theirs = Selector(PAGES[page]).css("*"), parsel.Selector(PAGES[page]).css("*")
    assert [s.attrib for s in ours] == [without_repetition(s.attrib) for s in theirs]
    assert ours.attrib == theirs.attrib
    assert ours.css("no-such").attrib == theirs.css("no-such").attrib == {}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "query", ["./*", "..", "ancestor::*", "following-sibling::*[1]", ".//text()", "//title", "."]
)
def test_an_xpath_begins_at_the_element_as_in_parsel(page: str, query: str) -> None:
    ours = Selector(PAGES[page]).css("body *").xpath(query)
    theirs = parsel.Selector(PAGES[page]).css("body *").xpath(query)
    # The tail of the page, whitespace, has another place in HTML5; see KNOWN_DIFFERENCES.
    assert [squeezed(value) for value in ours.getall()] == [
        squeezed(value) for value in theirs.getall()
    ]


REFUSED = """
p,|,p|p >|> p|+ p|p > > b|a ~ ~ b|[|p[|p[href|p[a=1]|p:not(|p)|p:|p::|p!|p..x|p#|'p'|a {}|p:foo
p:foo(1)|p:has()|*:is()|p:nth-child(x)|a:contains()|p:contains(1 2)|p::foo|p::before|p::attr
p::attr()|p::attr(a b)|p::text b|p::text::text|p:not(b::text)
"""


@pytest.mark.parametrize("query", ["", " ", *REFUSED.strip().replace("\n", "|").split("|")])
def test_what_parsel_refuses_is_refused(query: str) -> None:
    with pytest.raises((ValueError, SyntaxError, parsel.csstranslator.ExpressionError)):
        parsel.Selector(SHOP).css(query)
    with pytest.raises(ValueError, match="not a CSS selector") as error:
        Selector(SHOP).css(query)
    assert repr(query) in str(error.value)
    assert "\n" not in str(error.value)
