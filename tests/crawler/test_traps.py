"""Which links lead into a place without end, and which only look like it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import Request, Spider
from crawler.traps import Traps, content_of
from tests.site import serve

SITE = "http://a.example"
NOW = Traps(2026)


@pytest.mark.parametrize(
    "path",
    [
        # words in a row, and sequences of them
        "/x/x/x/x/",
        "/shop/x/x/x/x/end.html",
        "/a/b/a/b/a/b/",
        "/a/b/c/a/b/c/a/b/c",
        "/en/about/about/about/about/team.html?q=1",
        # the same words in no order
        "/a/b/c/a/c/b/c/b/a/",
        # a parameter given again and again
        "/?ref=1&ref=1&ref=1&ref=1",
        # calendars, forward
        "/2031/05/",
        "/news/2029/12/31/",
        "/archive/2040-01",
        "/calendar/2031/5/",
        "/calendar/2031",
        "/calendar.php/month/2031-05",
        "/en/eventcalendar/list/12026/",
        "/events/2031/7",
        "/events/2031-07-01/",
        "/?year=2029&month=1",
        "/?cal_year=2029",
        "/cal?y=2040&m=1",
        "/cal?year=10000",
        "/cal?date=2031-05-01",
        "/cal?date=2031%2F05%2F01",
        "/cal?date=01.05.2031",
        "/cal?date=05/2031",
        "/cal?month=203105",
        "/cal?tribe-bar-date=20310501",
        "/?m=203105",
        # and backward
        "/cal?date=1499-12-31",
        "/calendar/1969/12",
        "/calendar?year=1969&month=12",
    ],
)
def test_a_link_into_a_place_without_end_is_caught(path):
    assert NOW.catch(SITE + path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/en/en/",
        "/2024/2024/",
        "/x/x/x/",
        "/a/b/a/b/",
        "/tiles/3/3/3.png",
        "/page/1/size/1/sort/1/view/1",
        "/color/all/size/all/price/all/brand/all",
        "/0/1/0/0/1/a.jpg",
        "/11/11/11/",
        "/?f=1&f=2&f=3&f=4&f=5",
        "/?q=http://a/b/a/b/a/b/a/b/",
        # numbers that are no dates
        "/product/2099",
        "/product/50000",
        "/product-2031.html",
        "/event/2187",
        "/events/2187/",
        "/calendar/gifts-2099.html",
        "/item/52031/05",
        "/thread/5123/12",
        "/part/2031-0567",
        "/?id=2031&page=12",
        "/?year_built=2099a",
        "/?update=20310",
        "/?month=12",
        "/?m=512309",
        "/?d=203199",
        "/?x=100&y=2450",
        "/?d=31",
        "/?day=3",
        # archives, and what is announced
        "/1895/05/",
        "/?year=1895&month=05",
        "/search?date=1789-07-14",
        "/trials?year=1674",
        "/tile?z=12&x=2200&y=2031",
        "/2024/05/12/story",
        "/calendar/1970/01",
        "/calendar/2028/12",
        "/?date=2028-12-31",
        "/events/2027/07",
    ],
)
def test_a_link_that_only_looks_like_it_is_not(path):
    assert not NOW.catch(SITE + path)


def test_a_shop_with_fifty_thousand_numbered_products_keeps_them_all():
    for number in range(50_000):
        assert not NOW.catch(f"{SITE}/product/{number}")
        assert not NOW.catch(f"{SITE}/catalogue?id={number}&page={number % 40}")


def test_the_edge_of_a_calendar_moves_on_with_the_years():
    assert NOW.catch(f"{SITE}/2029/01/")
    assert not Traps(2027).catch(f"{SITE}/2029/01/")


@given(
    st.lists(st.sampled_from("ab"), min_size=8, max_size=12)
    | st.lists(st.sampled_from("abc"), min_size=9, max_size=12)
)
def test_no_path_of_a_few_words_goes_on_for_ever(words):
    assert NOW.catch(f"{SITE}/{'/'.join(words)}/")


@given(st.lists(st.text(string.ascii_lowercase, min_size=1), unique=True, max_size=30))
def test_a_path_that_repeats_nothing_is_no_loop(words):
    assert not NOW.catch(f"{SITE}/{'/'.join(words)}/")


def test_a_path_of_many_words_is_no_work():
    words = [str(number) for number in range(100_000)] + ["0", "1", "2"]
    assert not NOW.catch(f"{SITE}/{'/'.join(words)}/")  # or this test would take minutes


@given(st.text(string.printable, max_size=300))
def test_any_text_has_an_answer(text):
    assert NOW.catch(f"{SITE}/{text}") in (True, False)


# ── pages met again ─────────────────────────────────────────────────────────────────────────


def test_equal_bodies_have_one_number_and_others_another():
    assert content_of(b"page") == content_of(bytes(bytearray(b"page")))
    assert len({content_of(b"page %d" % n) for n in range(1000)}) == 1000


def test_the_number_fits_sqlite_and_never_changes():
    assert content_of(b"a page") == 2159018883989957295
    assert all(-(2**63) <= content_of(b"%d" % n) < 2**63 for n in range(100))


def test_nothing_is_not_the_same_as_nothing():
    assert content_of(b"") is None


class Pages(Spider):
    name = "pages"

    def parse(self, response):
        yield {"url": response.url}
        yield from response.follow_all("a")


SAME = {"/": "<a href=/a></a><a href=/b></a><a href=/empty></a><a href=/void></a>"} | {
    "/a": "the same",
    "/b": "the same",
    "/empty": "",
    "/void": "",
}


@pytest.mark.parametrize(("traps", "again"), [(True, 1), (False, 0)])
async def test_a_page_that_was_met_before_is_reported_and_kept(traps, again, crawl):
    async with serve(SAME) as site:
        result = await crawl(type("S", (Pages,), {"start_urls": [site.url]}), traps=traps)
    assert result.reasons["done"].get("duplicate_content", 0) == again
    assert (result.done, result.items) == (5, 5)


async def test_a_page_that_is_asked_for_again_is_no_duplicate(crawl):
    class Again(Pages):
        async def start(self):
            for _ in range(3):
                yield Request(self.start_urls[0], dont_filter=True)

    async with serve({"/": "the same"}) as site:
        result = await crawl(type("S", (Again,), {"start_urls": [site.url]}))
    assert result.reasons["done"] == {"": 3}


async def test_an_error_page_is_the_same_as_nothing(crawl):
    pages = {"/": "<a href=/a></a><a href=/b></a>", "/a": (404, {}, "x"), "/b": "x"}
    async with serve(pages) as site:
        result = await crawl(type("S", (Pages,), {"start_urls": [site.url]}))
    assert result.reasons == {"done": {"": 2}, "failed": {"http_404": 1}}
