"""Selections by themselves; `test_selection_against_parsel.py` compares them with parsel's."""

import re
import sys
import time

import parsel
import pytest
from pydantic import ValidationError
from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler import Item, Response
from crawler.selection import Selector, SelectorList
from storage.json_text import json_text

PAGE = """<!doctype html><html><head><title>Shop</title></head><body>
<div class="card" id="one"><h2>One <i>!</i> book</h2><a href="/1" data-empty>first</a></div>
<div class="card" id="two"><h2>Two</h2><a href="/2?a=1&amp;b=2">second</a></div>
<p>£51.77 &lt;b&gt;</p></body></html>"""


@pytest.fixture
def page() -> Selector:
    return Selector(PAGE)


def test_get_gives_the_first_and_getall_gives_all(page: Selector) -> None:
    assert page.css("a::text").get() == "first"
    assert page.css("a::text").getall() == ["first", "second"]


def test_extract_is_the_older_name_of_get_and_getall(page: Selector) -> None:
    assert page.css("a::text").extract() == ["first", "second"]
    assert page.css("a::text").extract_first() == "first"
    assert page.css("b::text").extract_first("none") == "none"
    assert page.css("a::text")[1].extract() == "second"


def test_a_query_without_a_match_gives_the_default(page: Selector) -> None:
    assert page.css("b::text").get() is None
    assert page.css("b::text").get("none") == "none"
    assert page.css("b").getall() == []
    assert not page.css("b")


def test_an_element_is_given_as_its_outer_html(page: Selector) -> None:
    assert page.css("#two h2").get() == "<h2>Two</h2>"
    assert str(page.css("#two h2")[0]) == "<h2>Two</h2>"
    assert page.css("#two h2")[0].getall() == ["<h2>Two</h2>"]


def test_a_document_is_given_as_its_html(page: Selector) -> None:
    assert page.get().startswith("<html><head><title>Shop</title>")
    assert page.get() == page.css("html").get()


def test_texts_and_attributes_are_given_unescaped(page: Selector) -> None:
    assert page.css("p::text").get() == "£51.77 <b>"
    assert page.css("#two a::attr(href)").get() == "/2?a=1&b=2"


def test_text_means_the_text_nodes_that_are_children(page: Selector) -> None:
    assert page.css("#one h2::text").getall() == ["One ", " book"]
    assert page.css("#one h2 ::text").getall() == ["One ", "!", " book"]


def test_an_attribute_that_is_missing_is_left_out(page: Selector) -> None:
    assert page.css("div::attr(data-empty), a::attr(data-empty)").getall() == [""]
    assert page.css("a::attr(title)").getall() == []


def test_each_element_is_found_once_however_many_parts_of_the_query_it_matches(
    page: Selector,
) -> None:
    found = page.css("div a, a, [href], body a:first-of-type")
    assert found.css("::text").getall() == ["first", "second"]


def test_the_results_of_a_list_of_queries_are_in_document_order(page: Selector) -> None:
    assert page.css("a::text, #two::attr(id), h2::text").getall() == [
        *("One ", " book", "first", "two", "Two", "second")
    ]


def test_texts_around_and_within_nested_matches_are_in_document_order() -> None:
    page = Selector("<div>1<div>2<div>3</div>4</div>5<div>6</div>7</div><div>8</div>")
    assert page.css("div::text").getall() == list("12345678")


def test_a_nested_query_looks_no_further_up_than_its_element(page: Selector) -> None:
    card = page.css(".card")[0]
    assert card.css("a::text").getall() == ["first"]
    assert card.css(".card a::text").getall() == ["first"]
    assert card.css("body a::text").getall() == []
    assert card.css(":scope > a::text").getall() == ["first"]
    assert card.css(":scope > i").getall() == []


@pytest.mark.parametrize(
    "query", [".Card b::text", "#Main b::text", "main b::text", "main.card > p > b::text"]
)
def test_what_lies_above_an_element_is_no_part_of_what_it_is_asked_for(query: str) -> None:
    # Without a doctype the case of classes and ids does not count.
    page = Selector("<main class='x\tCARD' id=MAIN><p><b>1</b></p><p><b>2</b></p></main>")
    for paragraph in page.css("p"):
        assert paragraph.css(query).getall() == []
        assert paragraph.css(query).get() is None
        assert paragraph.css("p > b::text").getall() == paragraph.css("b::text").getall()
    assert page.css("main")[0].css("main b::text").getall() == ["1", "2"]


def test_texts_that_were_asked_for_are_the_lists_own_afterwards(page: Selector) -> None:
    links = page.css("a")
    assert links.getall() == links.getall()
    assert links.re(r"\w+</a>") == ["first</a>", "second</a>"]
    assert len(links) == 2
    assert [link.get() for link in links] == links.getall()
    assert page.css("a::text").re_first("sec.*") == "second"


def test_a_condition_above_holds_for_any_ancestor_not_only_the_nearest() -> None:
    page = Selector("<div><p class=x><b>1</b></p></div>")
    assert page.css("div:not(.x) b::text, :is(div) b::text").getall() == ["1"]
    assert page.css(":not(.x) b::text").getall() == ["1"]


def test_contains_looks_at_the_text_as_a_whole() -> None:
    page = Selector("<p>£<b>51</b>.77</p><p>£5<!-- 1 -->2</p>")
    assert page.css("p:contains('£51.77') b::text").getall() == ["51"]
    assert page.css("p:contains('£52')::text").getall() == ["£5", "2"]


def test_contains_inside_of_another_condition_is_refused(page: Selector) -> None:
    with pytest.raises(ValueError, match=r"contains\(\) cannot be inside"):
        page.css("p:not(:contains('x'))")


def test_a_text_has_nothing_below_it_and_no_attributes(page: Selector) -> None:
    text = page.css("a::text")[0]
    assert text.css("a") == []
    assert text.css("::text") == []
    with pytest.raises(AttributeError, match="no attributes"):
        _ = text.attrib


def test_attrib_has_the_attributes_of_the_first_element(page: Selector) -> None:
    assert page.css("a").attrib == {"href": "/1", "data-empty": ""}
    assert page.css("a")[1].attrib["href"] == "/2?a=1&b=2"
    assert page.css("b").attrib == {}


def test_a_regular_expression_gives_its_groups_or_the_whole_match(page: Selector) -> None:
    assert page.css("p::text").re(r"\d+") == ["51", "77"]
    assert page.css("p::text").re(r"(\d+)\.(\d+)") == ["51", "77"]
    assert page.css("p::text").re(r"£(?P<extract>\d+).(\d+)") == ["51"]
    assert page.css("p::text").re(re.compile("[A-Z]")) == []
    assert page.css("p").re(r"£.*") == ["£51.77 &lt;b></p>"]
    assert page.css("p").re(r"£.*", replace_entities=False) == ["£51.77 &lt;b&gt;</p>"]
    assert page.css("a")[1].re("a=(1.*)b") == ["1&amp;"]


@pytest.mark.parametrize(
    ("source", "replaced"),
    [
        ("&eacute;&EACUTE;", "éé"),
        ("&#233;&#xE9;&#XE9", "ééé"),
        ("&#150;", "–"),
        ("&#0;&#xD800;", "\ufffd\ufffd"),
        ("&nosuch;&#9999999;", ""),
        ("&nosuch &", "&nosuch &"),
        ("&LT;&amp;", "&LT;&amp;"),
    ],
)
def test_entities_in_a_match_become_characters(source: str, replaced: str) -> None:
    page = Selector(f"<script>{source}</script>")  # where HTML itself leaves them alone
    assert page.css("script::text").re(".+") == [replaced]
    assert page.css("script::text").re_first(".+") == replaced


def test_re_first_gives_the_first_match_in_any_or_the_default(page: Selector) -> None:
    assert page.css("h2::text").re_first("T.*") == "Two"
    assert page.css("h2::text").re_first("x") is None
    assert page.css("h2::text").re_first("x", default="none") == "none"
    assert page.css("h2::text")[0].re_first("x", "none") == "none"
    assert SelectorList().re_first("x", "none") == "none"


def test_a_slice_is_a_selector_list(page: Selector) -> None:
    assert page.css("a")[1:].css("::text").getall() == ["second"]
    assert isinstance(page.css("a")[:1], SelectorList)
    assert isinstance(page.css("a")[0], Selector)


def test_an_empty_list_finds_nothing() -> None:
    nothing = SelectorList()
    assert nothing.css("a") == []
    assert nothing.xpath("//a") == []
    assert nothing.get() is None
    assert nothing.getall() == nothing.re(".") == []
    assert nothing.attrib == {}
    assert nothing[:1].css("a::text").get("none") == "none"


def test_an_empty_text_is_true_of_nothing(page: Selector) -> None:
    assert not page.css("a::attr(data-empty)")[0]
    assert page.css("a::text")[0]
    assert page.css("a")[0]
    assert page


def test_a_selector_shows_its_query_and_the_begin_of_its_data(page: Selector) -> None:
    assert repr(page.css("a::text")[0]) == "<Selector query='a::text' data='first'>"
    assert repr(page.css("#one")[0]) == (
        """<Selector query='#one' data='<div class="card" id="one"><h2>One <i...'>"""
    )


def test_a_tree_that_was_parsed_already_is_used_as_it_is() -> None:
    tree = LexborHTMLParser(PAGE)
    tree.css_first("h2").decompose()
    assert Selector(tree=tree).css("h2::text").getall() == ["Two"]


def test_a_selector_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a text or a tree"):
        Selector()


def test_root_is_the_lexbor_node_or_the_string(page: Selector) -> None:
    root = page.css("h2")[1].root
    assert isinstance(root, LexborNode)
    assert root.tag == "h2"
    assert page.css("h2::text")[0].root == "One "


def test_an_element_outlives_its_page() -> None:
    link = Selector(PAGE).css("a")[0]
    assert link.css("::text").get() == "first"
    assert link.attrib["href"] == "/1"


def test_a_selection_that_nobody_has_read_is_not_taken_for_an_empty_list(page: Selector) -> None:
    # Code written in C looks into a list without asking it.
    class Links(Item):
        texts: list[str]

    with pytest.raises(ValidationError, match="valid string"):
        Links(texts=page.css("a"))
    with pytest.raises(ValidationError, match="valid string"):
        Links(texts=page.css("a::text"))
    with pytest.raises(ValueError, match="Selector"):
        json_text({"links": page.css("a")})
    assert Links(texts=page.css("a::text").getall()).texts == ["first", "second"]
    assert Links(texts=page.css("b::text").getall()).texts == []
    assert [*page.css("b")] == []


def test_a_selector_of_a_response_says_how_to_select_from_it() -> None:
    with pytest.raises(ValueError, match=r"made from text, not from Response: write response\.css"):
        Selector(Response("http://a.example/"))  # type: ignore[arg-type]
    assert Selector(b"<p>x").css("p::text").get() == "x"  # type: ignore[arg-type]


def test_a_query_is_refused_whatever_the_page_contains() -> None:
    for source in ("", PAGE):
        for query in ("nosuch p:foo", "p, b:foo", "nosuch > a[", "b:foo::text"):
            with pytest.raises(ValueError, match="not a CSS selector"):
                Selector(source).css(query)


def test_a_very_deep_page_is_no_problem() -> None:
    page = Selector("<div>" * 3000 + "x" + "</div>" * 3000)
    assert page.css("div ::text").getall() == ["x"]
    assert page.css("div")[10].css("div::text, b").getall() == ["x"]


def test_xpath_gives_selections_of_parsel(page: Selector) -> None:
    assert page.xpath("//a/@href").getall() == ["/1", "/2?a=1&b=2"]
    assert page.xpath("//div[@id=$id]/h2/text()", id="two").get() == "Two"
    assert page.css(".card").xpath("./a/text()").getall() == ["first", "second"]


def test_xpath_begins_at_the_element_and_can_leave_it(page: Selector) -> None:
    first = page.css(".card a")[0]
    assert first.xpath("preceding-sibling::h2/i/text()").get() == "!"
    assert first.xpath("../following-sibling::div/@id").get() == "two"
    assert first.css("::text").xpath(".").getall() == ["first"]
    assert first.css("::text").xpath("..").getall() == []


def test_xpath_never_takes_another_element_for_this_one() -> None:
    # libxml2 lets no form be in a heading: from there on, places in the two trees differ.
    page = Selector("<h1><form><b>x</b></form></h1><p>1</p><p>2</p><p>3</p>")
    assert page.css("p").xpath("text()").getall() == ["1", "2", "3"]
    assert page.css("b").xpath("text()").getall() == ["x"]
    assert page.css("h1").xpath("name()").getall() == ["h1"]


def test_a_page_is_read_once_for_all_that_xpath_asks_of_it() -> None:
    # The title in a drawing has elements for lexbor, and text alone for libxml2.
    page = Selector("<svg><title><i>x</i></title></svg><b>1</b><p>2</p>")
    bold, paragraph = page.xpath("//b")[0], page.xpath("//p")[0]
    assert bold.root.getroottree().getroot() is paragraph.root.getroottree().getroot()


def test_xpath_from_an_element_takes_time_by_the_length_of_the_page() -> None:
    html = "<div><p><b>x</b></p><i>y</i></div>" * 32_000

    def times_parsels() -> float:
        started = time.process_time()
        assert len(parsel.Selector(html).css("b")) == 32_000
        read = time.process_time()
        bold = Selector(tree=LexborHTMLParser(html)).css("b")[0]
        assert bold.xpath("../../i/text()").get() == "y"
        return (time.process_time() - read) / (read - started)

    # Two to four; but where other tests run beside it, one turn alone says little.
    assert any(times_parsels() < 10 for _ in range(3))


def test_xpath_begins_at_the_element_on_a_page_with_templates_and_svg() -> None:
    page = Selector(
        "<p>0</p><template><p>x</p></template><svg><linearGradient></linearGradient></svg>"
        "<p>1</p><i>2</i>"
    )
    assert page.css("p").xpath("following-sibling::i/text()").getall() == ["2", "2"]
    assert page.css("p:contains('1')").xpath("preceding-sibling::p/text()").getall() == ["0"]
    assert page.css("linearGradient").xpath("../following-sibling::p/text()").get() == "1"


def test_a_wrong_xpath_is_a_value_error(page: Selector) -> None:
    with pytest.raises(ValueError, match="XPath error"):
        page.xpath("//a[")


def test_without_parsel_xpath_says_how_to_get_it(
    page: Selector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "parsel", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'crawler[xpath]'")):
        page.xpath("//a")
    assert page.css("a::text").get() == "first"
