"""A small bookshop on loopback to try the crawler on, and the spider that crawls it.

`python -m crawler.demo` serves the shop until Ctrl-C; `crawler demo` crawls it as well.
"""

from crawler.demo.site import DemoSite

__all__ = ["DemoSite"]
