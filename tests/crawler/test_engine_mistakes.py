"""What a program passes by mistake: refused in one line, before a file is made."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import crawler
from tests.crawler.links_site import Links, links
from tests.site import serve


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("books", "'books' is no spider: pass the class"),
        (int, "<class 'int'> is no spider: pass the class"),
        (None, "None is no spider: pass the class"),
        (Links(), "pass the class, not an instance"),
    ],
)
async def test_what_is_no_spider_class_is_refused(wrong: Any, said: str, db: Path) -> None:
    with pytest.raises(crawler.UsageError, match=said) as caught:
        await crawler.run(wrong, db=db)
    assert "\n" not in str(caught.value)
    assert not db.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"db": 5}, "db is the path of a file, not 5"),
        ({"db": "/"}, "db is the path of a file, and / is a directory"),
        ({"config": 5}, "config is the path of a file, not 5"),
        ({"arguments": [1]}, r"arguments are a dict, \{name: value\}, not \[1\]"),
        ({"arguments": {1: "a"}}, "the names of arguments are text"),
        ({"arguments": {"on": date.max}}, r"as JSON: .* date is not .* \(give it as text\)"),
        ({"arguments": {"most": float("nan")}}, "arguments are kept with the run, as JSON"),
        ({"db": ""}, r"db is the path of a file, and \. is a directory"),
    ],
    ids=str,
)
async def test_an_argument_of_the_wrong_type_is_refused(
    wrong: dict[str, Any], said: str, db: Path
) -> None:
    with pytest.raises(crawler.UsageError, match=said):
        await crawler.run(links(), **{"db": db, **wrong})
    assert not db.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": 5}, "S has a name that is no text: 5"),
        ({"settings": None}, "settings of links are a dict, .*, not None"),
        ({"settings": [("delay", 1)]}, "settings of links are a dict, .*, not "),
        ({"start_urls": "http://a.example/"}, "start_urls of links is text: make it a list"),
        ({"start_urls": 5}, "start_urls of links is a list of urls, not 5"),
        ({"start_urls": ["http://a.example/", 5]}, "start_urls of links has 5, which is no text"),
        ({"allowed_domains": "a.example"}, "allowed_domains of links is text: make it a list"),
        ({"allowed_domains": "localhost"}, "allowed_domains of links is text: make it a list"),
        ({"allowed_domains": 5}, "allowed_domains of links is a list of domains, not 5"),
        ({"allowed_domains": [5]}, "allowed_domains of links: not a domain: 5"),
        ({"allowed_domains": ["a b"]}, "allowed_domains of links: not a domain: 'a b'"),
        (
            {"items": 7},
            "items of links is a list of models, not 7: if it is something of your own, give",
        ),
        ({"items": [{"a": 1}]}, r"items of links is a list of models, not \[{'a': 1}\]: if it"),
        ({"items": {"Book": 1}}, r"items of links is a list of models, not {'Book': 1}: if it"),
        ({"handle_status": 404}, r"handle_status of links is a list of numbers, not 404"),
        ({"handle_status": ["404"]}, r"handle_status of links is a list of numbers, not \['404'\]"),
        ({"handle_httpstatus_list": "404"}, "handle_httpstatus_list of links is a list of numbers"),
    ],
    ids=str,
)
async def test_an_attribute_of_the_wrong_type_is_refused(
    wrong: dict[str, Any], said: str, db: Path
) -> None:
    with pytest.raises(crawler.UsageError, match=said) as caught:
        await crawler.run(links("http://127.0.0.1:1/", **wrong), db=db)
    assert "\n" not in str(caught.value)
    assert not db.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, r"shop takes other arguments: missing .* argument: 'url' \(-a NAME=VALUE gives one\)"),
        ({"url": "x", "pages": "3"}, "shop takes other arguments: .* keyword argument 'pages'"),
    ],
)
async def test_arguments_that_the_spider_does_not_take_are_refused(
    arguments: dict[str, str], said: str, db: Path
) -> None:
    class Shop(crawler.Spider):
        name = "shop"

        def __init__(self, url: str) -> None:
            super().__init__()
            self.start_urls = [url]

    with pytest.raises(crawler.UsageError, match=said):
        await crawler.run(Shop, db=db, arguments=arguments)
    assert not db.exists()


async def test_start_urls_are_text_when_the_spider_reads_them_as_such(
    crawl: Callable[..., Awaitable[crawler.Summary]],
) -> None:
    class Listed(Links):
        async def start(self) -> AsyncIterator[crawler.Request]:
            for url in str(self.start_urls).split(","):
                yield crawler.Request(url)

    async with serve({"/a": "", "/b": ""}) as site:
        both = f"{site.url}a,{site.url}b"
        assert (await crawl(Listed, arguments={"start_urls": both})).done == 2
