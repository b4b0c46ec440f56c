"""Sites on loopback that the tests crawl.

`serve` (simple.py) is a site written down as a dictionary, for one test.
`SiteSpec` and `SiteServer` (spec.py, synthetic.py) are a site of any size whose complete
crawl is known beforehand; `python -m tests.site` serves one from a process of its own.
"""

from tests.site.server import Request
from tests.site.simple import serve
from tests.site.spec import Expected, Kind, SiteSpec, content_hash
from tests.site.synthetic import SiteServer

__all__ = ["Expected", "Kind", "Request", "SiteServer", "SiteSpec", "content_hash", "serve"]
