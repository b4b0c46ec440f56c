"""From hrefs to requests for the frontier."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.micro.conftest import URL
from crawler import Response
from crawler.harvest import Harvest
from crawler.identity import Identifier
from crawler.links import Discovery
from crawler.settings import Settings
from crawler.url import Scope, canonical, fingerprint
from storage.records import QueuedRequest

HREFS = [f"../guide/topic-{n}.html" for n in range(100)]
URLS = [canonical(href, URL) for href in HREFS]


def test_a_hundred_hrefs_made_absolute(benchmark: Any) -> None:
    benchmark(lambda: [canonical(href, URL) for href in HREFS])


def test_a_hundred_fingerprints(benchmark: Any) -> None:
    benchmark(lambda: [fingerprint("GET", url) for url in URLS])


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_a_hundred_urls_identified(benchmark: Any, known: bool) -> None:
    def identifier() -> tuple[tuple[Identifier], dict[str, Any]]:
        made = Identifier()
        if known:
            identify(made)
        return (made,), {}

    def identify(identifier: Identifier) -> None:
        for url in URLS:
            identifier(url)

    benchmark.pedantic(identify, setup=identifier, rounds=300, warmup_rounds=10)


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_the_links_of_a_page_followed(
    benchmark: Any, respond: Callable[[], Response], row: QueuedRequest, known: bool
) -> None:
    def prepare() -> tuple[tuple[Response, Discovery], dict[str, Any]]:
        discovery = Discovery(Settings())
        discovery.widen(Scope.around(["docs.example"]))
        if known:
            response = respond()
            discovery.stored(discovery.lasting(harvest(response, discovery).requests))
        response = respond()
        assert response.tree  # parsed beforehand
        return (response, discovery), {}

    def harvest(response: Response, discovery: Discovery) -> Harvest:
        taken = Harvest(discovery, row, response.url)
        for request in response.follow_all("a"):
            taken.take(request)
        return taken

    benchmark.pedantic(harvest, setup=prepare, rounds=200, warmup_rounds=5)
