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
        ParseBudgetError,
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
    from storage.errors import StoreError

_HOME = {
    "Crawl": "crawler.engine",
    "CrawlerError": "crawler.errors",
    "DropRequest": "crawler.errors",
    "Failure": "crawler.spider",
    "FetchError": "crawler.errors",
    "Item": "crawler.item",
    "ParseBudgetError": "crawler.errors",
    "Request": "crawler.request",
    "Response": "crawler.response",
    "RetryLater": "crawler.errors",
    "Selector": "crawler.selection",
    "SelectorList": "crawler.selection",
    "Settings": "crawler.settings",
    "SettingsError": "crawler.errors",
    "Spider": "crawler.spider",
    "SpiderError": "crawler.errors",
    "StoreError": "storage.errors",
    "Summary": "crawler.summary",
    "UsageError": "crawler.errors",
    "retry": "crawler.retrying",
    "run": "crawler.engine",
    "timed": "crawler.timing",
}

__all__ = [
    "Crawl",
    "CrawlerError",
    "DropRequest",
    "Failure",
    "FetchError",
    "Item",
    "ParseBudgetError",
    "Request",
    "Response",
    "RetryLater",
    "Selector",
    "SelectorList",
    "Settings",
    "SettingsError",
    "Spider",
    "SpiderError",
    "StoreError",
    "Summary",
    "UsageError",
    "retry",
    "run",
    "timed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        hint = import_module("crawler.scrapy_names").instead_of(name)
        raise AttributeError(hint or f"module 'crawler' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
