"""One regression test for each published advisory of Scrapy, aiohttp, Crawlee and their parts
that means something for a crawler; each is named after it, and is in the test_advisories_*.py
of its subject. SECURITY.md has them in a table, which is compared with them here.
"""

import re
from pathlib import Path


def test_the_table_in_security_md_has_every_test_here_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    rows = re.findall(r"^\| ([A-Z]+-[\w-]+) \|.*\| `(\w+)` \|$", text, re.MULTILINE)
    modules = [path.read_text() for path in Path(__file__).parent.glob("test_advisories_*.py")]
    here = re.findall(r"^async def (test_(?:cve|ghsa|pysec)_\w+)", "\n".join(modules), re.MULTILINE)
    assert sorted(test for _, test in rows) == sorted(here)
    for advisory, test in rows:
        assert test.startswith(f"test_{advisory.lower().replace('-', '_')}_")
    tested = {advisory for advisory, _ in rows}
    left_out = set(re.findall(r"(?:CVE|GHSA|PYSEC)-[\w-]+", text)) - tested
    assert len(left_out) > 20  # each with its reason, in the second table
