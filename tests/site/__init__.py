"""Sites on loopback that the tests crawl.

`serve` (simple.py) is a site written down as a dictionary, for one test.
`SiteSpec` and `SiteServer` (spec.py, synthetic.py) are a site of any size whose complete
crawl is known beforehand; `python -m tests.site` serves one from a process of its own.
"""

from crawler.selftest.server import Request
from crawler.selftest.site import SiteServer
from crawler.selftest.spec import Expected, Kind, SiteSpec, content_hash
from tests.site.simple import serve

__all__ = ["Expected", "Kind", "Request", "SiteServer", "SiteSpec", "content_hash", "serve"]
