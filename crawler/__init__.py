"""An async web-scraping framework: write a spider, run it, query the SQLite file it leaves.

Names load on first use, so that `import crawler` and `crawler --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawler.engine import Crawl, run
    from crawler.errors import (
        CrawlerError,
        DropRequest,
        FetchError,
        RetryLater,
        SettingsError,
        SpiderError,
        UsageError,
    )
    from crawler.item import Item
    from crawler.request import Request
    from crawler.response import Response
    from crawler.retrying import retry
    from crawler.selection import Selector, SelectorList
    from crawler.settings import Settings
    from crawler.spider import Failure, Spider
    from crawler.summary import Summary
    from crawler.timing import timed

_HOME = {
    "Crawl": "engine",
    "CrawlerError": "errors",
    "DropRequest": "errors",
    "Failure": "spider",
    "FetchError": "errors",
    "Item": "item",
    "Request": "request",
    "Response": "response",
    "RetryLater": "errors",
    "Selector": "selection",
    "SelectorList": "selection",
    "Settings": "settings",
    "SettingsError": "errors",
    "Spider": "spider",
    "SpiderError": "errors",
    "Summary": "summary",
    "UsageError": "errors",
    "retry": "retrying",
    "run": "engine",
    "timed": "timing",
}

__all__ = [
    "Crawl",
    "CrawlerError",
    "DropRequest",
    "Failure",
    "FetchError",
    "Item",
    "Request",
    "Response",
    "RetryLater",
    "Selector",
    "SelectorList",
    "Settings",
    "SettingsError",
    "Spider",
    "SpiderError",
    "Summary",
    "UsageError",
    "retry",
    "run",
    "timed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'crawler' has no attribute {name!r}")
    value = getattr(import_module(f"crawler.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
