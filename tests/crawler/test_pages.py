"""Links without their fragments, each page once: in C, where there is a compiler, and in Python."""

import sys
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import pages
from crawler.pages import pages_in_python, pages_of

Pages = Callable[[list[str]], Iterable[str]]
EITHER = pytest.mark.parametrize("of", [pages_in_python, pages_of], ids=["python", "c"])
in_c = pytest.mark.skipif(
    pages.compiled is None,
    reason="crawler._pages is not there: with a C compiler, `make clean test`",
)


@EITHER
@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ([], []),
        (["b", "a#1", "a#2", "b#", "a"], ["b", "a"]),
        (["#top", "", "?q#1"], ["", "?q"]),
        (["a#b c", "a\n", " a", "\x00a\x1f"], ["a"]),
        (
            ["a b", "a b#c", "é#1", "漢字", "\U0001f600#", "漢字 #x"],
            ["a b", "é", "漢字", "\U0001f600", "漢字 "],
        ),
        (["\xa0", "\u3000a"], ["\xa0", "\u3000a"]),  # no white space to the URL standard
        (["\ud800#"], ["\ud800"]),
    ],
)
def test_each_page_is_there_once_in_the_order_of_its_first_link(
    of: Pages, urls: list[str], expected: list[str]
) -> None:
    assert list(of(urls)) == expected


@in_c
@given(st.lists(st.text(st.sampled_from("ab#?/ \t\n\x00é\xa0漢\U0001f600\ud800"), max_size=6)))
def test_both_say_the_same(urls: list[str]) -> None:
    assert list(pages_of(urls)) == list(pages_in_python(urls))


@in_c
def test_what_is_no_plain_text_is_left_to_python() -> None:
    class Text(str):
        pass

    assert pages.compiled is not None
    assert pages.compiled([Text("a")]) is None
    assert pages.compiled(["a", " b"]) is None
    assert list(pages_of([Text("a#b")])) == ["a"]
    with pytest.raises(TypeError, match="urls are a list, not tuple"):
        pages.compiled(("a",))  # type: ignore[arg-type]


@in_c
def test_urls_are_let_go_of() -> None:
    url = "".join(["a", "#", "b"])
    before = sys.getrefcount(url)
    for _ in range(50):
        assert list(pages_of([url, url])) == ["a"]
    assert sys.getrefcount(url) == before
