"""Scrapy's names for our settings: what a spider's `custom_settings` and attributes mean."""

from collections.abc import Mapping
from typing import Any

_OURS = {
    "CONCURRENT_REQUESTS": "concurrency",
    "CONCURRENT_REQUESTS_PER_DOMAIN": "concurrency_per_host",
    "DOWNLOAD_DELAY": "delay",
    "AUTOTHROTTLE_ENABLED": "adaptive",
    "ROBOTSTXT_OBEY": "robots",
    "COOKIES_ENABLED": "cookies",
    "USER_AGENT": "user_agent",
    "DEFAULT_REQUEST_HEADERS": "headers",
    "DOWNLOAD_TIMEOUT": "timeout",
    "DOWNLOAD_MAXSIZE": "max_body",
    "RETRY_TIMES": "retries",
    "REDIRECT_MAX_TIMES": "max_redirects",
    "DEPTH_LIMIT": "max_depth",
    "URLLENGTH_LIMIT": "max_url_length",
    "CLOSESPIDER_PAGECOUNT": "max_pages",
    "CLOSESPIDER_ITEMCOUNT": "max_items",
    "CLOSESPIDER_TIMEOUT": "max_seconds",
}
# Attributes of a spider that are settings to Scrapy, too.
_ATTRIBUTES = {
    "download_delay": "delay",
    "download_maxsize": "max_body",
    "download_timeout": "timeout",
    "user_agent": "user_agent",
}
_INSTEAD = {
    "DOWNLOADER_MIDDLEWARES": "the spider's attribute `middleware`",
    "FEEDS": "crawler run -o FILE, or crawler export",
    "FEED_URI": "crawler run -o FILE, or crawler export",
    "HTTPERROR_ALLOWED_CODES": "the spider's attribute `handle_status`",
    "ITEM_PIPELINES": "validators of the items' models",
    "LOG_LEVEL": "crawler --log-level",
    "REDIRECT_ENABLED": "the setting max_redirects",
    "RETRY_ENABLED": "the setting retries",
}
# Scrapy writes "no limit" as 0.
_ZERO_IS_NONE = frozenset({"max_depth", "max_url_length", "max_pages", "max_items", "max_seconds"})


def our_name(setting: str) -> str | None:
    """Return what a setting of Scrapy's is called here; None for one that there is not."""
    return _OURS.get(setting)


def translated(spider: type) -> tuple[dict[str, Any], list[str]]:
    """Return our settings for those that a spider has for Scrapy, and what to say of the others."""
    custom: Mapping[str, Any] = getattr(spider, "custom_settings", None) or {}
    ours: dict[str, Any] = {}
    ignored = []
    for name, value in custom.items():
        if name not in _OURS:
            ignored.append(f"{name} (instead: {_INSTEAD[name]})" if name in _INSTEAD else name)
        elif value or _OURS[name] not in _ZERO_IS_NONE:
            ours[_OURS[name]] = value
    for name, our in _ATTRIBUTES.items():
        if isinstance(value := getattr(spider, name, None), int | float | str) and value != "":
            ours[our] = value
    if getattr(spider, "http_user", None):
        ignored.append("http_user (instead: a middleware that sets the header Authorization)")
    return ours, ignored
