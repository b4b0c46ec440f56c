"""What the bytes of a page tell of its tags: in C, where there is a compiler, and in Python."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawler import markup
from crawler.markup import Look
from crawler.survey import (
    Binary,
    Survey,
    binary_in_python,
    compiled,
    compiled_binary,
    survey_in_python,
)

in_c = pytest.mark.skipif(
    compiled is None, reason="crawler._survey is not there: with a C compiler, `make clean test`"
)
EITHER = pytest.mark.parametrize(
    "survey", [survey_in_python, pytest.param(compiled, marks=in_c)], ids=["python", "c"]
)
MANY = b"</p>" * 2_000  # enough to look at which they are


@EITHER
def test_what_may_be_a_tag_is_counted(survey: Survey) -> None:
    assert survey(b"")[0] == 0
    assert survey(b"1 < 2 <!-- <p> -->\0<")[0] == 4
    assert survey(b"<p>one</p>" * 50)[0] == 100


@EITHER
@pytest.mark.parametrize(
    ("page", "count"),
    [
        (b"<b a=1><b a=1><b a=2><B a=1>", 3),
        (b"<b/><i\n><s\ta><u\fa><em\ra><big ><code x><font y><small z><strike 1><tt 2>", 11),
        (b"<strong class='a'><STRONG class='a'>", 2),
        (b"<b><i><strong></b></i >", 0),  # without attributes
        (b"<body a><br /><section a><span a><sup a><table a><bigger a><tr a>", 0),
        (b"<b a='>1'><b a='>2'>", 2),  # cut within a value, and so not known to be the same
        (b'<b a"b= ">1"><b a"b= ">1">', 2),
        (b"<b a=\"1\"><b a=\"1\"><b a=''><b a=''>", 2),
        (b"<select <b a=1>", 0),  # one tag
        (b"<b", 0),
        (b"<b a", 1),
    ],
)
def test_formatting_elements_that_differ_are_counted(
    survey: Survey, page: bytes, count: int
) -> None:
    assert survey(MANY + page)[1] == count


@EITHER
@pytest.mark.parametrize("many", [b"", MANY])
def test_a_base_is_seen(survey: Survey, many: bytes) -> None:
    assert survey(many + b"<head><bAsE href=/x/>")[2]
    assert survey(many + b"<base\nhref=/x/>")[2]
    assert not survey(many + b"<head>base</base><a href=base><ba se>")[2]


TAGS = (b"<b a=1", b"<B a='", b'<font x="', b"<base href=", b"<code\n", b"</b", b"<i", b"<select ")
MARKS = (b">", b"'", b'"', b"=", b" ", b"/", b"<", b"-", b"\xff", b"x", b"\0", b"<span a")
PIECE = st.sampled_from(TAGS + MARKS)


@in_c
@settings(max_examples=300)
@given(st.lists(PIECE), st.lists(PIECE), st.sampled_from([1, 3, 300]))
def test_both_say_the_same(before: list[bytes], again: list[bytes], times: int) -> None:
    page = MANY + b"".join(before) + b"".join(again) * times
    assert compiled is not None
    assert compiled(page) == survey_in_python(page)


@in_c
@settings(max_examples=300)
@given(st.lists(PIECE), st.sampled_from([1, 3, 60]))
def test_of_few_tags_no_base_is_missed(pieces: list[bytes], times: int) -> None:
    page = b"".join(pieces) * times
    assert compiled is not None
    tags, _, has_base = compiled(page)
    assert tags == page.count(b"<")
    assert has_base is survey_in_python(MANY + page)[2]


@EITHER
def test_tags_are_counted_on_both_sides_of_many(survey: Survey) -> None:
    for tags in (254, 255, 256, 1_999, 2_000, 2_001):
        assert survey(b"<" * tags) == (tags, 0, False)
        assert survey(b"<p>" * tags)[0] == tags


EITHER_BINARY = pytest.mark.parametrize(
    "binary", [binary_in_python, pytest.param(compiled_binary, marks=in_c)], ids=["python", "c"]
)


@EITHER_BINARY
def test_bytes_that_no_text_has_are_counted(binary: Binary) -> None:
    assert binary(bytes(range(256))) == 27
    assert binary(b"\t\n\f\r\x1b a\x7f\x80\xff") == 0
    assert binary(b"") == 0


@in_c
@given(st.binary(max_size=600), st.sampled_from([1, 50]))
def test_both_count_the_same_bytes(page: bytes, times: int) -> None:
    assert compiled_binary is not None
    assert compiled_binary(page * times) == binary_in_python(page * times)


@in_c
def test_both_find_the_same_suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    for different in (10, 150, 190, 200, 1_000):
        page = b"<p>x" * 2_000 + b"".join(b"<b a=%d>" % n for n in range(different)) * 2
        ours = Look(page).is_suspicious
        with monkeypatch.context() as patch:
            patch.setattr(markup, "survey", survey_in_python)
            assert Look(page).is_suspicious is ours


@settings(max_examples=300)
@given(st.lists(PIECE))
def test_no_base_is_overlooked(pieces: list[bytes]) -> None:
    page = b"".join(pieces)
    if any("href" in base.attrs for base in LexborHTMLParser(page).tags("base")):
        assert Look(page).has_base
        assert survey_in_python(page)[2]


@in_c
def test_in_c_only_bytes_are_a_page() -> None:
    assert compiled is not None
    with pytest.raises(TypeError, match="a page is bytes, not str"):
        compiled("<p>")  # type: ignore[arg-type]
