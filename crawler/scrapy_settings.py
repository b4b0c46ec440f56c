"""Scrapy's names for our settings: what a spider's `custom_settings` mean here."""

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
    "CLOSESPIDER_PAGECOUNT": "max_pages",
    "CLOSESPIDER_ITEMCOUNT": "max_items",
    "CLOSESPIDER_TIMEOUT": "max_seconds",
}
# Scrapy writes "no limit" as 0.
_ZERO_IS_NONE = frozenset({"max_depth", "max_pages", "max_items", "max_seconds"})


def translated(custom_settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return our settings for Scrapy's, and the names that mean nothing here."""
    ours: dict[str, Any] = {}
    unknown = []
    for name, value in custom_settings.items():
        if name not in _OURS:
            unknown.append(name)
        elif value or _OURS[name] not in _ZERO_IS_NONE:
            ours[_OURS[name]] = value
    return ours, unknown
