"""What a program passes by mistake: refused in one line, before a file is made."""

from pathlib import Path
from typing import Any

import pytest

import crawler
from tests.crawler.links_site import Links, links


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
    ],
    ids=str,
)
async def test_an_argument_of_the_wrong_type_is_refused(
    wrong: dict[str, Any], said: str, db: Path
) -> None:
    with pytest.raises(crawler.UsageError, match=said):
        await crawler.run(links(), **{"db": db, **wrong})
    assert not db.exists()
