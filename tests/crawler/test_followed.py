"""`yield from response.follow_all(...)`: what the crawl has is left out, and nobody can tell."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.callbacks import CallbackError, run_callback
from crawler.harvest import Harvest
from crawler.links import Discovery, Followed
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.url import Scope
from storage.records import NewRequest, QueuedRequest

HOME = QueuedRequest(1, 7, "http://a.example/", "a.example", "GET", None, None, None, 0, 1, 0)
PAGES = [f"/{name}" for name in "abcdef"]


def discovery(stored: list[str]) -> Discovery:
    found = Discovery(Settings())
    found.widen(Scope(["a.example"]))
    urls = [Request(f"http://a.example{page}") for page in stored]
    found.stored(found.lasting(found.record(url, HOME, 0) for url in urls))
    return found


def page(links: list[str]) -> Response:
    text = "".join(f'<a href="{link}">x</a>' for link in links)
    return Response(HOME.url, headers={"Content-Type": "text/html"}, body=text.encode())


async def harvest_of(result: Any, stored: list[str], *, most: int = 100_000) -> Harvest:
    harvest = Harvest(discovery(stored), HOME, HOME.url)
    await run_callback(result, harvest, timeout=60, most=most)
    return harvest


_LINKS = st.lists(st.sampled_from([*PAGES, "/a#b", "http://b.example/", "mailto:x", "http://["]))
_ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "callback": st.just("other"),
        "method": st.sampled_from(["GET", "POST"]),
        "meta": st.just({"a": 1}),
        "priority": st.just(1),
        "dont_filter": st.booleans(),
        "body": st.just("x"),
    },
)
_YIELDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["from", "each"]), _LINKS, _ARGUMENTS),
        st.tuples(st.just("item"), st.none(), st.none()),
    )
)


def callback(yields: list[tuple[str, Any, Any]]) -> Iterator[Any]:
    for way, links, arguments in yields:
        if way == "item":
            yield {"an": "item"}
        elif way == "from":
            yield from page(links).follow_all("a", **arguments)
        else:
            for request in page(links).follow_all("a", **arguments):  # noqa: UP028 - another way
                yield request


@given(_YIELDS, st.lists(st.sampled_from(PAGES)))
async def test_it_comes_to_the_same_as_taking_one_after_the_other(yields, stored):
    slowly = Harvest(discovery(stored), HOME, HOME.url)
    for output in callback(yields):
        slowly.take(output)
    quickly = await harvest_of(callback(yields), stored)
    assert quickly.requests == slowly.requests
    assert quickly.items == slowly.items


_SITE = ["http://a.example/", "http://a.example/x", "http://a.example/x/", "http://a.example/x/?q"]
_ANYWHERE = st.lists(st.sampled_from(["", "?q", "#f", "y", "y#f", "../y", "/x/", "//b.example/z"]))
_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("page"), st.sampled_from(_SITE), _ANYWHERE),
        st.tuples(st.just("stored"), st.none(), st.none()),
        st.tuples(st.just("widened"), st.sampled_from(["a.example", "b.example"]), st.none()),
    )
)


@given(_EVENTS)
async def test_so_it_does_page_after_page_whatever_was_stored_meanwhile(events):
    ours, theirs = discovery([]), discovery([])
    found: list[NewRequest] = []
    for event, where, links in events:
        if event == "stored":
            ours.stored(ours.lasting(found))
            theirs.stored(theirs.lasting(found))
        elif event == "widened":
            ours.widen(Scope([where]))
            theirs.widen(Scope([where]))
        else:
            text = "".join(f'<a href="{link}">x</a>' for link in links)
            response = Response(where, headers={"Content-Type": "text/html"}, body=text.encode())
            quickly, slowly = Harvest(ours, HOME, where), Harvest(theirs, HOME, where)
            await run_callback(response.follow_all("a"), quickly, timeout=60, most=100)
            for request in response.follow_all("a"):
                slowly.take(request)
            assert quickly.requests == slowly.requests
            found += quickly.requests


@pytest.mark.parametrize(("directories", "links"), [(1, 10), (200, 10), (200, 2)])
async def test_what_is_remembered_of_links_that_lead_nowhere_new_is_bounded(
    monkeypatch, directories, links
):
    monkeypatch.setattr("crawler.links._ROOM", 20_000)
    found = discovery([])
    for number in range(200):
        where = f"http://a.example/{number % directories}/"
        text = "".join(f'<a href="{"x" * 50}{number}-{n}">' for n in range(links))
        response = Response(where, headers={"Content-Type": "text/html"}, body=text.encode())
        for _ in range(3):
            harvest = Harvest(found, HOME, where)
            await run_callback(response.follow_all("a"), harvest, timeout=60, most=100)
            found.stored(found.lasting(harvest.requests))
        assert harvest.requests == []
        kept = found._settled._links
        things = [kept, *kept, *kept.values(), *(link for some in kept.values() for link in some)]
        assert sum(map(sys.getsizeof, things)) < 30_000


async def test_of_more_links_than_are_looked_at_in_one_go_every_new_one_is_found():
    links = [f"/{number}" for number in range(5000)]
    harvest = await harvest_of(page(links).follow_all("a"), links[1::2] + links[1000:3500])
    new = [*links[:1000:2], *links[3500::2]]
    assert [r.url for r in harvest.requests] == [f"http://a.example{link}" for link in new]


async def test_what_is_left_out_counts_among_the_results():
    def parse() -> Iterator[Request]:
        yield from page(PAGES).follow_all("a")

    await harvest_of(parse(), PAGES, most=len(PAGES))
    with pytest.raises(CallbackError, match="yields more than 5"):
        await harvest_of(parse(), PAGES, most=len(PAGES) - 1)


@pytest.mark.parametrize(("arguments", "made"), [({}, ["/a"]), ({"priority": 1}, ["/a", "/f"])])
async def test_of_what_the_crawl_has_no_request_is_made(arguments, made):
    taken: list[Any] = []

    class Counting(Harvest):
        def take_followed(self, followed: Followed, first: Request) -> int:
            taken.append(first)
            return super().take_followed(followed, first)

    def parse() -> Iterator[Request]:
        yield from page(PAGES).follow_all("a", **arguments)

    counting = Counting(discovery(PAGES[:-1]), HOME, HOME.url)
    await run_callback(parse(), counting, timeout=60, most=100)
    assert [request.url[-2:] for request in taken] == made
    assert [request.url[-2:] for request in counting.requests] == [PAGES[-1]]


async def test_what_is_wrong_with_a_link_is_said_with_the_line_that_yields_it():
    def parse() -> Iterator[Request]:
        found = Response("http://a.example/", body=b"<a href=/x><a href=b.html>")
        found.request.url = found.url = "about:blank"
        yield from found.follow_all(["http://a.example/x", "b.html"])

    with pytest.raises(ValueError, match=r"relative url 'b\.html'") as raised:
        await harvest_of(parse(), [])
    assert Path(__file__).name in raised.value.__notes__[0]


def test_whoever_walks_through_them_sees_all():
    followed = page(PAGES).follow_all("a", "other", priority=3)
    assert isinstance(followed, Followed)
    found = [(request.url[-2:], request.callback, request.priority) for request in followed]
    assert found == [(name, "other", 3) for name in PAGES]
