"""Scrapy's names that mean nothing here, and what to write instead of each."""

import ast
import os
from collections.abc import Collection, Iterator
from typing import Any

_LINKS = 'write parse, with response.follow_all("li.next a", self.parse_item)'
_SHOW = "`crawler shell URL` and `crawler fetch URL` show a page"
_VALIDATOR = "what checks or changes an item is a validator of its pydantic model"
_LIMITS = "the settings max_pages, max_items and max_seconds end a crawl"
_RUN = "write asyncio.run(crawler.run(TheSpider, db='crawl.db'))"
_CLOSED = "what is to be done at the end goes into the spider's closed(reason)"
_ITSELF = "what there is, is in crawler itself; see Coming from Scrapy in docs/spiders.md"
_NO_CRAWLER = "settings are the attribute `settings`, counts are in the summary and the file"

_NOT_RENDERED = "pages are not rendered here; what a page's scripts fetch can be fetched by itself"

_INSTEAD = {
    "BaseSpider": "write Spider",
    "CSVFeedSpider": "write parse, with csv.DictReader(response.text.splitlines())",
    "CloseSpider": _LIMITS,
    "CrawlSpider": _LINKS,
    "CrawlerProcess": _RUN,
    "CrawlerRunner": _RUN,
    "DropItem": f"{_VALIDATOR}, and what is not wanted is not yielded",
    "Field": "write an item's fields with their types, title: str | None = None",
    "FormRequest": "write Request(url, form={...}), with the hidden fields that the page has",
    "HtmlResponse": "every page is a Response",
    "HttpError": "an errback looks at failure.reason ('http_404') and failure.response",
    "IgnoreRequest": "a middleware raises DropRequest('reason')",
    "ItemLoader": "write the values into the item; what cleans them is a validator of its model",
    "JsonRequest": "write Request(url, json={...})",
    "LinkExtractor": _LINKS,
    "LxmlLinkExtractor": _LINKS,
    "Rule": _LINKS,
    "SitemapSpider": 'write parse, with response.follow_all(response.css("loc::text").getall())',
    "TextResponse": "every page is a Response",
    "XMLFeedSpider": 'write parse, with response.css("item")',
    "XmlResponse": "every page is a Response",
    "exceptions": f"{_LIMITS}; a middleware raises DropRequest",
    "inspect_response": _SHOW,
    "linkextractors": _LINKS,
    "loader": "write the values into the item; what cleans them is a validator of its model",
    "open_in_browser": _SHOW,
    "pipelines": _VALIDATOR,
    "signals": _CLOSED,
}
# Modules of Scrapy's that are none here.
_MODULES = frozenset(
    (
        *("core", "crawler", "downloadermiddlewares", "exceptions", "exporters", "extensions"),
        *("http", "linkextractors", "loader", "pipelines", "selector", "shell", "signals"),
        *("spidermiddlewares", "spiders", "utils"),
    )
)
_MISSING = {
    "itemadapter": "an item is a model: item['title'], dict(item)",
    "itemloaders": "write the values into the item; what cleans them is a validator of its model",
    "scrapy": "change the import, as in: import crawler as scrapy",
    "scrapy_playwright": _NOT_RENDERED,
    "scrapy_selenium": _NOT_RENDERED,
    "scrapy_splash": _NOT_RENDERED,
    "twisted": "an errback looks at failure.reason ('dns', 'timeout', ...) instead",
}
# What a class of Scrapy's is asked for, and nobody would call here.
_HOOKS = {
    "from_crawler": f"what it sets up goes into __init__, and {_CLOSED}",
    "update_settings": "settings are the class attribute `settings`",
}
# Keys of a request's `meta` that tell Scrapy what to do.
META = {
    "dont_obey_robotstxt": "the setting is robots, also of a [[host]] table",
    "dont_redirect": "the setting is max_redirects",
    "dont_retry": "the setting is retries",
    "download_maxsize": "the setting is max_body",
    "download_timeout": "the setting is timeout, also of a [[host]] table",
    "handle_httpstatus_all": "write Request(..., handle_status=[404])",
    "handle_httpstatus_list": "write Request(..., handle_status=[404])",
    "max_retry_times": "the setting is retries",
    "proxy": "there is no support for proxies",
}


def instead_of(name: str) -> str | None:
    """Return what to write instead of a name of Scrapy's; None for one that is not known."""
    return f"there is no {name} here: {_INSTEAD[name]}" if name in _INSTEAD else None


def instead_of_module(name: str) -> str | None:
    """Return what to write instead of importing a module that is not there; None if unknown."""
    package, _, rest = name.partition(".")
    if package == "crawler" and rest.partition(".")[0] in _MODULES:
        return f"there is no {name} here: {_ITSELF}"
    return _MISSING.get(package)


def foreign_name(tree: ast.Module, ours: Collection[str]) -> tuple[int, str] | None:
    """Return the first use of Scrapy's names that cannot work: its line, and what is wrong.

    `ours` are the names that `crawler` has itself.
    """
    found = [*_imported(tree, ours), *_looked_up(tree, ours), *_of_the_crawler(tree)]
    return min(found, default=None)


def _imported(tree: ast.Module, ours: Collection[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module is not None:
            package, _, module = node.module.partition(".")
            names = [alias.name for alias in node.names]
            told = next((said for name in names if (said := instead_of(name))), None)
            if package != "crawler":
                continue
            if told is not None:
                yield node.lineno, told
            elif module.partition(".")[0] in _MODULES:
                yield node.lineno, _moved(node.module, names, ours)


def _moved(module: str, names: list[str], ours: Collection[str]) -> str:
    there = all(name in ours for name in names)
    itself = f"write: from crawler import {', '.join(names)}" if there else _ITSELF
    return f"there is no {module} here: {itself}"


def _looked_up(tree: ast.Module, ours: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield what is asked of the module, as in `scrapy.Field` after `import crawler as scrapy`."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "crawler"
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        match node.value:
            case ast.Name(id=name) if name in aliases and node.attr not in _MODULES:
                if said := instead_of(node.attr):
                    yield node.lineno, said
            case ast.Attribute(value=ast.Name(id=name), attr=module) if (
                name in aliases and module in _MODULES
            ):
                told = instead_of(node.attr) or instead_of(module)
                yield node.lineno, told or _moved(f"crawler.{module}", [node.attr], ours)


def _of_the_crawler(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield uses of `self.crawler`, unless the file gives its spiders one."""
    uses = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "crawler"
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    ]
    if all(isinstance(node.ctx, ast.Load) for node in uses):
        yield from ((node.lineno, f"there is no self.crawler here: {_NO_CRAWLER}") for node in uses)


def hook_not_called(spider: type) -> str | None:
    """Return what is wrong with a spider that has a hook of Scrapy's; None when it has none."""
    for name, instead in _HOOKS.items():
        hook = getattr(spider, name, None)
        if hook is not None:
            return f"{_place(hook)}{spider.__name__}.{name} is not called here: {instead}"
    return None


def _place(hook: Any) -> str:
    code = getattr(getattr(hook, "__func__", hook), "__code__", None)
    if code is None:
        return ""
    return f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}: "
